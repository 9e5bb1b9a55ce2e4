package mesh

import (
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/mesh/mux"
)

// guests are the open connections of other machines to something here. A
// connection is entered before it is asked whether it is allowed, so that a
// change in between finds it: until it is allowed it is not cut, and asked for
// again, because who allows it may know more than who noticed the change.
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

	// Guarded by the lock of guests.
	allowed bool
	doubted bool // a change came while it was asked whether it is allowed
}

// enter counts a connection until leave is called.
func (g *guests[R]) enter(host events.HostID, request R, stream *mux.Stream) (one *guest[R], leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for other := range g.all {
		if other.host == host {
			n++
		}
	}
	if n >= g.limit {
		return nil, nil, problem.New(problem.Busy, "cannot connect: machine %s has %d connections to %s here", host, n, g.name)
	}
	if g.all == nil {
		g.all = map[*guest[R]]struct{}{}
	}
	one = &guest[R]{host: host, request: request, stream: stream}
	g.all[one] = struct{}{}
	return one, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.all, one)
	}, nil
}

// allow asks whether a connection is allowed, until nothing has changed meanwhile.
func (g *guests[R]) allow(one *guest[R], ask func() error) error {
	for range maxDoubts {
		if err := ask(); err != nil {
			return err
		}
		if g.undoubted(one) {
			return nil
		}
	}
	return problem.New(problem.Busy, "cannot connect: what machine %s holds changes all the time", one.host)
}

// undoubted has a connection cut by the next change that it is of the past by,
// unless one came already.
func (g *guests[R]) undoubted(one *guest[R]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one.allowed, one.doubted = !one.doubted, false
	return one.allowed
}

// cut ends the connections that stale says are of the past. What stale knows is
// to be no older than what any of them was allowed by.
func (g *guests[R]) cut(stale func(host events.HostID, request R) bool) int {
	g.mu.Lock()
	var gone []*guest[R]
	for one := range g.all {
		switch {
		case !stale(one.host, one.request):
		case one.allowed:
			gone = append(gone, one)
		default:
			one.doubted = true
		}
	}
	g.mu.Unlock()
	for _, one := range gone {
		one.stream.Reset(problem.New(problem.Denied, "the DROP is no longer placed there"))
	}
	return len(gone)
}
