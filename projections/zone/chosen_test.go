package zone

import (
	"fmt"
	"testing"

	"pantheon/events"
)

// TestChosen: what people set is theirs until they take it back or a start is
// told otherwise; everything else is the start's. It survives a snapshot.
func TestChosen(t *testing.T) {
	s := Empty(testOptions)
	position := events.Position(0)
	configure := func(gateway string, settings events.ZoneSettings) {
		position++
		s = s.Apply(events.Envelope{Position: position, Commit: events.Commit{
			Stream: events.ZoneName("test").Stream(), Meta: events.Meta{Gateway: gateway},
			Events: []events.Event{events.ZoneConfigured{Zone: "test", Settings: settings}},
		}})
	}
	chosen := func(about string, want events.ZoneSettings) {
		t.Helper()
		loaded, err := Empty(testOptions).Load(s.Save())
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []*State{s, loaded} {
			if _, got := state.Named("test").Own(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: chosen is %+v, want %+v", about, got, want)
			}
		}
	}
	started := events.ZoneSettings{Entry: []string{"192.0.2.1"}}
	configure(StartGateway, started)
	chosen("after a start", events.ZoneSettings{})

	people := events.ZoneSettings{Entry: []string{"192.0.2.1"}, Hostmaster: "dns@test", NameServers: []events.NameServer{{Name: "ns.test"}}, TTLSeconds: 60}
	configure("api", people)
	chosen("after people", events.ZoneSettings{Hostmaster: "dns@test", NameServers: []events.NameServer{{Name: "ns.test"}}, TTLSeconds: 60})

	people.Entry, people.Hostmaster = []string{"192.0.2.2"}, ""
	configure(StartGateway, people)
	chosen("a start changes one of them", events.ZoneSettings{NameServers: []events.NameServer{{Name: "ns.test"}}, TTLSeconds: 60})

	people.TTLSeconds = 0
	configure("api", people)
	chosen("people take one back", events.ZoneSettings{NameServers: []events.NameServer{{Name: "ns.test"}}})
}
