package zone

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"pantheon/events"
)

const (
	siteOne = "000000a0-0000-4000-8000-000000000001"
	siteTwo = "000000a0-0000-4000-8000-000000000002"
)

func hex32(kind byte, n int) string { return fmt.Sprintf("%s%d", strings.Repeat(string(kind), 31), n) }

var (
	randomZones = []events.ZoneName{"example.org", "sub.example.org", "org", "a.sub.example.org", "x.test", "test", "drush.test"}
	randomNames = []string{
		"example.org", "www.example.org", "*.example.org", "a.b.example.org", "sub.example.org", "ns.sub.example.org", "a.sub.example.org",
		"x.a.sub.example.org", "*.sub.example.org", "dev-one.test", "x.test", "y.x.test", "test", "org", "mail.org", "one.drush.test", "ns1.test",
		"_acme-challenge.www.example.org", "dbserver.dev." + siteOne + ".drush.test",
	}
	randomData = map[string][]string{
		"A": {"192.0.2.1", "192.0.2.2", "bad"}, "AAAA": {"2001:db8::1"}, "TXT": {`"one"`, `"two" "three"`}, "MX": {"10 mail.example.org."},
		"NS": {"ns.sub.example.org.", "ns.example.net."}, "CNAME": {"www.example.org."}, "DS": {"1 13 2 " + strings.Repeat("ab", 32)}, "SOA": {"a. b. 1 2 3 4 5"},
	}
)

func randomRecord(t *rapid.T) events.ZoneRecord {
	rrtype := rapid.SampledFrom(slices.Sorted(maps.Keys(randomData))).Draw(t, "type")
	return events.ZoneRecord{
		Name: rapid.SampledFrom(randomNames).Draw(t, "name"), Type: rrtype,
		TTL: rapid.SampledFrom([]int64{60, 60, 60, 300}).Draw(t, "ttl"), Data: rapid.SampledFrom(randomData[rrtype]).Draw(t, "data"),
	}
}

// randomEvent draws events that no decider would give as well: the fold takes
// the log as it is.
func randomEvent(t *rapid.T) (events.StreamID, events.Event) {
	n := rapid.IntRange(1, 2).Draw(t, "n")
	site := events.SiteID([]string{siteOne, siteTwo}[n-1])
	name := []string{"one", "t-wo"}[n-1]
	env := events.EnvironmentOf(site, rapid.SampledFrom([]events.EnvironmentName{"dev", "live", "pr"}).Draw(t, "env"))
	host := events.HostID(hex32('d', rapid.IntRange(1, 2).Draw(t, "host")))
	switch rapid.IntRange(0, 9).Draw(t, "actor") {
	case 0:
		return site.Stream(), rapid.SampledFrom([]events.Event{
			events.SiteCreated{Site: site, Name: name}, events.SiteCreated{Site: site, Name: name}, events.SiteDeleted{Site: site, Name: name},
		}).Draw(t, "event")
	case 1:
		return env.Stream(), rapid.SampledFrom([]events.Event{events.EnvironmentCreated{Environment: env}, events.EnvironmentDeleted{Environment: env}}).Draw(t, "event")
	case 2:
		drop := events.DropID(hex32('e', rapid.IntRange(1, 3).Draw(t, "drop")))
		return drop.Stream(), rapid.SampledFrom([]events.Event{
			events.DropPlaced{Drop: drop, Environment: env, Host: host}, events.DropPlaced{Drop: drop, Environment: env, Host: host},
			events.DropDisplaced{Drop: drop, Environment: env}, events.DropRetired{Drop: drop, Environment: env},
		}).Draw(t, "event")
	case 3, 4:
		spec := events.BindingSpec{Kind: rapid.SampledFrom([]events.BindingKind{events.CodeServer, events.DBServer, events.CacheServer}).Draw(t, "kind"), Site: site, Environment: env}
		binding := events.BindingID(hex32('f', rapid.IntRange(1, 3).Draw(t, "binding")))
		return host.Stream(), rapid.SampledFrom([]events.Event{
			events.HostRegistered{Host: host, Name: "host-" + string(host[31])}, events.HostAddressesChanged{Host: host, Addresses: []string{"10.0.0." + string(host[31])}},
			events.HostAddressesChanged{Host: host, Addresses: []string{"10.0.1." + string(host[31]), "2001:db8::9"}},
			events.BindingAdmitted{Host: host, Binding: binding, Spec: spec}, events.BindingAdmitted{Host: host, Binding: binding, Spec: spec},
			events.BindingDismissed{Host: host, Binding: binding, Spec: spec}, events.HostRemoved{Host: host},
		}).Draw(t, "event")
	case 5:
		text := rapid.SampledFrom(randomNames).Draw(t, "claim")
		id := events.UniqueName(events.SpaceHost, text)
		return id.Stream(), rapid.SampledFrom([]events.Event{
			events.NameClaimed{Name: id, By: env.Stream().String()}, events.NameClaimed{Name: id, By: env.Stream().String()}, events.NameReleased{Name: id},
		}).Draw(t, "event")
	}
	return randomZoneEvent(t)
}

