package yggdrasil_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
)

// rivals are servers of other makes that follow the example zone: %[1]s is
// their folder, %[2]s their port, %[3]s ours.
var rivals = []struct {
	name, binary, config string
	arguments            []string
}{
	{"knot", "knotd", `server:
  rundir: "%[1]s"
  listen: 127.0.0.1@%[2]s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: "%[1]s"
key:
  - id: key.example
    algorithm: hmac-sha256
    secret: c2VjcmV0
remote:
  - id: primary
    address: 127.0.0.1@%[3]s
    key: key.example
acl:
  - id: notified
    address: 127.0.0.1
    action: notify
    key: key.example
  - id: asked
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.org
    storage: "%[1]s"
    master: primary
    acl: [notified, asked]
`, []string{"-c", "%[1]s/conf"}},
	{"nsd", "nsd", `server:
  ip-address: 127.0.0.1@%[2]s
  username: ""
  chroot: ""
  zonesdir: "%[1]s"
  database: ""
  pidfile: "%[1]s/pid"
  xfrdfile: "%[1]s/xfrd"
  xfrdir: "%[1]s"
  zonelistfile: "%[1]s/list"
  server-count: 1
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
key:
  name: key.example
  algorithm: hmac-sha256
  secret: c2VjcmV0
zone:
  name: example.org
  zonefile: "%[1]s/zone"
  request-xfr: 127.0.0.1@%[3]s key.example
  allow-notify: 127.0.0.1 key.example
  provide-xfr: 127.0.0.1 NOKEY
`, []string{"-d", "-c", "%[1]s/conf"}},
	{"bind", "named", `options {
  directory "%[1]s"; pid-file none; session-keyfile none; listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
  recursion no; minimal-responses no-auth; zero-no-soa-ttl no; allow-transfer { 127.0.0.1; }; notify no; dnssec-validation no;
};
controls { };
key key.example { algorithm hmac-sha256; secret "c2VjcmV0"; };
zone example.org { type secondary; primaries port %[3]s { 127.0.0.1 key key.example; }; file "zone"; masterfile-format text; };
`, []string{"-g", "-n", "1", "-c", "%[1]s/conf"}},
}

// follow starts a server of another make; the test is skipped if it is not
// installed.
func (g *game) follow(t *testing.T, index int) (address string) {
	t.Helper()
	r := rivals[index]
	path := "/usr/sbin/" + r.binary
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not installed: go tool task setup-test", r.binary)
	}
	dir := t.TempDir()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(probe.Addr().String())
	probe.Close()
	if err := os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, r.config, dir, port, g.port()), 0o600); err != nil {
		t.Fatal(err)
	}
	var arguments []string
	for _, a := range r.arguments {
		arguments = append(arguments, strings.ReplaceAll(a, "%[1]s", dir))
	}
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, arguments...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		output.Close()
		if t.Failed() {
			content, _ := os.ReadFile(output.Name())
			t.Logf("%s said:\n%s", r.name, content[max(0, len(content)-4000):])
		}
	})
	address = "127.0.0.1:" + port
	g.log.commit(apex, events.SecondaryAdded{Zone: apex, Address: address, TSIGKey: keyText, Notify: true})
	return address
}

// reaches waits until a server has our serial.
func (g *game) reaches(t *testing.T, address string) {
	t.Helper()
	want := g.log.Zones().Named(apex).Serial()
	client := &dns.Client{Timeout: 100 * time.Millisecond}
	var last any
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		answer, _, err := client.Exchange(parseQuestion(t, "example.org SOA"), address)
		if err != nil {
			last = err
			continue
		}
		last = answer
		if len(answer.Answer) == 1 && answer.Response && answer.Answer[0].(*dns.SOA).Serial == want {
			return
		}
	}
	t.Fatalf("serial %d is not reached: %v", want, last)
}

// newest gives the whole zone as a server has it. Its processes learn of a new
// serial one after the other, so the transfer is repeated until it has ours.
func (g *game) newest(t *testing.T, address string) []dns.RR {
	t.Helper()
	want := g.log.Zones().Named(apex).Serial()
	other := &game{t: t, log: g.log, address: address}
	var last any
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		all, err := other.transfer(axfr(""), nil)
		if err == nil && len(all) > 0 && all[0].(*dns.SOA).Serial == want {
			return all
		}
		last = err
	}
	t.Fatalf("no transfer of serial %d: %v", want, last)
	return nil
}

// change commits a random change of records.
func (l *log) change(random *rand.Rand) {
	name := fmt.Sprintf("r%d.%s", random.IntN(40), []string{"example.org", "sub.example.org", "a.b.example.org", "*.w.example.org"}[random.IntN(4)])
	name = strings.ReplaceAll(name, ".*.", "-x.")
	data := []string{"60 A 10.9.0.%d", "60 TXT \"text %d\"", "60 MX %d mail.example.org.", "60 AAAA 2001:db8::%d", "60 SRV 0 0 %d web.example.org."}[random.IntN(5)]
	list := records(name + ". " + fmt.Sprintf(data, 1+random.IntN(4)))
	if random.IntN(3) == 0 {
		l.commit(apex, events.RecordsRemoved{Zone: apex, Records: list})
	} else {
		l.commit(apex, events.RecordsAdded{Zone: apex, Records: list})
	}
}

