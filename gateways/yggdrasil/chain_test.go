package yggdrasil_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
	"pantheon/gateways/yggdrasil/delegation"
	"pantheon/gateways/yggdrasil/dnssec"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// chain is a small DNS of its own, at port 53 of loopback addresses: NSD
// serves the root and the zone test., signed by BIND's tools; we serve
// child.test., and unbound resolves and validates by the key of test. alone.
// Every TTL is a second.
type chain struct {
	t                       testing.TB
	registry                registry
	log                     *log
	keeper                  *dnssec.Keeper
	signer                  *dnssec.Signer
	parent, child, resolver string // addresses
}

const child events.ZoneName = "child.test"

// freeAddresses gives loopback addresses whose port 53 is free.
func freeAddresses(t testing.TB, n int) (all []string) {
	t.Helper()
	for range 20 {
		network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
		all = nil
		for i := range n {
			address := fmt.Sprint(network, i+1)
			packets, err := net.ListenPacket("udp", address+":53")
			if err != nil {
				break
			}
			all = append(all, address)
			_ = packets.Close()
		}
		if len(all) == n {
			return all
		}
	}
	t.Skip("port 53 of loopback addresses cannot be had: it needs root, and nobody else there")
	return nil
}

// run starts a program that ends with the test.
func run(t testing.TB, name string, arguments ...string) *os.Process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed: go tool task setup-test", name)
		}
	}
	command := exec.Command(path, arguments...)
	said, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = said.Close()
		if text, err := os.ReadFile(said.Name()); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return command.Process
}

func write(t testing.TB, path, format string, values ...any) {
	t.Helper()
	if err := os.WriteFile(path, fmt.Appendf(nil, format, values...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exchange asks one server; an error is no answer.
func exchange(address, name string, rrtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, rrtype)
	m.SetEdns0(1232, true)
	client := &dns.Client{Timeout: 10 * time.Second}
	answer, _, err := client.Exchange(m, net.JoinHostPort(address, "53"))
	return answer, err
}

// until asks as long as it has to.
func (c *chain) until(about string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not in two minutes", about)
		}
	}
}

func startChain(t *testing.T) *chain {
	t.Helper()
	addresses := freeAddresses(t, 3)
	c := &chain{t: t, log: newLog(), parent: addresses[0], child: addresses[1], resolver: addresses[2]}
	c.startChild()
	c.startParent()
	c.startResolver()
	return c
}

