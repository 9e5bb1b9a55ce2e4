package mesh

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// link is one connection to a peer.
type link struct {
	*mux.Session
	peer   *peer
	dialer bool // this side made it
}

// peer is another machine: its connections, and how it did so far.
//
//	idle ──wanted──▶ dialing ──▶ connected ──lost──▶ dialing
//	                    │ ▲                            (at once, then after a pause
//	                    ▼ │                             that doubles)
//	                  pausing: requests are refused without waiting
type peer struct {
	host events.HostID
	// mayKeep: of two connections the one that this side made stays.
	mayKeep bool

	mu       sync.Mutex
	links    []*link
	keeping  bool          // a goroutine sees to a connection
	pausing  bool          // the last attempt failed
	changed  chan struct{} // closed at every change of links and pausing
	wanted   time.Time
	since    time.Time // of the connection, or of its loss
	failures int       // attempts that failed in a row
	last     error     // why the last attempt failed, or the connection ended
}

// Health is how a peer does: the memory that placement and host list read.
type Health struct {
	Host      events.HostID
	Connected bool
	Since     time.Time     // of the connection, or of its loss; zero before the first
	RoundTrip time.Duration // of the last ping
	Streams   int
	Failures  int   // attempts to connect that failed in a row
	Last      error // why the last attempt failed, or the last connection ended
}

func newPeer(host events.HostID, mayKeep bool) *peer {
	return &peer{host: host, mayKeep: mayKeep, changed: make(chan struct{})}
}

func (p *peer) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// notify has everybody look at the connections again: one may be spent.
func (p *peer) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change()
}

func (p *peer) add(l *link) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) >= maxSessionsPerPeer {
		return problem.New(problem.Busy, "cannot connect: machine %s has %d connections here", p.host, len(p.links))
	}
	p.links = append(p.links, l)
	p.since, p.failures, p.pausing, p.last = time.Now(), 0, false, nil
	p.change()
	return nil
}

func (p *peer) remove(l *link, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = slices.DeleteFunc(p.links, func(other *link) bool { return other == l })
	if len(p.links) == 0 {
		p.since = time.Now()
	}
	if err != nil {
		p.last = err
	}
	p.change()
}

func (p *peer) all() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

// currentLocked gives the connection that streams are opened on.
func (p *peer) currentLocked() *link {
	var best *link
	for _, l := range p.links {
		if l.Spent() {
			continue
		}
		// The preferred one; among equals the newest.
		if best == nil || (l.dialer == p.mayKeep) || best.dialer != p.mayKeep {
			best = l
		}
	}
	return best
}

// settle gives up what two connections have doubled, once the better one has
// shown to be alive since: it has answered a ping of a later moment.
func (p *peer) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := p.currentLocked()
	if best == nil || len(p.links) < 2 || best.dialer != p.mayKeep || best.RoundTrip() == 0 {
		return
	}
	for _, l := range p.links {
		if l != best && l.dialer {
			l.Retire() // who made it gives it up: both would end both
		}
	}
}

// cut ends all connections.
func (p *peer) cut(reason error) {
	for _, l := range p.all() {
		l.Close(reason)
	}
}

func (p *peer) health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Health{Host: p.host, Since: p.since, Failures: p.failures, Last: p.last}
	for _, l := range p.links {
		h.Streams += l.Streams()
	}
	if l := p.currentLocked(); l != nil {
		h.Connected, h.RoundTrip = true, l.RoundTrip()
	}
	return h
}

// link gives the connection to a host, and waits for one that is being made.
// A host that could not be reached lately is refused at once.
func (m *Mesh) link(ctx context.Context, host events.HostID) (*link, error) {
	m.mu.Lock()
	if !m.running {
		m.mu.Unlock()
		return nil, errEnding
	}
	p := m.peerLocked(host)
	p.mu.Lock()
	p.wanted = time.Now()
	l := p.currentLocked()
	if l == nil && !p.keeping {
		p.keeping, p.pausing = true, false
		running := m.ctx
		m.tasks.Go(func() { m.keep(running, p) })
	}
	p.mu.Unlock()
	m.mu.Unlock()
	if l != nil {
		return l, nil
	}
	return p.await(ctx)
}

func (p *peer) await(ctx context.Context) (*link, error) {
	for {
		p.mu.Lock()
		l, pausing, changed, last := p.currentLocked(), p.pausing, p.changed, p.last
		p.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case pausing:
			return nil, problem.Wrap(problem.Unavailable, last, "cannot reach machine %s", p.host)
		}
		select {
		case <-ctx.Done():
			return nil, problem.Wrap(problem.Unavailable, ctx.Err(), "cannot reach machine %s", p.host)
		case <-changed:
		}
	}
}

// keep sees to it that there is a connection, until nobody has wanted one for
// long.
func (m *Mesh) keep(ctx context.Context, p *peer) {
	pause := redialFirst
	for m.wanted(ctx, p) {
		p.mu.Lock()
		connected, changed := p.currentLocked() != nil, p.changed
		p.mu.Unlock()
		if connected {
			pause = redialFirst
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err := m.dial(ctx, p); err == nil {
			continue
		} else {
			p.failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, redialLast)
	}
}

// wanted says whether keep shall go on; if not, it has ended.
func (m *Mesh) wanted(ctx context.Context, p *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.currentLocked() == nil && time.Since(p.wanted) > forgetAfter
	if ctx.Err() == nil && !idle && !m.options.Directory.Removed(p.host) {
		return true
	}
	p.keeping, p.pausing = false, true
	if p.last == nil {
		p.last = errEnding
	}
	p.change()
	return false
}

// failed lets the requests that wait go on to another DROP.
func (p *peer) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures++
	p.pausing, p.last = true, err
	p.change()
}

// dial tries the addresses of a peer one after the other.
func (m *Mesh) dial(ctx context.Context, p *peer) error {
	addresses := m.options.Directory.Addresses(p.host)
	err := error(problem.New(problem.Unavailable, "no address of it is known"))
	for _, address := range addresses[:min(len(addresses), maxAddresses)] {
		var conn *tls.Conn
		if conn, err = dialTLS(ctx, address, m.options.Node.Client(p.host, Protocol)); err != nil {
			continue
		}
		var host identity.Host
		if host, err = identity.PeerOf(conn.ConnectionState()); err == nil {
			err = m.use(conn, host, true)
		}
		if err == nil {
			return nil
		}
		conn.NetConn().Close()
	}
	return err
}

func dialTLS(ctx context.Context, address string, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}
