package jetstream

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pantheon/events/problem"
)

var numbers = regexp.MustCompile(`\d+`)

// refusal checks one answer: the reason, and that the numbers its hint names are
// taken.
func refusal(t *testing.T, what string, err error, want string, check func(int) error) {
	t.Helper()
	if err == nil || want == "" {
		if err != nil || want != "" {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		return
	}
	hint := problem.HintOf(err)
	if !strings.Contains(err.Error(), want) || hint == "" {
		t.Errorf("%s: %v (hint: %s), want %q and a hint", what, err, hint, want)
	}
	for _, text := range numbers.FindAllString(hint, -1) {
		if number, _ := strconv.Atoi(text); check(number) != nil {
			t.Errorf("%s: the hint %q names %d, and that says: %v", what, hint, number, check(number))
		}
	}
}

// Numbers of machines that make no sense are refused with the reason and a next
// step that is not refused in its turn.
func TestSizes(t *testing.T) {
	const nowhere, even, most, already = "nowhere", "even number", "the most", "already"
	const alone, one, hold = "there is one control machine", "one machine holds the log", "hold the log"
	for machines, want := range map[int]string{
		-1: "last control machine", 0: "last control machine", 1: "", 2: even, 3: "", 4: even, 5: "", 6: most, 7: most, 8: most, 9: most, 10: most, 11: most, 12: most,
	} {
		refusal(t, strconv.Itoa(machines)+" machines", CheckSize(machines), want, CheckSize)
	}
	for holding, answers := range map[int]struct{ grow, shrink [13]string }{
		1: {[13]string{alone, alone, even, "", even, "", most, most, most, most, most, most, most},
			[13]string{one, one, one, one, one, one, one, one, one, one, one, one, one}},
		3: {[13]string{already, already, already, already, even, "", most, most, most, most, most, most, most},
			[13]string{nowhere, "", even, hold, hold, hold, hold, hold, hold, hold, hold, hold, hold}},
		5: {[13]string{already, already, already, already, already, already, most, most, most, most, most, most, most},
			[13]string{nowhere, "", even, "", even, hold, hold, hold, hold, hold, hold, hold, hold}},
	} {
		grow := func(machines int) error { return CheckGrow(holding, machines) }
		shrink := func(machines int) error { return CheckShrink(holding, machines) }
		for machines := range 13 {
			sizes := strconv.Itoa(holding) + " to " + strconv.Itoa(machines)
			refusal(t, "grow from "+sizes, grow(machines), answers.grow[machines], grow)
			refusal(t, "shrink from "+sizes, shrink(machines), answers.shrink[machines], shrink)
		}
	}
}
