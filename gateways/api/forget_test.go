package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pantheon/actors/drop"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/gateways/api"
)

// deleteSite does what the policies of a delete_site workflow would.
func (s *server) deleteSite(id events.SiteID) {
	s.t.Helper()
	s.must(id.Stream(), site.RequestDeletion{Reason: "Delete site blog"})
	s.must(id.Stream(), site.Delete{})
}

// wire gives every event of the log as it stands there.
func (s *server) wire() string {
	s.t.Helper()
	var all strings.Builder
	tips := map[events.StreamID]events.Tip{}
	for envelope, err := range s.log.All(s.t.Context(), 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		wire, hash, err := events.Encode(envelope.Commit, tips[envelope.Stream])
		if err != nil || hash != envelope.Hash {
			s.t.Fatalf("position %d: the hash is not that of the commit (%v)", envelope.Position, err)
		}
		tips[envelope.Stream] = envelope.Tip()
		all.Write(wire)
	}
	return all.String()
}

const diary = `{"type":"create_site","params":{"site_name":"blog","label":"Alice's \"diary\"","upstream_id":"wordpress"}}`

func TestPersonalTextsAreShownToThoseWhoMaySee(t *testing.T) {
	s := start(t, nil)
	alice, bob := s.user(aliceID), s.user(bobID)
	var w api.Workflow
	alice.expect(202, "POST", "users/me/workflows", diary).into(t, &w)
	s.must(w.Site.Stream(), site.Create{
		Site: w.Site, Name: "blog", Label: `Alice's "diary"`, Owner: aliceID, Upstream: upstreamID,
		Framework: events.WordPress, Source: events.CodeSource{Location: "/usr/share/wordpress"},
	})
	wire := s.wire()
	for _, text := range []string{"diary", "Alice", "alice@", "/usr/share/wordpress", "127.0.0.1"} {
		if strings.Contains(wire, text) {
			t.Errorf("%q stands in the log in clear", text)
		}
	}
	for _, who := range []as{alice, s.operator()} {
		var record api.Site
		who.expect(200, "GET", "sites/blog", "").into(t, &record)
		if record.Label != `Alice's "diary"` || record.Upstream.RepositoryURL != "/usr/share/wordpress" || record.Upstream.Label != "WordPress" {
			t.Errorf("the site's record: %+v", record)
		}
	}
	var me api.User
	alice.expect(200, "GET", "users/me", "").into(t, &me)
	if me.Profile.FirstName != "Alice" || me.Profile.LastName != "Adams" || me.Email != "alice@example.org" {
		t.Errorf("the account: %+v", me)
	}
	var accounts []api.User
	s.operator().expect(200, "GET", "accounts", "").into(t, &accounts)
	if len(accounts) != 3 || accounts[1].Profile.FullName != "Alice Adams" || accounts[2].Profile.FullName != "Bob Brown" {
		t.Errorf("accounts %+v", accounts)
	}
	events := s.operator().expect(200, "GET", "events?stream=site/"+string(w.Site), "").body
	if !strings.Contains(events, `Alice's \"diary\"`) || strings.Contains(events, "sealed:") {
		t.Errorf("the event list: %s", events)
	}
	// Bob has got hold of what stands in the log. His own texts may say so; it
	// opens for nobody who may not see it.
	stolen := wire[strings.Index(wire, "sealed:1:"):]
	stolen = stolen[:strings.IndexByte(stolen, '"')]
	bob.expect(201, "POST", "users/me/machine_tokens", `{"device_name":"`+stolen+`"}`)
	if got := bob.expect(200, "GET", "users/me/machine_tokens", "").body; !strings.Contains(got, stolen) {
		t.Errorf("bob's tokens: %s", got)
	}
}

