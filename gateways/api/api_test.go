package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors/drop"
	"pantheon/events"
	"pantheon/gateways/api"
	"pantheon/projections/inventory"
)

func TestSiteFromCreationToDeletion(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	var w api.Workflow
	create := `{"type":"create_site","params":{"site_name":"blog","label":"My blog","upstream_id":"wordpress"}}`
	got := alice.with("Idempotency-Key", "k1").expect(202, "POST", "users/me/workflows", create)
	got.into(t, &w)
	if w.Result != nil || w.WaitingForTask == nil || w.WaitingForTask.Site != w.Site || w.Steps[0].State != "running" {
		t.Errorf("a workflow that begins: %s", got.body)
	}
	again := alice.with("Idempotency-Key", "k1").expect(202, "POST", "users/me/workflows", create)
	var same api.Workflow
	again.into(t, &same)
	if same.ID != w.ID || same.Site != w.Site {
		t.Errorf("the same request again made another workflow: %s", again.body)
	}
	s.finish(w, "blog")
	done := alice.expect(200, "GET", fmt.Sprintf("users/%s/workflows/%s", aliceID, w.ID), "")
	if !strings.Contains(done.body, `"result":"succeeded"`) || strings.Contains(done.body, "waiting_for_task") {
		t.Errorf("a workflow that has ended: %s", done.body)
	}
	var record api.Site
	alice.expect(200, "GET", "sites/blog?site_state=true", "").into(t, &record)
	if record.Name != "blog" || record.Owner != aliceID || record.State != "active" || record.PHPVersion != "82" || record.Upstream.MachineName != "wordpress" {
		t.Errorf("site %+v", record)
	}
	var environments map[string]api.Environment
	alice.expect(200, "GET", "sites/blog/environments", "").into(t, &environments)
	dev := environments["dev"]
	if len(environments) != 3 || !dev.Initialized || environments["live"].Initialized || len(dev.Drops) != 1 || dev.URL != "http://dev-blog.pantheon.localhost" {
		t.Errorf("environments %+v", environments)
	}
	alice.expect(409, "POST", "users/me/workflows", create)
	var deletion api.Workflow
	alice.expect(202, "POST", "sites/blog/workflows", `{"type":"delete_site","params":{}}`).into(t, &deletion)
	if deletion.Type != "delete_site" || deletion.Site != w.Site {
		t.Errorf("deletion %+v", deletion)
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	s := start(t, nil)
	alice, bob := s.user(aliceID), s.user(bobID)
	id := s.makeSite(alice, "blog")
	foreignDrop := strings.ReplaceAll(string(id), "-", "")
	for _, path := range []string{
		"sites/blog", "sites/" + string(id), "sites/blog/environments/dev/variables", "sites/blog/workflows",
		"drops/" + foreignDrop, "drops?site=blog", "bindings?site=blog", "workflows?site=blog",
	} {
		bob.expect(404, "GET", path, "")
	}
	bob.expect(404, "POST", "sites/blog/workflows", `{"type":"delete_site"}`)
	bob.expect(404, "POST", "sites/blog/environments/dev/wake", "")
	bob.expect(403, "GET", "users/"+string(aliceID), "")
	bob.expect(403, "POST", "users/"+string(aliceID)+"/machine_tokens", `{}`)
	for _, path := range []string{"hosts", "events", "accounts"} {
		bob.expect(403, "GET", path, "")
	}
	bob.expect(403, "POST", "upstreams", `{}`)
	for _, path := range []string{"sites", "drops", "bindings", "workflows", "users/me/memberships/sites"} {
		if got := bob.expect(200, "GET", path, ""); got.body != "[]" {
			t.Errorf("GET %s gives bob %s", path, got.body)
		}
		if got := s.operator().expect(200, "GET", path, ""); got.body == "[]" && path != "bindings" && !strings.HasPrefix(path, "users/") {
			t.Errorf("GET %s gives the operator %s", path, got.body)
		}
	}
	anonymous := as{s: s, session: "none"}
	anonymous.expect(200, "GET", "health", "")
	for _, path := range []string{"sites", "sites/blog", "users/me", "site-names/blog"} {
		anonymous.expect(401, "GET", path, "")
	}
}

func TestTokensAndSessions(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	var tokens []api.Token
	list := alice.expect(200, "GET", "users/me/machine_tokens", "")
	list.into(t, &tokens)
	if len(tokens) != 1 || tokens[0].Token != "" {
		t.Fatalf("tokens %s", list.body)
	}
	forged := as{s: s, session: strings.Replace(alice.session, string(aliceID), string(operatorID), 1)}
	forged.expect(401, "GET", "hosts", "")
	cut := as{s: s, session: alice.session[:len(alice.session)-2]}
	cut.expect(401, "GET", "users/me", "")
	// A revoked token takes its sessions with it.
	alice.expect(200, "DELETE", "users/me/machine_tokens/"+string(tokens[0].ID), "")
	alice.expect(401, "GET", "users/me", "")
	// A repetition cannot show the token again.
	key := s.operator().with("Idempotency-Key", "t")
	key.expect(201, "POST", "users/me/machine_tokens", `{"device_name":"d"}`)
	key.expect(409, "POST", "users/me/machine_tokens", `{"device_name":"d"}`)
	// No secret stands in the log or the platform's own log.
	for envelope, err := range s.log.All(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(envelope.Events); strings.Contains(text, alice.session) {
			t.Errorf("a session in the log: %s", text)
		}
	}
	if strings.Contains(s.logged.String(), alice.session) {
		t.Error("a session in the request log")
	}
}

// late shows an inventory of before, until somebody waits for a newer one.
type late struct {
	api.Inventory
	mutex  sync.Mutex
	before inventory.State
	at     events.Position
	is     bool
}

func (l *late) Load() (inventory.State, events.Position) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.is {
		return l.before, l.at
	}
	return l.Inventory.Load()
}