func randomZoneEvent(t *rapid.T) (events.StreamID, events.Event) {
	zone := rapid.SampledFrom(randomZones).Draw(t, "zone")
	stream := zone.Stream()
	settings := rapid.SampledFrom([]events.ZoneSettings{
		{}, {TTLSeconds: 77}, {Entry: []string{"192.0.2.77"}, NameServers: []events.NameServer{{Name: "ns1.test", Addresses: []string{"192.0.2.53"}}, {Name: "ns.sub.example.org", Addresses: []string{"192.0.2.54"}}}},
		{Services: []events.ServicePort{{Server: "dbserver", Service: "mysql", Port: 3306}, {Server: "entry", Service: "http", Port: 8080}}, CAA: []string{"0 issue \"a\""}},
	}).Draw(t, "settings")
	switch rapid.IntRange(0, 13).Draw(t, "event") {
	case 0, 1, 2:
		return stream, events.ZoneAdded{Zone: zone, Role: events.ZoneCustom, Settings: settings}
	case 3:
		return stream, events.ZoneConfigured{Zone: zone, Settings: settings}
	case 4:
		return stream, events.ZoneRemoved{Zone: zone}
	case 5, 6, 7, 8:
		return stream, events.RecordsAdded{Zone: zone, Records: rapid.SliceOfN(rapid.Custom(randomRecord), 1, 4).Draw(t, "records")}
	case 9, 10:
		return stream, events.RecordsRemoved{Zone: zone, Records: rapid.SliceOfN(rapid.Custom(randomRecord), 1, 4).Draw(t, "records")}
	case 11:
		return stream, events.ChallengePresented{Zone: zone, Name: "_acme-challenge.www.example.org", Value: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "value")}
	case 12:
		return stream, events.ChallengeCleared{Zone: zone, Name: "_acme-challenge.www.example.org", Value: "a"}
	default:
		key := events.ZoneKeyID(hex32('a', 1))
		return stream, rapid.SampledFrom([]events.Event{
			events.ZoneKeyIntroduced{Zone: zone, Key: key, Role: events.CommonSigning, Public: "AAAA"}, events.ZoneKeyActivated{Zone: zone, Key: key}, events.ZoneKeyRemoved{Zone: zone, Key: key}, events.ZoneResigned{Zone: zone}, events.ZoneSigningDecided{Zone: zone}, events.ZoneSigningDecided{Zone: zone, Signed: true},
		}).Draw(t, "key")
	}
}

func randomHistory(t *rapid.T) []events.Envelope {
	var history []events.Envelope
	position := events.Position(0)
	for range rapid.IntRange(1, 40).Draw(t, "commits") {
		position += events.Position(rapid.IntRange(1, 3).Draw(t, "gap"))
		stream, event := randomEvent(t)
		commit := events.Commit{Stream: stream, Events: []events.Event{event}}
		for range rapid.IntRange(0, 2).Draw(t, "more") {
			if other, more := randomEvent(t); other.Kind == stream.Kind {
				commit.Events = append(commit.Events, more)
			}
		}
		history = append(history, events.Envelope{Commit: commit, Position: position})
	}
	return history
}

