package mux

import (
	"context"
	"sync"
	"time"
)

// scope is the context of a stream. It becomes a real cancellable context only
// when somebody waits on it; contexts derived from it need no goroutine.
type scope struct {
	parent context.Context // the session's

	mu     sync.Mutex
	inner  context.Context // nil until needed
	cancel context.CancelFunc
	over   bool
}

func (s *scope) derive() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner == nil {
		s.inner, s.cancel = context.WithCancel(s.parent)
		if s.over {
			s.cancel()
		}
	}
	return s.inner
}

// existing gives the context as far as it is needed by now.
func (s *scope) existing() context.Context {
	s.mu.Lock()
	inner, over := s.inner, s.over
	s.mu.Unlock()
	switch {
	case inner != nil:
		return inner
	case over:
		return s.derive()
	}
	return s.parent
}

// Done, Err, Deadline and Value make it a context.Context.
func (s *scope) Done() <-chan struct{}       { return s.derive().Done() }
func (s *scope) Err() error                  { return s.existing().Err() }
func (s *scope) Deadline() (time.Time, bool) { return s.parent.Deadline() }
func (s *scope) Value(key any) any           { return s.existing().Value(key) }

// end cancels it.
func (s *scope) end() {
	s.mu.Lock()
	s.over = true
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
