package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a server. Handler is required.
type Options struct {
	Handler http.Handler
	// Base is the parent of every request's context; default
	// context.Background().
	Base context.Context
	// TLS is for ServeTLS. Where its NextProtos have "h2" and a client chooses
	// it, the connection goes to Handover.
	TLS *tls.Config
	// Handover takes connections that begin with HTTP/2's preface, or have
	// agreed on it (then it is a *tls.Conn). nil where there is no such server.
	Handover func(net.Conn)

	// ReadHeader bounds the arrival of a head, of a first request, and the TLS
	// handshake; Idle how long a kept connection may have no request; Write a
	// response, unless the handler moves the deadline. 0 is no bound.
	ReadHeader, Idle, Write time.Duration
	// MaxHeadBytes; default DefaultMaxHeadBytes.
	MaxHeadBytes int
	// Logger gets panics of handlers and, at level debug, what is refused.
	// Default none.
	Logger *slog.Logger
}

// Server is made by New and ended by Shutdown or Close.
type Server struct {
	options Options
	date    atomic.Pointer[date]
	closing atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	watching  bool          // the watcher runs
	stop      chan struct{} // ends the watcher
	empty     chan struct{} // closed when closing and no connection is left
	emptied   bool
}

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = http.ErrServerClosed

// New starts nothing.
func New(o Options) *Server {
	if o.Base == nil {
		o.Base = context.Background()
	}
	if o.MaxHeadBytes == 0 {
		o.MaxHeadBytes = DefaultMaxHeadBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options: o, listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{}),
		stop: make(chan struct{}), empty: make(chan struct{}),
	}
}

// Serve answers the connections of a listener until the server ends, and
// closes the listener.
func (s *Server) Serve(l net.Listener) error {
	return s.accept(l, func(nc net.Conn) *conn { return newConn(s, nc) })
}

// ServeTLS is Serve over TLS.
func (s *Server) ServeTLS(l net.Listener) error {
	return s.accept(l, func(nc net.Conn) *conn { return newConn(s, tls.Server(nc, s.options.TLS)) })
}

func (s *Server) accept(l net.Listener, wrap func(net.Conn) *conn) error {
	if !s.open(l) {
		_ = l.Close() // the server has ended: the error would change nothing
		return ErrServerClosed
	}
	defer s.forget(l)
	for delay := time.Duration(0); ; {
		nc, err := l.Accept()
		if err == nil {
			delay = 0
			if c := wrap(nc); s.track(c) {
				go c.serve()
			} else {
				nc.Close()
			}
			continue
		}
		if s.closing.Load() {
			return ErrServerClosed
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		// Out of descriptors, for example: wait for some to be given back.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.stop:
			timer.Stop()
		}
	}
}

// open takes a listener and starts the watcher with the first one.
func (s *Server) open(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	if !s.watching {
		s.watching = true
		go s.watch()
	}
	return true
}

func (s *Server) forget(l net.Listener) {
	l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.settle()
}

// settle tells whoever waits for it that no connection is left.
func (s *Server) settle() {
	if s.closing.Load() && len(s.conns) == 0 && !s.emptied {
		s.emptied = true
		close(s.empty)
		close(s.stop)
	}
}

// watch looks for requests that last.
func (s *Server) watch() {
	ticker := time.NewTicker(LeavePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		for c := range s.conns {
			c.look()
		}
		s.mu.Unlock()
	}
}

// Shutdown closes listeners and idle connections, lets busy ones answer, with
// Connection: close, and returns when none is left or ctx ends. A connection
// that has had no request yet may have one within a second.
func (s *Server) Shutdown(ctx context.Context) error {
	s.begin(func(c *conn) {
		if c.state.CompareAndSwap(idle, shut) {
			c.bye()
		} else if c.state.Load() == fresh {
			c.nc.SetReadDeadline(time.Now().Add(time.Second))
		}
	})
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cuts every connection. Their goroutines end when their handlers do.
func (s *Server) Close() error {
	s.begin(func(c *conn) {
		c.state.Store(shut)
		c.cut()
	})
	return nil
}

// begin begins the end.
func (s *Server) begin(each func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		each(c)
	}
	s.settle()
}

// date is the Date field of a second.
type date struct {
	second int64
	line   []byte
}

// dateLine gives "Date: …" with its line end.
func (s *Server) dateLine(now time.Time) []byte {
	d := s.date.Load()
	if second := now.Unix(); d == nil || d.second != second {
		line := append([]byte(nil), "Date: "...)
		line = now.UTC().AppendFormat(line, http.TimeFormat)
		d = &date{second: second, line: append(line, "\r\n"...)}
		s.date.Store(d)
	}
	return d.line
}
