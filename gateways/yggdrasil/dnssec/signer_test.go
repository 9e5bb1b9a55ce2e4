package dnssec

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	metrics "github.com/prometheus/client_model/go"

	"pantheon/projections/zone"
)

// made gives how many signatures a signer has made.
func made(s *Signer) int { return count(s.made) }

func count(c prometheus.Counter) int {
	var value metrics.Metric
	if err := c.Write(&value); err != nil {
		panic(err)
	}
	return int(value.GetCounter().GetValue())
}

func rrset(t testing.TB, z *zone.Zone, name string, rrtype uint16) ([]byte, *zone.RRset) {
	t.Helper()
	owner := wire(t, name)
	node := z.Lookup(owner).Node
	if node == nil || node.RRset(rrtype) == nil {
		t.Fatalf("the zone has no %s %s", name, dns.TypeToString[rrtype])
	}
	return owner, node.RRset(rrtype)
}

func TestUnsigned(t *testing.T) {
	w := newWorld(t)
	s := w.signer(8)
	owner, soa := rrset(t, w.zone(), "example.net.", dns.TypeSOA)
	if rrsig := s.Sign(w.zone(), owner, soa); rrsig != nil {
		t.Errorf("a zone without keys is signed: %v", rrsig)
	}
	if dnskey, cds, cdnskey := s.Keys(w.zone()); dnskey != nil || cds != nil || cdnskey != nil {
		t.Error("a zone without keys has key sets")
	}
}

// TestCache: a signature is made once; it survives changes of other names, and
// is made anew for other records, in the next window, and by other keys.
func TestCache(t *testing.T) {
	w := newWorld(t)
	w.add("www.example.net", "A", "192.0.2.1")
	w.sign()
	s := w.signer(64)
	sign := func() *zone.RRset {
		owner, set := rrset(t, w.zone(), "www.example.net.", dns.TypeA)
		return s.Sign(w.zone(), owner, set)
	}
	steps := []struct {
		about string
		do    func()
		more  int
	}{
		{"first", func() {}, 1},
		{"again", func() {}, 0},
		{"another name changed", func() { w.add("other.example.net", "A", "192.0.2.9") }, 0},
		{"its records changed", func() { w.add("www.example.net", "A", "192.0.2.2") }, 1},
		{"an hour later", func() { w.pass(time.Hour) }, 0},
		{"a window later", func() { w.pass(windowLength) }, 1},
	}
	for _, step := range steps {
		step.do()
		before := made(s)
		rrsig := sign()
		if got := made(s) - before; got != step.more {
			t.Errorf("%s: %d signatures made, want %d", step.about, got, step.more)
		}
		_, key := rfc6605Key(t)
		_, set := rrset(t, w.zone(), "www.example.net.", dns.TypeA)
		var records []dns.RR
		for _, data := range set.Data {
			rr, err := zone.RR(wire(t, "www.example.net."), dns.TypeA, set.TTL, data)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rr)
		}
		if rr := verify(t, "example.net.", key, "www.example.net.", rrsig.Data[0], records); !rr.ValidityPeriod(w.clock()) {
			t.Errorf("%s: not valid now: %s", step.about, rr)
		}
	}
}

// TestSignAt: what was transferred can be signed again, octet by octet.
func TestSignAt(t *testing.T) {
	w := newWorld(t)
	w.sign()
	s := w.signer(64)
	owner, soa := rrset(t, w.zone(), "example.net.", dns.TypeSOA)
	then := w.clock()
	first := s.Sign(w.zone(), owner, soa).Data[0]
	w.pass(3 * windowLength)
	now := s.Sign(w.zone(), owner, soa).Data[0]
	if bytes.Equal(first, now) {
		t.Error("three windows later the signature is the same")
	}
	if again := w.signer(64).SignAt(w.zone(), owner, soa, then).Data[0]; !bytes.Equal(first, again) {
		t.Error("another signer gives another signature for the same time")
	}
}

