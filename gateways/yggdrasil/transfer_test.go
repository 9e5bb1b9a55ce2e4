package yggdrasil_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
)

const keyText = "key.example."

var keySecret = map[string]string{keyText: "c2VjcmV0"} // oneKey's, in base64

// secondary names 127.0.0.1 as one, with a key or without.
func secondary(l *log, key string) {
	l.commit(apex, events.SecondaryAdded{Zone: apex, Address: "127.0.0.1", TSIGKey: key})
}

// transfer asks for the zone as a secondary does, and gives its records.
func (g *game) transfer(m *dns.Msg, secrets map[string]string) ([]dns.RR, error) {
	t := &dns.Transfer{TsigSecret: secrets, ReadTimeout: time.Minute}
	messages, err := t.In(m, g.address)
	if err != nil {
		return nil, err
	}
	var all []dns.RR
	for envelope := range messages {
		if envelope.Error != nil {
			return all, envelope.Error
		}
		all = append(all, envelope.RR...)
	}
	return all, nil
}

func axfr(key string) *dns.Msg {
	m := new(dns.Msg)
	m.SetAxfr(dns.Fqdn(string(apex)))
	if key != "" {
		m.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
	}
	return m
}

func ixfr(serial uint32) *dns.Msg {
	m := new(dns.Msg)
	m.SetIxfr(dns.Fqdn(string(apex)), serial, "ns1.example.org.", "hostmaster.example.org.")
	return m
}

// lines shows records without the SOA, sorted.
func lines(all []dns.RR) []string {
	set := map[string]bool{}
	for _, rr := range all {
		if rr.Header().Rrtype != dns.TypeSOA {
			set[strings.Join(strings.Fields(rr.String()), " ")] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// content is the zone as it should arrive.
func (l *log) content(t testing.TB) []string {
	t.Helper()
	var text strings.Builder
	if err := l.Zones().Named(apex).Text(&text); err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(text.String()), "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		all = append(all, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return lines(all)
}

// RFC 5936: the whole zone, its SOA first and last; many messages where it is
// large.
func TestAXFR(t *testing.T) {
	l := exampleLog()
	secondary(l, "")
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "many-%d.example.org. 60 TXT %q\n", i, strings.Repeat("x", i%200))
	}
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(many.String())})
	g := startWith(t, l, nil)
	all, err := g.transfer(axfr(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Header().Rrtype != dns.TypeSOA || all[0].String() != all[len(all)-1].String() {
		t.Errorf("begins with %v and ends with %v", all[0], all[len(all)-1])
	}
	if got, want := lines(all), l.content(t); !slices.Equal(got, want) {
		t.Errorf("%d records, the zone has %d", len(got), len(want))
	}
}

// RFC 8945 §5.2, §5.3.1: TSIG over a transfer of many messages, and what is
// said of requests that are signed badly.
func TestTransferTSIG(t *testing.T) {
	l := exampleLog()
	secondary(l, "Key.Example")
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, "many-%d.example.org. 60 TXT %q\n", i, strings.Repeat("x", 100))
	}
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(many.String())})
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Keyring = oneKey{} })
	all, err := g.transfer(axfr(keyText), keySecret)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(all), l.content(t); !slices.Equal(got, want) {
		t.Errorf("%d records, the zone has %d", len(got), len(want))
	}
	if _, err := g.transfer(axfr(""), nil); err == nil {
		t.Error("the zone was given to somebody without the key")
	}
	raw := func(name, secret string, at time.Time) *dns.Msg {
		m := axfr("")
		m.SetTsig(name, dns.HmacSHA256, 300, at.Unix())
		packet, _, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		return unpack(t, g.tcp(packet))
	}
	for _, c := range []struct {
		name, key, secret string
		at                time.Time
		want              uint16
		signed            bool
	}{
		{"an unknown key", "other.example.", keySecret[keyText], time.Now(), dns.RcodeBadKey, false},
		{"another secret", keyText, "b3RoZXI=", time.Now(), dns.RcodeBadSig, false},
		{"an hour ago", keyText, keySecret[keyText], time.Now().Add(-time.Hour), dns.RcodeBadTime, true},
	} {
		m := raw(c.key, c.secret, c.at)
		tsig := m.IsTsig()
		if m.Rcode != dns.RcodeNotAuth || tsig == nil || tsig.Error != c.want || (tsig.MACSize > 0) != c.signed {
			t.Errorf("%s: %v", c.name, m)
		}
	}
}

