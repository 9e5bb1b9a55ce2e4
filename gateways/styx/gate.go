package styx

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// gate counts connections, over all listeners and by source.
type gate struct {
	slots     chan struct{} // one for each open connection
	perSource int
	exempt    []netip.Prefix
	refused   func()
	open      atomic.Int64

	mu      sync.Mutex
	sources map[netip.Prefix]int // never more entries than slots
}

func newGate(connections, perSource int, exempt []netip.Prefix, refused func()) *gate {
	return &gate{
		slots: make(chan struct{}, connections), perSource: perSource, exempt: exempt, refused: refused,
		sources: make(map[netip.Prefix]int),
	}
}

// crowded says that seven of eight slots are taken: kept connections are then
// given up after their response.
func (g *gate) crowded() bool { return int(g.open.Load()) > cap(g.slots)*7/8 }

// listen puts the gate before a listener.
func (g *gate) listen(l net.Listener) net.Listener {
	return &gatedListener{Listener: l, gate: g, closed: make(chan struct{})}
}

type gatedListener struct {
	net.Listener
	gate   *gate
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot first, so that newcomers stay in the kernel's queue
// as long as there is none. A source with too many connections is hung up on.
func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		select {
		case l.gate.slots <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.gate.slots
			return nil, err
		}
		source, counted := l.gate.sourceOf(conn.RemoteAddr())
		if counted && !l.gate.enter(source) {
			<-l.gate.slots
			l.gate.refused()
			_ = conn.Close() // it was never used
			continue
		}
		l.gate.open.Add(1)
		p := &pass{gate: l.gate, source: source, counted: counted}
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &tcpConn{TCPConn: tcp, pass: p}, nil
		}
		return &otherConn{Conn: conn, pass: p}, nil
	}
}

func (l *gatedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// sourceOf gives the network that counts as one source.
func (g *gate) sourceOf(remote net.Addr) (source netip.Prefix, counted bool) {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	if contains(g.exempt, address) {
		return netip.Prefix{}, false
	}
	bits := 32
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked(), true
}

func (g *gate) enter(source netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sources[source] >= g.perSource {
		return false
	}
	g.sources[source]++
	return true
}

// pass is a connection's right to be open.
type pass struct {
	gate    *gate
	source  netip.Prefix
	counted bool
	once    sync.Once
}

func (p *pass) giveBack() {
	p.once.Do(func() {
		if p.counted {
			p.gate.mu.Lock()
			if p.gate.sources[p.source]--; p.gate.sources[p.source] == 0 {
				delete(p.gate.sources, p.source)
			}
			p.gate.mu.Unlock()
		}
		p.gate.open.Add(-1)
		<-p.gate.slots
	})
}

// tcpConn keeps the methods of a TCP connection, ReadFrom (sendfile) above all.
type tcpConn struct {
	*net.TCPConn
	pass *pass
}

func (c *tcpConn) Close() error {
	defer c.pass.giveBack()
	return c.TCPConn.Close()
}

type otherConn struct {
	net.Conn
	pass *pass
}

func (c *otherConn) Close() error {
	defer c.pass.giveBack()
	return c.Conn.Close()
}
