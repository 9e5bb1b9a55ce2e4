package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"pantheon/runtime/abort"
)

// Request is one request to the application.
type Request struct {
	Params *Params
	// Body and its Size in bytes; nil and 0 for none. It is read from the
	// start for each try.
	Body io.ReaderAt
	Size int64
	// Safe: the method is one that RFC 9110 §9.2.1 calls safe, so that the
	// request may be repeated although PHP may have begun it.
	Safe bool
	// Check is asked each time before PHP gets the request, when a worker is free;
	// its error ends the exchange as ErrRefused. Nil says yes.
	Check func() error
}

// Response is the application's answer. It holds a worker until it has been
// read to its end or closed. It is for one goroutine.
type Response struct {
	Status int
	Header http.Header

	pool     *Pool
	conn     *conn // nil once given back
	ctx      context.Context
	socket   io.Closer // that of conn
	exchange abort.Exchange
	pending  []byte // the beginning of the body that came with the header
	err      error  // what Next gives from now on
}

// mine is true once: to whom the connection is left.
func (r *Response) mine() bool { return r.pool.leaving.End(&r.exchange) }

func isHangUp(err error) bool { return errors.Is(err, ErrHungUp) || errors.Is(err, ErrBroken) }

func (r *Response) readHeader() error {
	c := r.conn
	c.head = c.head[:0]
	for {
		piece, err := c.next()
		if err == io.EOF {
			return fmt.Errorf("%w: it ended within its header", ErrMalformed)
		}
		if err != nil {
			return err
		}
		block, seen := piece, len(c.head)
		if seen > 0 {
			c.head = append(c.head, piece...)
			block = c.head
		}
		end := headerEnd(block, max(seen-2, 0))
		if end > MaxHeaderBytes || end < 0 && len(block) > MaxHeaderBytes {
			return fmt.Errorf("%w: more than %d bytes", ErrHeaderTooBig, MaxHeaderBytes)
		}
		if end < 0 {
			if seen == 0 {
				c.head = append(c.head, piece...)
			}
			continue
		}
		r.Status, r.Header, err = parseHeader(block[:end])
		r.pending = piece[end-seen:]
		return err
	}
}

// Next gives the next piece of the body, which is valid until the following
// call. After the last one it gives io.EOF and the worker is free.
func (r *Response) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if piece := r.pending; len(piece) > 0 {
		r.pending = nil
		return piece, nil
	}
	piece, err := r.conn.next()
	if err != nil {
		r.finish(err)
		return nil, r.err
	}
	return piece, nil
}

// Rest appends the rest of the body to b and frees the worker, if it arrives
// within patience and has at most limit bytes, and no more than a connection's
// buffer holds. Otherwise Next gives everything, and b belongs to the response
// until it has given the first piece.
func (r *Response) Rest(b []byte, limit int, patience time.Duration) (body []byte, whole bool) {
	if r.err != nil {
		return b, false
	}
	size, whole := r.conn.buffered()
	if !whole && patience > 0 {
		size, whole = r.gather(b, patience)
	}
	if !whole || size+len(r.pending) > limit {
		return b, false
	}
	for {
		piece, err := r.Next()
		if err == io.EOF {
			return b, true
		}
		if err != nil {
			return b, false // Next gives the error again
		}
		b = append(b, piece...)
	}
}

// gather waits for the end in the connection's buffer, and keeps in room what
// lay there in pieces.
func (r *Response) gather(room []byte, patience time.Duration) (size int, whole bool) {
	until := time.Now().Add(patience)
	kept := len(r.pending) == 0
	for !whole {
		if !kept { // the buffer is about to move
			r.pending, kept = append(room, r.pending...)[len(room):], true
		}
		if !r.conn.fill(until) {
			return 0, false
		}
		size, whole = r.conn.buffered()
	}
	return size, true
}

// finish gives the connection back or drops it.
func (r *Response) finish(err error) {
	c := r.conn
	r.conn, r.pending, r.err = nil, nil, err
	undisturbed := r.mine()
	c.lines.flush()
	if err == io.EOF && undisturbed && c.reusable() {
		c.used = true
		c.idle = time.Now()
		r.pool.release(c)
		return
	}
	if err != io.EOF && r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
	}
	r.pool.drop(c)
	r.pool.release(nil)
}

// Abort ends a response for whoever reads it. Unlike all else it may be called
// beside the reading; a response that has ended stays as it is.
func (r *Response) Abort() {
	if r.mine() {
		r.socket.Close()
	}
}

// Close ends the response. If its end has not been read, the request is
// aborted.
func (r *Response) Close() {
	if r.conn != nil {
		r.finish(ErrClosed)
	}
}
