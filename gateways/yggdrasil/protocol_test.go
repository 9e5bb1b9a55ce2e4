package yggdrasil_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
)

// udp sends one packet and gives the answer; nil if the next packet, a question
// that is always answered, is answered first.
func (g *game) udp(packet []byte) []byte {
	g.t.Helper()
	conn, err := net.Dial("udp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	marker := new(dns.Msg)
	marker.SetQuestion("example.org.", dns.TypeSOA)
	marker.Id = 0xbeef
	last, err := marker.Pack()
	if err != nil {
		g.t.Fatal(err)
	}
	// One sender's packets go to one socket, which keeps their order.
	for _, p := range [][]byte{packet, last} {
		if _, err := conn.Write(p); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		g.t.Fatal(err)
	}
	buffer := make([]byte, 65535)
	n, err := conn.Read(buffer)
	if err != nil {
		g.t.Fatal(err)
	}
	if binary.BigEndian.Uint16(buffer) == 0xbeef {
		return nil
	}
	return buffer[:n]
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func unpack(t testing.TB, p []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(p); err != nil {
		t.Fatalf("answer %x: %v", p, err)
	}
	return m
}

// RFC 1035 §4.1, RFC 9619, RFC 6891: packets that are none, or wrong.
func TestMalformed(t *testing.T) {
	g := start(t, nil)
	good := pack(t, parseQuestion(t, "web.example.org A size=1232"))
	name := "\x03web\x07example\x03org\x00\x00\x01\x00\x01"
	header := func(flags, qd, an, ns, ar byte) string {
		return string([]byte{0x12, 0x34, flags, 0, 0, qd, 0, an, 0, ns, 0, ar})
	}
	for _, c := range []struct{ name, packet, want string }{
		{"empty", "", "silence"},
		{"half a header", string(good[:11]), "silence"},
		{"an answer", header(0x80, 1, 0, 0, 0) + name, "silence"},
		{"header only", header(0, 0, 0, 0, 0), "FORMERR"},
		{"two questions", header(0, 2, 0, 0, 0) + name + name, "FORMERR"},
		{"the question is missing", header(0, 1, 0, 0, 0), "FORMERR"},
		{"a name that does not end", header(0, 1, 0, 0, 0) + "\x03web\x07exam", "FORMERR"},
		{"a pointer to itself", header(0, 1, 0, 0, 0) + "\xc0\x0c\x00\x01\x00\x01", "FORMERR"},
		{"a pointer after a label", header(0, 1, 0, 0, 0) + "\x03web\xc0\x0c\x00\x01\x00\x01", "FORMERR"},
		{"a label type of RFC 2673", header(0, 1, 0, 0, 0) + "\x41\x08\x00\x00\x01\x00\x01", "FORMERR"},
		{"a name of 256 octets", header(0, 1, 0, 0, 0) + strings.Repeat("\x01a", 127) + "\x01\x00\x00\x00\x01\x00\x01", "FORMERR"},
		{"no class", header(0, 1, 0, 0, 0) + name[:len(name)-2], "FORMERR"},
		{"an answer section", header(0, 1, 1, 0, 0) + name + "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00", "FORMERR"},
		{"additional records missing", header(0, 1, 0, 0, 1) + name, "FORMERR"},
		{"two OPT", header(0, 1, 0, 0, 2) + name + strings.Repeat("\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", 2), "FORMERR"},
		{"OPT with a name", header(0, 1, 0, 0, 1) + name + "\x01a\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", "FORMERR"},
		{"an option longer than OPT", header(0, 1, 0, 0, 1) + name + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x08", "FORMERR"},
		{"a cookie of 9 octets", header(0, 1, 0, 0, 1) + name + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0d\x00\x0a\x00\x09123456789", "FORMERR"},
		{"octets behind the message", string(good) + "x", "FORMERR"},
		{"TSIG is not the last", header(0, 1, 0, 0, 2) + name + "\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00" + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", "FORMERR"},
		{"opcode IQUERY", header(1<<3, 1, 0, 0, 0) + name, "NOTIMP"},
		{"opcode STATUS", header(2<<3, 1, 0, 0, 0) + name, "NOTIMP"},
		{"opcode 15", header(15<<3, 0, 0, 0, 0), "NOTIMP"},
		{"UPDATE (RFC 2136)", header(5<<3, 1, 0, 0, 0) + "\x07example\x03org\x00\x00\x06\x00\x01", "REFUSED"},
		{"NOTIFY (RFC 1996)", header(4<<3, 1, 0, 0, 0) + "\x07example\x03org\x00\x00\x06\x00\x01", "REFUSED"},
		{"an IXFR without a serial", header(0, 1, 0, 0, 0) + "\x07example\x03org\x00\x00\xfb\x00\x01", "FORMERR"},
		{"longer than our buffer", string(good) + strings.Repeat("x", 3000), "silence"},
	} {
		answer := g.udp([]byte(c.packet))
		got := "silence"
		if answer != nil {
			m := unpack(t, answer)
			got = dns.RcodeToString[m.Rcode]
			if m.Id != 0x1234 && c.name != "octets behind the message" {
				t.Errorf("%s: the answer's id is %x", c.name, m.Id)
			}
			if m.Authoritative || len(m.Answer)+len(m.Ns) > 0 {
				t.Errorf("%s: an error with records: %v", c.name, m)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The probes of ISC's ednscomp: RFC 6891 §6 and §7.
func TestEDNSCompliance(t *testing.T) {
	g := start(t, nil)
	probe := func(name string, change func(*dns.Msg, *dns.OPT)) *dns.Msg {
		m := parseQuestion(t, "example.org SOA size=4096")
		change(m, m.IsEdns0())
		answer := unpack(t, g.udp(pack(t, m)))
		if opt := answer.IsEdns0(); opt == nil || opt.Version() != 0 {
			t.Errorf("%s: OPT is missing or of another version: %v", name, answer)
		}
		return answer
	}
	plain := g.ask("example.org SOA", false)
	if plain.IsEdns0() != nil || plain.Rcode != 0 || len(plain.Answer) != 1 {
		t.Errorf("without EDNS: %v", plain)
	}
	fine := func(name string, m *dns.Msg) {
		if m.Rcode != 0 || len(m.Answer) == 0 || !m.Authoritative {
			t.Errorf("%s: %v", name, m)
		}
	}
	fine("EDNS", probe("EDNS", func(*dns.Msg, *dns.OPT) {}))
	fine("unknown option", probe("unknown option", func(_ *dns.Msg, o *dns.OPT) {
		o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: 100, Data: []byte("x")})
	}))
	flagged := probe("unknown flag", func(_ *dns.Msg, o *dns.OPT) { o.Hdr.Ttl |= 0x40 })
	fine("unknown flag", flagged)
	if flagged.IsEdns0().Hdr.Ttl&0x7fff != 0 {
		t.Error("an unknown flag comes back (RFC 6891 §6.1.4)")
	}
	do := probe("DO", func(_ *dns.Msg, o *dns.OPT) { o.SetDo() })
	fine("DO", do)
	if !do.IsEdns0().Do() {
		t.Error("DO is not copied (RFC 3225 §3)")
	}
	for _, set := range []func(*dns.Msg, *dns.OPT){
		func(_ *dns.Msg, o *dns.OPT) { o.SetVersion(1) },
		func(_ *dns.Msg, o *dns.OPT) {
			o.SetVersion(100)
			o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: 100})
		},
	} {
		if m := probe("version", set); m.Rcode != dns.RcodeBadVers || len(m.Answer) > 0 {
			t.Errorf("another version: %v", m)
		}
	}
	nsid := probe("NSID", func(_ *dns.Msg, o *dns.OPT) { o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}) })
	if got := nsid.IsEdns0().Option; len(got) != 1 || got[0].String() != hex.EncodeToString([]byte("ygg-1")) {
		t.Errorf("NSID (RFC 5001): %v", got)
	}
	chased := probe("CD and AD", func(m *dns.Msg, _ *dns.OPT) {
		m.CheckingDisabled, m.AuthenticatedData, m.RecursionDesired = true, true, true
	})
	if chased.CheckingDisabled || chased.AuthenticatedData || chased.RecursionAvailable || !chased.RecursionDesired {
		t.Errorf("CD, AD, RA must be clear and RD copied (RFC 4035 §3.1.6, RFC 1035 §4.1.1): %v", chased.MsgHdr)
	}
}

// RFC 1035 §4.2.1, RFC 6891 §6.2.3, RFC 9471: what does not fit is cut at a
// whole set, and comes over TCP.
func TestTruncation(t *testing.T) {
	l := newLog()
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "many.example.org. 60 A 10.0.0.%d\n", i)
		if i < 60 {
			fmt.Fprintf(&text, "big.example.org. 60 NS ns%d.big.example.org.\nns%d.big.example.org. 60 A 10.1.1.%d\n", i, i, i)
		}
		if i < 20 {
			fmt.Fprintf(&text, "some.example.org. 60 A 10.0.1.%d\n", i)
		}
	}
	g := startWith(t, l, nil)
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(text.String())})
	for _, c := range []struct {
		question string
		most     int
		cut      bool
	}{
		{"many.example.org A", 512, true}, {"many.example.org A size=65535", 1232, true}, {"many.example.org A size=100", 512, true},
		{"some.example.org A", 512, false}, {"some.example.org A size=600", 600, false}, {"big.example.org A size=1232", 1232, true},
	} {
		packet := g.udp(pack(t, parseQuestion(t, c.question)))
		m := unpack(t, packet)
		if len(packet) > c.most || m.Truncated != c.cut {
			t.Errorf("%s: %d octets, truncated %v", c.question, len(packet), m.Truncated)
		}
		if c.cut && len(m.Answer) > 0 {
			t.Errorf("%s: half a set: %d records", c.question, len(m.Answer))
		}
	}
	whole := g.ask("many.example.org A", true)
	if len(whole.Answer) != 200 || whole.Truncated {
		t.Errorf("over TCP %d records, truncated %v", len(whole.Answer), whole.Truncated)
	}
	if referral := g.ask("big.example.org A", true); len(referral.Ns) != 60 || len(referral.Extra) != 60 {
		t.Errorf("over TCP %d servers and %d addresses", len(referral.Ns), len(referral.Extra))
	}
}