// tcp sends one packet over a connection of its own.
func (g *game) tcp(packet []byte) []byte {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		g.t.Fatal(err)
	}
	return readTCP(g.t, conn)
}

// A whole zone goes to nobody but its secondaries; over UDP to none.
func TestTransferRefused(t *testing.T) {
	l := exampleLog()
	l.commit(apex, events.SecondaryAdded{Zone: apex, Address: "192.0.2.99"})
	g := startWith(t, l, nil)
	for question, want := range map[string]int{"example.org AXFR": dns.RcodeRefused, "www.example.org AXFR": dns.RcodeNotAuth, "elsewhere.net AXFR": dns.RcodeNotAuth} {
		if m := unpack(t, g.tcp(pack(t, parseQuestion(t, question)))); m.Rcode != want || len(m.Answer) > 0 {
			t.Errorf("%s: %v", question, m)
		}
	}
	if m := unpack(t, g.tcp(pack(t, ixfr(1)))); m.Rcode != dns.RcodeRefused {
		t.Errorf("IXFR by a stranger: %v", m)
	}
}

// RFC 1995: a random stream of changes, followed step by step by a secondary
// that applies what it is sent.
func TestIXFR(t *testing.T) {
	l := exampleLog()
	secondary(l, "")
	g := startWith(t, l, nil)
	all, err := g.transfer(axfr(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	serial, have := all[0].(*dns.SOA).Serial, map[string]bool{}
	for _, line := range lines(all) {
		have[line] = true
	}
	random := rand.New(rand.NewPCG(4, 2))
	incremental := 0
	for round := range 60 {
		for range 1 + random.IntN(4) {
			record := records(fmt.Sprintf("r%d.example.org. 60 A 10.9.0.%d", random.IntN(20), random.IntN(3)))
			if random.IntN(3) == 0 {
				l.commit(apex, events.RecordsRemoved{Zone: apex, Records: record})
			} else {
				l.commit(apex, events.RecordsAdded{Zone: apex, Records: record})
			}
		}
		all, err := g.transfer(ixfr(serial), nil)
		if err != nil {
			t.Fatal(err)
		}
		was := serial
		serial = all[0].(*dns.SOA).Serial
		if applyIXFR(t, have, all, was) {
			incremental++
		}
		if got, want := slices.Sorted(maps.Keys(have)), l.content(t); !slices.Equal(got, want) {
			t.Fatalf("round %d, %d→%d: the secondary has\n%s\nwant\n%s", round, was, serial, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if incremental < 30 {
		t.Errorf("only %d of 60 transfers were incremental", incremental)
	}
	// RFC 1995 §2: up to date, and from the future, is one SOA; over UDP too.
	for _, m := range []*dns.Msg{ixfr(serial), ixfr(serial + 1)} {
		for _, tcp := range []bool{false, true} {
			if answer := g.exchange(m.Copy(), tcp); len(answer.Answer) != 1 || !answer.Authoritative {
				t.Errorf("up to date: %v", answer)
			}
		}
	}
	// §4: a serial that nobody knows any more is answered with the whole zone.
	all, err = g.transfer(ixfr(serial-1_000_000), nil)
	if err != nil || !slices.Equal(lines(all), l.content(t)) {
		t.Errorf("an unknown serial: %d records, %v", len(all), err)
	}
	overUDP(t, g, l, serial)
}

// signedLog has the example zone with a key that signs.
func signedLog(t testing.TB) (*log, yggdrasil.Signer) {
	l := newLog()
	l.at = time.Now // signatures of then and now are of one window
	return l, withKeys(t, l)
}

// changeSigned commits a random change that reaches beyond its own name: NSEC
// records of neighbours, delegations with what is below them, DS records.
func (l *log) changeSigned(random *rand.Rand) {
	lines := []string{
		"cut%d.example.org. 60 NS ns.elsewhere.net.", "cut%d.example.org. 60 NS ns.cut%[1]d.example.org.", "ns.cut%d.example.org. 60 A 192.0.2.9",
		"cut%d.example.org. 60 DS 12345 13 2 49FD46E6C4B45C55D4AC00000000000000000000000000000000000000000000", "deep.ns.cut%d.example.org. 60 TXT \"deep\"",
		"example.org. 300 MX %d mail.example.org.", "*.w%d.example.org. 60 A 192.0.2.10", "a.b.w%d.example.org. 60 A 192.0.2.11", "example.org. 300 TXT \"%d\"",
	}
	list := records(fmt.Sprintf(lines[random.IntN(len(lines))], random.IntN(3)))
	switch random.IntN(3) {
	case 0:
		l.commit(apex, events.RecordsRemoved{Zone: apex, Records: list})
	case 1:
		l.commit(apex, events.RecordsAdded{Zone: apex, Records: list})
	default:
		l.change(random)
	}
}

// RFC 1995 §5, RFC 4034 §4: a secondary of a signed zone is led from serial to
// serial, signatures and NSEC records included, and has what a whole transfer
// gives.
func TestIXFRSigned(t *testing.T) {
	l, signer := signedLog(t)
	secondary(l, "")
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
	all, err := g.transfer(axfr(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	serial, have := all[0].(*dns.SOA).Serial, map[string]bool{}
	for _, line := range lines(all) {
		have[line] = true
	}
	random, incremental := rand.New(rand.NewPCG(9, 5)), 0
	const rounds = 80
	for round := range rounds {
		for range 1 + random.IntN(5) {
			l.changeSigned(random)
		}
		was := serial
		all, err := g.transfer(ixfr(was), nil)
		if err != nil {
			t.Fatal(err)
		}
		serial = all[0].(*dns.SOA).Serial
		if applyIXFR(t, have, all, was) {
			incremental++
		}
		newest, err := g.transfer(axfr(""), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := slices.Sorted(maps.Keys(have)), lines(newest); !slices.Equal(got, want) {
			t.Fatalf("round %d, %d→%d: the secondary has\n%s\nwant\n%s", round, was, serial, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if incremental < rounds-1 { // once a week a window begins
		t.Errorf("only %d of %d transfers were incremental", incremental, rounds)
	}
	l.commit(apex, events.ZoneResigned{Zone: apex, At: time.Now()})
	if all, err = g.transfer(ixfr(serial), nil); err != nil || applyIXFR(t, map[string]bool{}, all, serial) {
		t.Errorf("signed anew, and %d records that lead there: %v", len(all), err)
	}
}

// RFC 1995 §4: the log is the journal: a secondary that was away for longer than
// the zone remembers single steps is told what changed, signed or not, and has
// what a whole transfer gives. Where the keys changed too that is the whole zone.
func TestIXFRFromLongAgo(t *testing.T) {
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%v", signed), func(t *testing.T) {
			l := newLog()
			l.keeps, l.at = true, time.Now
			var signer yggdrasil.Signer
			if signed {
				signer = withKeys(t, l)
			} else {
				l.commit(apex, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom}, events.RecordsAdded{Zone: apex, Records: records(exampleZone)})
			}
			secondary(l, "")
			g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer, o.Past = signer, l.then })
			all, err := g.transfer(axfr(""), nil)
			if err != nil {
				t.Fatal(err)
			}
			serial, have := all[0].(*dns.SOA).Serial, map[string]bool{}
			for _, line := range lines(all) {
				have[line] = true
			}
			random := rand.New(rand.NewPCG(1, 995))
			for range 1_100 {
				l.changeSigned(random)
			}
			l.commit(apex, events.ZoneConfigured{Zone: apex, Settings: events.ZoneSettings{RefreshSeconds: 1234}})
			if _, known := l.Zones().Named(apex).Changes(serial); known {
				t.Fatal("the journal reaches that far: this test shows nothing")
			}
			if small := g.exchange(ixfr(serial), false); len(small.Answer) != 1 {
				t.Errorf("over UDP nobody waits for the past: %v", small)
			}
			all, err = g.transfer(ixfr(serial), nil)
			if err != nil || !applyIXFR(t, have, all, serial) {
				t.Fatalf("%d records, not incremental: %v", len(all), err)
			}
			whole, err := g.transfer(axfr(""), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := slices.Sorted(maps.Keys(have)), lines(whole); !slices.Equal(got, want) {
				t.Fatalf("the secondary has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			const unknown = 0xff00_0000 // of no position
			if all, err = g.transfer(ixfr(serial+unknown), nil); err != nil || applyIXFR(t, map[string]bool{}, all, serial+unknown) {
				t.Errorf("an unknown serial: %d records, %v", len(all), err)
			}
		})
	}
}

// overUDP: RFC 1995 §2: what fits comes in one packet, else the SOA alone.
func overUDP(t *testing.T, g *game, l *log, serial uint32) {
	t.Helper()
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records("udp.example.org. 60 A 10.8.0.1")})
	if small := g.exchange(ixfr(serial), false); len(small.Answer) != 5 {
		t.Errorf("one change over UDP: %v", small)
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "udp-%d.example.org. 60 TXT %q\n", i, strings.Repeat("y", 50))
	}
	l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(many.String())})
	if large := g.exchange(ixfr(serial), false); len(large.Answer) != 1 || large.Answer[0].(*dns.SOA).Serial == serial || large.Truncated {
		t.Errorf("many changes over UDP: %v", large)
	}
}

// applyIXFR changes what a secondary has; false if it got a whole zone.
func applyIXFR(t *testing.T, have map[string]bool, all []dns.RR, from uint32) bool {
	t.Helper()
	if len(all) == 1 {
		return true
	}
	if second, ok := all[1].(*dns.SOA); !ok || second.Serial != from {
		clear(have)
		for _, line := range lines(all) {
			have[line] = true
		}
		return false
	}
	adding := true
	for _, rr := range all[1 : len(all)-1] {
		if rr.Header().Rrtype == dns.TypeSOA {
			adding = !adding
			continue
		}
		line := strings.Join(strings.Fields(rr.String()), " ")
		if have[line] == adding {
			t.Errorf("adding %v: %s", adding, line)
		}
		if adding {
			have[line] = true
		} else {
			delete(have, line)
		}
	}
	return true
}

// RFC 1996: secondaries are told of each new serial, again until they answer,
// and signed where a key is named (RFC 8945).
func TestNotify(t *testing.T) {
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := exampleLog()
	l.commit(apex, events.SecondaryAdded{Zone: apex, Address: listener.LocalAddr().String(), TSIGKey: "key.example", Notify: true},
		events.SecondaryAdded{Zone: apex, Address: "127.0.0.1:1", Notify: true}) // nobody there
	startWith(t, l, func(o *yggdrasil.Options) { o.Keyring, o.NotifyTimeout = oneKey{}, 50*time.Millisecond })
	ignored := 0
	next := func(answer bool) uint32 {
		buffer := make([]byte, 4096)
		if err := listener.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, from, err := listener.ReadFrom(buffer)
		if err != nil {
			t.Fatal(err)
		}
		m := unpack(t, buffer[:n])
		if m.Opcode != dns.OpcodeNotify || !m.Authoritative || m.Question[0].Name != "example.org." || m.Question[0].Qtype != dns.TypeSOA {
			t.Fatalf("not a NOTIFY: %v", m)
		}
		if err := dns.TsigVerify(buffer[:n], keySecret[keyText], "", false); err != nil {
			t.Errorf("the NOTIFY's signature: %v", err)
		}
		if !answer {
			ignored++
			return m.Answer[0].(*dns.SOA).Serial
		}
		reply := new(dns.Msg)
		reply.SetReply(m)
		reply.Authoritative = true
		reply.SetTsig(keyText, dns.HmacSHA256, 300, time.Now().Unix())
		packet, _, err := dns.TsigGenerate(reply, keySecret[keyText], m.IsTsig().MAC, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listener.WriteTo(packet, from); err != nil {
			t.Fatal(err)
		}
		return m.Answer[0].(*dns.SOA).Serial
	}
	until := func(serial uint32) {
		for next(true) != serial { // a slow machine may be told of an older one again
		}
	}
	next(false) // repeated
	next(false)
	until(l.Zones().Named(apex).Serial())
	for i := range 5 {
		l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(fmt.Sprintf("n%d.example.org. 60 A 10.0.0.1", i))})
		until(l.Zones().Named(apex).Serial())
	}
}