// records gives a zone as a sorted list of lines, the SOA aside.
func records(z *Zone) []string {
	var lines []string
	for node := range z.Nodes() {
		for _, set := range node.RRsets() {
			for _, data := range set.Data {
				if set.Type != dns.TypeSOA {
					lines = append(lines, line(Record{node.Name(), set.Type, set.TTL, data}))
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func line(r Record) string { return fmt.Sprintf("%x %d %d %x", r.Name, r.Type, r.TTL, r.Data) }

// However a state comes about (a commit at a time, in place, over a snapshot)
// it is the same, and every zone is what the facts alone say it is; its serial
// rises exactly when it changed, and its journal leads from each old state that
// it knows to the new one.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := randomHistory(t)
		step, inPlace := Empty(testOptions), Empty(testOptions).Edit()
		past := map[string]map[uint32][]string{}
		for _, envelope := range history {
			before := step
			text := table(before)
			step = step.Apply(envelope)
			inPlace = inPlace.Apply(envelope)
			if !slices.Equal(table(before), text) {
				t.Fatalf("%v changed the state before it", envelope.Events)
			}
			checkSerials(t, before, step, envelope)
			checkJournals(t, step, past)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				loaded, err := Empty(testOptions).Load(inPlace.Seal().Save())
				if err != nil {
					t.Fatal(err)
				}
				for z := range loaded.All() {
					checkIndexes(t, z)
				}
				inPlace = loaded.Edit()
			}
			want := strings.Join(table(step), "\n")
			if got := strings.Join(table(inPlace), "\n"); got != want {
				t.Fatalf("after %v: in place\n%s\nelse\n%s", envelope.Events, got, want)
			}
			checkFromFacts(t, step)
		}
	})
}

func checkSerials(t *rapid.T, before, after *State, envelope events.Envelope) {
	for z := range after.All() {
		checkIndexes(t, z)
		old := before.Zone(z.Apex())
		if z.Records() != len(records(z))+1 {
			t.Fatalf("%s counts %d records and has %d", z.Name(), z.Records(), len(records(z))+1)
		}
		if old == nil || old.Serial() == 0 {
			continue
		}
		sameRecords := slices.Equal(records(old), records(z)) && bytes.Equal(old.SOA(0), z.SOA(0))
		switch {
		case !sameRecords && z.Serial() != uint32(envelope.Position):
			t.Fatalf("%s changed by %v and kept serial %d", z.Name(), envelope.Events, z.Serial())
		case sameRecords && z.Serial() != old.Serial() && !rewritten(envelope):
			t.Fatalf("%s is as it was after %v and has serial %d after %d", z.Name(), envelope.Events, z.Serial(), old.Serial())
		}
	}
}

// rewritten: within the commit a zone went and came again, or settings did, or
// its signatures are others.
func rewritten(envelope events.Envelope) bool {
	return slices.ContainsFunc(envelope.Events, func(event events.Event) bool {
		switch event.(type) {
		case events.ZoneRemoved, events.ZoneAdded, events.ZoneConfigured, events.ZoneKeyIntroduced, events.ZoneKeyActivated, events.ZoneKeyRemoved, events.ZoneResigned, events.ZoneSigningDecided:
			return true
		}
		return false
	})
}

// checkJournals applies each known way from an old serial to the old records.
func checkJournals(t *rapid.T, s *State, past map[string]map[uint32][]string) {
	for z := range s.All() {
		known := past[z.apex]
		if known == nil {
			known = map[uint32][]string{}
			past[z.apex] = known
		}
		for serial, old := range known {
			steps, ok := z.Changes(serial)
			if !ok {
				continue
			}
			former, known := z.Former(serial)
			if got := records(former.Zone); !known || !slices.Equal(got, old) || former.Zone.Serial() != serial {
				t.Fatalf("%s was at serial %d\n%s\nand is said to have been\n%s", z.Name(), serial, strings.Join(old, "\n"), strings.Join(got, "\n"))
			}
			if serial != z.Serial() {
				checkFormer(t, z, former)
			}
			if got := replay(t, old, steps, serial, z.Serial()); !slices.Equal(got, records(z)) {
				t.Fatalf("%s from serial %d to %d gives\n%s\nwant\n%s", z.Name(), serial, z.Serial(), strings.Join(got, "\n"), strings.Join(records(z), "\n"))
			}
		}
		if _, ok := z.Changes(z.Serial() + 1); ok {
			t.Fatalf("the journal knows a serial to come")
		}
		known[z.Serial()] = records(z)
	}
	for apex := range past {
		if s.Zone([]byte(apex)) == nil {
			delete(past, apex)
		}
	}
}

// checkFormer: what is not said to have changed is the same, and the older
// zone's indexes agree with each other.
func checkFormer(t *rapid.T, z *Zone, former Former) {
	checkIndexes(t, former.Zone)
	for node := range former.Zone.Nodes() {
		if former.Zone.Lookup(node.Name()).Node != node {
			t.Fatalf("%s of then is in one index only", textName(node.name))
		}
		changed := slices.ContainsFunc(former.Changed, func(name []byte) bool { return string(name) == node.name }) || node.name == z.apex
		if now := z.Lookup(node.Name()).Node; !changed && now != node {
			t.Fatalf("%s changed, and is not among the changed names", textName(node.name))
		}
		if _, cut := former.Zone.cuts.Get(node.name); cut != (node.name != z.apex && node.RRset(dns.TypeNS) != nil) {
			t.Fatalf("%s: a cut %v", textName(node.name), cut)
		}
	}
}

func replay(t *rapid.T, old []string, steps iter.Seq[Change], from, to uint32) []string {
	has := map[string]bool{}
	for _, l := range old {
		has[l] = true
	}
	for change := range steps {
		if change.From != from {
			t.Fatalf("a step leads from %d, the one before to %d", change.From, from)
		}
		from = change.To
		for _, r := range change.Removed {
			if !has[line(r)] {
				t.Fatalf("%s is removed and was not there", line(r))
			}
			delete(has, line(r))
		}
		for _, r := range change.Added {
			if has[line(r)] {
				t.Fatalf("%s is added and was there", line(r))
			}
			has[line(r)] = true
		}
	}
	if from != to {
		t.Fatalf("the steps end at %d, the zone has %d", from, to)
	}
	return slices.Sorted(maps.Keys(has))
}

// checkFromFacts: refreshing every name once more changes nothing.
func checkFromFacts(t *rapid.T, s *State) {
	f := s.begin()
	for _, apex := range f.apexList() {
		f.refill(f.zones.At(apex), apex)
	}
	for apex, d := range f.deltas {
		for name := range d.before {
			t.Fatalf("%s of %s is stale: %v instead of %v", textName(name), textName(apex), s.zones.At(apex).names.At(name).answered(), f.zones.At(apex).names.At(name).answered())
		}
	}
}