// RFC 7873 §5.2, RFC 9018: a client gets a cookie, and may keep it.
func TestCookies(t *testing.T) {
	g := start(t, nil)
	withCookie := func(cookie string) *dns.Msg {
		m := parseQuestion(t, "web.example.org A size=1232")
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
		return m
	}
	cookieOf := func(m *dns.Msg) string {
		for _, o := range m.IsEdns0().Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
		return ""
	}
	const client = "0123456789abcdef"
	first := cookieOf(g.exchange(withCookie(client), false))
	if len(first) != 48 || !strings.HasPrefix(first, client) {
		t.Fatalf("cookie %q", first)
	}
	if second := cookieOf(g.exchange(withCookie(first), false)); second != first {
		t.Errorf("a fresh cookie is replaced: %s by %s", first, second)
	}
	forged := client + strings.Repeat("00", 16)
	answer := g.exchange(withCookie(forged), false)
	if got := cookieOf(answer); got == forged || len(got) != 48 || len(answer.Answer) != 2 {
		t.Errorf("a wrong cookie must be answered, with a new one: %v", answer)
	}
	bare := withCookie(client)
	bare.Question = nil
	if got := unpack(t, g.udp(pack(t, bare))); got.Rcode != 0 || len(cookieOf(got)) != 48 {
		t.Errorf("a query for a cookie alone (§5.4): %v", got)
	}
}

