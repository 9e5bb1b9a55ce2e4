package styx

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/styx/http1"
	"pantheon/gateways/styx/upstream"
)

// Server is the router. It is made by New and used up by one Run or Serve.
type Server struct {
	options   Options
	nameValue []string // Options.Name as the value of a header
	step      int64    // deadlineStep, in nanoseconds
	run       string   // begins every request id of this server
	sequence  atomic.Uint64

	memory  atomic.Pointer[upstream.Memory]
	load    load
	watch   watch
	gate    *gate
	log     *accessLog // nil for none
	metrics *metrics
}

// New checks the options. It listens to nothing and starts nothing.
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	var run [6]byte
	_, _ = rand.Read(run[:]) // never fails: crypto/rand.Read's contract
	s := &Server{
		options:   options,
		nameValue: []string{options.Name},
		step:      int64(min(deadlineStep, options.BetweenBytes/8)),
		run:       hex.EncodeToString(run[:]) + "-",
		watch:     watch{epoch: time.Now(), period: options.precision()},
	}
	s.memory.Store(&upstream.Memory{})
	s.metrics = newMetrics(s)
	refused := s.metrics.refused.WithLabelValues("connections_per_source")
	s.gate = newGate(options.MaxConnections, options.MaxConnectionsPerSource, options.TrustedProxies, refused.Inc)
	if options.AccessLog != nil {
		s.log = newAccessLog(options.AccessLog, options.AccessLogFormat, s.metrics.logDropped.Inc, func(err error) {
			options.Logger.Error("cannot write the access log", "error", err)
		})
	}
	return s, nil
}

// Run listens on the addresses of the options and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	plain, err := listen(ctx, s.options.HTTPAddress, "HTTP")
	if err != nil {
		return err
	}
	secure, err := listen(ctx, s.options.HTTPSAddress, "HTTPS")
	if err != nil {
		if plain != nil {
			err = errors.Join(err, plain.Close())
		}
		return err
	}
	return s.Serve(ctx, plain, secure)
}

func listen(ctx context.Context, address, what string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot listen for %s on %s", what, address).
			WithHint("choose another address, or stop what uses this one: ss -ltnp 'sport = %s'", address[max(0, len(address)-6):])
	}
	return l, nil
}

// Serve answers the connections of two listeners, either of which may be nil,
// until ctx ends: it then accepts no more, lets requests in flight go on for
// Options.Shutdown, cuts the rest, and writes out the access log. Once it has
// begun it closes the listeners; it returns nil after an orderly end.
func (s *Server) Serve(ctx context.Context, plain, secure net.Listener) error {
	if secure != nil && s.options.TLS == nil {
		return problem.New(problem.Invalid, "cannot serve HTTPS without a certificate")
	}
	if plain == nil && secure == nil {
		return problem.New(problem.Invalid, "cannot serve: the router has neither an HTTP nor an HTTPS address")
	}
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	helpers, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { s.watch.run(helpers) })
	if s.log != nil {
		background.Go(func() { s.log.run(helpers) })
	}
	servers := s.servers(requests)
	ended := make(chan error, 3) // one for each listener
	listeners := 1
	go func() { ended <- servers.two.Serve(servers.handed) }()
	if plain != nil {
		listeners++
		go func() { ended <- servers.one.Serve(s.gate.listen(plain)) }()
	}
	if secure != nil {
		listeners++
		go func() { ended <- servers.one.ServeTLS(s.gate.listen(secure)) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
		listeners--
	}
	s.shutdown(servers, cut)
	for range listeners {
		if late := <-ended; err == nil {
			err = late
		}
	}
	stop()
	background.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return problem.Wrap(problem.Unavailable, err, "cannot accept connections")
	}
	return nil
}

// shutdown ends the servers: politely, then firmly.
func (s *Server) shutdown(servers servers, cut context.CancelCauseFunc) {
	polite, cancel := context.WithTimeout(context.Background(), s.options.Shutdown)
	defer cancel()
	two := make(chan error, 1)
	go func() { two <- servers.two.Shutdown(polite) }()
	err := errors.Join(servers.one.Shutdown(polite), <-two)
	if err == nil {
		err = s.drained(polite) // connections that agents have taken over
	}
	if err == nil {
		cut(errCut)
		return
	}
	s.options.Logger.Warn("requests are cut: they did not end in time", "in_flight", s.watch.count.Load())
	cut(errCut)
	_ = servers.one.Close() // their listeners are closed already
	_ = servers.two.Close()
	firm, cancelFirm := context.WithTimeout(context.Background(), cutGrace)
	defer cancelFirm()
	if s.drained(firm) != nil {
		s.options.Logger.Error("requests did not notice that they were cut", "in_flight", s.watch.count.Load())
	}
}

// drained waits until no request is in flight.
func (s *Server) drained(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for s.watch.count.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// servers are those of the two protocols: what is HTTP/2 is handed over.
type servers struct {
	one    *http1.Server
	two    *http.Server
	handed *handover
}

func (s *Server) servers(requests context.Context) servers {
	o := &s.options
	handed := newHandover()
	one := http1.Options{
		Handler: s, Base: requests, Handover: handed.take, Logger: o.Logger,
		ReadHeader: o.ReadHeader, Idle: o.Idle, Write: o.Chain + writeMargin,
		MaxHeadBytes: 2 * o.MaxHeaderBytes,
	}
	if o.TLS != nil {
		one.TLS = o.TLS.Clone()
		one.TLS.NextProtos = []string{"h2", "http/1.1"}
	}
	return servers{one: http1.New(one), two: s.http2Server(requests), handed: handed}
}

// http2Server is net/http's, for connections that have begun HTTP/2.
func (s *Server) http2Server(requests context.Context) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	o := &s.options
	return &http.Server{
		Handler:           s,
		Protocols:         &protocols,
		ReadHeaderTimeout: o.ReadHeader,
		WriteTimeout:      o.Chain + writeMargin,
		IdleTimeout:       o.Idle,
		MaxHeaderBytes:    2 * o.MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: MaxStreams,
			WriteByteTimeout:     o.BetweenBytes,
			SendPingTimeout:      o.Idle,
		},
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
}

// load counts outstanding requests by a hash of the DROP.
type load [loadSlots]atomic.Int32

func (l *load) of(drop events.DropID) *atomic.Int32 {
	return &l[upstream.Hash(drop)%loadSlots]
}

// Outstanding implements upstream.Load.
func (l *load) Outstanding(drop events.DropID) int { return int(l.of(drop).Load()) }

// failed remembers that drop failed.
func (s *Server) failed(drop events.DropID) {
	now := time.Now()
	for {
		old := s.memory.Load()
		if !old.Stale(drop, now) {
			return
		}
		fresh := old.Failed(drop, now)
		if s.memory.CompareAndSwap(old, &fresh) {
			return
		}
	}
}
