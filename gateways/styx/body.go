package styx

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// body is the request's body on its way to the agent. The agent may read it in
// a goroutine of its own, so what others look at is atomic.
type body struct {
	exchange *exchange
	under    io.ReadCloser
	moved    int64        // watch time of the last move of the read deadline
	spent    atomic.Bool  // bytes were taken
	tooLarge atomic.Bool  // more than MaxBodyBytes
	late     atomic.Bool  // the visitor was silent, or slow, for too long
	finished atomic.Int64 // watch time of the end
}

// takeBody puts the body between the agent and the connection. The read
// deadline is set even if nobody reads: the server below reads the rest of a short
// body before it answers.
func (e *exchange) takeBody() {
	b := &e.body
	b.exchange = e
	b.under = http.MaxBytesReader(e.under, e.request.Body, e.server.options.MaxBodyBytes)
	b.move(e.begun)
	e.request.Body = b
}

// move gives the visitor time until it is silent for too long.
func (b *body) move(now int64) {
	b.moved = now
	o, watch := &b.exchange.server.options, &b.exchange.server.watch
	b.setDeadline(watch.deadline(min(b.exchange.begun+int64(MaxBodyTime), now+int64(o.BetweenBytes))))
	if b.exchange.request.ProtoMajor > 1 {
		// HTTP/2 resets a stream whose write deadline passes even if nothing is
		// being written: an upload must not run into it.
		end := watch.deadline(now + int64(o.Chain+writeMargin))
		_ = http.NewResponseController(b.exchange.under).SetWriteDeadline(end)
	}
}

// Read bounds the visitor's silence by the connection's read deadline; the
// application's clock stands still meanwhile.
func (b *body) Read(p []byte) (int, error) {
	e := b.exchange
	e.watched.due.Store(never)
	if e.server.watch.lately()-b.moved >= e.server.step {
		b.move(e.server.watch.now())
	}
	n, err := b.under.Read(p)
	if n > 0 {
		b.spent.Store(true)
	}
	if err != nil {
		b.ended(err)
	}
	e.rewind()
	return n, err
}

func (b *body) ended(err error) {
	var limit *http.MaxBytesError
	switch {
	case err == io.EOF:
		b.finished.CompareAndSwap(0, b.exchange.server.watch.now())
		// The deadline would end the connection's watch for the visitor's
		// leaving, which begins here.
		b.setDeadline(time.Time{})
	case errors.As(err, &limit):
		b.tooLarge.Store(true)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.late.Store(true)
	}
}

// setDeadline cannot fail on a connection of a listener; a ResponseWriter of a
// test has no deadlines, and needs none.
func (b *body) setDeadline(at time.Time) {
	_ = http.NewResponseController(b.exchange.under).SetReadDeadline(at)
}

// Close closes the connection's reader.
func (b *body) Close() error { return b.under.Close() }