// Response-rate limiting: equal answers to one network are bounded; truncated
// ones lead honest clients to TCP, and a cookie exempts them (RFC 7873 §1).
func TestRateLimit(t *testing.T) {
	server, err := yggdrasil.New(yggdrasil.Options{Source: exampleLog(), ResponsesPerSecond: 10, Burst: 10, RateExempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	r, now := server.NewResponder(), time.Now()
	count := func(client string, packets ...[]byte) (whole, cut, refused int) {
		for i := range 1000 {
			answer := r.Respond(packets[i%len(packets)], netip.MustParseAddr(client), false, now)
			if answer == nil {
				continue
			}
			switch m := unpack(t, answer); {
			case m.Rcode == dns.RcodeBadCookie:
				refused++
			case m.Truncated:
				cut++
			default:
				whole++
			}
		}
		return whole, cut, refused
	}
	question := pack(t, parseQuestion(t, "web.example.org A"))
	if whole, cut, _ := count("192.0.2.1", question); whole != 10 || cut != 495 {
		t.Errorf("of 1000 equal answers %d are whole and %d truncated", whole, cut)
	}
	if whole, _, _ := count("192.0.2.200", question); whole != 0 {
		t.Errorf("a neighbour of the same network got %d", whole)
	}
	if whole, _, _ := count("198.51.100.1", question); whole != 10 {
		t.Errorf("another network got %d", whole)
	}
	if whole, _, _ := count("203.0.113.1", question); whole != 1000 {
		t.Errorf("an exempt network got %d", whole)
	}
	var random [][]byte
	for i := range 1000 {
		random = append(random, pack(t, parseQuestion(t, fmt.Sprintf("random-%d.example.org A", i))))
	}
	if whole, _, _ := count("198.51.101.1", random...); whole != 10 {
		t.Errorf("%d NXDOMAINs to one network: they count together", whole)
	}
	m := parseQuestion(t, "web.example.org A size=1232")
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}}
	whole, _, refused := count("192.0.2.1", pack(t, m))
	if whole != 0 || refused != 500 {
		t.Errorf("with a client cookie only: %d whole, %d BADCOOKIE", whole, refused)
	}
	answer := unpack(t, r.Respond(pack(t, m), netip.MustParseAddr("203.0.113.1"), false, now))
	m.IsEdns0().Option = answer.IsEdns0().Option
	if whole, _, _ := count("203.0.113.1", pack(t, m)); whole != 1000 {
		t.Errorf("with a valid cookie %d are whole", whole)
	}
}

