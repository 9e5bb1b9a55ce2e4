package agent

import (
	"context"
	"sync"
	"time"
)

// key names an object that is reconciled: "drop/<id>" or "binding/<id>".
type key string

// queue hands keys to workers, each key to one worker at a time. A key that is
// added while a worker has it is handed out again afterwards, once. Its bound
// is the number of objects of the host, which the host's actor bounds.
type queue struct {
	mu      sync.Mutex
	waiting []key
	queued  map[key]bool
	busy    map[key]bool
	delayed map[key]*time.Timer
	wake    chan struct{}
	closed  bool
}

func newQueue() *queue {
	return &queue{queued: map[key]bool{}, busy: map[key]bool{}, delayed: map[key]*time.Timer{}, wake: make(chan struct{}, 1)}
}

// add asks for the key to be handed out; an earlier delay of it is over.
func (q *queue) add(k key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if timer := q.delayed[k]; timer != nil {
		timer.Stop()
		delete(q.delayed, k)
	}
	if q.closed || q.queued[k] {
		return
	}
	q.queued[k] = true
	if !q.busy[k] {
		q.push(k)
	}
}

// addAfter asks for the key to be handed out after a delay, unless it is asked
// for before.
func (q *queue) addAfter(k key, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.queued[k] || q.delayed[k] != nil {
		return
	}
	q.delayed[k] = time.AfterFunc(delay, func() { q.add(k) })
}

func (q *queue) push(k key) {
	q.waiting = append(q.waiting, k)
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next gives a key, waiting for one; false when ctx ends.
func (q *queue) next(ctx context.Context) (key, bool) {
	for {
		if k, found := q.take(); found {
			return k, true
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return "", false
		}
	}
}

func (q *queue) take() (key, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return "", false
	}
	k := q.waiting[0]
	q.waiting = q.waiting[1:]
	delete(q.queued, k)
	q.busy[k] = true
	if len(q.waiting) > 0 {
		q.signal()
	}
	return k, true
}

// done gives a key back.
func (q *queue) done(k key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, k)
	if q.queued[k] && !q.closed {
		q.push(k)
	}
}

// close stops the delays.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, timer := range q.delayed {
		timer.Stop()
	}
}

// run hands keys to a bounded number of workers until ctx ends, and waits for
// them. work gives the delay after which it wants the key again; 0 is never.
func (q *queue) run(ctx context.Context, workers int, work func(context.Context, key) time.Duration) {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for {
				k, found := q.next(ctx)
				if !found {
					return
				}
				again := work(ctx, k)
				q.done(k)
				if again > 0 {
					q.addAfter(k, again)
				}
			}
		})
	}
	running.Wait()
	q.close()
}
