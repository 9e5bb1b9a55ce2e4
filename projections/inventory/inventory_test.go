package inventory

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/projections/foldtest"
)

// table shows everything by way of the queries.
func table(s State) []string {
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for a := range s.Accounts() {
		ended := map[bool]string{true: ", ended"}[a.Ended]
		line("account %s %s %s%s", a.ID, a.Kind, a.Name, ended)
		for _, token := range s.Tokens(a.ID) {
			line("  token %s %s %s", token.ID, token.Device, token.Hash)
		}
		for site := range s.SitesOf(a.ID, "") {
			line("  owns %s", site.Name)
		}
	}
	for u := range s.Upstreams() {
		line("upstream %s %s of %s %s %s", u.Name, u.ID, u.Account, u.Framework, u.Source.Location)
	}
	for _, h := range s.Hosts() {
		line("host %s %s %s %d MiB: reserved %d, awake %d, free %d; %d DROPs, %d awake, %d bindings %s",
			h.Name, h.ID, h.Status, h.MemoryMiB, h.ReservedMiB, h.AwakeMiB, h.FreeMiB, h.Drops, h.Awake, h.Bindings, h.Reason)
		for _, d := range s.DropsOn(h.ID) {
			line("  holds %s", d.ID)
		}
	}
	for site := range s.Sites("") {
		line("site %s %s %s %s since %s", site.Name, site.ID, site.Status, site.Framework, foldtest.Clock(site.Created))
		for _, b := range s.SiteBindings(site.ID) {
			line("  %s %s %s of %s on %s %s %s", b.Kind, b.ID, b.Status, b.Environment, b.Host, foldtest.Clock(b.Changed), b.Reason+b.Commit)
		}
		for _, e := range s.Environments(site.ID) {
			line("  %s %s php %s, deployment %d %s at %s", e.Name, e.Status, e.Settings.PHPVersion, e.Deployment, e.Commit, foldtest.Clock(e.Deployed))
			for _, d := range s.Drops(e.ID) {
				line("    DROP %s %s on %s generation %d, attempt %d, %s %s", d.ID, d.Status, d.Host, d.Generation, d.Attempt, foldtest.Clock(d.Changed), d.Reason)
			}
		}
	}
	for w := range s.Workflows(0) {
		done, all := w.Progress()
		var steps []string
		for _, step := range w.Steps {
			steps = append(steps, fmt.Sprintf("%s:%s", step.Name, step.State))
		}
		line("workflow %s %s %q of %s %s %d/%d %s-%s [%s] %s", w.ID, w.Type, w.Result, w.SiteName, w.Principal, done, all,
			foldtest.Clock(w.Started), foldtest.Clock(w.Finished), strings.Join(steps, " "), w.Reason)
	}
	var names []string
	for id, n := range s.names.All() {
		names = append(names, fmt.Sprintf("name %s of %s", id, n.By))
	}
	slices.Sort(names)
	for owner := range s.Forgetting() {
		line("to be forgotten: %s%s", owner.Site, owner.Account)
	}
	return append(lines, names...)
}

func TestScripts(t *testing.T) { foldtest.Run(t, "testdata/*.txt", State{}, table) }

func fold(t testing.TB, sites int) State {
	t.Helper()
	state := State{}.Edit()
	position := events.Position(0)
	for commit := range eventlogtest.Fleet(sites) {
		position++
		state = state.Apply(events.Envelope{Commit: commit, Position: position})
	}
	return state.Seal()
}

func TestQueries(t *testing.T) {
	state := fold(t, 25)
	site, name := eventlogtest.FleetSite(7), eventlogtest.FleetSiteName(7)
	for _, find := range []string{string(site), name} {
		if got, known := state.FindSite(find); !known || got.ID != site || got.Status != Active {
			t.Errorf("%s: %+v", find, got)
		}
	}
	if _, known := state.FindSite("site"); known {
		t.Error("found a site by half its name")
	}
	page := slices.Collect(state.Sites(eventlogtest.FleetSiteName(22)))
	if len(page) != 2 || page[0].Name != eventlogtest.FleetSiteName(23) {
		t.Errorf("the page has %d sites", len(page))
	}
	owner := page[0].Owner
	own := slices.Collect(state.SitesOf(owner, eventlogtest.FleetSiteName(21)))
	if len(own) != 3 || own[0].Name != eventlogtest.FleetSiteName(22) {
		t.Errorf("the owner's page has %d sites", len(own))
	}
	if own := slices.Collect(state.SitesOf("nobody", "")); len(own) != 0 {
		t.Errorf("nobody owns %d sites", len(own))
	}
	drop, known := state.Drop(eventlogtest.FleetDrop(7))
	if !known || drop.Status != Asleep || drop.Reason != "idle" {
		t.Errorf("%+v", drop)
	}
	if _, known := state.Environment(events.EnvironmentOf(site, "pr-1")); known {
		t.Error("found a branch environment that is none")
	}
	if test, known := state.Environment(events.EnvironmentOf(site, "test")); !known || test.Status != NotInitialized || test.Initialized() {
		t.Errorf("%+v", test)
	}
	host, known := state.FindHost("host-1")
	if again, _ := state.FindHost(string(host.ID)); !known || !reflect.DeepEqual(again, host) || host.Bindings != 18 || host.Drops != 6 {
		t.Errorf("%+v, %+v", host, again)
	}
	first := true
	for workflow := range state.Workflows(0) {
		if first && (workflow.Site != eventlogtest.FleetSite(24) || workflow.Result != Succeeded) {
			t.Errorf("the newest workflow is %+v", workflow)
		}
		first = false
		older := 0
		for range state.Workflows(workflow.Position) {
			older++
		}
		if older == 25 {
			t.Error("a page shows its own end again")
		}
		if again := state.SiteWorkflows(workflow.Site); len(again) != 1 || again[0] != workflow {
			t.Errorf("the site has %v", again)
		}
	}
	if len(slices.Collect(state.AllDrops())) != state.DropCount() || state.SiteCount() != 25 {
		t.Error("counts differ")
	}
}