func exampleLog() *log {
	l := newLog()
	l.commit(apex, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom}, events.RecordsAdded{Zone: apex, Records: records(exampleZone)})
	return l
}

// Internal zones answer to the configured networks only, also where a CNAME of
// an open zone leads there.
func TestSplitAnswers(t *testing.T) {
	l := exampleLog()
	const internal = events.ZoneName("drush.in")
	l.commit(internal, events.ZoneConfigured{Zone: internal}, events.RecordsAdded{Zone: internal, Records: records("db.drush.in. 30 A 10.0.0.1")})
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records("leak.example.org. 60 CNAME db.drush.in.")})
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, InternalNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	r := server.NewResponder()
	for _, c := range []struct{ question, client, want string }{
		{"db.drush.in A size=1232", "10.1.2.3", "NOERROR aa\nan db.drush.in. 30 A 10.0.0.1"},
		{"db.drush.in A size=1232", "192.0.2.1", "REFUSED\nede 18 the zone is not for this network"},
		{"drush.in SOA", "192.0.2.1", "REFUSED"},
		{"leak.example.org A", "192.0.2.1", "NOERROR aa\nan leak.example.org. 60 CNAME db.drush.in."},
	} {
		got := text(unpack(t, r.Respond(pack(t, parseQuestion(t, c.question)), netip.MustParseAddr(c.client), false, time.Now())))
		if got != c.want {
			t.Errorf("%s from %s:\n%s\nwant\n%s", c.question, c.client, got, c.want)
		}
	}
}