func TestForgetSite(t *testing.T) {
	s := start(t, nil)
	alice, bob := s.user(aliceID), s.user(bobID)
	var w api.Workflow
	alice.expect(202, "POST", "users/me/workflows", diary).into(t, &w)
	s.finish(w, "blog")
	crashed := events.DropID(strings.ReplaceAll(string(w.Site), "-", ""))
	s.must(crashed.Stream(), drop.Report{Host: hostID, Fact: events.DropCrashed{Drop: crashed, Host: hostID, Reason: "Alice's plugin"}})
	refused := alice.expect(409, "POST", "sites/blog/forget", "")
	if !strings.Contains(refused.body, "it is not deleted") || !strings.Contains(refused.body, "pantheon site delete blog") {
		t.Errorf("a site that is not deleted: %s", refused.body)
	}
	bob.expect(404, "POST", "sites/blog/forget", "")
	s.deleteSite(w.Site)
	bob.expect(404, "POST", "sites/blog/forget", "")
	bob.expect(404, "POST", "sites/"+string(w.Site)+"/forget", "")
	alice.expect(404, "POST", "sites/nothing/forget", "")
	alice.expect(404, "POST", "sites/No%20name/forget", "")
	alice.expect(404, "POST", "sites/3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f/forget", "")
	before := s.wire()
	for range 2 { // it may be repeated
		var forgotten api.Forgetting
		alice.expect(200, "POST", "sites/"+string(w.Site)+"/forget", "").into(t, &forgotten)
		if forgotten.ID != string(w.Site) || forgotten.Name != "blog" || forgotten.Position == 0 {
			t.Errorf("the answer: %+v", forgotten)
		}
	}
	if after := s.wire(); !strings.HasPrefix(after, before) {
		t.Error("forgetting has changed what stood in the log")
	}
	var page api.Commits
	s.operator().expect(200, "GET", "events?limit=1000", "").into(t, &page)
	var types []string
	for _, commit := range page.Commits {
		for _, event := range commit.Events {
			if strings.Contains(string(event.Payload), "Alice's") || strings.Contains(string(event.Payload), "sealed:") {
				t.Errorf("position %d: %s", commit.Position, event.Payload)
			}
			if commit.Stream == "site/"+string(w.Site) {
				types = append(types, event.Type)
			}
		}
	}
	if want := "SiteCreated SiteActivated SiteDeletionRequested SiteDeleted SiteForgettingRequested SiteForgotten"; strings.Join(types, " ") != want {
		t.Errorf("the site's events are %v, want %s", types, want)
	}
	of := s.operator().expect(200, "GET", "events?type=SiteForgettingRequested", "").body
	if !strings.Contains(of, "account/"+string(aliceID)) {
		t.Errorf("who asked for it: %s", of)
	}
	created := s.operator().expect(200, "GET", "events?type=SiteCreated", "").body
	if !strings.Contains(created, `"label":"(forgotten)"`) {
		t.Errorf("the creation: %s", created)
	}
	for owner := range s.state().Forgetting() {
		t.Errorf("%v is still to be forgotten", owner)
	}
}

func TestForgetSiteByName(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	var ids []string
	for i := range 2 {
		var w api.Workflow
		alice.with("Idempotency-Key", fmt.Sprint(i)).expect(202, "POST", "users/me/workflows", diary).into(t, &w)
		s.must(w.Site.Stream(), site.Create{Site: w.Site, Name: "blog", Label: "Diary", Owner: aliceID, Framework: events.PHP, Source: events.CodeSource{Location: "/x"}})
		s.claim("blog", w.Site)
		s.deleteSite(w.Site)
		ids = append(ids, string(w.Site))
		if i == 0 {
			alice.expect(200, "POST", "sites/blog/forget", "")
		}
	}
	got := alice.expect(409, "POST", "sites/blog/forget", "").body
	if !strings.Contains(got, "2 sites had this name") || !strings.Contains(got, strings.Join(ids, ", ")) {
		t.Errorf("two sites of one name: %s", got)
	}
}