// Workflows of one site are bounded, running ones stay.
func TestWorkflowsAreBounded(t *testing.T) {
	var state State
	site := eventlogtest.FleetSite(1)
	position := events.Position(0)
	apply := func(event events.Event, id events.WorkflowID) {
		position++
		state = state.Apply(events.Envelope{Commit: events.Commit{Stream: id.Stream(), Events: []events.Event{event}}, Position: position})
	}
	id := func(n int) events.WorkflowID { return events.WorkflowID(fmt.Sprintf("w%d", n)) }
	for n := range 3 * KeptWorkflows {
		apply(events.WorkflowStarted{Workflow: id(n), Site: site}, id(n))
		if n != 5 {
			apply(events.WorkflowSucceeded{Workflow: id(n)}, id(n))
		}
	}
	list := state.SiteWorkflows(site)
	if len(list) != KeptWorkflows+1 || list[0].ID != id(3*KeptWorkflows-1) || list[KeptWorkflows].ID != id(5) {
		t.Fatalf("%d workflows, the last is %s", len(list), list[len(list)-1].ID)
	}
	if _, known := state.Workflow(id(4)); known || state.workflows.Len() != len(list) || state.started.Len() != len(list) {
		t.Error("a forgotten workflow is still there")
	}
}

// Of deleted sites, the workflows of the newest ones are kept.
func TestGravesAreBounded(t *testing.T) {
	state := State{}.Edit()
	position := events.Position(0)
	apply := func(stream events.StreamID, event events.Event) {
		position++
		state = state.Apply(events.Envelope{Commit: events.Commit{Stream: stream, Events: []events.Event{event}}, Position: position})
	}
	for n := range KeptGraves + 3 {
		site, workflow := eventlogtest.FleetSite(n), events.WorkflowID(fmt.Sprintf("w%d", n))
		apply(workflow.Stream(), events.WorkflowStarted{Workflow: workflow, Site: site})
		apply(site.Stream(), events.SiteCreated{Site: site, Name: eventlogtest.FleetSiteName(n)})
		apply(site.Stream(), events.SiteDeleted{Site: site})
	}
	if state.graves.Len() != KeptGraves || state.workflows.Len() != KeptGraves || state.bySite.Len() != KeptGraves || state.SiteCount() != 0 {
		t.Errorf("%d graves, %d workflows, %d sites", state.graves.Len(), state.workflows.Len(), state.SiteCount())
	}
	if len(state.SiteWorkflows(eventlogtest.FleetSite(2))) != 0 || len(state.SiteWorkflows(eventlogtest.FleetSite(3))) != 1 {
		t.Error("the wrong ones were forgotten")
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	for _, record := range []string{"", "x{}", "s", "s{", "s[]", `s{"unknown":1}`, "d1", "h0", "t[]"} {
		records := iter.Seq2[[]byte, error](func(yield func([]byte, error) bool) { yield([]byte(record), nil) })
		if _, err := (State{}).Load(records); err == nil {
			t.Errorf("record %q was taken", record)
		}
	}
}

func TestSaveStopsWithItsReader(t *testing.T) {
	state := fold(t, 5)
	all := 0
	for range state.Save() {
		all++
	}
	for stop := 1; stop < all; stop++ {
		n := 0
		for _, err := range state.Save() {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
	}
}

// Changes are the records that differ, of every kind, between any two states.
func TestChanges(t *testing.T) {
	states := []State{{}}
	for commit := range eventlogtest.Fleet(3) {
		last := states[len(states)-1]
		states = append(states, last.Apply(events.Envelope{Commit: commit, Position: events.Position(len(states))}))
	}
	end := states[len(states)-1]
	kinds := map[string]int{}
	for change := range states[0].Changes(end) {
		if change.Before != nil || change.After == nil {
			t.Fatalf("out of nothing came %+v", change)
		}
		kinds[change.Kind]++
	}
	want := map[string]int{"site": 3, "environment": 3, "drop": 3, "binding": 9, "host": eventlogtest.FleetHosts, "workflow": 3, "name": 3}
	if !maps.Equal(kinds, want) {
		t.Errorf("there came %v, want %v", kinds, want)
	}
	for i, older := range states {
		for change := range older.Changes(older) {
			t.Fatalf("a state differs from itself: %+v", change)
		}
		forth, back := 0, 0
		for change := range older.Changes(end) {
			if change.Before == change.After {
				t.Fatalf("%+v is no change", change)
			}
			forth++
		}
		for range end.Changes(older) {
			back++
		}
		if forth != back || older.Differences(end) < forth {
			t.Fatalf("from state %d on %d records changed, back %d; %d differ", i, forth, back, older.Differences(end))
		}
	}
	for change := range end.Changes(states[0]) {
		if change.After != nil {
			t.Errorf("to nothing there is left %+v", change)
		}
		break // a reader may leave
	}
}