func (c *chain) startChild() {
	ring, err := keyring.Open(filepath.Join(c.t.TempDir(), "keys"))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.signer, err = dnssec.New(dnssec.Options{Keys: ring, KeySetTTL: time.Second}); err != nil {
		c.t.Fatal(err)
	}
	c.keeper, err = dnssec.NewKeeper(dnssec.KeeperOptions{
		Zones: chainView{c.log}, Keys: ring, Recorder: chainRecorder{c.log}, Parent: delegation.Resolver{Address: c.resolver + ":53"},
		Unsigned: func(z *zone.Zone) bool { return z.Name() != child },
		Logger:   slog.New(slog.DiscardHandler),
		Timings: dnssec.Timings{KeySetTTL: time.Second, Propagation: time.Second, RemoveAfter: 3 * time.Second,
			ParentPause: 100 * time.Millisecond, MinDSTTL: 3 * time.Second, MaxDSTTL: 10 * time.Second},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.log.commit(child, events.ZoneAdded{Zone: child, Role: events.ZoneCustom, Settings: events.ZoneSettings{
		NameServers: []events.NameServer{{Name: "ns1.child.test", Addresses: []string{c.child}}}, TTLSeconds: 1, NegativeTTLSeconds: 1,
	}}, events.RecordsAdded{Zone: child, Records: records("www.child.test. 1 A 192.0.2.1\n*.wild.child.test. 1 TXT \"any\"\n")})
	server, err := yggdrasil.New(yggdrasil.Options{Source: c.log, Signer: c.signer, ResponsesPerSecond: -1})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	udp, tcp, err := yggdrasil.Listen(ctx, c.child+":53", 1)
	if err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, udp, []net.Listener{tcp}) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
}

// registry is the parent's zone, which a test changes.
type registry struct {
	dir     string
	serial  uint32
	records []string // below the zone's own
	server  *os.Process
}

func (c *chain) startParent() {
	dir := c.t.TempDir()
	c.registry = registry{dir: dir, records: []string{"child.test. NS ns1.child.test.", "ns1.child.test. A " + c.child}}
	tool(c.t, "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-L", "1", "-K", dir, "test")
	write(c.t, filepath.Join(dir, "root"), "$TTL 1\n. SOA ns.test. h.test. 1 1 1 1000 1\n. NS ns.test.\ntest. NS ns.test.\nns.test. A %s\n", c.parent)
	c.sign()
	write(c.t, filepath.Join(dir, "nsd.conf"), `server:
  ip-address: %s@53
  server-count: 1
  username: ""
  zonesdir: %[2]q
  database: ""
  pidfile: ""
  xfrdfile: ""
  xfrdir: %[2]q
  zonelistfile: "%[2]s/list"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root"
zone:
  name: "test"
  zonefile: "test.signed"
`, c.parent, dir)
	c.registry.server = run(c.t, "nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
	c.until("the parent answers", c.served)
}

// sign writes the parent's zone as its next serial.
func (c *chain) sign() {
	r := &c.registry
	r.serial++
	file := filepath.Join(r.dir, "test")
	write(c.t, file, "$TTL 1\ntest. SOA ns.test. h.test. %d 1 1 1000 1\ntest. NS ns.test.\nns.test. A %s\n%s\n", r.serial, c.parent, strings.Join(r.records, "\n"))
	tool(c.t, "dnssec-signzone", "-q", "-S", "-z", "-K", r.dir, "-d", r.dir, "-o", "test", "-f", file+".signed", file)
}

// served says whether the parent answers by its newest serial.
func (c *chain) served() bool {
	answer, err := exchange(c.parent, "test.", dns.TypeSOA)
	if err != nil || len(answer.Answer) == 0 {
		return false
	}
	soa, is := answer.Answer[0].(*dns.SOA)
	return is && soa.Serial == c.registry.serial
}

// update changes what the parent has, as a registrar does; it is served when
// update returns.
func (c *chain) update(remove, add string) {
	c.t.Helper()
	r := &c.registry
	r.records = slices.DeleteFunc(r.records, func(record string) bool { return record == remove })
	if add != "" {
		r.records = append(r.records, add)
	}
	c.sign()
	if err := r.server.Signal(syscall.SIGHUP); err != nil {
		c.t.Fatal(err)
	}
	c.until("the parent serves the change", c.served)
}

func (c *chain) startResolver() {
	dir := c.t.TempDir()
	keys, err := exchange(c.parent, "test.", dns.TypeDNSKEY)
	if err != nil {
		c.t.Fatal(err)
	}
	var anchor strings.Builder
	for _, rr := range keys.Answer {
		if key, is := rr.(*dns.DNSKEY); is && key.Flags&dns.SEP != 0 {
			fmt.Fprintf(&anchor, "  trust-anchor: %q\n", strings.ReplaceAll(key.String(), "\t", " "))
		}
	}
	write(c.t, filepath.Join(dir, "hints"), ". 3600 NS ns.test.\nns.test. 3600 A %s\n", c.parent)
	write(c.t, filepath.Join(dir, "unbound.conf"), `server:
  interface: %s
  username: ""
  chroot: ""
  pidfile: ""
  directory: %q
  root-hints: "hints"
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  local-zone: "test." nodefault
  aggressive-nsec: no
  cache-max-ttl: 1
  val-bogus-ttl: 1
  infra-host-ttl: 1
%sremote-control:
  control-enable: no
`, c.resolver, dir, anchor.String())
	run(c.t, "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
	c.until("the resolver validates the parent", func() bool {
		answer, err := exchange(c.resolver, "test.", dns.TypeSOA)
		return err == nil && answer.AuthenticatedData
	})
}

func (c *chain) zone() *zone.Zone { return c.log.Zones().Named(child) }

// ds is the record that the parent shall have for a key.
func (c *chain) ds(key zone.Key) string {
	rr, err := zone.RR(c.zone().Apex(), dns.TypeDS, 1, dnssec.DS(c.zone().Apex(), key))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.ReplaceAll(rr.String(), "\t", " ")
}

func (c *chain) states() string {
	var all []string
	for _, key := range c.zone().Keys() {
		all = append(all, string(key.State))
	}
	return strings.Join(all, " ")
}

// tend has the keeper work until the keys stand as wanted. At each step users
// of the resolver get every kind of answer; a validated one if secure.
func (c *chain) tend(about, want, waits string, secure bool) {
	c.t.Helper()
	c.until(about+": "+want, func() bool {
		c.keeper.Tend(c.t.Context(), c.log.Zones())
		c.believed(about, secure)
		return c.states() == want && strings.Contains(c.keeper.Waits(c.zone().Apex()), waits)
	})
}

func (c *chain) believed(about string, secure bool) {
	c.t.Helper()
	for question, want := range map[string]int{
		"www.child.test. A": dns.RcodeSuccess, "www.child.test. MX": dns.RcodeSuccess, "child.test. DNSKEY": dns.RcodeSuccess,
		fmt.Sprintf("n%d.child.test. A", rand.Uint32()):        dns.RcodeNameError,
		fmt.Sprintf("n%d.wild.child.test. TXT", rand.Uint32()): dns.RcodeSuccess,
	} {
		name, rrtype, _ := strings.Cut(question, " ")
		answer, err := exchange(c.resolver, name, dns.StringToType[rrtype])
		if err != nil {
			c.t.Fatalf("%s: %s: %v", about, question, err)
		}
		if answer.Rcode != want || secure && !answer.AuthenticatedData {
			c.t.Fatalf("%s: with keys %q %s is answered with\n%v", about, c.states(), question, answer)
		}
	}
}

// secured gives the zone its first key and the parent its DS.
func (c *chain) secured() {
	c.t.Helper()
	c.tend("the first key", "active", "", false)
	c.update("", c.ds(c.zone().Keys()[0]))
	c.until("the chain is whole", func() bool {
		answer, err := exchange(c.resolver, "www.child.test.", dns.TypeA)
		return err == nil && answer.AuthenticatedData
	})
}

type chainView struct{ *log }

func (v chainView) Load() (*zone.State, events.Position) { return v.Zones(), v.Position() }

// chainRecorder records what the keeper decides.
type chainRecorder struct{ *log }

func (r chainRecorder) IntroduceKey(_ context.Context, name events.ZoneName, key dnssec.NewKey) error {
	r.commit(name, events.ZoneKeyIntroduced{Zone: name, Key: key.ID, Role: key.Role, Algorithm: key.Algorithm, Tag: key.Tag, Public: key.Public, At: time.Now()})
	return nil
}

func (r chainRecorder) ActivateKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	r.commit(name, events.ZoneKeyActivated{Zone: name, Key: key, At: time.Now()})
	return nil
}

func (r chainRecorder) RetireKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID, _ bool) error {
	r.commit(name, events.ZoneKeyRetired{Zone: name, Key: key, At: time.Now()})
	return nil
}

func (r chainRecorder) RemoveKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	r.commit(name, events.ZoneKeyRemoved{Zone: name, Key: key, At: time.Now()})
	return nil
}

