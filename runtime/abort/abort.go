package abort

import (
	"context"
	"io"
	"sync"
	"time"
)

// Period is how long an exchange lasts before somebody waits for the end of its
// context, give or take once as much. The router itself does not look for
// visitors who leave any sooner.
const Period = 100 * time.Millisecond

// Watch looks after exchanges. The zero value is ready for use.
type Watch struct {
	mu     sync.Mutex
	listed Exchange // head of the ring of those that nobody waits for yet
	timer  *time.Timer
	armed  bool
}

// Exchange is one of those. The zero value is ready for one Begin.
type Exchange struct {
	ctx            context.Context
	closer         io.Closer
	previous, next *Exchange // nil unless listed
	old            bool      // has been seen at a look
	over           bool
	stop           func() bool // of the context, once bound to it
}

// Begin has closer closed if ctx ends before End.
func (w *Watch) Begin(e *Exchange, ctx context.Context, closer io.Closer) {
	e.ctx, e.closer = ctx, closer
	w.mu.Lock()
	defer w.mu.Unlock()
	head := &w.listed
	if head.next == nil {
		head.previous, head.next = head, head
	}
	e.previous, e.next = head.previous, head
	e.previous.next, head.previous = e, e
	switch {
	case w.armed:
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(Period, w.look)
	default:
		w.timer.Reset(Period)
	}
	w.armed = true
}

// End says whether the exchange is the caller's from now on: true once, unless
// its context has ended it.
func (w *Watch) End(e *Exchange) bool {
	w.mu.Lock()
	if e.over {
		w.mu.Unlock()
		return false
	}
	e.over = true
	stop := e.stop
	if stop == nil {
		e.unlist()
	}
	w.mu.Unlock()
	return stop == nil || stop()
}

func (e *Exchange) unlist() {
	e.previous.next, e.next.previous = e.next, e.previous
	e.previous, e.next = nil, nil
}

// look binds the exchanges that were there at the last look to their contexts.
func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := &w.listed
	for e := head.next; e != head; {
		next := e.next
		if e.old {
			e.unlist()
			e.stop = context.AfterFunc(e.ctx, e.close)
		}
		e.old, e = true, next
	}
	if w.armed = head.next != head; w.armed {
		w.timer.Reset(Period)
	}
}

func (e *Exchange) close() { _ = e.closer.Close() } // it fails on what is closed already
