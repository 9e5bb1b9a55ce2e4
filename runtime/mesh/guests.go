package mesh

import (
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/mesh/mux"
)

// guests are the open connections of other machines to something here. A
// connection is entered before it is asked whether it is allowed, so that a
// change in between finds it.
type guests[R any] struct {
	name  string
	limit int // of one host

	mu  sync.Mutex
	all map[*guest[R]]struct{}
}

type guest[R any] struct {
	host    events.HostID
	request R
	stream  *mux.Stream
}

// enter counts a connection until leave is called.
func (g *guests[R]) enter(host events.HostID, request R, stream *mux.Stream) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for other := range g.all {
		if other.host == host {
			n++
		}
	}
	if n >= g.limit {
		return nil, problem.New(problem.Busy, "cannot connect: machine %s has %d connections to %s here", host, n, g.name)
	}
	if g.all == nil {
		g.all = map[*guest[R]]struct{}{}
	}
	one := &guest[R]{host, request, stream}
	g.all[one] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.all, one)
	}, nil
}

// cut ends the connections that stale says are of the past.
func (g *guests[R]) cut(stale func(host events.HostID, request R) bool) int {
	g.mu.Lock()
	var gone []*guest[R]
	for one := range g.all {
		if stale(one.host, one.request) {
			gone = append(gone, one)
		}
	}
	g.mu.Unlock()
	for _, one := range gone {
		one.stream.Reset(problem.New(problem.Denied, "the DROP is no longer placed there"))
	}
	return len(gone)
}
