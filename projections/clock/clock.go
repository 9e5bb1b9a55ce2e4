// Package clock is the view that turns a time into a position of the log.
//
// Commits carry the wall clock of whoever decided them, and nothing orders
// those clocks: two neighbours may stand the wrong way round by milliseconds,
// and a host with a wrong clock may be off by years. So "the platform at 14:03"
// needs a definition:
//
//	The position of a time is the first position of those that put the fewest
//	commits on the wrong side of it: commits up to the position whose clock
//	says later, and commits after it whose clock says no later.
//
// Where clocks agree that is the last commit no later than the time. A commit
// whose clock is wrong counts as one on the wrong side and moves nothing,
// whereas "the last commit before the first later one" would hide everything
// after a single clock that was ahead.
//
// Events enter through State.Apply, which is pure and looks at nothing but a
// commit's position and time. A commit costs about four bytes. At answers
// from the earliest and latest time of each block of commits, and looks into a
// block only where those differ in what they say; times count in whole
// milliseconds.
package clock

import (
	"encoding/binary"
	"fmt"
	"time"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Version of the fold and of its saved form.
const Version = 1

// State is the whole view; the zero value is that of an empty log.
type State struct {
	edit   *pmap.Edit
	full   pmap.Sorted[*block] // by position of the first commit
	newest *block              // nil for an empty log
}

// block is consecutive commits. Times are milliseconds since 1970.
type block struct {
	edit     *pmap.Edit
	First    events.Position `json:"first"`
	Last     events.Position `json:"last"`
	Count    int             `json:"count"`
	Start    int64           `json:"start"`    // time of the first commit
	End      int64           `json:"end"`      // time of the last commit
	Earliest int64           `json:"earliest"` // of all
	Latest   int64           `json:"latest"`   // of all
	// Steps from commit to commit, from the second on: two varints each, of the
	// position (less one) and of the time.
	Steps []byte `json:"steps"`
}

// Edit gives a state that Apply may change in place: only the newest one may
// be used from here on, until Seal.
func (s State) Edit() State {
	s.edit = &pmap.Edit{}
	return s
}

// Seal gives a state for readers: no later Apply changes it.
func (s State) Seal() State {
	s.edit = nil
	return s
}

// Apply folds one commit.
func (s State) Apply(envelope events.Envelope) State {
	at := envelope.Meta.Time.UnixMilli()
	if s.newest != nil && s.newest.Count >= blockCommits {
		s.full = s.full.Set(s.edit, positionKey(s.newest.First), s.newest)
		s.newest = nil
	}
	if s.newest == nil {
		s.newest = &block{
			edit: s.edit, First: envelope.Position, Last: envelope.Position, Count: 1,
			Start: at, End: at, Earliest: at, Latest: at,
		}
		return s
	}
	s.newest = s.newest.with(s.edit, envelope.Position, at)
	return s
}

// with gives the block with one more commit: itself where the edit owns it.
func (b *block) with(edit *pmap.Edit, position events.Position, at int64) *block {
	grown := b
	if edit == nil || b.edit != edit {
		copied := *b
		copied.edit, copied.Steps = edit, append(make([]byte, 0, len(b.Steps)+8), b.Steps...)
		grown = &copied
	}
	grown.Steps = binary.AppendUvarint(grown.Steps, uint64(position-b.Last-1))
	grown.Steps = binary.AppendVarint(grown.Steps, at-b.End)
	grown.Last, grown.End, grown.Count = position, at, b.Count+1
	grown.Earliest, grown.Latest = min(b.Earliest, at), max(b.Latest, at)
	return grown
}

// positionKey sorts as positions do.
func positionKey(position events.Position) string { return fmt.Sprintf("%016x", uint64(position)) }

// commits gives the position and time of each commit of a block.
func (b *block) commits(yield func(events.Position, int64) bool) {
	position, at := b.First, b.Start
	for steps := b.Steps; yield(position, at) && len(steps) > 0; {
		gap, n := binary.Uvarint(steps)
		step, m := binary.Varint(steps[n:])
		if n <= 0 || m <= 0 {
			return // Load has refused such a block
		}
		position, at, steps = position+events.Position(gap)+1, at+step, steps[n+m:]
	}
}

// blocks gives all blocks in order.
func (s State) blocks(yield func(*block) bool) {
	for _, b := range s.full.From("") {
		if !yield(b) {
			return
		}
	}
	if s.newest != nil {
		yield(s.newest)
	}
}

// At gives the position of a time, by the package's definition; 0 is before
// the first commit.
func (s State) At(moment time.Time) events.Position {
	limit := moment.UnixMilli()
	best, position := 0, events.Position(0)
	wrong := 0 // commits on the wrong side, less those that are at position 0
	for b := range s.blocks {
		switch {
		case b.Earliest > limit:
			wrong += b.Count
			continue
		case b.Latest <= limit:
			if wrong -= b.Count; wrong < best {
				best, position = wrong, b.Last
			}
			continue
		}
		b.commits(func(p events.Position, at int64) bool {
			if at > limit {
				wrong++
			} else if wrong--; wrong < best {
				best, position = wrong, p
			}
			return true
		})
	}
	return position
}

// Time gives the time of the last commit up to a position; false before the
// first one.
func (s State) Time(position events.Position) (time.Time, bool) {
	b := s.newest
	if b == nil || b.First > position {
		b = nil
		for _, b = range s.full.Before(positionKey(position + 1)) {
			break
		}
	}
	if b == nil {
		return time.Time{}, false
	}
	found := b.Start
	b.commits(func(p events.Position, at int64) bool {
		if p <= position {
			found = at
		}
		return p < position
	})
	return time.UnixMilli(found).UTC(), true
}

// First gives the time of the first commit; false for an empty log.
func (s State) First() (time.Time, bool) {
	for b := range s.blocks {
		return time.UnixMilli(b.Start).UTC(), true
	}
	return time.Time{}, false
}