func (l *late) Wait(ctx context.Context, position events.Position) error {
	l.mutex.Lock()
	l.is = l.is && position <= l.at
	l.mutex.Unlock()
	return l.Inventory.Wait(ctx, position)
}

// TestLoginWithANewToken: a token that was made on another machine a moment ago
// was refused.
func TestLoginWithANewToken(t *testing.T) {
	var view *late
	s := start(t, func(o *api.Options) {
		view = &late{Inventory: o.Inventory}
		o.Inventory = view
	})
	view.before, view.at = view.Load()
	var token api.Token
	s.operator().do("POST", "users/"+string(aliceID)+"/machine_tokens", `{"device_name":"test"}`).into(t, &token)
	view.mutex.Lock()
	view.is = true
	view.mutex.Unlock()
	as{s: s, session: "none"}.expect(200, "POST", "authorize/machine-token", `{"machine_token":"`+token.Token+`"}`)
}

func TestFailedLoginsAreLimited(t *testing.T) {
	s := start(t, nil)
	stranger := as{s: s, session: "none"}
	for range 10 {
		stranger.expect(401, "POST", "authorize/machine-token", `{"machine_token":"guess"}`)
	}
	stranger.expect(503, "POST", "authorize/machine-token", `{"machine_token":"guess"}`)
	stranger.with("User-Agent", "Terminus/3.6.1").expect(409, "POST", "authorize/machine-token", `{"machine_token":"guess"}`)
}

