package yggdrasil

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil/batch"
	"pantheon/gateways/yggdrasil/cookie"
	"pantheon/gateways/yggdrasil/ratelimit"
	"pantheon/gateways/yggdrasil/tsig"
)

// Server is the name server. It is made by New and used up by one Run or Serve.
type Server struct {
	options  Options
	identity []byte
	jar      *cookie.Jar
	rates    *ratelimit.Table // nil for no limit

	countsMu sync.Mutex
	counts   []*counts // of TCP first, then of each UDP worker
	metrics  *metrics
	lines    chan logLine // nil for no query log
	sampled  atomic.Uint64

	gate      gate
	transfers atomic.Int64
	remaking  chan struct{}
	pool      sync.Pool // of *tcpResponder
}

// New checks the options. It listens to nothing and starts nothing.
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	if len(options.CookieSecrets) == 0 {
		var secret cookie.Secret
		_, _ = rand.Read(secret[:]) // never fails: crypto/rand.Read's contract
		options.CookieSecrets = []cookie.Secret{secret}
	}
	s := &Server{
		options: options, identity: []byte(options.Identity), jar: cookie.NewJar(options.CookieSecrets),
		counts: []*counts{newCounts()}, remaking: make(chan struct{}, maxRemakings),
	}
	if options.ResponsesPerSecond > 0 {
		s.rates = ratelimit.New(rateEntries, options.ResponsesPerSecond, options.Burst)
	}
	if options.QueryLog != nil {
		s.lines = make(chan logLine, logQueueLines)
	}
	s.metrics = newMetrics(s)
	s.gate = newGate(options.MaxConnections, options.MaxConnectionsPerSource, s.metrics)
	s.pool.New = func() any { return newTCPResponder(s) }
	return s, nil
}

// workers gives the figures of all workers.
func (s *Server) workers() []*counts {
	s.countsMu.Lock()
	defer s.countsMu.Unlock()
	return slices.Clone(s.counts)
}

// key gives a TSIG key by its name in lower case with the root dot.
func (s *Server) key(name string) (tsig.Key, bool) {
	if s.options.Keyring == nil {
		return tsig.Key{}, false
	}
	algorithm, secret, known := s.options.Keyring.TSIG(name)
	return tsig.Key{Algorithm: algorithm, Secret: secret}, known
}

// listenTries: with port 0 the kernel chooses one for UDP that may be taken for
// TCP.
const listenTries = 10

// Listen opens what Serve needs on one address: UDP sockets that share it, and
// a TCP listener on the same port.
func Listen(ctx context.Context, address string, sockets int) ([]*net.UDPConn, net.Listener, error) {
	var last error
	for range listenTries {
		udp, err := batch.Listen(ctx, address, sockets)
		if err != nil {
			return nil, nil, cannotListen(err, address)
		}
		var config net.ListenConfig
		tcp, err := config.Listen(ctx, "tcp", udp[0].LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		last = err
		for _, socket := range udp {
			last = errors.Join(last, socket.Close())
		}
		if _, port, split := net.SplitHostPort(address); split != nil || port != "0" {
			break
		}
	}
	return nil, nil, cannotListen(last, address)
}

func cannotListen(err error, address string) error {
	return problem.Wrap(problem.Unavailable, err, "cannot listen for DNS on %s", address).
		WithHint("choose another address, or stop what uses this one: ss -lnup; ss -lntp")
}

// Run listens on the address of the options and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	udp, tcp, err := Listen(ctx, s.options.Address, s.options.Sockets)
	if err != nil {
		return err
	}
	return s.Serve(ctx, udp, []net.Listener{tcp})
}

// Serve answers the queries of sockets and listeners until ctx ends: it then
// closes them, lets TCP connections finish the answer they are at, and writes
// out the log. It returns nil after an orderly end.
func (s *Server) Serve(ctx context.Context, udp []*net.UDPConn, tcp []net.Listener) error {
	if len(udp)+len(tcp) == 0 {
		return problem.New(problem.Invalid, "cannot serve: the name server has no sockets")
	}
	workers := make([]*worker, 0, len(udp))
	for _, socket := range udp {
		w, err := s.newWorker(socket)
		if err != nil {
			return errors.Join(problem.Wrap(problem.Unavailable, err, "cannot use a UDP socket"), closeAll(udp, tcp))
		}
		workers = append(workers, w)
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	helpers, stopHelpers := context.WithCancel(context.WithoutCancel(ctx))
	var serving, background sync.WaitGroup
	ended := make(chan error, len(udp)+len(tcp))
	for _, w := range workers {
		serving.Go(func() { ended <- w.run() })
	}
	for _, l := range tcp {
		serving.Go(func() { ended <- s.accept(inner, l) })
	}
	if s.lines != nil {
		background.Go(func() { s.writeLog(helpers) })
	}
	background.Go(func() { s.notify(inner) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended: // one that ends by itself ends all
	}
	stop()
	closing := closeAll(udp, tcp)
	serving.Wait()
	s.gate.drain(shutdownGrace)
	stopHelpers()
	background.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return problem.Wrap(problem.Unavailable, errors.Join(err, closing), "cannot serve DNS")
	}
	return nil
}

func closeAll(udp []*net.UDPConn, tcp []net.Listener) error {
	var err error
	for _, socket := range udp {
		err = errors.Join(err, socket.Close())
	}
	for _, l := range tcp {
		err = errors.Join(err, l.Close())
	}
	return err
}

// worker answers what comes to one UDP socket.
type worker struct {
	conn      *batch.Conn
	responder *responder
	ahead     [batch.Size]ahead
}

func (s *Server) newWorker(socket *net.UDPConn) (*worker, error) {
	conn, err := batch.New(socket)
	if err != nil {
		return nil, err
	}
	c := newCounts()
	s.countsMu.Lock()
	s.counts = append(s.counts, c)
	s.countsMu.Unlock()
	r := newResponder(s, c, nsecSlots)
	if !s.options.forgetful {
		r.memories = newMemories(s.options.Sockets)
	}
	return &worker{conn: conn, responder: r}, nil
}

// run returns when the socket is closed.
func (w *worker) run() error {
	for {
		n, err := w.conn.Read()
		if err != nil {
			return err
		}
		now := time.Now()
		for i := range n {
			w.ahead[i].packet, w.ahead[i].cut = w.conn.Datagram(i)
		}
		w.responder.lookAhead(w.ahead[:n])
		for i := range n {
			w.answer(i, now)
		}
		lost, err := w.conn.Write()
		if err != nil {
			return err
		}
		w.responder.counts.lost.Add(uint64(lost))
	}
}

func (w *worker) answer(i int, now time.Time) {
	r := w.responder
	r.ahead = &w.ahead[i]
	sender := w.conn.Sender(i)
	if r.ahead.cut || sender.Port() == 0 { // nobody asks from there (RFC 768: no answer wanted)
		r.counts.silent.Add(1)
		return
	}
	answer := r.respond(r.ahead.packet, w.conn.Buffer(i), sender.Addr(), false, now)
	if answer == nil {
		r.counts.silent.Add(1)
		return
	}
	answer = r.limit(answer)
	r.count()
	r.sample(answer)
	if answer != nil {
		w.conn.Answer(i, answer)
	}
}
