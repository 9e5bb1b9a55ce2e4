package yggdrasil

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"pantheon/gateways/yggdrasil/ratelimit"
	"pantheon/gateways/yggdrasil/wire"
)

// tcpResponder is a responder with the buffer of one answer: its length, and the
// message.
type tcpResponder struct {
	responder
	buffer []byte
}

const lengthBytes = 2

func newTCPResponder(s *Server) *tcpResponder {
	return &tcpResponder{
		responder: *newResponder(s, s.counts[0], nsecSlotsTCP),
		buffer:    make([]byte, wire.MaxMessageBytes+wire.SlackBytes),
	}
}

// accept takes connections until the listener is closed.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && ctx.Err() == nil {
				continue
			}
			return err
		}
		source, ok := sourceOf(conn)
		if !ok {
			conn.Close()
			continue
		}
		c := &tcpConn{conn: conn, source: source, born: time.Now()}
		if s.gate.enter(c) {
			go func() {
				defer s.gate.leave(c)
				s.converse(ctx, c)
			}()
		}
	}
}

func sourceOf(conn net.Conn) (netip.Addr, bool) {
	address, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return address.Addr().Unmap().WithZone(""), err == nil
}

// converse answers the queries of one connection in their order (RFC 7766
// §6.2.1.1 asks for all of them to be answered as they come). Answers leave
// together when no further query is at hand.
func (s *Server) converse(ctx context.Context, c *tcpConn) {
	reader := bufio.NewReaderSize(c.conn, MaxQueryBytes+lengthBytes)
	writer := bufio.NewWriterSize(c.conn, 4<<10)
	for ctx.Err() == nil {
		query, err := s.next(c, reader)
		if err != nil {
			return
		}
		r := s.pool.Get().(*tcpResponder) //nolint:forcetypeassert // the pool's New gives no other
		err = s.reply(c, r, query, writer)
		r.transfer, r.session = nil, nil
		s.pool.Put(r)
		if err != nil {
			return
		}
		_, _ = reader.Discard(lengthBytes + len(query))
		if reader.Buffered() == 0 {
			_ = c.conn.SetWriteDeadline(time.Now().Add(s.options.Message))
			if writer.Flush() != nil {
				return
			}
		}
	}
}

// next waits for a whole query, which stays in the reader.
func (s *Server) next(c *tcpConn, reader *bufio.Reader) ([]byte, error) {
	c.rest()
	_ = c.conn.SetReadDeadline(time.Now().Add(s.options.Idle))
	head, err := reader.Peek(lengthBytes)
	if err != nil {
		return nil, err
	}
	if !c.wake() || time.Since(c.born) > MaxLife {
		return nil, net.ErrClosed
	}
	size := int(binary.BigEndian.Uint16(head))
	if size > MaxQueryBytes || size < wire.HeaderBytes {
		return nil, io.ErrUnexpectedEOF
	}
	if reader.Buffered() < lengthBytes+size {
		_ = c.conn.SetReadDeadline(time.Now().Add(s.options.Message))
	}
	message, err := reader.Peek(lengthBytes + size)
	if err != nil {
		return nil, err
	}
	return message[lengthBytes:], nil
}

// reply writes the answer to one query, or the transfer that it asks for.
func (s *Server) reply(c *tcpConn, r *tcpResponder, query []byte, writer *bufio.Writer) error {
	answer := r.respond(query, r.buffer[lengthBytes:], c.source, true, time.Now())
	if r.transfer != nil {
		return s.stream(c, r, writer)
	}
	if answer == nil { // RFC 7766 §8 says nothing of it; a response is no query
		r.counts.silent.Add(1)
		return net.ErrClosed
	}
	r.count()
	r.sample(answer)
	return s.write(c, writer, answer)
}

func (s *Server) write(c *tcpConn, writer *bufio.Writer, message []byte) error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(s.options.Message))
	var length [lengthBytes]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(message)))
	if _, err := writer.Write(length[:]); err != nil {
		return err
	}
	_, err := writer.Write(message)
	return err
}

