package check

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"pantheon/events"
)

// Bounds of the histories: porcupine's time grows fast with operations whose
// end is unclear.
const (
	maxStreams    = 64
	maxOperations = 200
	maxUnclear    = 12
	checkTimeout  = 2 * time.Second
)

// History samples the appends of some streams. A stream under test is a
// register that holds its revision: an append names the revision it was
// decided on and either moves it on by one or conflicts.
type History struct {
	streams map[events.StreamID]*history
	past    map[events.StreamID]events.Revision // where streams stood at the beginning
}

type history struct {
	ops     []porcupine.Operation
	unclear int
	full    bool
	// ids finds the operation of a command, shared those that several senders
	// began; of placements only.
	ids    map[events.CommandID]int
	shared map[int]bool
}

// Op is an append under way; the zero value is one that is not sampled.
type Op struct {
	of *history
	n  int
}

// NewHistory makes an empty sample.
func NewHistory() *History {
	return &History{streams: map[events.StreamID]*history{}, past: map[events.StreamID]events.Revision{}}
}

// Past says where a stream stands before the first append.
func (h *History) Past(stream events.StreamID, at events.Revision) { h.past[stream] = at }

type appended struct{ written, unclear bool }

// Begin notes that an append is sent.
func (h *History) Begin(stream events.StreamID, after events.Revision, now time.Duration) Op {
	s := h.streams[stream]
	if s == nil {
		sampled := stream.Kind == events.KindHost || stream.Kind == events.KindName || hash(stream.ID, "sample")%16 == 0
		if !sampled || len(h.streams) >= maxStreams {
			return Op{}
		}
		s = &history{}
		h.streams[stream] = s
	}
	if s.full = s.full || len(s.ops) >= maxOperations || s.unclear >= maxUnclear; s.full {
		return Op{}
	}
	s.unclear++
	s.ops = append(s.ops, porcupine.Operation{
		ClientId: len(s.ops), Input: after, Call: int64(now), Output: appended{unclear: true}, Return: math.MaxInt64,
	})
	return Op{s, len(s.ops) - 1}
}

// End notes how it ended: written, or a conflict.
func (h *History) End(op Op, written bool, now time.Duration) {
	if op.of == nil || op.of.full { // what was not sampled may be in between
		return
	}
	op.of.unclear--
	op.of.ops[op.n].Output = appended{written: written}
	op.of.ops[op.n].Return = int64(now)
}

// Check gives the number of histories that were checked, and the stream of one
// that is not linearizable.
func (h *History) Check() (sampled int, broken string) {
	model := porcupine.Model{
		Step: func(state, input, output any) (bool, any) {
			at, after, out := state.(events.Revision), input.(events.Revision), output.(appended)
			switch {
			case out.written:
				return at == after, after + 1
			case out.unclear && at == after:
				return true, after + 1
			}
			return out.unclear || at != after, at
		},
		Equal: func(a, b any) bool { return a == b },
	}
	var illegal []string
	for stream, s := range h.streams {
		model.Init = func() any { return h.past[stream] }
		if porcupine.CheckOperationsTimeout(model, s.ops, checkTimeout) == porcupine.Illegal {
			illegal = append(illegal, stream.String())
		}
	}
	if len(illegal) > 0 {
		broken = slices.Min(illegal)
	}
	return len(h.streams), broken
}
