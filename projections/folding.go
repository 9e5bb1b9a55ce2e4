package projections

import (
	"context"
	"fmt"
	"iter"

	"pantheon/events"
)

// folding is a fold with the type of its state. Its fields belong to the
// runner's goroutine; what the saver needs is in the view.
type folding[S State[S]] struct {
	projection Projection[S]
	view       *View[S]
	observe    func(string, events.Position)
	newest     published[S]
	editing    bool // newest.state may be changed in place, and is not shown yet
}

func (f *folding[S]) name() string { return f.projection.Name }

func (f *folding[S]) position() events.Position { return f.newest.position }

func (f *folding[S]) apply(envelope events.Envelope) {
	if envelope.Position <= f.newest.position {
		return // a view that is ahead of another one
	}
	if !f.editing {
		f.newest.state, f.editing = f.newest.state.Edit(), true
	}
	f.newest = published[S]{f.newest.state.Apply(envelope), envelope.Position, envelope.Hash}
}

func (f *folding[S]) publish() {
	if !f.editing {
		return
	}
	f.newest.state, f.editing = f.newest.state.Seal(), false
	f.view.publish(f.newest)
	f.observe(f.projection.Name, f.newest.position)
}

func (f *folding[S]) end(failure error) { f.view.end(failure) }

// save writes what readers see now. The saver's goroutine calls it.
func (f *folding[S]) save(ctx context.Context, store Store, since events.Position) (events.Position, error) {
	shown := f.view.current.Load()
	if shown.position <= since {
		return since, nil
	}
	header := Header{Name: f.projection.Name, Version: f.projection.Version, Position: shown.position, Hash: shown.hash.String()}
	if err := store.Save(ctx, header, shown.state.Save()); err != nil {
		return since, err
	}
	return shown.position, nil
}

// restore takes the snapshot, if it is one of this log and this version.
func (f *folding[S]) restore(ctx context.Context, options Options, head events.Position) error {
	return options.Store.Load(ctx, f.projection.Name, func(header Header, records iter.Seq2[[]byte, error]) error {
		if header.Version != f.projection.Version {
			return fmt.Errorf("it has version %d, this binary needs %d", header.Version, f.projection.Version)
		}
		hash, err := hashAt(ctx, options.Log, header.Position, head)
		if err != nil {
			return err
		}
		if hash.String() != header.Hash {
			return fmt.Errorf("it is of another log: there, commit %d has the hash %.16s…, here %.16s…", header.Position, header.Hash, hash)
		}
		state, err := f.projection.Empty.Load(records)
		if err != nil {
			return err
		}
		f.newest = published[S]{state, header.Position, hash}
		f.view.publish(f.newest)
		return nil
	})
}

func hashAt(ctx context.Context, log Log, position, head events.Position) (events.Hash, error) {
	if position == 0 || position > head {
		return events.Hash{}, fmt.Errorf("it stands at position %d, the log ends at %d", position, head)
	}
	for envelope, err := range log.All(ctx, position-1) {
		if err != nil {
			return events.Hash{}, err
		}
		if envelope.Position == position {
			return envelope.Hash, nil
		}
		break
	}
	return events.Hash{}, fmt.Errorf("the log has no position %d", position)
}
