package jetstream

import (
	"fmt"
	"strings"

	"pantheon/events/problem"
)

// # How many machines hold a log
//
// One, three or five: of an even number no more may be lost than of one less. A
// refusal names numbers that are not refused.

// CheckSize says which numbers of machines can hold a log together, with the
// reason where one cannot.
func CheckSize(machines int) error {
	switch {
	case machines <= 0:
		return problem.New(problem.Invalid, "cannot remove the last control machine: the log would be nowhere").
			WithHint("make a backup with 'pantheon log export', or let other machines join first")
	case machines > MaxMembers:
		return tooMany(machines).WithHint("take %d", MaxMembers)
	case machines%2 == 0:
		return evenly(machines).WithHint("take %d or %d", machines-1, machines+1)
	}
	return nil
}

func tooMany(machines int) *problem.Error {
	return problem.New(problem.Unsupported, "cannot spread the log over %d machines: %d are the most, each commit waits for a majority of them", machines, MaxMembers)
}

func evenly(machines int) *problem.Error {
	return problem.New(problem.Invalid, "cannot spread the log over %d machines: of an even number no more may be lost than of %d", machines, machines-1)
}

// oneMore is how a cell gets another control machine.
const oneMore = "pantheon host token create --roles control,host,entry,dns"

// CheckGrow says whether a log that so many machines hold can be spread over all
// of a cell's control machines.
func CheckGrow(holding, control int) error {
	switch {
	case holding >= MaxMembers:
		return problem.New(problem.Conflict, "cannot grow: %d machines hold the log already, which are the most", holding).
			WithHint("pantheon cell info shows them; other control machines reach the log there")
	case control <= 1 && holding <= 1:
		return problem.New(problem.Invalid, "cannot grow: there is one control machine, and the log is on it").
			WithHint("with 3 control machines it can: %s lets another one join", oneMore)
	case control <= holding:
		return problem.New(problem.Conflict, "cannot grow: %d machines hold the log already", holding).
			WithHint("with %d control machines it can: %s lets another one join; pantheon cell info shows those that are there", holding+2, oneMore)
	case control > MaxMembers:
		return tooMany(control).WithHint("pantheon host remove takes control machines out until there are %d; "+
			"a machine that joins by a token without the control role is none", MaxMembers)
	case control%2 == 0 && control-1 > holding:
		return evenly(control).WithHint("pantheon host remove takes one out, for %d; or for %d %s lets another one join", control-1, control+1, oneMore)
	case control%2 == 0:
		return evenly(control).WithHint("with %d control machines it can: %s lets another one join", control+1, oneMore)
	}
	return nil
}

// CheckShrink says whether fewer of the machines that hold a log can go on
// holding it.
func CheckShrink(holding, machines int) error {
	if holding <= 1 {
		return problem.New(problem.Conflict, "cannot shrink: one machine holds the log").WithHint("pantheon cell info shows which")
	}
	var steps []string
	for fewer := 1; fewer < holding; fewer += 2 {
		steps = append(steps, fmt.Sprintf("--machines %d", fewer))
	}
	hint := "pantheon cluster shrink " + strings.Join(steps, " or ")
	switch {
	case machines <= 0:
		return problem.New(problem.Invalid, "cannot shrink to %d machines: the log would be nowhere", machines).WithHint("%s", hint)
	case machines >= holding:
		return problem.New(problem.Conflict, "cannot shrink to %d machines: %d hold the log", machines, holding).WithHint("%s", hint)
	case machines%2 == 0:
		return evenly(machines).WithHint("%s", hint)
	}
	return nil
}
