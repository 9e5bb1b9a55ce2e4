package styx

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// never is the due time of what may take as long as it likes.
const never = math.MaxInt64

// watched is a request's place in the list of those in flight.
type watched struct {
	previous, next *exchange
	shard          uint32
	// due is when it has waited too long, in nanoseconds since the watch was
	// made; never while something else bounds the wait.
	due     atomic.Int64
	clock   atomic.Uint32 // a clock
	overdue atomic.Bool
}

// clock is which of the time-outs bounds a request at the moment.
type clock uint32

const (
	awaitsStatus  clock = iota // first byte, chain
	awaitsBytes                // between bytes
	awaitsNothing              // the agent has the connection
)

// watch holds the requests in flight and ends the context of those that are
// overdue. One goroutine looks over all of them, so that a request needs no
// timer of its own.
type watch struct {
	epoch  time.Time
	period time.Duration // precision of time-outs
	shards [watchShards]watchShard
	count  atomic.Int64
	coarse atomic.Int64 // the time at the last look
}

type watchShard struct {
	mu    sync.Mutex
	first *exchange
	_     [40]byte // to a cache line of its own
}

// now is the time since the epoch; it does not follow the wall clock.
func (w *watch) now() int64 { return int64(time.Since(w.epoch)) }

// lately is now, late by a period at most: what a request reads at every
// write, where the clock itself would be the larger cost.
func (w *watch) lately() int64 { return w.coarse.Load() }

// after is when something that begins now and may take d is overdue.
func (w *watch) after(d time.Duration) int64 { return w.lately() + int64(w.period+d) }

// deadline gives a watch time as the time of a connection's deadline.
func (w *watch) deadline(at int64) time.Time { return w.epoch.Add(time.Duration(at)) }

func (w *watch) add(e *exchange) {
	shard := &w.shards[e.watched.shard]
	shard.mu.Lock()
	e.watched.next = shard.first
	if shard.first != nil {
		shard.first.watched.previous = e
	}
	shard.first = e
	shard.mu.Unlock()
}

func (w *watch) remove(e *exchange) {
	shard := &w.shards[e.watched.shard]
	shard.mu.Lock()
	if e.watched.previous != nil {
		e.watched.previous.watched.next = e.watched.next
	} else {
		shard.first = e.watched.next
	}
	if e.watched.next != nil {
		e.watched.next.watched.previous = e.watched.previous
	}
	shard.mu.Unlock()
	e.watched.previous, e.watched.next = nil, nil
}

// run looks for overdue requests until ctx ends.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(w.period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := w.now()
			w.coarse.Store(now)
			w.each(func(e *exchange) {
				if e.watched.due.Load() <= now && e.watched.overdue.CompareAndSwap(false, true) {
					e.scope.end(errOverdue)
				}
			})
		}
	}
}

// each calls f for every request in flight, with the shard's lock held.
func (w *watch) each(f func(*exchange)) {
	for i := range w.shards {
		shard := &w.shards[i]
		shard.mu.Lock()
		for e := shard.first; e != nil; e = e.watched.next {
			f(e)
		}
		shard.mu.Unlock()
	}
}