func (r chainRecorder) Resign(context.Context, events.ZoneName, int64) error { return nil }

// TestChainRolls: a key roll-over (RFC 6781 §4.1.2) and the way back to no
// signatures (RFC 8078 §4) below a real parent, and nobody who validates
// notices.
func TestChainRolls(t *testing.T) {
	c := startChain(t)
	c.secured()
	first := c.zone().Keys()[0]
	made, err := c.keeper.NewKey(c.zone())
	if err != nil {
		t.Fatal(err)
	}
	if err := (chainRecorder{c.log}).IntroduceKey(t.Context(), child, made); err != nil {
		t.Fatal(err)
	}
	c.tend("a new key", "active published", "waits for its DS at the parent", true)
	second := c.zone().Keys()[1]
	c.update("", c.ds(second))
	c.tend("the parent has both DS", "retired active", "", true)
	c.update(c.ds(first), "")
	c.tend("the parent has the new DS", "active", "", true)

	c.log.commit(child, events.ZoneSigningDecided{Zone: child, At: time.Now()})
	c.tend("to be unsigned", "active", "the parent has DS records still", true)
	if answer, err := exchange(c.resolver, "child.test.", dns.TypeCDS); err != nil || !answer.AuthenticatedData || !strings.HasSuffix(answer.Answer[0].String(), "\t0 0 0 00") {
		t.Errorf("CDS: %v %v", err, answer)
	}
	c.update(c.ds(second), "")
	c.tend("the parent has no DS", "", "", false)
	c.believed("unsigned", false)
}

