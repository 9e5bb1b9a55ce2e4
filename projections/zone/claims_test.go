package zone

import (
	"slices"
	"testing"

	"pantheon/events"
)

// A host name that a second environment claims is the second one's alone, also
// over a snapshot: it stays when the first one's site goes.
func TestClaimTakenOver(t *testing.T) {
	one, two, name := events.SiteID(siteOne), events.SiteID(siteTwo), events.UniqueName(events.SpaceHost, "www.example.org")
	by := func(site events.SiteID) events.Event {
		return events.NameClaimed{Name: name, By: events.EnvironmentOf(site, "dev").Stream().String()}
	}
	state, position := Empty(testOptions), events.Position(0)
	commit := func(stream events.StreamID, event events.Event) {
		position++
		state = state.Apply(events.Envelope{Position: position, Commit: events.Commit{Stream: stream, Events: []events.Event{event}}})
	}
	zone := events.ZoneName("example.org")
	commit(zone.Stream(), events.ZoneAdded{Zone: zone, Role: events.ZoneCustom})
	commit(one.Stream(), events.SiteCreated{Site: one, Name: "one"})
	commit(two.Stream(), events.SiteCreated{Site: two, Name: "two"})
	for _, order := range [][]events.SiteID{{one, two}, {two, one}} {
		commit(name.Stream(), by(order[0]))
		commit(name.Stream(), by(order[1]))
		loaded, err := Empty(testOptions).Load(state.Save())
		if err != nil {
			t.Fatal(err)
		}
		gone := events.Envelope{Position: position + 1, Commit: events.Commit{Stream: order[0].Stream(), Events: []events.Event{events.SiteDeleted{Site: order[0]}}}}
		want := table(state.Apply(gone))
		if got := table(loaded.Apply(gone)); !slices.Equal(got, want) || state.Apply(gone).Named(zone).At(wire(t, "www.example.org")) == nil {
			t.Errorf("over a snapshot\n%q\nelse\n%q", got, want)
		}
	}
}

func wire(t *testing.T, text string) []byte {
	name, ok := wireName(text)
	if !ok {
		t.Fatal(text)
	}
	return []byte(name)
}
