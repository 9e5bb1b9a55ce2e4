package styx

import (
	"context"
	"sync"
	"time"
)

// scope is the context of one request. It becomes a real cancellable context
// only when somebody waits on it, which a static file never does: that saves
// four allocations. Once it has, it answers as that context in every way, so
// contexts derived from it need no goroutine.
type scope struct {
	parent context.Context

	mu     sync.Mutex
	inner  context.Context // nil until needed
	cancel context.CancelCauseFunc
}

func (s *scope) derive() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner == nil {
		s.inner, s.cancel = context.WithCancelCause(s.parent)
	}
	return s.inner
}

// existing gives the context as far as it is needed by now.
func (s *scope) existing() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner != nil {
		return s.inner
	}
	return s.parent
}

func (s *scope) Done() <-chan struct{}       { return s.derive().Done() }
func (s *scope) Err() error                  { return s.existing().Err() }
func (s *scope) Deadline() (time.Time, bool) { return s.parent.Deadline() }
func (s *scope) Value(key any) any           { return s.existing().Value(key) }

// end cancels it for a reason.
func (s *scope) end(cause error) {
	s.derive()
	s.cancel(cause)
}

// release lets go of what a finished request holds.
func (s *scope) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(context.Canceled)
	}
}
