package simulations

import (
	"fmt"
	"io"
	"maps"
	"time"
)

// trace is what happened, a line a step: hashed always, written when asked
// for, its end kept for a violation.
type trace struct {
	hash uint64
	ring [tailLines]line
	n    uint64
	kind map[string]int // how often each step happened, but for those in kinds
	// kinds are counters that are at hand, by a hash of the step's name.
	kinds [64]struct {
		what string
		n    int
	}
	out io.Writer // nil where nobody reads
}

type line struct {
	at      time.Duration
	what    string
	subject string
	object  string
	number  int64
}

func (l line) String() string {
	text := fmt.Sprintf("%s %-16s %s", clock(l.at), l.what, l.subject)
	if l.object != "" {
		text += " " + l.object
	}
	if l.number != 0 {
		text += fmt.Sprintf(" #%d", l.number)
	}
	return text
}

// clock writes virtual time as days and the time of day.
func clock(at time.Duration) string {
	day := at / (24 * time.Hour)
	rest := at % (24 * time.Hour)
	return fmt.Sprintf("%dd%02d:%02d:%09.6f", day, rest/time.Hour, rest%time.Hour/time.Minute, (rest % time.Minute).Seconds())
}

func (t *trace) step(at time.Duration, what, subject, object string, number int64) {
	h := mixed(t.hash, uint64(at))
	h = hashText(h, what)
	h = hashText(h, subject)
	h = hashText(h, object)
	t.hash = mixed(h, uint64(number))
	l := line{at, what, subject, object, number}
	t.ring[t.n%tailLines] = l
	t.n++
	t.count(what)
	if t.out != nil {
		_, _ = io.WriteString(t.out, l.String()+"\n") // a reader who left needs no trace
	}
}

// count counts a step by its name.
func (t *trace) count(what string) {
	at := &t.kinds[hashText(0, what)%uint64(len(t.kinds))]
	if at.what != what {
		if at.what != "" {
			t.kind[at.what] += at.n
		}
		at.what, at.n = what, 0
	}
	at.n++
}

// happened gives how often each step happened.
func (t *trace) happened() map[string]int {
	all := maps.Clone(t.kind)
	for _, at := range t.kinds {
		if at.what != "" {
			all[at.what] += at.n
		}
	}
	return all
}

// tail gives the newest lines, the oldest first.
func (t *trace) tail() []string {
	var lines []string
	for i := max(t.n, tailLines) - tailLines; i < t.n; i++ {
		lines = append(lines, t.ring[i%tailLines].String())
	}
	return lines
}
