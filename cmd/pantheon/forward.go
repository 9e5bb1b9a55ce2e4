package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// connListener is a listener of connections that somebody else has accepted.
type connListener struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newConnListener(address net.Addr) *connListener {
	return &connListener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give passes a connection on, or closes it where nobody takes it in time.
func (l *connListener) give(conn net.Conn) {
	late := time.NewTimer(giveTimeout)
	defer late.Stop()
	select {
	case l.conns <- conn:
	case <-l.closed:
		_ = conn.Close()
	case <-late.C:
		_ = conn.Close()
	}
}

// giveTimeout is how long a connection waits when the API has all it takes.
const giveTimeout = 5 * time.Second

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *connListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *connListener) Addr() net.Addr { return l.address }

// forwardAPI answers the API's listeners of a machine that is no control
// machine, by asking one that is, until ctx ends.
func (p *platform) forwardAPI(ctx context.Context) error {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialControlAPI(ctx) },
		MaxIdleConnsPerHost: forwardIdle, MaxConnsPerHost: forwardConns, IdleConnTimeout: time.Minute,
	}
	defer transport.CloseIdleConnections()
	server := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = "http", "pantheon"
				r.Out.Host = r.In.Host
			},
			Transport: transport, FlushInterval: -1, ErrorHandler: forwardFailed,
			ErrorLog: slog.NewLogLogger(p.options.logger.Handler(), slog.LevelInfo),
		},
		ReadHeaderTimeout: forwardHeader, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.options.logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	var all errgroup.Group
	for _, listener := range p.apiListeners() {
		all.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	return all.Wait()
}

const (
	forwardIdle   = 4
	forwardConns  = 256
	forwardHeader = 10 * time.Second
)

func (p *platform) dialControlAPI(ctx context.Context) (net.Conn, error) {
	return askControl(ctx, p.cell, p.cell.mesh.DialAPI)
}

// forwardFailed answers where no control machine could be asked.
func forwardFailed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	api.WriteError(w, problem.Wrap(problem.Unavailable, err, "cannot reach a control machine of the cell").
		WithHint("this machine serves its sites on; commands need a control machine"))
}