// claim writes what the actor of a name would.
func (s *server) claim(name string, id events.SiteID) {
	s.t.Helper()
	unique := events.UniqueName(events.SpaceSite, name)
	var tip events.Tip
	for envelope := range s.log.Stream(s.t.Context(), unique.Stream(), 0) {
		tip = envelope.Tip()
	}
	commit := events.Commit{Stream: unique.Stream(), Meta: events.Meta{Command: events.CommandID(id), Principal: "policy/test"}, Events: []events.Event{
		events.NameClaimed{Name: unique, By: id.Stream().String()}, events.NameReleased{Name: unique, By: id.Stream().String()},
	}}
	if _, err := s.log.Append(s.t.Context(), tip, commit); err != nil {
		s.t.Fatal(err)
	}
}

func TestForgetAccount(t *testing.T) {
	s := start(t, nil)
	alice, bob := s.user(aliceID), s.user(bobID)
	s.makeSite(alice, "blog")
	got := alice.expect(409, "POST", "users/me/forget", "").body
	if !strings.Contains(got, "it owns site blog") {
		t.Errorf("an account with a site: %s", got)
	}
	bob.expect(403, "POST", "users/"+string(aliceID)+"/forget", "")
	s.operator().expect(409, "POST", "users/me/forget", "")
	bob.expect(200, "POST", "users/me/forget", "")
	bob.expect(401, "GET", "users/me", "") // its tokens ended with it
	var users []api.User
	s.operator().expect(200, "GET", "accounts", "").into(t, &users)
	for _, user := range users {
		if forgotten := user.Profile.FullName == events.Forgotten && user.Email == events.Forgotten; forgotten != (user.ID == bobID) {
			t.Errorf("account %+v", user)
		}
	}
	s.operator().expect(200, "POST", "users/"+string(bobID)+"/forget", "") // it may be repeated
	if body := s.operator().expect(200, "GET", "events?limit=1000", "").body; strings.Contains(body, "Bob") || strings.Contains(body, "bob@") || !strings.Contains(body, "Alice") {
		t.Errorf("the event list: %s", body)
	}
}

// A site whose events were written before texts were sealed cannot be
// forgotten, and the answer says so.
func TestForgetWhatStandsInClear(t *testing.T) {
	s := start(t, nil)
	const old events.SiteID = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	commit := events.Commit{Stream: old.Stream(), Meta: events.Meta{Command: "c", Principal: "policy/test"}, Events: []events.Event{
		events.SiteCreated{Site: old, Name: "old", Label: "Old", Owner: aliceID}, events.SiteDeleted{Site: old, Name: "old"},
	}}
	if _, err := s.log.Append(t.Context(), events.Tip{}, commit); err != nil {
		t.Fatal(err)
	}
	if got := s.operator().expect(409, "POST", "sites/"+string(old)+"/forget", "").body; !strings.Contains(got, "a version that did not seal them") {
		t.Errorf("%s", got)
	}
}

func TestACellWithoutKeysForgetsNothing(t *testing.T) {
	s := start(t, func(o *api.Options) { o.Forget = nil })
	s.operator().expect(405, "POST", "users/"+string(bobID)+"/forget", "")
	if account, _ := s.state().Account(bobID); account.Ended {
		t.Error("the account has ended all the same")
	}
}

// The reason of a create_site that failed is shown to who asked for the site,
// which is gone.
func TestReasonsOfSitesThatAreGone(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	var w api.Workflow
	alice.expect(202, "POST", "users/me/workflows", diary).into(t, &w)
	s.must(w.ID.Stream(), workflow.FailStep{Step: events.StepClaimName, Reason: "cannot clone it"})
	for _, path := range []string{"workflows/" + string(w.ID), "workflows", "users/me/workflows"} {
		if got := alice.expect(200, "GET", path, "").body; !strings.Contains(got, "cannot clone it") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// The event stream opens what it shows.
func TestEventStreamOpens(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := s.operator().with("Accept", "text/event-stream")
	response, err := client.client().Do(client.request(ctx, http.MethodGet, "events?type=AccountRegistered", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "sealed:") {
			t.Fatalf("sealed: %s", lines.Text())
		}
		if strings.Contains(lines.Text(), "Bob Brown") {
			return
		}
	}
	t.Fatal("the stream ended without the account")
}
