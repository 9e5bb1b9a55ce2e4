package yggdrasil_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
)

// What a worker remembers is what it would make anew, octet by octet, however
// zones change, and whatever the client's buffer, case and options are.
func TestMemory(t *testing.T) {
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%v", signed), func(t *testing.T) {
			l, options := newLog(), yggdrasil.Options{Identity: "ygg-1"}
			options.Source = l
			if signed {
				options.Signer = withKeys(t, l)
			} else {
				l.commit(apex, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom}, events.RecordsAdded{Zone: apex, Records: records(exampleZone)})
			}
			server, err := yggdrasil.New(options)
			if err != nil {
				t.Fatal(err)
			}
			remembering, making := server.NewResponder(), server.NewForgetfulResponder()
			random, now := rand.New(rand.NewPCG(1, 2)), time.Unix(1_700_000_000, 0)
			client := netip.MustParseAddr("127.0.0.1")
			for step := range 8_000 {
				if step%50 == 49 {
					change(l, random)
				}
				// Never over the rate limit, and past what signed answers are kept for.
				now = now.Add(time.Duration(random.IntN(40)) * time.Millisecond)
				packet := pack(t, randomQuestion(random))
				got := bytes.Clone(remembering.Respond(packet, client, false, now))
				want := making.Respond(packet, client, false, now)
				if !bytes.Equal(got, want) {
					t.Fatalf("step %d:\n%v\nremembered:\n%v\nmade:\n%v", step, unpack(t, packet), unpack(t, got), unpack(t, want))
				}
			}
			if remembered := remembering.Recalled(); remembered < 500 {
				t.Errorf("%d answers from memory", remembered)
			}
		})
	}
}

// An answer that has one name's records stays remembered while others change, and
// is made anew when the name does, or a cut above it, or the zone that it is in.
// Of what is not there, and of chains, nothing outlives a commit.
func TestMemoryOfOneName(t *testing.T) {
	l := newLog()
	l.commit(apex, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom}, events.RecordsAdded{Zone: apex, Records: records(exampleZone)})
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, ResponsesPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	r, forgetful := server.NewResponder(), server.NewForgetfulResponder()
	remembered := func(question string) bool {
		t.Helper()
		before, packet := r.Recalled(), pack(t, parseQuestion(t, question))
		got := bytes.Clone(r.Respond(packet, netip.MustParseAddr("127.0.0.1"), false, time.Unix(1_700_000_000, 0)))
		if want := forgetful.Respond(packet, netip.MustParseAddr("127.0.0.1"), false, time.Unix(1_700_000_000, 0)); !bytes.Equal(got, want) {
			t.Errorf("%s: %v\nmade: %v", question, unpack(t, got), unpack(t, want))
		}
		return r.Recalled() > before
	}
	alone, others := []string{"web.example.org A", "ns1.example.org A", "www.example.org CNAME"}, []string{"www.example.org A", "nothing.example.org A", "web.example.org SRV", "example.org SOA", "example.org NS"}
	for _, question := range append(alone, others...) {
		if remembered(question) || !remembered(question) {
			t.Errorf("%s is not remembered", question)
		}
	}
	other := events.RecordsAdded{Zone: apex, Records: records("other.example.org. 60 A 192.0.2.77")}
	inner := events.ZoneName("web.example.org")
	for _, step := range []struct {
		what   string
		change []events.Event
		stays  bool
	}{
		{"another name", []events.Event{other}, true},
		{"the names", []events.Event{events.RecordsAdded{Zone: apex, Records: records("web.example.org. 60 A 192.0.2.78\nns1.example.org. 60 A 192.0.2.78\nwww.example.org. 61 CNAME web.example.org.")}}, false},
		{"a cut", []events.Event{events.RecordsAdded{Zone: apex, Records: records("web.example.org. 60 NS ns1.example.org.")}}, false},
		{"a zone inside", []events.Event{events.ZoneAdded{Zone: inner, Role: events.ZoneCustom}}, false},
	} {
		for _, question := range append(alone, others...) {
			remembered(question)
		}
		stream := apex
		if step.what == "a zone inside" {
			stream, others = inner, nil // nothing changes in the zone around it
		}
		l.commit(stream, step.change...)
		for _, question := range alone {
			if remembered(question) != step.stays {
				t.Errorf("%s changes: %s remembered: %v", step.what, question, !step.stays)
			}
		}
		for _, question := range others {
			if remembered(question) {
				t.Errorf("%s changes: %s is remembered", step.what, question)
			}
		}
	}
}

// change adds or takes away a record, a delegation or a zone.
func change(l *log, random *rand.Rand) {
	inner := events.ZoneName("entwild.example.org")
	switch random.IntN(6) {
	case 0:
		if l.Zones().Named(inner) == nil {
			l.commit(inner, events.ZoneAdded{Zone: inner, Role: events.ZoneCustom})
		} else {
			l.commit(inner, events.ZoneRemoved{Zone: inner})
		}
	case 1:
		l.commit("pantheon.example", events.RecordsAdded{Zone: "pantheon.example", Records: records(fmt.Sprintf("n%d.pantheon.example. 60 A 192.0.2.9", random.IntN(5)))})
	default:
		lines := []string{
			"web.example.org. 60 A 192.0.2.30", "deep.ent.example.org. 60 AAAA 2001:db8::5", "x.example.org. 60 A 192.0.2.31",
			"*.example.org. 60 TXT \"any\"", "child.example.org. 600 NS ns9.elsewhere.net.", "ent.example.org. 60 A 192.0.2.32",
		}
		changed := records(lines[random.IntN(len(lines))])
		if random.IntN(2) == 0 {
			l.commit(apex, events.RecordsAdded{Zone: apex, Records: changed})
		} else {
			l.commit(apex, events.RecordsRemoved{Zone: apex, Records: changed})
		}
	}
}

func randomQuestion(random *rand.Rand) *dns.Msg {
	names := []string{"pantheon.example.", "n1.pantheon.example.", "entwild.example.org.", "x.entwild.example.org.", "drush.in.", "nothing.org."}
	for _, r := range records(exampleZone) {
		owner := strings.Replace(r.Name, "*", "any", 1) + "."
		names = append(names, owner, "x."+owner, r.Name+".")
	}
	slices.Sort(names)
	name := []byte(names[random.IntN(len(names))])
	for i := range name {
		if random.IntN(20) == 0 {
			name[i] = strings.ToUpper(string(name[i]))[0]
		}
	}
	types := []uint16{dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeANY, dns.TypeCNAME, dns.TypeNSEC}
	m := new(dns.Msg)
	m.SetQuestion(string(name), types[random.IntN(len(types))])
	switch random.IntN(4) {
	case 0:
		m.SetEdns0(uint16(512+random.IntN(3)*360), random.IntN(2) == 0)
	case 1:
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"})
	}
	return m
}
