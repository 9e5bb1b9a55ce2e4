package mux

import (
	"context"
	"errors"
	"io"
	"sync"

	"pantheon/events/problem"
)

// buffers hold what streams have received. Most responses fit into one.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, streamBufferBytes); return &b }}

// errGivenUp is what the other side learns of a stream that nobody wants here
// any more.
var errGivenUp = problem.New(problem.Unavailable, "the other end gave up")

// Stream is one exchange. Its reading methods belong to one goroutine and its
// writing methods to one; Reset may be called by any.
type Stream struct {
	session *Session
	id      uint32
	scope   scope // of streams opened by the other side

	mu       sync.Mutex
	changed  sync.Cond
	bell     *bell // who reads waits at it
	heads    [][]byte
	first    [1][]byte // what heads begins with
	data     []byte    // received, not taken
	spare    []byte    // given by Take, or nil
	buffer   *[]byte   // what data began with: goes back to the pool
	at       int       // how much of data Read has taken
	flush    bool      // what is in data shall not wait for more
	received bool      // the other side's half is complete
	sent     bool      // so is this side's
	credit   int       // bytes that may be sent
	owed     int       // bytes taken that the other side has no credit for yet
	err      error
	stopped  error // of the sending half alone: the other side wants no more
	over     bool  // out of the session's table
}

func newStream(s *Session, id uint32) *Stream {
	stream := &Stream{session: s, id: id, credit: WindowBytes}
	stream.changed.L = &stream.mu
	stream.heads = stream.first[:0]
	stream.scope.parent = s.ctx
	return stream
}

// Context of a stream that the other side opened; it ends when the other side
// gives up, and with the session.
func (st *Stream) Context() context.Context { return &st.scope }

// The receiving half, called by the session's reader.

func (st *Stream) takeHead(head []byte, flags byte) error {
	st.mu.Lock()
	if st.received || len(st.heads) >= maxHeadsQueued {
		st.mu.Unlock()
		return broken("a head too many on stream %d", st.id)
	}
	st.heads = append(st.heads, head)
	st.received = flags&flagEnd != 0
	st.flush = st.flush || flags&flagFlush != 0
	if !st.received && st.err == nil {
		st.mu.Unlock()
		st.session.later(st) // what it belongs to mostly lies behind it
		return nil
	}
	st.wake()
	return nil
}

func (st *Stream) takeData(data []byte, flags byte) error {
	st.mu.Lock()
	switch {
	case st.received:
		st.mu.Unlock()
		return broken("data after the end of stream %d", st.id)
	case len(st.data)-st.at+st.owed+len(data) > WindowBytes:
		st.mu.Unlock()
		return broken("more data on stream %d than its window", st.id)
	case st.err != nil:
		st.mu.Unlock()
		return nil // nobody reads it
	}
	if st.buffer == nil {
		st.buffer = buffers.Get().(*[]byte)
		st.data = (*st.buffer)[:0]
	}
	st.data = append(st.data, data...)
	st.received = flags&flagEnd != 0
	st.flush = st.flush || flags&flagFlush != 0
	st.wake()
	return nil
}

func (st *Stream) takeWindow(n uint32) error {
	st.mu.Lock()
	if n == 0 || n > WindowBytes || st.credit+int(n) > WindowBytes {
		st.mu.Unlock()
		return broken("a window of more than there is on stream %d", st.id)
	}
	st.credit += int(n)
	st.wake()
	return nil
}

// takeReset ends the stream, or, where the other side only does not want the
// rest of what is sent to it, the sending half.
func (st *Stream) takeReset(reason *problem.Error, half bool) {
	st.mu.Lock()
	switch {
	case half:
		st.stopped, st.sent = reason, true
	case st.err == nil:
		st.err = reason
	}
	st.wake()
}

// wake tells who waits, and unlocks. A stream that is over has left the table
// before anybody learns of it.
func (st *Stream) wake() {
	over := !st.over && (st.err != nil || st.received && st.sent)
	st.over = st.over || over
	failed := st.err != nil
	away := over && st.session.remove(st.id)
	st.changed.Broadcast()
	if st.bell != nil {
		st.bell.ring()
		st.bell = nil
	}
	st.mu.Unlock()
	if failed {
		st.scope.end()
	}
	if away {
		st.session.endIfIdle()
	}
}

// fail ends both halves.
func (st *Stream) fail(err error) {
	st.mu.Lock()
	if st.err == nil && !(st.received && st.sent) {
		st.err = err
	}
	st.over = true // the table is gone
	st.wake()
}

// Free gives back the memory of a stream that nobody reads any more; what Take
// has given is no longer valid.
func (st *Stream) Free() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.buffer == nil || !st.received && st.err == nil {
		return
	}
	buffers.Put(st.buffer)
	st.buffer, st.data, st.spare, st.at = nil, nil, nil, 0
}

// Reset ends the stream here and there, unless it is over. The other side
// learns kind, text and hint of the reason, or that this side gave up if it is
// nil or a context's.
func (st *Stream) Reset(reason error) {
	if reason == nil || errors.Is(reason, context.Canceled) || errors.Is(reason, context.DeadlineExceeded) {
		if reason == nil {
			reason = context.Canceled
		}
		st.abort(reason, errGivenUp)
		return
	}
	st.abort(reason, reason)
}

func (st *Stream) abort(here, there error) {
	st.mu.Lock()
	if st.err != nil || st.received && st.sent {
		st.mu.Unlock()
		return
	}
	st.err = here
	st.wake()
	st.session.urgent(true, kindReset, 0, st.id, appendReason(nil, there))
}

