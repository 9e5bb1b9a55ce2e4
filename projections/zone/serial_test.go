package zone

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
)

// newer is the comparison of RFC 1982 §3.2.
func newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// RFC 1982: a serial rises with every change, also where it wraps and where the
// zone slept for billions of commits; it is the position as long as that fits.
func TestSerialRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		position, serial := uint64(0), uint32(0)
		small := true
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			gap := rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, 1<<33), rapid.SampledFrom([]uint64{1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32})).Draw(t, "gap")
			next := nextSerial(serial, gap)
			if !newer(next, serial) || next == 0 {
				t.Fatalf("after %d commits serial %d follows %d", gap, next, serial)
			}
			small = small && gap < 1<<31
			position, serial = position+gap, next
			if small && position <= math.MaxUint32 && uint64(serial) != position {
				t.Fatalf("serial %d at position %d", serial, position)
			}
		}
	})
	for _, c := range []struct {
		older   uint32
		commits uint64
		want    uint32
	}{
		{0, 1, 1}, {7, 3, 10}, {math.MaxUint32, 1, 1}, {math.MaxUint32 - 1, 5, 3}, {5, 1 << 40, 5 + 1<<31 - 1},
	} {
		if got := nextSerial(c.older, c.commits); got != c.want {
			t.Errorf("%d and %d commits give %d, want %d", c.older, c.commits, got, c.want)
		}
	}
}

func aRecord(n int) events.ZoneRecord {
	return events.ZoneRecord{Name: fmt.Sprintf("n%07d.example.org", n), Type: "A", TTL: 60, Data: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)}
}

// The journal forgets the oldest steps, never one in between, and a change that
// is longer than the zone ends it.
func TestJournalIsBounded(t *testing.T) {
	s := applyZone(Empty(testOptions), events.ZoneAdded{Zone: "example.org", Role: events.ZoneCustom})
	apex, _ := wireName("example.org")
	var all []events.ZoneRecord
	for n := range 300 {
		all = append(all, aRecord(n))
	}
	s = applyZone(s, events.RecordsAdded{Zone: "example.org", Records: all})
	first := s.Zone([]byte(apex)).Serial()
	s = s.Edit()
	for n := range maxJournalSteps + 10 {
		s = applyZone(s, events.RecordsAdded{Zone: "example.org", Records: []events.ZoneRecord{{Name: "x.example.org", Type: "TXT", TTL: 60, Data: fmt.Sprintf("%q", fmt.Sprint(n%7))}}})
		s = applyZone(s, events.RecordsRemoved{Zone: "example.org", Records: []events.ZoneRecord{{Name: "x.example.org", Type: "TXT", TTL: 60, Data: fmt.Sprintf("%q", fmt.Sprint(n%7))}}})
	}
	s = s.Seal()
	z := s.Zone([]byte(apex))
	if _, ok := z.Changes(first); ok {
		t.Error("the first step is still there")
	}
	if z.journalRecords > z.Records() || z.journal.Len() > maxJournalSteps || z.journal.Len() < 250 {
		t.Errorf("%d steps with %d records, the zone has %d", z.journal.Len(), z.journalRecords, z.Records())
	}
	steps, ok := z.Changes(z.Serial() - 10)
	if !ok || len(slices.Collect(steps)) != 10 {
		t.Error("ten serials back is not known")
	}
	for _, serial := range []uint32{z.Serial() + 1, 0, 1} {
		if _, ok := z.Changes(serial); ok {
			t.Errorf("serial %d is known", serial)
		}
	}
	s = applyZone(s, events.RecordsRemoved{Zone: "example.org", Records: all})
	if z = s.Zone([]byte(apex)); z.journal.Len() != 0 || z.Records() != 2 {
		t.Errorf("%d steps lead to an empty zone", z.journal.Len())
	}
	if _, ok := z.Changes(z.Serial()); !ok {
		t.Error("its own serial is not known")
	}
}

// What no decider lets through does no harm to the fold.
func TestGarbage(t *testing.T) {
	s := Empty(testOptions)
	for _, event := range []events.Event{
		events.ZoneAdded{Zone: "a..b", Role: events.ZoneCustom}, events.ZoneAdded{Zone: "", Role: events.ZoneCustom}, events.ZoneAdded{Zone: "new.example", Role: "x"},
		events.ZoneAdded{Zone: "example.org", Role: events.ZoneCustom, Settings: events.ZoneSettings{
			Primary: "..", Hostmaster: "x", NameServers: []events.NameServer{{Name: "..", Addresses: []string{"x"}}}, Entry: []string{"x"}, CAA: []string{"x"},
			Services: []events.ServicePort{{Server: "", Service: "", Port: -1}}, TTLSeconds: -1,
		}},
		events.RecordsAdded{Zone: "nowhere.example", Records: []events.ZoneRecord{aRecord(1)}},
		events.RecordsAdded{Zone: "example.org", Records: []events.ZoneRecord{
			{Name: "www.example.net", Type: "A", Data: "192.0.2.1"}, {Name: "www.example.org", Type: "A", Data: "::1"}, {Name: "www.example.org", Type: "NONE", Data: "x"},
			{Name: "www.example.org", Type: "TXT", Data: "\"a\n\""}, {Name: "www.example.org", Type: "MX", Data: "x"}, {Name: "www.example.org", Type: "MX", Data: ""},
			{Name: "example.org", Type: "SOA", Data: "a. b. 1 2 3 4 5"}, {Name: "example.org", Type: "CNAME", Data: "a."}, {Name: "example.org", Type: "DS", Data: "1 13 2 " + strings.Repeat("ab", 32)},
			{Name: strings.Repeat("a.", 126) + "example.org", Type: "A", Data: "192.0.2.1"}, {Name: "", Type: "A", Data: "192.0.2.1"},
		}},
		events.ChallengeCleared{Zone: "example.org", Name: "x"}, events.ChallengePresented{Zone: "example.org", Name: "_acme-challenge.example.net", Value: "x"},
		events.SecondaryRemoved{Zone: "example.org", Address: "x"}, events.ZoneKeyActivated{Zone: "example.org"}, events.ZoneKeyIntroduced{Zone: "example.org", Public: "!"},
		events.ZoneRemoved{Zone: "test"}, events.ZoneRemoved{Zone: "nowhere.example"}, events.Unknown{Name: "ZoneSold"},
	} {
		s = applyZone(s, event)
	}
	z := s.Named("example.org")
	if z == nil || z.Len() != 1 || s.Len() != 3 {
		t.Fatalf("%d zones: %s", s.Len(), strings.Join(table(s), "\n"))
	}
	var text strings.Builder
	if err := z.Text(&text); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	for _, record := range []string{
		"", "x{}", "s", "s[]", "e\"\"", "h1", "p", "z{}", `z{"apex":"a.example","role":"x"}`, "n", "n\x00", "j", "j\x01a",
		"n\x05\x01a\x00\x00\x00\x01", "n\x01\x00\x01\x00\x01\x00\x00\x00\x01\x01\x01x",
	} {
		records := func(yield func([]byte, error) bool) {
			_ = yield([]byte(`z{"apex":"example.org","role":"custom"}`), nil) && yield([]byte(record), nil)
		}
		if _, err := Empty(testOptions).Load(records); err == nil {
			t.Errorf("record %q was taken", record)
		}
	}
}
