package mux

import (
	"encoding/binary"
	"net"
	"sync"
)

// writer is the sending half of a connection. A sender writes what it has
// itself, if nobody else is writing: no goroutine has to wake up for it. What
// others append meanwhile is written by loop.
type writer struct {
	conn net.Conn
	lost func(error) // told, without the lock, that the connection takes no more

	mu      sync.Mutex
	room    sync.Cond
	pending []byte
	spare   []byte
	writing bool // somebody writes, or loop has been asked to
	err     error
	kick    chan struct{}
}

func (w *writer) init(conn net.Conn, lost func(error)) {
	w.conn, w.lost, w.kick = conn, lost, make(chan struct{}, 1)
	w.room.L = &w.mu
}

// begin locks the writer for appending to pending. Senders of data wait until
// there is room; the frames that keep a session going do not.
func (w *writer) begin(urgent bool) error {
	w.mu.Lock()
	for !urgent && len(w.pending) > maxPendingBytes && w.err == nil {
		w.room.Wait()
	}
	if w.err != nil {
		w.mu.Unlock()
		return w.err
	}
	return nil
}

// commit unlocks and sees to it that pending is written: here, or by loop if
// the caller must not wait for the connection. It says whether too much waits.
func (w *writer) commit(mayWrite bool) (full bool) {
	full = len(w.pending) > maxUnsentBytes
	if w.writing {
		w.mu.Unlock()
		return full
	}
	w.writing = true
	if mayWrite {
		w.round()
		err := w.err
		if w.writing = len(w.pending) > 0 && err == nil; !w.writing {
			w.mu.Unlock()
			if err != nil {
				w.lost(err)
			}
			return full
		}
	}
	w.mu.Unlock()
	w.kick <- struct{}{} // has room: only who set writing sends
	return full
}

// round writes what is pending, without the lock.
func (w *writer) round() {
	out := w.pending
	w.pending = w.spare[:0]
	w.mu.Unlock()
	_, err := w.conn.Write(out)
	w.mu.Lock()
	if w.spare = out; cap(out) > keptBufferBytes {
		w.spare = nil
	}
	if err != nil && w.err == nil {
		w.err = err
	}
	w.room.Broadcast()
}

// loop writes what several senders have appended, until done is closed.
func (w *writer) loop(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-w.kick:
		}
		w.mu.Lock()
		for len(w.pending) > 0 && w.err == nil {
			w.round()
		}
		w.writing = false
		err := w.err
		w.mu.Unlock()
		if err != nil {
			w.lost(err)
		}
	}
}

// fail lets nobody send any more.
func (w *writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.room.Broadcast()
}

// urgent sends one small frame.
func (s *Session) urgent(mayWrite bool, k kind, flags byte, stream uint32, payload []byte) {
	if s.out.begin(true) != nil {
		return // the session has ended
	}
	s.out.pending = appendFrame(s.out.pending, k, flags, stream, payload)
	if s.out.commit(mayWrite) {
		s.Close(broken("it does not read"))
	}
}

func (s *Session) sendWindow(stream uint32, n int) {
	s.urgent(true, kindWindow, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(n)))
}