// RFC 7766 §6.2.1.1: many queries at once on one connection, all answered.
func TestPipelining(t *testing.T) {
	g := start(t, nil)
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all bytes.Buffer
	const queries = 500
	for i := range queries {
		m := parseQuestion(t, []string{"web.example.org A", "nothing.example.org A", "example.org MX"}[i%3])
		m.Id = uint16(i)
		packet := pack(t, m)
		all.Write(binary.BigEndian.AppendUint16(nil, uint16(len(packet))))
		all.Write(packet)
	}
	go func() {
		// In pieces that do not end where messages do.
		for all.Len() > 0 {
			if _, err := conn.Write(all.Next(77)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := map[uint16]bool{}
	for range queries {
		seen[unpack(t, readTCP(t, conn)).Id] = true
	}
	if len(seen) != queries {
		t.Errorf("%d of %d queries were answered", len(seen), queries)
	}
}

func readTCP(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, packet); err != nil {
		t.Fatal(err)
	}
	return packet
}

// closed waits for the server to end a connection.
func closed(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, conn); n > 0 || isTimeout(err) {
		t.Errorf("the connection is not closed: %d octets, %v", n, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// RFC 7766 §6.2, §8, RFC 9210: connections end when idle, in the middle of a
// message, for nonsense, and to make room.
func TestConnectionBounds(t *testing.T) {
	dial := (*game).dial
	t.Run("idle", func(t *testing.T) {
		g := start(t, func(o *yggdrasil.Options) { o.Idle = 20 * time.Millisecond })
		closed(t, dial(g))
	})
	t.Run("half a message", func(t *testing.T) {
		g := start(t, func(o *yggdrasil.Options) { o.Message = 20 * time.Millisecond })
		conn := dial(g)
		if _, err := conn.Write([]byte{0, 40, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		closed(t, conn)
	})
	t.Run("nonsense", func(t *testing.T) {
		g := start(t, nil)
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00", "\xff\xff", "\x00\x0c\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
			conn := dial(g)
			if _, err := conn.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			closed(t, conn)
		}
	})
	t.Run("too many of one source", func(t *testing.T) {
		g := start(t, func(o *yggdrasil.Options) { o.MaxConnectionsPerSource, o.Idle = 2, time.Hour })
		one, two := dial(g), dial(g)
		g.over(one)
		g.over(two)
		closed(t, dial(g))
		g.over(one)
	})
	t.Run("shut-down", func(t *testing.T) {
		g := start(t, func(o *yggdrasil.Options) { o.Idle = time.Hour })
		conn := dial(g)
		g.over(conn)
		g.stop()
		closed(t, conn)
	})
}

// A connection more than allowed: one that is idle is closed for it.
func TestIdleMakesRoom(t *testing.T) {
	g := start(t, func(o *yggdrasil.Options) { o.MaxConnections, o.Idle = 2, time.Hour })
	both := []net.Conn{g.dial(), g.dial()}
	ended := make(chan int)
	for i, conn := range both {
		g.over(conn)
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			ended <- i
		}()
	}
	packet := pack(t, parseQuestion(t, "web.example.org A"))
	for answered := false; !answered; { // refused as long as the two are still busy
		third := g.dial()
		_, _ = third.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
		var length [2]byte
		_, err := io.ReadFull(third, length[:])
		answered = err == nil
	}
	other := both[1-<-ended]
	if err := other.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	<-ended
	g.over(other)
}

// dial opens a connection for the length of the test.
func (g *game) dial() net.Conn {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return conn
}

// over asks one question on a connection.
func (g *game) over(conn net.Conn) {
	g.t.Helper()
	packet := pack(g.t, parseQuestion(g.t, "web.example.org A"))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		g.t.Fatal(err)
	}
	if m := unpack(g.t, readTCP(g.t, conn)); len(m.Answer) != 2 {
		g.t.Fatalf("answer %v", m)
	}
}

// RFC 7828: the idle time is told to those who ask, and never over UDP.
func TestKeepalive(t *testing.T) {
	g := start(t, func(o *yggdrasil.Options) { o.Idle = 7 * time.Second })
	m := parseQuestion(t, "web.example.org A size=1232")
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	over := g.exchange(m.Copy(), true).IsEdns0().Option
	if len(over) != 1 || over[0].(*dns.EDNS0_TCP_KEEPALIVE).Timeout != 70 {
		t.Errorf("over TCP: %v", over)
	}
	if udp := g.exchange(m.Copy(), false).IsEdns0().Option; len(udp) != 0 {
		t.Errorf("over UDP: %v", udp)
	}
}

// The query log has one line for every n-th query, and the figures count all.
func TestQueryLogAndMetrics(t *testing.T) {
	var written bytes.Buffer
	g := start(t, func(o *yggdrasil.Options) { o.QueryLog, o.QueryLogEvery = &written, 2 })
	for range 5 {
		g.ask("web.example.org A do", false)
		g.ask("nothing.example.org AAAA", true)
	}
	g.stop()
	lines := strings.Split(strings.TrimSpace(written.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), written.String())
	}
	_, line, _ := strings.Cut(lines[0], " ")
	if line != "127.0.0.1 tcp nothing.example.org. AAAA NXDOMAIN 104 ---" {
		t.Errorf("line %q", line)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(g.server.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := ""
			for _, l := range metric.GetLabel() {
				labels += " " + l.GetValue()
			}
			if metric.GetCounter() != nil {
				found[family.GetName()+labels] = metric.GetCounter().GetValue()
			}
		}
	}
	for name, want := range map[string]float64{
		"pantheon_yggdrasil_answers_total NOERROR A example.org.":     5,
		"pantheon_yggdrasil_answers_total NXDOMAIN AAAA example.org.": 5,
		"pantheon_yggdrasil_packets_total answered udp":               5,
		"pantheon_yggdrasil_packets_total answered tcp":               5,
	} {
		if found[name] != want {
			t.Errorf("%s is %v, want %v", name, found[name], want)
		}
	}
}

// FuzzRespond: no packet panics, and what comes back is an answer to it that
// another parser understands and that is no larger than allowed.
func FuzzRespond(f *testing.F) {
	for _, question := range []string{"web.example.org A", "nothing.example.org A do", "host.wild.example.org MX do", "deep.child.example.org NS size=512",
		"example.org ANY size=100", "example.org IXFR", "example.org AXFR", "version.bind TXT class=CH"} {
		f.Add(pack(f, parseQuestion(f, question)), false)
	}
	signed := new(dns.Msg)
	signed.SetAxfr("example.org.")
	signed.SetTsig("key.example.", dns.HmacSHA256, 300, 1_700_000_000)
	packet, _, err := dns.TsigGenerate(signed, "c2VjcmV0", "", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet, true)
	l := newLog()
	signer := withKeys(f, l)
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, Signer: signer, Keyring: oneKey{}, Identity: "x", ResponsesPerSecond: -1})
	if err != nil {
		f.Fatal(err)
	}
	r := server.NewResponder()
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) { checkAnswer(t, r, packet, tcp) })
}

