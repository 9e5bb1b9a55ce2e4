package shell

import (
	"fmt"
	"strings"

	"pantheon/simulations"
)

// Class tells what came of a run in words coarse enough that the order of
// goroutines does not change them: two levels have to agree on it.
func Class(r *simulations.Result) string {
	verdict := "kept every promise"
	if r.Violation != nil {
		verdict = "broke " + r.Violation.Rule
	}
	moved := "nothing moved"
	if r.Moves > 0 {
		moved = "DROPs moved"
	}
	expected := "as expected"
	if len(r.Failed) > 0 {
		expected = "not as expected: " + strings.Join(r.Failed, "; ")
	}
	return fmt.Sprintf("%s, %s, %s", verdict, moved, expected)
}