// TestWarm: hot names are signed before they are asked for: after a change, and
// before the window ends; cold ones are not.
func TestWarm(t *testing.T) {
	w := newWorld(t)
	w.add("hot.example.net", "A", "192.0.2.1")
	w.add("cold.example.net", "A", "192.0.2.1")
	w.sign()
	s := w.signer(64)
	ask := func(name string) {
		owner, set := rrset(t, w.zone(), name, dns.TypeA)
		if s.Sign(w.zone(), owner, set) == nil {
			t.Fatalf("%s is not signed", name)
		}
	}
	warm := func() int { state, _ := w.Load(); return s.Warm(state) }
	ask("cold.example.net.")
	w.pass(hotFor + time.Second)
	ask("hot.example.net.")
	if n := warm(); n != 0 {
		t.Errorf("nothing changed, and %d were made", n)
	}
	w.add("hot.example.net", "A", "192.0.2.2")
	w.add("cold.example.net", "A", "192.0.2.2")
	if n := warm(); n != 1 {
		t.Errorf("one hot name changed, and %d were made", n)
	}
	before := made(s)
	ask("hot.example.net.")
	if made(s) != before {
		t.Error("the hot name was signed again when it was asked for")
	}

	// To 10 minutes before the end of the window.
	length := int64(windowLength / time.Second)
	w.pass(time.Duration(length-(w.clock().Unix()+phase(w.zone().Apex()))%length-600) * time.Second)
	ask("hot.example.net.")
	if n := warm(); n != 1 {
		t.Errorf("before the window's end: %d were made", n)
	}
	for range 2 { // on both sides of the end
		before = made(s)
		ask("hot.example.net.")
		if made(s) != before {
			t.Error("the signature for the next window is not used")
		}
		w.pass(20 * time.Minute)
	}
}

// TestBounded: the cache has a fixed number of places, whatever is asked for,
// and a name that is used stays.
func TestBounded(t *testing.T) {
	w := newWorld(t)
	w.sign()
	s := w.signer(16)
	for i := range 500 {
		owner, set, _ := set(t, fmt.Sprintf("n%d.example.net. 60 IN A 192.0.2.1", i))
		s.Sign(w.zone(), owner, set)
	}
	kept := 0
	for range s.cache.all() {
		kept++
	}
	if kept > 16 || len(s.cache.slots) != 16 {
		t.Errorf("%d signatures in %d places", kept, len(s.cache.slots))
	}
}

// TestMissingKey: an answer without a signature is better than none.
func TestMissingKey(t *testing.T) {
	w := newWorld(t)
	w.sign()
	s, err := New(Options{Keys: noKeys{}, Now: w.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	owner, soa := rrset(t, w.zone(), "example.net.", dns.TypeSOA)
	if s.Sign(w.zone(), owner, soa) != nil || count(s.failed) != 1 {
		t.Error("signed without a key")
	}
}

// TestConcurrent is for the race detector: readers, writers, a changing zone.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	w.add("www.example.net", "A", "192.0.2.1")
	w.sign()
	s := w.signer(4)
	owner := wire(t, "www.example.net.")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				z := w.zone()
				if s.Sign(z, owner, z.Lookup(owner).Node.RRset(dns.TypeA)) == nil {
					t.Error("not signed")
				}
				s.Keys(z)
			}
		})
	}
	for i := range 20 {
		w.add("www.example.net", "A", fmt.Sprintf("192.0.2.%d", 2+i))
		state, _ := w.Load()
		s.Warm(state)
	}
	all.Wait()
}

// TestHitAllocatesNothing: the packet path counts on it.
func TestHitAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.sign()
	s := w.signer(64)
	z := w.zone()
	owner, soa := rrset(t, z, "example.net.", dns.TypeSOA)
	copied := &zone.RRset{Type: soa.Type, TTL: soa.TTL, Data: soa.Data}
	for _, given := range []*zone.RRset{soa, copied} {
		if n := testing.AllocsPerRun(100, func() { s.Sign(z, owner, given) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkSignHot(b *testing.B) {
	w := newWorld(b)
	w.sign()
	s := w.signer(1 << 10)
	s.options.Now = time.Now
	z := w.zone()
	owner, soa := rrset(b, z, "example.net.", dns.TypeSOA)
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(z, owner, soa)
	}
}