// TestChainCheck: what a check of the delegation finds when nothing is wrong,
// and what when the parent or a server is.
func TestChainCheck(t *testing.T) {
	c := startChain(t)
	c.secured()
	glue := "ns1.child.test. A " + c.child
	key := c.zone().Keys()[0]
	right := c.ds(key)
	wrong := key
	wrong.Tag++
	wanted := func() delegation.Zone {
		return delegation.Zone{
			Name: "child.test.", NameServers: []string{"ns1.child.test."}, Glue: map[string][]string{"ns1.child.test.": {c.child}},
			Serial: c.zone().Serial(), DS: []string{strings.TrimPrefix(right, "child.test. 1 IN DS ")}, Tags: []uint16{key.Tag},
		}
	}
	check := func(z delegation.Zone) (lines []string, bad int) {
		for _, f := range delegation.Check(t.Context(), z, delegation.Options{Resolver: delegation.Resolver{Address: c.resolver + ":53"}}) {
			lines = append(lines, strings.Join([]string{f.Check, string(f.Verdict), f.Subject, f.Seen, f.Todo}, " | "))
			if f.Verdict != delegation.OK {
				bad++
			}
		}
		return lines, bad
	}
	finds := func(about, want string, z delegation.Zone) {
		t.Helper()
		var lines []string
		c.until(about, func() bool {
			lines, _ = check(z)
			return strings.Contains(strings.Join(lines, "\n"), want)
		})
	}
	if lines, bad := check(wanted()); bad > 0 || len(lines) != 5 {
		t.Errorf("nothing is wrong, and it says\n%s", strings.Join(lines, "\n"))
	}
	lame := wanted()
	lame.NameServers = append(lame.NameServers, "ns.test.")
	finds("a lame server", "server | wrong | ns.test. "+c.parent+" | not authoritative (NOERROR) | make "+c.parent+" a secondary", lame)

	c.update(glue, "")
	finds("no glue", "glue | wrong | ns1.child.test. | none | add "+c.child+" to the host object", wanted())
	c.update("", glue)

	c.update(right, c.ds(wrong))
	finds("a DS of another key", "the zone is BOGUS for everybody who validates: put the expected DS at the registrar at once", wanted())
	finds("and so to its users", "validation | wrong | "+c.resolver+":53 | bogus", wanted())
	c.update(c.ds(wrong), right)
	c.until("mended", func() bool { _, bad := check(wanted()); return bad == 0 })
}
