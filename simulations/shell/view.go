package shell

import (
	"context"
	"iter"
	"sync"

	"pantheon/events"
	"pantheon/projections"
	"pantheon/simulations"
)

// feed is a log as it reaches a reader: the World pushes, a Tail takes.
type feed struct {
	mu      sync.Mutex
	waiting []events.Envelope
	more    chan struct{} // holds one while something may wait
}

func newFeed() *feed { return &feed{more: make(chan struct{}, 1)} }

func (f *feed) push(envelope events.Envelope) {
	f.mu.Lock()
	f.waiting = append(f.waiting, envelope)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) take() []events.Envelope {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.waiting
	f.waiting = nil
	return taken
}

func (f *feed) tail(ctx context.Context) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for {
			for _, envelope := range f.take() {
				if !yield(envelope, nil) {
					return
				}
			}
			select {
			case <-f.more:
			case <-ctx.Done():
				yield(events.Envelope{}, ctx.Err())
				return
			}
		}
	}
}

// fed is the log of a view that was there before the first commit.
type fed struct{ *feed }

func (f fed) All(context.Context, events.Position) iter.Seq2[events.Envelope, error] {
	return func(func(events.Envelope, error) bool) {}
}

func (f fed) Tail(ctx context.Context, _ events.Position) iter.Seq2[events.Envelope, error] {
	return f.tail(ctx)
}

func (f fed) Head(context.Context) (events.Position, error) { return 0, nil }

// view is a projection with a Runner of its own.
type view[S projections.State[S]] struct {
	*projections.View[S]
	level *level
}

// Position is that of a view that has folded all that has reached it.
func (v view[S]) Position() events.Position {
	v.level.options.Quiesce()
	return v.View.Position()
}

func addView[S projections.State[S]](l *level, projection projections.Projection[S]) (simulations.View[S], func(events.Envelope)) {
	f := newFeed()
	runner := projections.NewRunner(projections.Options{Log: fed{f}, Logger: l.options.Logger})
	shown := projections.Add(runner, projection)
	l.running.Go(func() { _ = runner.Run(l.ctx) }) // ends with the level's context
	return view[S]{shown, l}, f.push
}
