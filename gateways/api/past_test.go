package api_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/site"
	"pantheon/events"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/projections/clock"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// startWithPast is start with views that remember.
func startWithPast(t *testing.T, changes ...func(*api.Options)) *server {
	t.Helper()
	return start(t, func(options *api.Options) {
		for _, change := range changes {
			change(options)
		}
		runner := projections.NewRunner(projections.Options{Log: options.Log})
		remembering := projections.HistoryOptions{Log: options.Log, EveryCommits: 8}
		inventories := projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version}
		routings := projections.Projection[routing.State]{Name: "routing", Version: routing.Version, Empty: routing.Empty("pantheon.localhost")}
		past := projections.NewHistory(projections.Add(runner, inventories), inventories, remembering)
		table := projections.NewHistory(projections.Add(runner, routings), routings, remembering)
		options.Inventory, options.Routing, options.Zones = past, table, nil
		options.Clock = projections.Add(runner, projections.Projection[clock.State]{Name: "clock", Version: clock.Version})
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for _, run := range []func(context.Context) error{runner.Run, past.Run, table.Run} {
			all.Go(func() { _ = run(ctx) })
		}
		t.Cleanup(func() { cancel(); all.Wait() })
	})
}

// head gives the log's end, with the gateway's views there.
func (s *server) head() events.Position {
	s.t.Helper()
	head, err := s.log.Head(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.operator().expect(200, "GET", fmt.Sprintf("hosts?at=%d", head), "") // waits for the inventory
	s.operator().expect(200, "GET", fmt.Sprintf("routes?at=%d", head), "")
	return head
}

func TestThePast(t *testing.T) {
	s := startWithPast(t)
	alice, bob := s.user(aliceID), s.user(bobID)
	empty := s.head()
	id := s.makeSite(alice, "blog")
	made := s.head()
	dropOf := events.DropID(strings.ReplaceAll(string(id), "-", ""))
	s.must(dropOf.Stream(), drop.Report{Host: hostID, Fact: events.DropReady{Drop: dropOf, Host: hostID, Generation: 1}})
	workers := environment.DefaultSettings("dev").Workers + 1
	s.must(events.EnvironmentOf(id, "dev").Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Workers: &workers}})
	changed := s.head()

	// The same reads, at three moments.
	for _, path := range []string{"sites", "drops", "users/me/memberships/sites", "workflows", "routes"} {
		if got := alice.expect(200, "GET", fmt.Sprintf("%s?at=%d", path, empty), ""); got.body != "[]" {
			t.Errorf("%s before the site: %s", path, got.body)
		}
		got := alice.expect(200, "GET", fmt.Sprintf("%s?at=%d", path, made), "")
		if got.body == "[]" || got.header.Get("X-Pantheon-Position") != fmt.Sprint(made) || got.header.Get("X-Pantheon-Time") == "" {
			t.Errorf("%s with the site: %s %v", path, got.body, got.header)
		}
		bob.expect(200, "GET", fmt.Sprintf("%s?at=%d", path, made), "")
	}
	alice.expect(404, "GET", fmt.Sprintf("sites/blog?at=%d", empty), "")
	bob.expect(404, "GET", fmt.Sprintf("sites/blog?at=%d", made), "")
	var then, now api.Environment
	alice.expect(200, "GET", fmt.Sprintf("sites/blog/environments/dev?at=%d", made), "").into(t, &then)
	alice.expect(200, "GET", "sites/blog/environments/dev", "").into(t, &now)
	if then.Settings.Workers+1 != now.Settings.Workers || then.Drops[0].State != "preparing" || now.Drops[0].State != "ready" {
		t.Errorf("then %+v %+v, now %+v %+v", then.Settings, then.Drops, now.Settings, now.Drops)
	}

	// What the router would have answered.
	var route api.Route
	for position, answer := range map[events.Position]string{made: "503", changed: "site"} {
		alice.expect(200, "GET", fmt.Sprintf("routes/DEV-blog.pantheon.localhost:8080?at=%d", position), "").into(t, &route)
		if route.Answer != answer || route.Host != "dev-blog.pantheon.localhost" || route.Type != "platform" {
			t.Errorf("at %d: %+v", position, route)
		}
	}
	alice.expect(404, "GET", fmt.Sprintf("routes/dev-blog.pantheon.localhost?at=%d", empty), "")
	bob.expect(404, "GET", "routes/dev-blog.pantheon.localhost", "")
	var routes []api.Route
	alice.expect(200, "GET", "routes?limit=2", "").into(t, &routes)
	var rest []api.Route
	alice.expect(200, "GET", "routes?start="+routes[1].Host, "").into(t, &rest)
	if len(routes) != 2 || len(rest) != 1 || routes[0].Answer != "site" || rest[0].Answer != "404" {
		t.Errorf("routes %+v and %+v", routes, rest)
	}

	// The log as of a position.
	var page api.Commits
	s.operator().expect(200, "GET", fmt.Sprintf("events?last=true&limit=3&at=%d", made), "").into(t, &page)
	if len(page.Commits) != 3 || page.Commits[2].Position != made {
		t.Errorf("events at %d: %+v", made, page)
	}
}