// RFC 5936, 1995, 1996, 8945 with others: Knot, NSD and BIND follow a stream of
// changes, and have the same zone whenever it pauses. Then the same questions
// get the same answers from them and from us.
func TestBesideOthers(t *testing.T) {
	for i := range rivals {
		t.Run(rivals[i].name, func(t *testing.T) {
			l := exampleLog()
			secondary(l, keyText)
			l.commit(apex, events.RecordsRemoved{Zone: apex, Records: records("loop1.example.org. 60 CNAME loop2.example.org.")})
			g := startWith(t, l, func(o *yggdrasil.Options) { o.Keyring, o.NotifyTimeout = oneKey{}, 200*time.Millisecond })
			address := g.follow(t, i)
			random := rand.New(rand.NewPCG(uint64(i), 7))
			g.reaches(t, address)
			for range 4 {
				for range 250 {
					l.change(random)
				}
				g.reaches(t, address)
				all := g.newest(t, address)
				if got, want := lines(all), l.content(t); !slices.Equal(got, want) {
					t.Fatalf("the zones differ: there\n%s\nhere\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
			g.compare(t, address, rivals[i].name, random)
		})
	}
}

// RFC 1995, 4034, 4035 with others: Knot, NSD and BIND follow a signed zone step
// by step, with signatures and NSEC records that are never made for them but
// follow from the serial; they have what a whole transfer has, dnssec-verify
// finds nothing wrong in it, and they prove what is not there as we do.
func TestBesideOthersSigned(t *testing.T) {
	for i := range rivals {
		t.Run(rivals[i].name, func(t *testing.T) {
			l, signer := signedLog(t)
			secondary(l, "")
			l.commit(apex, events.RecordsRemoved{Zone: apex, Records: records("loop1.example.org. 60 CNAME loop2.example.org.\nmoved.example.org. 60 DNAME web.example.org.")})
			g := startWith(t, l, func(o *yggdrasil.Options) {
				o.Keyring, o.Signer, o.NotifyTimeout = oneKey{}, signer, 200*time.Millisecond
			})
			address := g.follow(t, i)
			random := rand.New(rand.NewPCG(uint64(i), 11))
			g.reaches(t, address)
			const rounds = 5
			for range rounds {
				for range 60 {
					l.changeSigned(random)
				}
				g.reaches(t, address)
				all, err := g.transfer(axfr(""), nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := lines(g.newest(t, address)), lines(all); !slices.Equal(got, want) {
					t.Fatalf("the zones differ: there\n%s\nhere\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
			// The first one and ours; another one where a window of signatures
			// begins meanwhile. They are counted after they have arrived.
			if whole := g.transfers(t, "axfr"); whole > 1+rounds+1 {
				t.Errorf("%v whole transfers", whole)
			}
			g.compare(t, address, rivals[i].name, random)
		})
	}
}

// transfers counts those that were sent.
func (g *game) transfers(t *testing.T, kind string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(g.server.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if strings.HasSuffix(family.GetName(), "transfers_total") && m.Label[0].GetValue() == kind && m.Label[1].GetValue() == "sent" {
				return m.Counter.GetValue()
			}
		}
	}
	return 0
}

// compare sends the same random questions to both.
func (g *game) compare(t *testing.T, address, rival string, random *rand.Rand) {
	t.Helper()
	other := &game{t: t, log: g.log, address: address}
	labels := []string{"www", "web", "ns1", "mail", "away", "dangling", "deep", "ent", "_ssh", "_tcp", "svc", "*", "wild", "here", "wcname", "child",
		"ns", "secure", "tocut", "below", "r1", "r2", "r3", "r4-x", "sub", "a", "b", "w", "nothing"}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeMX, dns.TypeTXT, dns.TypeSOA, dns.TypeCNAME, dns.TypeSRV, dns.TypeDS, dns.TypeHTTPS, dns.TypeCAA}
	differences := 0
	for range 1500 {
		name := "example.org."
		for range random.IntN(4) {
			name = labels[random.IntN(len(labels))] + "." + name
		}
		m := new(dns.Msg)
		m.SetQuestion(name, types[random.IntN(len(types))])
		m.RecursionDesired = random.IntN(2) == 0
		if random.IntN(2) == 0 {
			m.SetEdns0(1232, random.IntN(2) == 0)
		}
		ours, theirs := comparable(g.exchange(m.Copy(), false)), comparable(other.exchange(m.Copy(), false))
		if ours != theirs {
			t.Errorf("%s %s: we say\n%s\n%s says\n%s", name, dns.TypeToString[m.Question[0].Qtype], ours, rival, theirs)
			if differences++; differences > 5 {
				return
			}
		}
	}
}

// comparable shows what must be the same in every server's answer: the code,
// the flags, the answer, and what else is not at a server's choice (the
// addresses beside an answer and beside the delegated zone, the servers of the
// zone).
func comparable(m *dns.Msg) string {
	var kept []dns.RR
	positive := len(m.Answer) > 0 && m.Rcode == dns.RcodeSuccess
	for _, rr := range m.Ns {
		signature, signed := rr.(*dns.RRSIG)
		servers := rr.Header().Rrtype == dns.TypeNS || signed && signature.TypeCovered == dns.TypeNS
		if !(positive && servers && rr.Header().Name == "example.org.") {
			kept = append(kept, rr)
		}
	}
	head := fmt.Sprintf("%s aa=%v tc=%v rd=%v ra=%v", dns.RcodeToString[m.Rcode], m.Authoritative, m.Truncated, m.RecursionDesired, m.RecursionAvailable)
	section := func(all []dns.RR) string {
		var texts []string
		for _, rr := range all {
			if rr.Header().Rrtype != dns.TypeOPT {
				texts = append(texts, strings.Join(strings.Fields(rr.String()), " "))
			}
		}
		slices.Sort(texts)
		return strings.Join(texts, "\n")
	}
	additional := ""
	if !m.Authoritative && len(m.Ns) > 0 {
		additional = section(slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return !dns.IsSubDomain(m.Ns[0].Header().Name, rr.Header().Name) }))
	}
	return head + "\n" + section(m.Answer) + "\n--\n" + section(kept) + "\n--\n" + additional
}
