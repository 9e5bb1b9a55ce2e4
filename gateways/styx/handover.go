package styx

import (
	"net"
	"sync"
)

// handover is the listener of the HTTP/2 server: its connections are those that
// the HTTP/1 server has found to be HTTP/2. They have passed the gate.
type handover struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handover) take(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		conn.Close()
	}
}

// Accept, Close and Addr make it a net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is of no machine.
func (h *handover) Addr() net.Addr { return &net.UnixAddr{Name: "handover", Net: "unix"} }