func TestMomentsThatCannotBeShown(t *testing.T) {
	s := startWithPast(t)
	s.makeSite(s.user(aliceID), "blog")
	s.head()
	for at, text := range map[string]string{
		"":                     `cannot read "" as a position or time`,
		"yesterday":            "cannot read",
		"-3":                   "cannot read",
		"-2h":                  "cannot read",
		"1.5":                  "cannot read",
		"2026-13-01":           "cannot read",
		"0":                    "the log begins at 1",
		"99999999":             "the log ends at",
		"18446744073709551616": "cannot read",
		"2999-01-01":           "in the future",
		"2999-01-01T00:00:00Z": "in the future",
		"1990-01-01":           "the log begins at",
		"5000w":                "the log begins at",
	} {
		got := s.operator().expect(400, "GET", "sites?at="+url.QueryEscape(at), "")
		if !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), text) {
			t.Errorf("at=%s: %s, want %q", at, got.body, text)
		}
	}
	for _, at := range []string{"1", "0s", "1ns ago", time.Now().UTC().Format(time.RFC3339Nano)} {
		s.operator().expect(200, "GET", "sites?at="+url.QueryEscape(at), "")
	}
	s.operator().expect(405, "GET", "sites/blog/environments/dev/variables?at=1", "")
	s.operator().expect(405, "GET", "version?at=1", "")
	s.operator().expect(400, "POST", "sites/blog/environments/dev/wake?at=1", "")
	s.operator().expect(400, "DELETE", "upstreams/wordpress?at=1", "")
	(as{s: s, session: "none"}).expect(401, "GET", "sites?at=1", "")
	s.user(bobID).expect(403, "GET", "hosts?at=1", "")
	without := start(t, nil)
	without.operator().expect(405, "GET", "sites?at=1", "")
	without.operator().expect(405, "GET", "routes", "")
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 28, 14, 30, 0, 0, time.UTC)
	zone := time.FixedZone("east", 2*3600)
	for text, want := range map[string]string{
		"2026-11-28T14:03:05Z": "2026-11-28T14:03:05Z", "2026-11-28T14:03Z": "2026-11-28T14:03:00Z",
		"2026-11-28T14:03": "2026-11-28T12:03:00Z", "2026-11-28 14:03:05.25": "2026-11-28T12:03:05.25Z",
		"2026-11-28": "2026-11-27T22:00:00Z", "2h": "2026-11-28T12:30:00Z", " 2h ago ": "2026-11-28T12:30:00Z",
		"1h30m ago": "2026-11-28T13:00:00Z", "3d": "2026-11-25T14:30:00Z", "1w ago": "2026-11-21T14:30:00Z",
	} {
		_, at, err := api.ParseMoment(text, now, zone)
		if got := at.UTC().Format(time.RFC3339Nano); err != nil || got != want {
			t.Errorf("%q is %s (%v), want %s", text, got, err, want)
		}
	}
	if position, _, err := api.ParseMoment("2026", now, zone); err != nil || position != 2026 {
		t.Errorf("a number alone is a position, not a year: %d (%v)", position, err)
	}
}

