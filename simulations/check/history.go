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
	maxOperations = 200 // of one window
	maxWindows    = 16  // of one stream
	maxUnclear    = 12
	// checkTimeout of one window, in real time: those of this size take
	// milliseconds. What takes longer is undecided, and said to be.
	checkTimeout = 10 * time.Second
)

// History samples the appends of some streams. A stream under test is a
// register that holds its revision: an append names the revision it was
// decided on and either moves it on by one or conflicts. A long history is
// checked window by window: a new one begins when nothing is under way, so that
// where the register stands is known.
type History struct {
	streams map[events.StreamID]*history
	past    map[events.StreamID]events.Revision // where streams stood at the beginning
}

type history struct {
	ops     []porcupine.Operation
	windows []window // that are complete
	unclear int
	full    bool
	// ids finds the operation of a command, shared those that several senders
	// began; of placements only.
	ids    map[events.CommandID]int
	shared map[int]bool
}

// window is a part of a history; at is where the register stands before it.
type window struct {
	at  events.Revision
	ops []porcupine.Operation
}

// roll begins a new window; the last one is complete.
func (s *history) roll(at events.Revision) {
	s.windows = append(s.windows, window{at, s.ops})
	s.ops = nil
}

// standsAfter gives where the register stands behind complete operations.
func standsAfter(at events.Revision, ops []porcupine.Operation) events.Revision {
	for _, op := range ops {
		if op.Output.(appended).written {
			at++
		}
	}
	return at
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
func (h *History) Past(stream events.StreamID, at events.Revision) {
	if mayBeSampled(stream) {
		h.past[stream] = at
	}
}

// mayBeSampled: the streams of hosts and names, and some of the others.
func mayBeSampled(stream events.StreamID) bool {
	return stream.Kind == events.KindHost || stream.Kind == events.KindName || hash(stream.ID, "sample")%16 == 0
}

type appended struct{ written, unclear bool }

// Begin notes that an append is sent.
func (h *History) Begin(stream events.StreamID, after events.Revision, now time.Duration) Op {
	s := h.streams[stream]
	if s == nil {
		if len(h.streams) >= maxStreams || !mayBeSampled(stream) {
			return Op{}
		}
		s = &history{}
		h.streams[stream] = s
	}
	if len(s.ops) >= maxOperations && s.unclear == 0 && len(s.windows) < maxWindows-1 {
		s.roll(s.begins(h.past[stream]))
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

// begins gives where the register stands before the window under way.
func (s *history) begins(past events.Revision) events.Revision {
	if len(s.windows) == 0 {
		return past
	}
	last := s.windows[len(s.windows)-1]
	return standsAfter(last.at, last.ops)
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

// Checked is what became of sampled histories.
type Checked struct {
	Histories int
	Undecided int    // that took too long to tell
	Broken    string // one that cannot have happened; empty where all can
}

// Check tells whether the sampled appends can have happened one after the other.
func (h *History) Check() Checked {
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
	var found verdicts
	for stream, s := range h.streams {
		for _, w := range append(s.windows, window{s.begins(h.past[stream]), s.ops}) {
			model.Init = func() any { return w.at }
			found.add(stream.String(), porcupine.CheckOperationsTimeout(model, w.ops, checkTimeout))
		}
	}
	return found.of(len(h.streams))
}

// verdicts of porcupine.
type verdicts struct {
	undecided int
	illegal   []string
}

func (v *verdicts) add(name string, result porcupine.CheckResult) {
	switch result {
	case porcupine.Illegal:
		v.illegal = append(v.illegal, name)
	case porcupine.Unknown:
		v.undecided++
	case porcupine.Ok:
	}
}

func (v *verdicts) of(histories int) Checked {
	checked := Checked{Histories: histories, Undecided: v.undecided}
	if len(v.illegal) > 0 {
		checked.Broken = slices.Min(v.illegal)
	}
	return checked
}
