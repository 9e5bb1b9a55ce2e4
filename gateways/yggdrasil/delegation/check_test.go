package delegation

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// fakeWorld is a resolver, a parent's server and a zone's server, which answer
// from what a test says they have.
type fakeWorld struct {
	resolver, parent, zone []string // records in presentation form
	bogus                  bool     // the resolver fails unless CD is set
	lame                   bool     // the zone's server does not know the zone
	validated              bool
}

const (
	apex  = "example.net."
	theDS = "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17"
)

// healthy is a world in which nothing is wrong.
func healthy() *fakeWorld {
	return &fakeWorld{
		resolver: []string{
			"example.net. 300 NS ns1.example.net.", "ns1.example.net. 300 A 127.0.0.1",
			"example.net. 300 DS " + theDS, "example.net. 300 SOA ns1.example.net. h.example.net. 7 1 1 1 1",
			"net. 300 NS parent.net.", "parent.net. 300 A 127.0.0.1",
		},
		parent:    []string{"example.net. 300 NS ns1.example.net.", "ns1.example.net. 300 A 127.0.0.1"},
		zone:      []string{"example.net. 300 SOA ns1.example.net. h.example.net. 7 1 1 1 1", "example.net. 300 RRSIG SOA 13 2 300 20261219000000 20261128000000 55648 example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw=="},
		validated: true,
	}
}

func wanted() Zone {
	return Zone{
		Name: apex, NameServers: []string{"ns1.example.net."}, Glue: map[string][]string{"ns1.example.net.": {"127.0.0.1"}},
		Serial: 7, DS: []string{theDS}, Tags: []uint16{55648},
	}
}

func parse(t *testing.T, lines []string) (records []dns.RR) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rr)
	}
	return records
}

// serve answers on a free port, UDP and TCP, until the test ends.
func serve(t *testing.T, answer func(q dns.Question, query, reply *dns.Msg)) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{
		PacketConn: packets, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
			reply := new(dns.Msg)
			reply.SetReply(query)
			answer(query.Question[0], query, reply)
			if err := w.WriteMsg(reply); err != nil {
				t.Error(err)
			}
		}),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return packets.LocalAddr().String()
}

// check runs a Check in a world, and gives its findings as lines.
func (w *fakeWorld) check(t *testing.T, zone Zone, askParent bool) []string {
	t.Helper()
	resolver, parent, own := parse(t, w.resolver), parse(t, w.parent), parse(t, w.zone)
	resolverAddress := serve(t, func(q dns.Question, query, reply *dns.Msg) {
		if w.bogus && !query.CheckingDisabled && strings.HasSuffix(q.Name, apex) && q.Qtype != dns.TypeDS {
			reply.Rcode = dns.RcodeServerFailure
			return
		}
		reply.AuthenticatedData = w.validated
		for _, rr := range resolver {
			if rr.Header().Rrtype == q.Qtype && strings.EqualFold(rr.Header().Name, q.Name) {
				reply.Answer = append(reply.Answer, rr)
			}
		}
	})
	// The parent and the zone's server share a port, as all servers do.
	shared := serve(t, func(q dns.Question, _, reply *dns.Msg) {
		if q.Qtype != dns.TypeNS {
			if reply.Authoritative = !w.lame; w.lame {
				reply.Rcode = dns.RcodeRefused
				return
			}
			reply.Answer = own
			return
		}
		for _, rr := range parent {
			if rr.Header().Rrtype == dns.TypeNS {
				reply.Ns = append(reply.Ns, rr)
			} else {
				reply.Extra = append(reply.Extra, rr)
			}
		}
	})
	_, port, err := net.SplitHostPort(shared)
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Resolver: Resolver{resolverAddress}, Port: port}
	if askParent {
		options.Parent = shared
	}
	var lines []string
	for _, f := range Check(t.Context(), zone, options) {
		lines = append(lines, strings.Join([]string{f.Check, string(f.Verdict), f.Seen, f.Todo}, " | "))
	}
	return lines
}

func without(records []string, text string) []string {
	return slices.DeleteFunc(slices.Clone(records), func(record string) bool { return strings.Contains(record, text) })
}

