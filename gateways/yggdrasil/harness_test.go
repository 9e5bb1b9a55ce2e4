package yggdrasil_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
	"pantheon/gateways/yggdrasil/dnssec"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// log is a source of zones: commits go straight into the fold.
type log struct {
	state    atomic.Pointer[zone.State]
	position atomic.Uint64
	at       func() time.Time // of a commit

	mu      sync.Mutex
	changed chan struct{}
	keeps   bool              // commits, for then
	kept    []events.Envelope // in order
}

var zoneOptions = zone.Options{
	Domain: "pantheon.example", Internal: "drush.in",
	Settings: events.ZoneSettings{
		NameServers: []events.NameServer{{Name: "ns1.pantheon.example", Addresses: []string{"192.0.2.53", "2001:db8::53"}}},
		Entry:       []string{"192.0.2.80", "2001:db8::80"},
	},
}

func newLog() *log {
	l := &log{changed: make(chan struct{}), at: func() time.Time { return time.Unix(1_700_000_000, 0).UTC() }}
	l.state.Store(zone.Empty(zoneOptions))
	return l
}

func (l *log) Zones() *zone.State        { return l.state.Load() }
func (l *log) Position() events.Position { return events.Position(l.position.Load()) }

func (l *log) Wait(ctx context.Context, position events.Position) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.Position() >= position {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commit folds one commit to a zone's stream.
func (l *log) commit(name events.ZoneName, happened ...events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	position := events.Position(l.position.Load() + 1)
	envelope := events.Envelope{
		Commit:   events.Commit{Stream: name.Stream(), Events: happened, Meta: events.Meta{Time: l.at()}},
		Revision: events.Revision(position), Position: position,
	}
	l.state.Store(l.state.Load().Apply(envelope))
	if l.keeps {
		l.kept = append(l.kept, envelope)
	}
	l.position.Store(uint64(position))
	close(l.changed)
	l.changed = make(chan struct{})
}

// then folds the zones of a position anew: they share nothing with those of now.
func (l *log) then(_ context.Context, position events.Position) (*zone.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := zone.Empty(zoneOptions)
	for _, envelope := range l.kept {
		if envelope.Position <= position {
			state = state.Apply(envelope)
		}
	}
	return state, nil
}

// records reads lines of zone text: name TTL type data, names whole.
func records(text string) (list []events.ZoneRecord) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0][0] == '#' {
			continue
		}
		var ttl int64
		fmt.Sscan(fields[1], &ttl)
		list = append(list, events.ZoneRecord{Name: strings.TrimSuffix(fields[0], "."), TTL: ttl, Type: fields[2], Data: strings.Join(fields[3:], " ")})
	}
	return list
}

const apex = events.ZoneName("example.org")

// exampleZone has a case of everything that answers differ by.
const exampleZone = `
example.org.                3600 NS    ns1.example.org.
example.org.                3600 NS    ns.elsewhere.net.
example.org.                300  MX    10 mail.example.org.
example.org.                300  TXT   "v=spf1 -all"
example.org.                300  CAA   0 issue "ca.example.net"
ns1.example.org.            300  A     192.0.2.1
ns1.example.org.            300  AAAA  2001:db8::1
mail.example.org.           300  A     192.0.2.2
www.example.org.            60   CNAME web.example.org.
web.example.org.            60   A     192.0.2.3
web.example.org.            60   A     192.0.2.4
away.example.org.           60   CNAME www.elsewhere.net.
dangling.example.org.       60   CNAME nothing.example.org.
loop1.example.org.          60   CNAME loop2.example.org.
loop2.example.org.          60   CNAME loop1.example.org.
deep.ent.example.org.       60   A     192.0.2.5
_ssh._tcp.example.org.      60   SRV   1 2 2222 web.example.org.
svc.example.org.            60   HTTPS 1 . alpn=h2
*.wild.example.org.         60   A     192.0.2.6
*.wild.example.org.         60   MX    10 mail.example.org.
here.wild.example.org.      60   TXT   "explicit"
*.wcname.example.org.       60   CNAME web.example.org.
below.*.entwild.example.org. 60  A     192.0.2.8
moved.example.org.          60   DNAME web.example.org.
child.example.org.          600  NS    ns.child.example.org.
child.example.org.          600  NS    ns1.example.org.
ns.child.example.org.       600  A     192.0.2.7
secure.example.org.         600  NS    ns.elsewhere.net.
secure.example.org.         600  DS    12345 13 2 49FD46E6C4B45C55D4AC00000000000000000000000000000000000000000000
tocut.example.org.          60   CNAME below.child.example.org.
`

// game is a server of a log, running.
type game struct {
	t       testing.TB
	log     *log
	server  *yggdrasil.Server
	address string
	stop    func()
}

// start runs a server with an example zone until the test ends.
func start(t testing.TB, change func(*yggdrasil.Options)) *game {
	t.Helper()
	return startWith(t, newLog(), change)
}

