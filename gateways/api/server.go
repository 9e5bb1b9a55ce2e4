package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is the gateway. It keeps nothing that has to survive it.
type Server struct {
	options   Options
	mux       *http.ServeMux
	metrics   *metrics
	failures  failures
	pending   pendingSites
	followers chan struct{} // one element for each open event stream
	exports   chan struct{} // one element for each export under way
	closing   chan struct{} // closed when Run ends: event streams end by it
	closeOnce sync.Once
}

// New makes a Server; it has no side effect but the registration of metrics.
func New(options Options) (*Server, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(options.Metrics)
	if err != nil {
		return nil, fmt.Errorf("cannot make the API gateway: %w", err)
	}
	s := &Server{
		options:   options,
		metrics:   m,
		followers: make(chan struct{}, maxFollowers),
		exports:   make(chan struct{}, maxExports),
		closing:   make(chan struct{}),
	}
	s.mux = s.buildMux()
	return s, nil
}

// Run serves the listeners until ctx ends, then lets requests under way finish
// for a short time and gives nil. It closes the listeners.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ConnContext:       withPeer,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, len(listeners))
	for _, listener := range listeners {
		go func() { ended <- server.Serve(limit(listener, maxConnections)) }()
	}
	var failed error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	s.closeOnce.Do(func() { close(s.closing) })
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	for range running {
		if err := <-ended; failed == nil {
			failed = err
		}
	}
	if failed != nil && !errors.Is(failed, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the API: %w", failed)
	}
	return nil
}

// limit bounds the connections of a listener: further ones wait in the
// kernel's queue. It keeps the connection's type reachable for withPeer.
func limit(listener net.Listener, connections int) net.Listener {
	return &countedListener{listener, make(chan struct{}, connections), make(chan struct{}), sync.Once{}}
}

type countedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *countedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &countedConn{conn, sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *countedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// setDeadlines bounds the reading of the body and the writing of the answer.
// Errors mean a connection without deadlines (a test's recorder).
func setDeadlines(w http.ResponseWriter, now time.Time) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(now.Add(bodyTimeout))
	_ = control.SetWriteDeadline(now.Add(answerTimeout))
}