func TestHealthy(t *testing.T) {
	for _, askParent := range []bool{false, true} {
		lines := healthy().check(t, wanted(), askParent)
		if len(lines) != 5 {
			t.Errorf("%d findings: %q", len(lines), lines)
		}
		for _, line := range lines {
			if !strings.Contains(line, "| ok |") {
				t.Errorf("a healthy zone: %s", line)
			}
		}
	}
}

// TestFaults breaks one thing at a time; what is said names it and what to do.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		about string
		harm  func(*fakeWorld, *Zone)
		want  string
	}{
		{"not registered", func(w *fakeWorld, _ *Zone) { w.parent = nil }, "delegation | wrong | no delegation | register example.net."},
		{"another name server", func(w *fakeWorld, _ *Zone) { w.parent[0] = "example.net. 300 NS old.example.org." },
			"delegation | wrong | old.example.org. | add ns1.example.net. at the registrar; remove old.example.org."},
		{"old glue", func(w *fakeWorld, _ *Zone) { w.parent[1] = "ns1.example.net. 300 A 192.0.2.66" },
			"glue | wrong | 192.0.2.66 | add 127.0.0.1 to the host object ns1.example.net. at the registrar; remove 192.0.2.66"},
		{"no glue", func(w *fakeWorld, _ *Zone) { w.parent = w.parent[:1] }, "glue | wrong | none | add 127.0.0.1"},
		{"no DS", func(w *fakeWorld, _ *Zone) { w.resolver = without(w.resolver, " DS ") }, "ds | wrong | none | nobody validates"},
		{"a DS of a key that is gone", func(_ *fakeWorld, z *Zone) { z.Tags, z.DS = []uint16{1}, []string{"1 13 2 00"} }, "BOGUS"},
		{"a DS too many", func(w *fakeWorld, _ *Zone) { w.resolver = append(w.resolver, "example.net. 300 DS 9 13 2 AABB") },
			"remove 9 13 2 AABB: no key of the zone fits"},
		{"a DS for an unsigned zone", func(_ *fakeWorld, z *Zone) { z.Tags, z.DS = nil, nil }, "BOGUS"},
		{"a zone that shall be unsigned", func(_ *fakeWorld, z *Zone) { z.DS = nil }, "ds | wrong | " + theDS + " | the zone shall be unsigned and is signed until these are gone: remove 55648"},
		{"a lame server", func(w *fakeWorld, _ *Zone) { w.lame = true }, "server | wrong | not authoritative (REFUSED) | make 127.0.0.1 a secondary"},
		{"a secondary that is behind", func(_ *fakeWorld, z *Zone) { z.Serial = 8 }, "server | wrong | serial 7 | it is behind"},
		{"a secondary with an unsigned copy", func(w *fakeWorld, _ *Zone) { w.zone = w.zone[:1] }, "server | wrong | no signatures"},
		{"a server without an address", func(_ *fakeWorld, z *Zone) { z.NameServers = append(z.NameServers, "ns2.example.org.") },
			"server | wrong | ns2.example.org. has no address | give ns2.example.org. an address"},
		{"bogus", func(w *fakeWorld, _ *Zone) { w.bogus = true }, "validation | wrong | bogus"},
		{"a resolver that does not validate", func(w *fakeWorld, _ *Zone) { w.validated = false }, "validation | wrong | an answer, not validated"},
	} {
		world, zone := healthy(), wanted()
		c.harm(world, &zone)
		lines := world.check(t, zone, true)
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, c.want) }) {
			t.Errorf("%s: no %q in\n%s", c.about, c.want, strings.Join(lines, "\n"))
		}
	}
}

// TestUnreachable: what cannot be asked is no fault of the zone.
func TestUnreachable(t *testing.T) {
	refusing := Resolver{"127.0.0.1:1"} // tcpmux: nobody has it
	zone := wanted()
	zone.NameServers = nil
	for _, f := range Check(t.Context(), zone, Options{Resolver: refusing}) {
		if f.Verdict != Unknown || f.Todo == "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "2001:db8::1": "[2001:db8::1]:53", "[2001:db8::1]:5353": "[2001:db8::1]:5353",
		"": "", "localhost": "", "1.2.3.4:x": "",
	} {
		if got, err := ParseAddress(text); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