// finish ends a stream whose handler has returned.
func (st *Stream) finish() {
	st.mu.Lock()
	sent := st.sent
	st.mu.Unlock()
	if sent {
		st.stopReading()
	} else {
		st.Reset(problem.New(problem.Internal, "internal error: the request was left without an answer"))
	}
	st.scope.end()
	st.Free()
}

// stopReading tells the other side that the rest of its half is not wanted.
func (st *Stream) stopReading() {
	st.mu.Lock()
	if st.received || st.err != nil {
		st.mu.Unlock()
		return
	}
	st.received, st.data, st.at = true, nil, 0
	st.wake()
	st.session.urgent(true, kindReset, flagEnd, st.id, appendReason(nil, errGivenUp))
}

// ReadHead waits for the next head. io.EOF means that there is none before the
// data.
func (st *Stream) ReadHead() ([]byte, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case len(st.heads) > 0:
			head := st.heads[0]
			st.heads = st.heads[1:]
			return head, nil
		case st.err != nil:
			return nil, st.err
		case st.received || len(st.data) > 0:
			return nil, io.EOF
		}
		st.await()
	}
}

// await is for the reading half: it waits until something has changed.
func (st *Stream) await() {
	if st.bell == nil && st.session.quiet() {
		st.bell = st.session.bells.get()
	}
	b := st.bell
	if b == nil {
		st.changed.Wait()
		return
	}
	st.mu.Unlock()
	err := b.wait()
	st.mu.Lock()
	rung := st.bell == nil
	st.bell = nil
	if err != nil && !rung {
		b.file.Close()
		st.changed.Wait()
		return
	}
	st.session.bells.put(b)
}

// Take waits for data and gives all there is, and whether it shall not wait
// for more. The data is valid until the next call. io.EOF after the last.
func (st *Stream) Take() (data []byte, flush bool, err error) {
	st.mu.Lock()
	for len(st.data) == st.at && !st.flush && !st.received && st.err == nil {
		st.await()
	}
	data, flush = st.data[st.at:], st.flush
	if len(data) == 0 && !flush {
		err = st.err
		if err == nil {
			err = io.EOF
		}
		st.mu.Unlock()
		return nil, false, err
	}
	// What was given before is done with: it becomes the next buffer.
	st.data, st.spare, st.at, st.flush = st.spare[:0], st.data, 0, false
	st.pay(len(data)) // unlocks
	return data, flush, nil
}

// Read makes the stream an io.Reader.
func (st *Stream) Read(p []byte) (int, error) {
	st.mu.Lock()
	for len(st.data) == st.at && !st.received && st.err == nil {
		st.await()
	}
	n := copy(p, st.data[st.at:])
	if n == 0 {
		err := st.err
		if err == nil && len(p) > 0 {
			err = io.EOF
		}
		st.mu.Unlock()
		return 0, err
	}
	if st.at += n; st.at == len(st.data) {
		st.data, st.at = st.data[:0], 0
	}
	st.pay(n)
	return n, nil
}

// pay gives the other side credit for n bytes taken, half a window at a time,
// and unlocks.
func (st *Stream) pay(n int) {
	st.owed += n
	pay := 0
	if st.owed >= WindowBytes/2 && !st.received && st.err == nil {
		pay, st.owed = st.owed, 0
	}
	st.mu.Unlock()
	if pay > 0 {
		st.session.sendWindow(st.id, pay)
	}
}

// The sending half.

// sending locks the stream if it may send.
func (st *Stream) sending() error {
	st.mu.Lock()
	err := st.err
	if err == nil && st.sent {
		if err = st.stopped; err == nil {
			err = io.ErrClosedPipe
		}
	}
	if err != nil {
		st.mu.Unlock()
	}
	return err
}

// Send sends a head, if it is not nil, and data, waiting for credit. flush asks
// that what was sent does not wait for more; end completes this side's half.
func (st *Stream) Send(head, data []byte, flush, end bool) error {
	if len(head) > MaxHeadBytes {
		return problem.New(problem.Exhausted, "cannot send a head of %d bytes to another machine: it may have %d", len(head), MaxHeadBytes)
	}
	for {
		if err := st.sending(); err != nil {
			return err
		}
		for len(data) > 0 && head == nil && st.credit == 0 && st.err == nil && !st.sent {
			st.changed.Wait()
		}
		part := data[:min(len(data), st.credit)]
		last := len(part) == len(data)
		if st.err != nil || st.sent {
			st.mu.Unlock()
			continue // the reason is given above
		}
		st.credit -= len(part)
		st.mu.Unlock()
		if err := st.write(head, part, flush && last, end && last); err != nil {
			return err
		}
		if data = data[len(part):]; last {
			return nil
		}
		head = nil
	}
}

// write appends to the connection's pending bytes under the writer's lock. The
// end is marked after that: a stream that is over gives up its place in the
// table, and its last frame is before whatever follows.
func (st *Stream) write(head, data []byte, flush, end bool) error {
	s := st.session
	if err := s.out.begin(false); err != nil {
		return err
	}
	switch {
	case head != nil:
		s.out.pending = appendOpen(s.out.pending, kindHead, st.id, head, data, end, flush)
	default:
		var flags byte
		if end {
			flags |= flagEnd
		}
		if flush {
			flags |= flagFlush
		}
		s.out.pending = appendData(s.out.pending, st.id, data, flags)
	}
	s.out.commit(true)
	if end {
		st.mu.Lock()
		st.sent = true
		st.wake()
	}
	return nil
}

// Write makes the stream an io.Writer whose bytes do not wait.
func (st *Stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := st.Send(nil, p, true, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite completes this side's half.
func (st *Stream) CloseWrite() error { return st.Send(nil, nil, false, true) }