func TestDiff(t *testing.T) {
	s := startWithPast(t)
	alice := s.user(aliceID)
	before := s.head()
	id := s.makeSite(alice, "blog")
	made := s.head()
	workers := 7
	s.must(events.EnvironmentOf(id, "dev").Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Workers: &workers}})
	s.must(id.Stream(), site.RequestDeletion{})
	after := s.head()

	diff := func(query string) api.Diff {
		var d api.Diff
		s.operator().expect(200, "GET", "diff?"+query, "").into(t, &d)
		return d
	}
	lines := func(d api.Diff) string {
		var all []string
		for _, object := range d.Changes {
			line := object.Change + " " + object.Kind + " " + object.Name
			for _, field := range object.Fields {
				if object.Change == "changed" {
					line += fmt.Sprintf(" %s:%s→%s", field.Field, field.Old, field.New)
				}
			}
			all = append(all, line)
		}
		return strings.Join(all, "\n")
	}
	if got := lines(diff(fmt.Sprintf("from=%d&to=%d", made, after))); got != strings.TrimSpace(`
changed site blog status:"active"→"deleting"
changed environment blog.dev settings.workers:4→7
changed route dev-blog.pantheon.localhost settings.workers:4→7 state:"serving"→"deleting"
changed route live-blog.pantheon.localhost state:"not_initialized"→"deleting"
changed route test-blog.pantheon.localhost state:"not_initialized"→"deleting"`) {
		t.Errorf("changes:\n%s", got)
	}
	creation := diff(fmt.Sprintf("from=%d&to=%d", before, made))
	for _, line := range []string{"added site blog", "added environment blog.dev", "added drop blog.dev", "added host one", "added workflow Create site blog", "added route dev-blog.pantheon.localhost"} {
		if !strings.Contains(lines(creation), line) {
			t.Errorf("no %q in\n%s", line, lines(creation))
		}
	}
	if got := lines(diff(fmt.Sprintf("from=%d&to=%d&kind=site&kind=host", before, made))); got != "added site blog\nadded host one" {
		t.Errorf("of two kinds:\n%s", got)
	}
	if d := diff(fmt.Sprintf("from=%d&to=%d", made, made)); len(d.Changes) != 0 || d.From.Position != made {
		t.Errorf("between a moment and itself: %+v", d)
	}
	if d := diff(fmt.Sprintf("from=%d", made)); d.To.Position < after {
		t.Errorf("without an end: %+v", d)
	}
	for query, text := range map[string]string{
		"": "cannot read", fmt.Sprintf("from=%d&to=%d", after, made): "comes after", "from=1&kind=cow": "there is none", "from=1&to=99999": "the log ends at",
	} {
		if got := s.operator().expect(400, "GET", "diff?"+query, ""); !strings.Contains(got.body, text) {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	alice.expect(403, "GET", "diff?from=1", "")
}

func TestWhy(t *testing.T) {
	s := startWithPast(t)
	alice := s.user(aliceID)
	var w api.Workflow
	alice.expect(202, "POST", "users/me/workflows", `{"type":"create_site","params":{"site_name":"blog","upstream_id":"wordpress"}}`).into(t, &w)
	started := s.head()
	chain := started
	stream := w.Site.Stream()
	for i := range 3 {
		tip, err := s.log.Append(t.Context(), s.tip(stream), events.Commit{
			Stream: stream, Meta: events.Meta{Command: events.CommandID(fmt.Sprint("c", i)), Principal: "policy/test", Gateway: "policy", Cause: chain, Time: time.Now()},
			Events: []events.Event{events.SiteActivated{Site: w.Site}},
		})
		if err != nil {
			t.Fatal(err)
		}
		chain = tip.Position
	}
	why := func(of string) api.Why {
		var answer api.Why
		s.operator().expect(200, "GET", "events/why?of="+url.QueryEscape(of), "").into(t, &answer)
		return answer
	}
	for _, of := range []string{fmt.Sprint(chain), stream.String(), stream.String() + "@3"} {
		got := why(of)
		if len(got.Chain) != 4 || got.Chain[0].Position != chain || got.Chain[3].Position != started || got.By != "Alice Adams" || !got.Person || got.More {
			t.Errorf("why %s: %+v", of, got)
		}
	}
	if got := why(stream.String() + "@1"); len(got.Chain) != 2 {
		t.Errorf("why the first commit: %+v", got)
	}
	if got := why("1"); got.Person || got.By != "policy/test" {
		t.Errorf("why what nobody caused: %+v", got)
	}
	for of, status := range map[string]int{"": 400, "cow": 400, "drop/1": 400, "0": 404, "9999": 404, stream.String() + "@9": 404, stream.String() + "@x": 400, "drop/" + strings.Repeat("0", 32): 404} {
		s.operator().expect(status, "GET", "events/why?of="+url.QueryEscape(of), "")
	}
	alice.expect(403, "GET", "events/why?of=1", "")

	// The list finds what a commit led to, and what came in through where.
	for query, want := range map[string]int{
		fmt.Sprintf("cause=%d", started): 1, "gateway=policy": 3, "command=c1": 1, "address=192.0.2.1": 0, "address=127.0.0.1": 1, "gateway=policy&command=c9": 0,
	} {
		var page api.Commits
		s.operator().expect(200, "GET", "events?"+query, "").into(t, &page)
		if len(page.Commits) != want {
			t.Errorf("events?%s gives %d commits, want %d", query, len(page.Commits), want)
		}
	}
}

// tip gives the end of a stream.
func (s *server) tip(stream events.StreamID) (tip events.Tip) {
	s.t.Helper()
	for envelope, err := range s.log.Stream(s.t.Context(), stream, 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		tip = envelope.Tip()
	}
	return tip
}
