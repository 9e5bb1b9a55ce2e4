package clock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"

	"pantheon/events"
)

// Save gives the view's records, one a block.
func (s State) Save() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for b := range s.blocks {
			record, err := json.Marshal(b)
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// Load fills an empty view from saved records.
func (s State) Load(records iter.Seq2[[]byte, error]) (State, error) {
	s = s.Edit()
	for record, err := range records {
		if err != nil {
			return State{}, err
		}
		b := &block{edit: s.edit}
		if err := json.Unmarshal(record, b); err != nil {
			return State{}, fmt.Errorf("cannot load clock: %w", err)
		}
		if err := b.check(s.newest); err != nil {
			return State{}, fmt.Errorf("cannot load clock: %w", err)
		}
		if s.newest != nil {
			s.full = s.full.Set(s.edit, positionKey(s.newest.First), s.newest)
		}
		s.newest = b
	}
	return s.Seal(), nil
}

// check refuses a block that does not say what it holds.
func (b *block) check(before *block) error {
	count, position, at := 1, b.First, b.Start
	for steps := b.Steps; len(steps) > 0; count++ {
		gap, n := binary.Uvarint(steps)
		if n <= 0 {
			return errors.New("a step of a block is not complete")
		}
		step, m := binary.Varint(steps[n:])
		if m <= 0 {
			return errors.New("a step of a block is not complete")
		}
		position, at, steps = position+events.Position(gap)+1, at+step, steps[n+m:]
	}
	if count != b.Count || position != b.Last || at != b.End || b.First == 0 || before != nil && b.First <= before.Last {
		return fmt.Errorf("the block from position %d does not hold what it says", b.First)
	}
	return nil
}
