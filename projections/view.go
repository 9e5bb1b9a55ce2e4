package projections

import (
	"context"
	"sync"
	"sync/atomic"

	"pantheon/events"
)

// View is what readers of one projection hold.
type View[S any] struct {
	current atomic.Pointer[published[S]]
	done    chan struct{} // closed when the runner has ended
	failure error         // why; written before done is closed
	// offer is a history's, if there is one. It is called with each state that
	// is published, by the fold, and does not wait.
	offer func(published[S])

	mu      sync.Mutex
	waiters []waiter
}

type published[S any] struct {
	state    S
	position events.Position
	hash     events.Hash // of the commit at position
}

type waiter struct {
	position events.Position
	reached  chan struct{}
}

func newView[S any](empty S) *View[S] {
	v := &View[S]{done: make(chan struct{})}
	v.current.Store(&published[S]{state: empty})
	return v
}

// Load gives the newest state and the position up to which it holds the log.
func (v *View[S]) Load() (S, events.Position) {
	p := v.current.Load()
	return p.state, p.position
}

// Snapshot gives the newest state without copying it. It never changes.
func (v *View[S]) Snapshot() *S { return &v.current.Load().state }

// Position gives the position up to which the view holds the log.
func (v *View[S]) Position() events.Position { return v.current.Load().position }

// Wait returns when the view has reached a position. It fails when ctx ends
// before, and with the runner's error when the view will never get there.
func (v *View[S]) Wait(ctx context.Context, position events.Position) error {
	reached := v.notify(position)
	if reached == nil {
		return nil
	}
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		v.forget(reached)
		return ctx.Err()
	case <-v.done:
		if v.Position() >= position {
			return nil
		}
		return v.failure
	}
}

// notify gives a channel that is closed at the position, nil if it is reached.
func (v *View[S]) notify(position events.Position) chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Position() >= position {
		return nil
	}
	reached := make(chan struct{})
	v.waiters = append(v.waiters, waiter{position, reached})
	return reached
}

func (v *View[S]) forget(reached chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.waiters {
		if v.waiters[i].reached == reached {
			last := len(v.waiters) - 1
			v.waiters[i] = v.waiters[last]
			v.waiters = v.waiters[:last]
			return
		}
	}
}

// publish shows a state and wakes those who wait for its position.
func (v *View[S]) publish(p published[S]) {
	v.current.Store(&p)
	if v.offer != nil {
		v.offer(p)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.waiters[:0]
	for _, w := range v.waiters {
		if w.position <= p.position {
			close(w.reached)
		} else {
			kept = append(kept, w)
		}
	}
	clear(v.waiters[len(kept):])
	v.waiters = kept
}

// end says that nothing more will be published.
func (v *View[S]) end(failure error) {
	v.failure = failure
	close(v.done)
}