// stream sends a transfer; a receiver that takes none of it for Options.Message
// is left.
func (s *Server) stream(c *tcpConn, r *tcpResponder, writer *bufio.Writer) error {
	defer s.transfers.Add(-1)
	kind := "axfr"
	if !r.transfer.whole {
		kind = "ixfr"
	}
	if s.transfers.Add(1) > int64(s.options.MaxTransfers) {
		s.metrics.transfers.WithLabelValues(kind, "refused").Inc()
		r.transfer = nil
		answer := r.refuse(refusedBusy)
		r.count()
		return s.write(c, writer, answer)
	}
	begun, zone, client := time.Now(), r.zone, r.client
	err := r.send(r.transfer, r.buffer[lengthBytes:], func(message []byte) error { return s.write(c, writer, message) })
	if err == nil {
		err = writer.Flush()
	}
	r.count()
	result := "sent"
	if err != nil {
		result = "broken"
	}
	s.metrics.transfers.WithLabelValues(kind, result).Inc()
	s.options.Logger.Info("zone transfer", "zone", zone.Name(), "serial", r.transfer.serial, "kind", kind, "to", client, "result", result, "took", time.Since(begun))
	return err
}

// tcpConn is one open connection.
type tcpConn struct {
	conn   net.Conn
	source netip.Addr
	born   time.Time

	mu     sync.Mutex
	idle   time.Time // since when; zero while a query is answered
	closed bool      // by the gate
}

func (c *tcpConn) rest() {
	c.mu.Lock()
	c.idle = time.Now()
	c.mu.Unlock()
}

// wake begins a query; false if the gate has closed the connection.
func (c *tcpConn) wake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = time.Time{}
	return !c.closed
}

// endIfIdle closes the connection unless it is busy.
func (c *tcpConn) endIfIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle.IsZero() || c.closed {
		return false
	}
	c.closed = true
	c.conn.Close()
	return true
}

func (c *tcpConn) idleSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// gate counts connections, in all and by source.
type gate struct {
	most, mostPerSource int
	metrics             *metrics

	mu      sync.Mutex
	open    map[*tcpConn]struct{}
	sources map[netip.Prefix]int
	shut    bool
	empty   chan struct{} // closed when shut and the last one has left
}

func newGate(most, perSource int, m *metrics) gate {
	return gate{most: most, mostPerSource: perSource, metrics: m,
		open: make(map[*tcpConn]struct{}), sources: make(map[netip.Prefix]int), empty: make(chan struct{})}
}

func network(address netip.Addr) netip.Prefix {
	bits := 32
	if address.Is6() {
		bits = ratelimit.IPv6PrefixBits
	}
	prefix, _ := address.Prefix(bits) // of a valid address
	return prefix
}

// enter lets a connection in or closes it.
func (g *gate) enter(c *tcpConn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := network(c.source)
	switch {
	case g.shut:
	case g.sources[from] >= g.mostPerSource:
		g.metrics.refused.WithLabelValues("source").Inc()
	case len(g.open) >= g.most && !g.makeRoom():
		g.metrics.refused.WithLabelValues("all").Inc()
	default:
		g.open[c] = struct{}{}
		g.sources[from]++
		g.metrics.connections.Inc()
		return true
	}
	c.conn.Close()
	return false
}

// makeRoom closes the connection that has been idle longest. It stays counted
// until its goroutine has left, so that the number of those is bounded too: by
// one more for each that was made room for.
func (g *gate) makeRoom() bool {
	var longest *tcpConn
	var since time.Time
	for c := range g.open {
		if idle := c.idleSince(); !idle.IsZero() && (longest == nil || idle.Before(since)) {
			longest, since = c, idle
		}
	}
	if longest == nil || !longest.endIfIdle() {
		return false
	}
	g.metrics.refused.WithLabelValues("idle").Inc()
	g.forget(longest)
	return true
}

func (g *gate) forget(c *tcpConn) {
	if _, open := g.open[c]; !open {
		return
	}
	delete(g.open, c)
	from := network(c.source)
	if g.sources[from]--; g.sources[from] == 0 {
		delete(g.sources, from)
	}
	g.metrics.connections.Dec()
}

func (g *gate) leave(c *tcpConn) {
	c.conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(c)
	if g.shut && len(g.open) == 0 {
		select {
		case <-g.empty:
		default:
			close(g.empty)
		}
	}
}

// drain closes what is idle, waits for what is busy, and then closes that.
func (g *gate) drain(grace time.Duration) {
	g.mu.Lock()
	g.shut = true
	for c := range g.open {
		c.endIfIdle()
	}
	left := len(g.open)
	g.mu.Unlock()
	if left == 0 {
		return
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-g.empty:
		return
	case <-timer.C:
	}
	g.mu.Lock()
	for c := range g.open {
		c.conn.Close()
	}
	g.mu.Unlock()
	<-g.empty
}
