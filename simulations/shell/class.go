package shell

import (
	"fmt"
	"slices"
	"strings"

	"pantheon/simulations"
)

// Class tells what came of a run in words coarse enough that the order of
// goroutines does not change them: two levels have to agree on it. Whether DROPs
// moved counts where the scenario expects something of it.
func Class(r *simulations.Result) string {
	verdict := "kept every promise"
	if r.Violation != nil {
		verdict = "broke " + r.Violation.Rule
	}
	moved := "whatever moved"
	switch expects := slices.ContainsFunc(r.Expected, func(line string) bool { return strings.HasPrefix(line, "moves ") }); {
	case expects && r.Moves > 0:
		moved = "DROPs moved"
	case expects:
		moved = "nothing moved"
	}
	expected := "as expected"
	if len(r.Failed) > 0 {
		expected = "not as expected: " + strings.Join(r.Failed, "; ")
	}
	return fmt.Sprintf("%s, %s, %s", verdict, moved, expected)
}