// checkAnswer sends any packet and looks at what comes back.
func checkAnswer(t *testing.T, r *yggdrasil.Responder, packet []byte, tcp bool) {
	t.Helper()
	client, now := netip.MustParseAddr("127.0.0.1"), time.Unix(1_700_000_000, 0)
	var answer []byte
	if tcp {
		answer = r.Respond(packet, client, true, now)
	} else {
		r.RespondAll([][]byte{packet}, client, now, func(_ int, made []byte) { answer = made })
	}
	if answer == nil {
		return
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("%x is answered with %x: %v", packet, answer, err)
	}
	if !m.Response || m.Id != binary.BigEndian.Uint16(packet) || m.Rcode == dns.RcodeServerFailure {
		t.Fatalf("%x is answered with %v", packet, m)
	}
	if !tcp && len(answer) > 1232 {
		t.Fatalf("%d octets over UDP", len(answer))
	}
}

// What FuzzRespond looks for, in packets that differ from good ones in a few
// octets: in every run of the tests.
func TestDamagedPackets(t *testing.T) {
	l := newLog()
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, Signer: withKeys(t, l), Keyring: oneKey{}, ResponsesPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	var good [][]byte
	for _, question := range []string{"web.example.org A", "nothing.example.org A do", "host.wild.example.org MX do", "www.moved.example.org A",
		"deep.child.example.org NS size=512", "example.org ANY size=100", "example.org AXFR", "version.bind TXT class=CH"} {
		good = append(good, pack(t, parseQuestion(t, question)))
	}
	m := axfr("")
	m.SetTsig(keyText, dns.HmacSHA256, 300, 1_700_000_000)
	signed, _, err := dns.TsigGenerate(m, keySecret[keyText], "", false)
	if err != nil {
		t.Fatal(err)
	}
	good = append(good, signed, pack(t, ixfr(1)))
	r, random := server.NewResponder(), rand.New(rand.NewPCG(3, 5))
	for i := range 50_000 {
		packet := bytes.Clone(good[i%len(good)])
		for range 1 + random.IntN(4) {
			packet[random.IntN(len(packet))] = byte(random.IntN(256))
		}
		if random.IntN(4) == 0 {
			packet = packet[:random.IntN(len(packet)+1)]
		}
		checkAnswer(t, r, packet, i%2 == 0)
	}
}

// oneKey is a keyring.
type oneKey struct{}

func (oneKey) TSIG(name string) (string, []byte, bool) {
	return "hmac-sha256", []byte("secret"), name == "key.example."
}