func startWith(t testing.TB, l *log, change func(*yggdrasil.Options)) *game {
	t.Helper()
	if l.Zones().Named(apex) == nil {
		l.commit(apex, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom}, events.RecordsAdded{Zone: apex, Records: records(exampleZone)})
	}
	options := yggdrasil.Options{Source: l, Sockets: 2, ResponsesPerSecond: -1, Identity: "ygg-1"}
	if change != nil {
		change(&options)
	}
	server, err := yggdrasil.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	udp, tcp, err := yggdrasil.Listen(ctx, "127.0.0.1:0", options.Sockets)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, udp, []net.Listener{tcp}) }()
	g := &game{t: t, log: l, server: server, address: tcp.Addr().String()}
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// withKeys signs the example zone.
func withKeys(t testing.TB, l *log) *dnssec.Signer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := dns.Fqdn(string(apex))
	buffer := make([]byte, 255)
	n, err := dns.PackDomainName(name, buffer, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	introduce(t, l, ring, buffer[:n])
	signer, err := dnssec.New(dnssec.Options{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// ask sends a question over UDP, or TCP.
func (g *game) ask(question string, tcp bool) *dns.Msg {
	g.t.Helper()
	return g.exchange(parseQuestion(g.t, question), tcp)
}

func (g *game) exchange(m *dns.Msg, tcp bool) *dns.Msg {
	g.t.Helper()
	client := &dns.Client{Net: map[bool]string{false: "udp", true: "tcp"}[tcp], Timeout: time.Minute, UDPSize: 65535}
	answer, _, err := client.Exchange(m, g.address)
	if err != nil {
		g.t.Fatalf("%v: %v", m.Question, err)
	}
	return answer
}

// parseQuestion reads: name type [do] [size=N] [class=X].
func parseQuestion(t testing.TB, text string) *dns.Msg {
	t.Helper()
	fields := strings.Fields(text)
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(fields[0]), dns.StringToType[fields[1]])
	m.RecursionDesired = false
	if m.Question[0].Qtype == 0 {
		t.Fatalf("unknown type in %q", text)
	}
	for _, option := range fields[2:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "do":
			m.SetEdns0(1232, true)
		case "size":
			var size uint16
			fmt.Sscan(value, &size)
			m.SetEdns0(size, m.IsEdns0() != nil && m.IsEdns0().Do())
		case "class":
			m.Question[0].Qclass = dns.StringToClass[value]
		default:
			t.Fatalf("unknown option %q", option)
		}
	}
	return m
}

// text shows an answer: code and flags, then the sections. Signatures show what
// they cover.
func text(m *dns.Msg) string {
	head := dns.RcodeToString[m.Rcode]
	for name, set := range map[string]bool{"aa": m.Authoritative} {
		if set {
			head += " " + name
		}
	}
	if m.Truncated {
		head += " tc"
	}
	lines := []string{head}
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"an", m.Answer}, {"au", m.Ns}, {"ad", m.Extra}} {
		for _, rr := range section.records {
			switch rr := rr.(type) {
			case *dns.OPT:
				for _, option := range rr.Option {
					if e, ok := option.(*dns.EDNS0_EDE); ok {
						lines = append(lines, fmt.Sprintf("ede %d %s", e.InfoCode, e.ExtraText))
					}
				}
			case *dns.RRSIG:
				lines = append(lines, fmt.Sprintf("%s %s %d RRSIG %s %d", section.name, rr.Hdr.Name, rr.Hdr.Ttl, dns.TypeToString[rr.TypeCovered], rr.Labels))
			default:
				fields := strings.Fields(rr.String())
				lines = append(lines, section.name+" "+strings.Join(slices.Delete(fields, 2, 3), " "))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// introduce gives the example zone a key of that ring.
func introduce(t testing.TB, l *log, ring *keyring.Ring, wireApex []byte) {
	t.Helper()
	if err := addKey(l, ring, wireApex); err != nil {
		t.Fatal(err)
	}
}

func addKey(l *log, ring *keyring.Ring, wireApex []byte) error {
	key, err := ring.NewZoneKey(wireApex, 257, nil)
	if err != nil {
		return err
	}
	id := events.ZoneKeyID(strings.Repeat("0", 31) + "1")
	at := time.Unix(1_700_000_000, 0).UTC()
	l.commit(apex,
		events.ZoneAdded{Zone: apex, Role: events.ZoneCustom},
		events.RecordsAdded{Zone: apex, Records: records(exampleZone)},
		events.ZoneKeyIntroduced{Zone: apex, Key: id, Role: events.CommonSigning, Algorithm: 13, Tag: int(key.Tag), Public: base64.StdEncoding.EncodeToString(key.Public), At: at},
		events.ZoneKeyActivated{Zone: apex, Key: id, At: at})
	return nil
}