func TestErrorsForTerminusAndOthers(t *testing.T) {
	s := start(t, nil)
	var e api.Error
	got := s.operator().expect(404, "GET", "sites/nothing", "")
	got.into(t, &e)
	if e.Kind != "not_found" || e.Hint == "" || e.ID != got.header.Get("X-Request-Id") || e.Message == "" {
		t.Errorf("error %s", got.body)
	}
	terminus := s.operator().with("User-Agent", "Terminus/3.6.1 (php_version=8.2)")
	var text string
	terminus.expect(404, "GET", "sites/nothing", "").into(t, &text)
	if !strings.Contains(text, "cannot find site") {
		t.Errorf("Terminus is told %q", text)
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	s.operator().expect(503, "GET", "events", "")
	terminus.expect(409, "GET", "events", "") // it would retry a 503 for over a minute
}

func TestBadRequests(t *testing.T) {
	s := start(t, nil)
	operator := s.operator()
	operator.expect(400, "POST", "accounts", `{"name":"x","nmae":"y"}`)
	operator.expect(400, "POST", "accounts", `{"name":"x"} {}`)
	operator.expect(400, "POST", "accounts", `{`)
	operator.expect(400, "POST", "accounts", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	operator.expect(400, "GET", "sites?limit=0", "")
	operator.expect(400, "GET", "sites?limit=100000", "")
	operator.expect(400, "GET", "events?stream=nonsense", "")
	operator.expect(400, "GET", "events?type=Nonsense", "")
	operator.expect(400, "GET", "events?colour=red", "")
	operator.expect(404, "GET", "nonsense", "")
	operator.expect(405, "DELETE", "hosts", "")
	operator.expect(405, "POST", "users/me/workflows", `{"type":"fly"}`)
	operator.with("Idempotency-Key", strings.Repeat("k", 65)).expect(400, "POST", "accounts", `{"name":"x"}`)
	for _, location := range []string{"ext::sh -c id", "-u", "relative/path", "http://example.org/x", "https://u:p@example.org/x", "https://token@example.org/x"} {
		operator.expect(400, "POST", "upstreams", fmt.Sprintf(`{"machine_name":"u","framework":"php","repository_url":%q}`, location))
	}
	for _, name := range []string{"", "Blog", "a b", "-x", strings.Repeat("x", 52), "../etc"} {
		operator.expect(400, "POST", "users/me/workflows", fmt.Sprintf(`{"type":"create_site","params":{"site_name":%q,"upstream_id":"wordpress"}}`, name))
	}
	operator.expect(404, "POST", "users/me/workflows", `{"type":"create_site","params":{"site_name":"x","upstream_id":"none"}}`)
}

func TestSettings(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	s.makeSite(alice, "blog")
	var settings api.Settings
	alice.expect(200, "PATCH", "sites/blog/environments/dev/settings", `{"idle_after_seconds":90,"workers":8}`).into(t, &settings)
	if settings.IdleAfterSeconds != 90 || settings.Workers != 8 || settings.PHPVersion != "8.2" || !settings.Initialized {
		t.Errorf("settings %+v", settings)
	}
	alice.expect(400, "PATCH", "sites/blog/environments/dev/settings", `{"workers":-1}`)
	alice.expect(409, "PATCH", "sites/blog/environments/live/settings", `{"workers":2}`)
	alice.expect(404, "PATCH", "sites/blog/environments/other/settings", `{"workers":2}`)
}

func TestWakeAndSleep(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	id := s.makeSite(alice, "blog")
	alice.expect(202, "POST", "sites/blog/environments/dev/wake", "")
	alice.expect(202, "POST", "sites/blog/environments/dev/sleep", "")
	alice.expect(409, "POST", "sites/blog/environments/test/wake", "")
	names := s.eventNames("host/" + string(hostID))
	if !strings.HasSuffix(names, "DropWakeOrdered DropSleepOrdered") {
		t.Errorf("the host was told %s", names)
	}
	awake := events.DropID(strings.ReplaceAll(string(id), "-", ""))
	s.must(awake.Stream(), drop.Report{Host: hostID, Fact: events.DropReady{Drop: awake, Host: hostID, Generation: 1}})
	s.must(awake.Stream(), drop.Report{Host: hostID, Fact: events.DropAwoke{Drop: awake, Host: hostID, Trigger: "operator", DurationMS: 12}})
	var record api.Drop
	alice.expect(200, "GET", "drops/"+string(awake), "").into(t, &record)
	if record.State != "awake" || record.SiteName != "blog" || record.Environment != "dev" || record.HostName != "one" {
		t.Errorf("DROP %+v", record)
	}
}

func (s *server) eventNames(stream string) string {
	s.t.Helper()
	got := s.operator().expect(200, "GET", "events?stream="+stream, "")
	var names []string
	for _, c := range commitsOf(s.t, got.body) {
		for _, e := range c.Events {
			names = append(names, e.Type)
		}
	}
	return strings.Join(names, " ")
}

func commitsOf(t *testing.T, body string) []api.Commit {
	t.Helper()
	var page api.Commits
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	return page.Commits
}

func TestEventList(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	s.makeSite(alice, "blog")
	count := func(query string) int {
		return len(commitsOf(t, s.operator().expect(200, "GET", "events?"+query, "").body))
	}
	all := count("limit=1000")
	if all < 10 || count("limit=3") != 3 || count("after=4&limit=1000") != all-4 {
		t.Errorf("%d commits, %d, %d", all, count("limit=3"), count("after=4&limit=1000"))
	}
	if n := count("type=SiteCreated"); n != 1 {
		t.Errorf("%d SiteCreated", n)
	}
	if n := count("type=SiteCreated&type=SiteActivated"); n != 2 {
		t.Errorf("%d SiteCreated or SiteActivated", n)
	}
	if n := count("principal=account/" + string(aliceID)); n != 1 {
		t.Errorf("alice decided %d commits", n)
	}
	if n := count("stream=site"); n != 2 {
		t.Errorf("%d commits of sites", n)
	}
	if n := count("since=2100-01-01T00:00:00Z"); n != 0 {
		t.Errorf("%d commits of the future", n)
	}
	last := commitsOf(t, s.operator().expect(200, "GET", "events?last=true&limit=2", "").body)
	if len(last) != 2 || int(last[1].Position) != all {
		t.Errorf("the last two: %+v", last)
	}
}

func TestEventStream(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	follow := func(after string) *bufio.Scanner {
		client := s.operator().with("Accept", "text/event-stream").with("Last-Event-ID", after)
		response, err := client.client().Do(client.request(ctx, "GET", "events?stream=account", ""))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("status %d, %s", response.StatusCode, response.Header.Get("Content-Type"))
		}
		return bufio.NewScanner(response.Body)
	}
	ids := func(lines *bufio.Scanner, n int) []string {
		var ids []string
		for len(ids) < n && lines.Scan() {
			if id, found := strings.CutPrefix(lines.Text(), "id: "); found {
				ids = append(ids, id)
			}
		}
		return ids
	}
	lines := follow("0")
	if got := strings.Join(ids(lines, 4), " "); got != "1 2 3 4" {
		t.Fatalf("ids %s", got)
	}
	s.operator().expect(201, "POST", "accounts", `{"name":"Carol"}`)
	if got := strings.Join(ids(lines, 1), " "); got != "5" {
		t.Errorf("a new commit has id %s", got)
	}
	if got := strings.Join(ids(follow("3"), 2), " "); got != "4 5" {
		t.Errorf("after Last-Event-ID 3 come %s", got)
	}
}

func TestPages(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		s.makeSite(alice, name)
	}
	for _, list := range []string{"sites", "drops", "users/me/memberships/sites"} {
		var seen []string
		start := ""
		for range 5 {
			var page []struct {
				ID string `json:"id"`
			}
			alice.expect(200, "GET", list+"?limit=2&start="+start, "").into(t, &page)
			for _, item := range page {
				seen = append(seen, item.ID)
				start = item.ID
			}
			if len(page) < 2 {
				break
			}
		}
		unique := make(map[string]bool)
		for _, id := range seen {
			unique[id] = true
		}
		if len(seen) != 5 || len(unique) != 5 {
			t.Errorf("pages of %s give %v", list, seen)
		}
	}
}

