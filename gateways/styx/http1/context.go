package http1

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// scope is the context of one request, with what else is made for each: one
// allocation. It becomes a real cancellable context only when somebody waits
// on it or it is cancelled; contexts derived from it need no goroutine.
type scope struct {
	parent context.Context
	local  net.Addr
	url    url.URL

	mu     sync.Mutex
	inner  context.Context // nil until needed
	cancel context.CancelFunc
	over   bool // the handler has returned
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

// Value answers http.LocalAddrContextKey itself.
func (s *scope) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return s.local
	}
	return s.existing().Value(key)
}

// end cancels it.
func (s *scope) end() {
	s.mu.Lock()
	s.over = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
}

// ended says whether it was cancelled for itself.
func (s *scope) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}
