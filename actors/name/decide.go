package name

import (
	"pantheon/events"
	"pantheon/events/problem"
)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	switch c := command.(type) {
	case Claim:
		return claim(s, c)
	case Release:
		if s.By != c.By || s.By == "" {
			return nil, nil
		}
		return []events.Event{events.NameReleased(c)}, nil
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a name has no such command", command)
}

func claim(s State, c Claim) ([]events.Event, error) {
	switch {
	case s.By == "":
	case s.By == c.By:
		return nil, nil
	default:
		return nil, problem.New(problem.Conflict, "cannot claim %s name %q: it is taken", c.Name.Space(), c.Name.Name()).WithHint("choose another name")
	}
	if _, err := events.ParseStreamID(c.Name.Stream().String()); err != nil {
		return nil, problem.New(problem.Invalid, "cannot claim name %.80q: it must be <space>:<name> in lower-case letters, digits, dots and dashes", c.Name)
	}
	if c.Name.Space() == events.SpaceSite {
		if _, err := events.ParseSiteName(c.Name.Name()); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot claim the name")
		}
	}
	if _, err := events.ParseStreamID(c.By); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot claim name %q for its holder", c.Name)
	}
	return []events.Event{events.NameClaimed(c)}, nil
}