// Terminus names a site first and says what it is made from afterwards.
func TestTerminusCreatesASite(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID).with("User-Agent", "Terminus/3.6.1 (php_version=8.2&script=terminus)")
	alice.expect(404, "GET", "site-names/shop", "")
	alice.expect(200, "GET", "users/"+string(aliceID)+"/upstreams", "")
	var w api.Workflow
	alice.with("X-Pantheon-Trace-Id", "t1").expect(202, "POST", "users/"+string(aliceID)+"/workflows",
		`{"type":"create_site","params":{"label":"Shop","site_name":"shop","has_supporting_org":false}}`).into(t, &w)
	polled := alice.expect(200, "GET", fmt.Sprintf("users/%s/workflows/%s", aliceID, w.ID), "")
	if w.WaitingForTask == nil || !strings.Contains(polled.body, `"result":"succeeded"`) || strings.Contains(polled.body, "waiting_for_task") {
		t.Fatalf("create_site: %s", polled.body)
	}
	id := string(w.WaitingForTask.Site)
	alice.expect(200, "GET", "sites/"+id+"?site_state=true", "")
	s.user(bobID).expect(404, "GET", "sites/"+id, "")
	var deploy api.Workflow
	alice.expect(202, "POST", "sites/"+id+"/workflows",
		`{"type":"deploy_product","params":{"product_id":"`+string(upstreamID)+`"}}`).into(t, &deploy)
	s.finish(deploy, "shop")
	if got := alice.expect(200, "GET", "sites/"+id+"/workflows/"+string(deploy.ID), ""); !strings.Contains(got.body, `"result":"succeeded"`) {
		t.Errorf("deploy_product: %s", got.body)
	}
	var domains []api.Domain
	alice.expect(200, "GET", "sites/"+id+"/environments/dev/domains?hydrate[]=as_list&hydrate[]=recommendations", "").into(t, &domains)
	if len(domains) != 1 || domains[0].ID != "dev-shop.pantheon.localhost" || domains[0].Type != "platform" {
		t.Errorf("domains %+v", domains)
	}
	alice.expect(405, "POST", "sites/"+id+"/workflows", `{"type":"deploy_product","params":{"product_id":"x"}}`)
}

type fakeVariables map[string]string

func (f fakeVariables) Variables(context.Context, events.EnvironmentID) (map[string]string, error) {
	return f, nil
}

func TestVariables(t *testing.T) {
	s := start(t, func(o *api.Options) { o.Variables = fakeVariables{"DB_PASSWORD": "very-secret"} })
	alice := s.user(aliceID)
	s.makeSite(alice, "blog")
	if got := alice.expect(200, "GET", "sites/blog/environments/dev/variables", ""); got.body != `{"DB_PASSWORD":"very-secret"}` {
		t.Errorf("variables %s", got.body)
	}
	if strings.Contains(s.logged.String(), "very-secret") {
		t.Error("a secret in the request log")
	}
}
