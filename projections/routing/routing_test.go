package routing

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/projections/foldtest"
)

func table(s State) []string {
	var lines []string
	for host, n := range s.names.All() {
		if n.route == nil {
			lines = append(lines, host+" nowhere")
			continue
		}
		r := n.route
		kind := "custom"
		if r.PlatformHost {
			kind = "platform"
		}
		var drops []string
		for _, d := range r.Drops {
			drops = append(drops, fmt.Sprintf("%s@%s", d.Drop, d.Host))
		}
		for _, d := range r.LastResort {
			drops = append(drops, fmt.Sprintf("%s?%s", d.Drop, d.Host))
		}
		php := ""
		if r.Settings != nil {
			php = r.Settings.PHPVersion
		}
		lines = append(lines, strings.Join(append([]string{
			r.Host, string(r.Environment), r.SiteName, string(r.Framework), kind, string(r.State), php,
		}, drops...), " "))
	}
	slices.Sort(lines)
	return lines
}

func TestScripts(t *testing.T) { foldtest.Run(t, "testdata/*.txt", Empty(".Test."), table) }

// fold gives the state after a Fleet's history.
func fold(t testing.TB, sites int) State {
	t.Helper()
	state := Empty("pantheon.localhost").Edit()
	position := events.Position(0)
	for commit := range eventlogtest.Fleet(sites) {
		position++
		state = state.Apply(events.Envelope{Commit: commit, Position: position})
	}
	return state.Seal()
}

func TestLookup(t *testing.T) {
	state := fold(t, 20)
	want := "dev-site-000007.pantheon.localhost"
	for _, good := range []string{
		want, want + ":8080", want + ".", want + ".:443", strings.ToUpper(want), "DEV-site-000007.Pantheon.LOCALHOST:8080",
	} {
		route, known := state.Lookup(good)
		if !known || route.Host != want || route.Site != eventlogtest.FleetSite(7) || len(route.Drops) != 1 || route.State != Serving {
			t.Errorf("%q leads to %+v", good, route)
		}
	}
	for _, bad := range []string{
		"", ":80", ".", "localhost", "dev-site-000099.pantheon.localhost", "[::1]:8080", "[::1]", "a:b:c",
		want + "..", want + ":80:80", strings.Repeat("a", 10_000), "dev-site-000007.pantheon.localhost\x00",
	} {
		if route, known := state.Lookup(bad); known {
			t.Errorf("%q leads to %+v", bad, route)
		}
	}
	if routes := state.Routes(events.EnvironmentOf(eventlogtest.FleetSite(7), "test")); len(routes) != 1 || routes[0].State != NotInitialized {
		t.Errorf("%+v", routes)
	}
	if routes := state.Routes(events.EnvironmentOf(eventlogtest.FleetSite(99), "dev")); routes != nil {
		t.Errorf("%+v", routes)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	state := fold(t, 20)
	for _, host := range []string{"dev-site-000007.pantheon.localhost", "DEV-SITE-000007.pantheon.localhost:8080", "unknown.example.org"} {
		if n := testing.AllocsPerRun(100, func() { state.Lookup(host) }); n != 0 {
			t.Errorf("looking up %s allocates %v times", host, n)
		}
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	for _, record := range []string{"", "x{}", "s", "s{", "s[]", "e\"\"", "d1", "h{}"} {
		records := iter.Seq2[[]byte, error](func(yield func([]byte, error) bool) { yield([]byte(record), nil) })
		if _, err := Empty("test").Load(records); err == nil {
			t.Errorf("record %q was taken", record)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	state := fold(b, 100_000)
	hosts := make([]string, 1024)
	for i := range hosts {
		hosts[i] = "dev-" + eventlogtest.FleetSiteName(i*97) + ".pantheon.localhost:8080"
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, known := state.Lookup(hosts[i%len(hosts)]); !known {
			b.Fatal("lost")
		}
	}
}

// BenchmarkApplyLive is one event on a view of 100,000 sites, as when it is
// published at once.
func BenchmarkApplyLive(b *testing.B) {
	state := fold(b, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % 100_000
		env := events.EnvironmentOf(eventlogtest.FleetSite(n), "dev")
		state = state.Edit().Apply(events.Envelope{Commit: events.Commit{
			Stream: env.Stream(), Events: []events.Event{events.EnvironmentSettingsChanged{Environment: env}},
		}}).Seal()
	}
}

// Changes are the host names that lead elsewhere.
func TestChanges(t *testing.T) {
	before := fold(t, 20)
	after := before
	env := events.EnvironmentOf(eventlogtest.FleetSite(7), "dev")
	after = after.Apply(events.Envelope{Position: 1e6, Commit: events.Commit{
		Stream: eventlogtest.FleetSite(3).Stream(), Events: []events.Event{events.SiteDeletionRequested{Site: eventlogtest.FleetSite(3)}},
	}})
	after = after.Apply(events.Envelope{Position: 1e6 + 1, Commit: events.Commit{
		Stream: env.Stream(), Events: []events.Event{events.EnvironmentSettingsChanged{Environment: env, Settings: events.EnvironmentSettings{PHPVersion: "8.3"}}},
	}})
	var got []string
	for change := range before.Changes(after) {
		got = append(got, fmt.Sprintf("%s %s→%s %s %s", change.Host, change.Before.State, change.After.State, change.Before.SiteName, change.After.SiteName))
	}
	slices.Sort(got)
	want := []string{
		"dev-site-000003.pantheon.localhost serving→deleting site-000003 site-000003",
		"dev-site-000007.pantheon.localhost serving→serving site-000007 site-000007",
		"live-site-000003.pantheon.localhost not_initialized→deleting site-000003 site-000003",
		"test-site-000003.pantheon.localhost not_initialized→deleting site-000003 site-000003",
	}
	if !slices.Equal(got, want) {
		t.Errorf("changed:\n%s", strings.Join(got, "\n"))
	}
	for change := range Empty("pantheon.localhost").Changes(before) {
		if change.Before != nil || change.After == nil {
			t.Fatalf("%+v", change)
		}
	}
	if n := before.Differences(after); n < len(want) || n > 20 {
		t.Errorf("%d records differ", n)
	}
}
