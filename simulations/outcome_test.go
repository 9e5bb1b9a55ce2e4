package simulations

import (
	"strings"
	"testing"
	"time"

	"pantheon/events"
)

// TestOutcomes: what comes of a fault is told in classes.
func TestOutcomes(t *testing.T) {
	past := pastOf(t, lived(t, 3, 9, 2), Moment{})
	for text, want := range map[string]Outcome{
		"": {Commands: Always, Visitors: Always, Bereft: Always, Hosts: Always, Drops: Stayed},
		// A host that is cut off from control is lost, and served as the last resort.
		"at 1h cut host 2 to log for 10m\nat 1h cut host 2 to leases for 10m": {Commands: Always, Visitors: Always, Bereft: Always, Hosts: Paused, Drops: Stayed},
		"at 1h crash host 2 for 10m":                                          {Commands: Always, Visitors: Always, Bereft: Paused, Hosts: Paused, Drops: Stayed},
		// Routers do not wait for a host that stands still, where there is another.
		"at 30m scale all 2 over 5m\nat 1h pause host 2 for 10m": {Commands: Always, Visitors: Always, Bereft: Paused, Hosts: Paused, Drops: Moved},
		// The leases are where the log is: nobody renews, and nobody is held for lost.
		"at 1h log outage for 10m":   {Commands: Paused, Visitors: Always, Bereft: Always, Hosts: Always, Drops: Stayed},
		"at 1h drain host 2 for 10m": {Commands: Always, Visitors: Always, Bereft: Always, Hosts: Always, Drops: Replaced},
		"at 1h lose host 2":          {Commands: Always, Visitors: Always, Bereft: Ended, Hosts: Ended, Drops: Stayed},
	} {
		s, err := ParseScenario("test", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, Options{Seed: 7, Past: past, Duration: 90 * time.Minute, Scenario: s, VisitsPerSiteHour: 3600, CommandEvery: 5 * time.Second})
		report(t, r)
		if r.Outcome != want {
			t.Errorf("%q\n got: %s\nwant: %s", text, r.Outcome, want)
		}
	}
}

func TestSteps(t *testing.T) {
	s, err := ParseScenario("test", strings.NewReader("at 1h crash hosts 1-2 for 10m\nat 2h crawl every 1s\n"))
	if err != nil {
		t.Fatal(err)
	}
	steps := s.Steps()
	if len(steps) != 2 || steps[0].At != time.Hour || steps[0].For != 10*time.Minute || strings.Join(steps[0].Words, " ") != "crash hosts 1-2" ||
		steps[1].For != 0 || strings.Join(steps[1].Words, " ") != "crawl every 1s" {
		t.Errorf("the steps are %+v", steps)
	}
}

// TestSeen: what a log tells of hosts and DROPs.
func TestSeen(t *testing.T) {
	host, other := hostIDOf(0), hostIDOf(1)
	one, two := events.DropID(strings.Repeat("1", 32)), events.DropID(strings.Repeat("2", 32))
	for _, c := range []struct {
		events []events.Event
		hosts  Course
		drops  Fate
	}{
		{[]events.Event{events.DropPlaced{Drop: one, Host: host}}, Always, Stayed},
		{[]events.Event{events.HostLost{Host: host}}, Ended, Stayed},
		{[]events.Event{events.HostLost{Host: host}, events.HostReturned{Host: host}}, Paused, Stayed},
		{[]events.Event{events.DropDisplaced{Drop: one, Host: host}}, Always, Stayed},
		{[]events.Event{events.DropDisplaced{Drop: one, Host: host}, events.DropPlaced{Drop: one, Host: other}}, Always, Moved},
		{[]events.Event{events.DropMoveRequested{Drop: two}, events.DropRetirementRequested{Drop: two}}, Always, Stayed}, // somebody wanted it
		{[]events.Event{events.DropRetirementRequested{Drop: two}}, Always, Replaced},
		{[]events.Event{events.DropDisplaced{Drop: one}, events.DropPlaced{Drop: one}, events.DropRetirementRequested{Drop: two}}, Always, Both},
	} {
		var s Seen
		s.Commit(events.Envelope{Commit: events.Commit{Events: c.events}})
		if o := s.Outcome(); o.Hosts != c.hosts || o.Drops != c.drops {
			t.Errorf("%+v: %s", c.events, o)
		}
	}
}
