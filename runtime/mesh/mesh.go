package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/abort"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// errEnding ends what is under way when Run ends.
var errEnding = problem.New(problem.Unavailable, "the platform is being stopped on this machine")

// Mesh is this machine's part. Run it once; its other methods work while it
// runs, and refuse before and after.
type Mesh struct {
	options Options
	self    events.HostID
	logger  *slog.Logger
	joins   chan struct{} // a place for each join under way
	leaving abort.Watch   // requests to other machines

	mu      sync.Mutex
	running bool
	ctx     context.Context // of Run
	peers   map[events.HostID]*peer
	hands   map[string]int // handshakes under way, by source
	shaking int
	sockets guests[SocketRequest]
	files   guests[FilesRequest]
	tasks   sync.WaitGroup // everything that Run waits for
}

// New makes a Mesh; it has no side effect.
func New(options Options) (*Mesh, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Mesh{
		options: options, self: options.Node.Host().ID, logger: options.Logger,
		joins: make(chan struct{}, maxJoins), peers: map[events.HostID]*peer{}, hands: map[string]int{},
		sockets: guests[SocketRequest]{name: "services", limit: maxSockets},
		files:   guests[FilesRequest]{name: "files", limit: maxFiles},
	}, nil
}

// Run takes connections and keeps those to peers until ctx ends; then it lets
// streams in flight end for retireTimeout.
func (m *Mesh) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	m.running, m.ctx = true, ctx
	m.mu.Unlock()
	listener := m.options.Listener
	if listener != nil {
		m.tasks.Go(func() { m.accept(ctx, listener) })
		stop := context.AfterFunc(ctx, func() { listener.Close() })
		defer stop()
	}
	m.tend(ctx)
	m.shutDown()
	m.tasks.Wait()
	return nil
}

// tend looks at the connections until ctx ends.
func (m *Mesh) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, p := range m.known() {
			if m.options.Directory.Removed(p.host) {
				p.cut(removed(p.host))
				continue
			}
			p.settle()
		}
	}
}

func removed(host events.HostID) error {
	return problem.New(problem.Denied, "cannot connect: machine %s was removed from the cell", host)
}

func (m *Mesh) known() []*peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		all = append(all, p)
	}
	return all
}

func (m *Mesh) shutDown() {
	m.mu.Lock()
	m.running = false
	m.mu.Unlock()
	var over sync.WaitGroup
	late := time.Now().Add(retireTimeout)
	for _, p := range m.known() {
		for _, s := range p.all() {
			over.Go(func() {
				s.Retire()
				select {
				case <-s.Done():
				case <-time.After(time.Until(late)):
					s.Close(errEnding)
				}
			})
		}
	}
	over.Wait()
}

// accept takes connections until the listener is closed.
func (m *Mesh) accept(ctx context.Context, listener net.Listener) {
	config := m.options.Node.Server([]string{Protocol, APIProtocol}, []string{JoinProtocol})
	for {
		conn, err := listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			m.logger.Warn("cannot take a connection of the mesh", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(redialFirst): // out of file descriptors
			}
			continue
		}
		source, admitted := m.admit(conn)
		if !admitted {
			conn.Close()
			continue
		}
		m.tasks.Go(func() { m.welcome(ctx, conn, config, source) })
	}
}

// admit bounds the connections of whom nothing is known yet.
func (m *Mesh) admit(conn net.Conn) (source string, admitted bool) {
	source, _, _ = net.SplitHostPort(conn.RemoteAddr().String())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shaking >= maxHandshakes || m.hands[source] >= maxHandshakesPerSource {
		return "", false
	}
	m.shaking++
	m.hands[source]++
	return source, true
}

func (m *Mesh) admitted(source string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shaking--
	if m.hands[source]--; m.hands[source] == 0 {
		delete(m.hands, source)
	}
}

// welcome finds out who a connection is from.
func (m *Mesh) welcome(ctx context.Context, raw net.Conn, config *tls.Config, source string) {
	conn := tls.Server(raw, config)
	shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := conn.HandshakeContext(shaking)
	cancel()
	m.admitted(source)
	if err != nil {
		m.logger.Info("refused a connection of the mesh", "from", raw.RemoteAddr().String(), "err", err)
		raw.Close()
		return
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == JoinProtocol {
		m.answerJoin(ctx, conn)
		return
	}
	host, err := identity.PeerOf(state)
	switch {
	case err != nil:
	case state.NegotiatedProtocol == APIProtocol:
		err = m.giveAPI(conn, host)
	default:
		err = m.use(conn, host, false)
	}
	if err != nil {
		m.logger.Info("refused a connection of the mesh", "from", raw.RemoteAddr().String(), "err", err)
		raw.Close()
	}
}

// giveAPI hands a connection to the API of this machine.
func (m *Mesh) giveAPI(conn net.Conn, host identity.Host) error {
	switch {
	case m.options.Directory.Removed(host.ID):
		return removed(host.ID)
	case m.options.API == nil:
		return problem.New(problem.Unsupported, "machine %s has no API", m.self)
	}
	m.options.API(conn)
	return nil
}

// DialAPI connects to the API of a control machine. Where that machine cannot be
// heard any longer, the connection fails within apiSilence.
func (m *Mesh) DialAPI(ctx context.Context, host events.HostID) (net.Conn, error) {
	err := problem.New(problem.Unavailable, "cannot reach the API of machine %s: where it is, is not known", host)
	for _, address := range m.options.Directory.Addresses(host) {
		dialer := tls.Dialer{NetDialer: attentive(), Config: m.options.Node.Client(host, APIProtocol)}
		conn, failed := dialer.DialContext(ctx, "tcp", address)
		if failed == nil {
			return conn, nil
		}
		err = problem.Wrap(problem.Unavailable, failed, "cannot reach the API of machine %s", host)
	}
	return nil, err
}

// attentive gives a dialer whose connections end when the other side acknowledges
// nothing, neither what was sent nor a probe, for apiSilence (tcp(7)).
func attentive() *net.Dialer {
	return &net.Dialer{
		Timeout:         apiSilence,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: apiSilence / 3, Interval: apiSilence / 3, Count: 2},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(apiSilence.Milliseconds()))
			})
			return errors.Join(err, failed)
		},
	}
}

// use makes a session of a connection and runs it in a goroutine that Run
// waits for.
func (m *Mesh) use(conn net.Conn, host identity.Host, dialer bool) error {
	if m.options.Directory.Removed(host.ID) {
		return removed(host.ID)
	}
	if host.ID == m.self {
		return problem.New(problem.Conflict, "cannot connect: machine %s is this machine", host.ID).
			WithHint("two machines with one host id: never copy a data folder")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return errEnding
	}
	p := m.peerLocked(host.ID)
	session := mux.New(conn, mux.Config{Dialer: dialer, Tick: m.options.Tick, Handle: m.handler(host), Away: p.notify})
	link := &link{Session: session, peer: p, dialer: dialer}
	if err := p.add(link); err != nil {
		return err
	}
	m.tasks.Go(func() {
		err := session.Run()
		p.remove(link, err)
		m.logger.Info("a connection of the mesh ended", "host", host.ID, "err", err)
	})
	return nil
}

func (m *Mesh) peerLocked(host events.HostID) *peer {
	p := m.peers[host]
	if p == nil {
		p = newPeer(host, m.self < host)
		m.peers[host] = p
	}
	return p
}

// Peers tells how the connections to the other machines do.
func (m *Mesh) Peers() []Health {
	var all []Health
	for _, p := range m.known() {
		all = append(all, p.health())
	}
	return all
}
