package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors/account"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/events/eventlog/sealed"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/projections/inventory"
	zones "pantheon/projections/zone"
)

// fakeCell is the platform behind the gateway without actors' mailboxes and
// policies: the real deciders on the log in memory, and the real inventory
// behind its runner. What policies would do, a test does itself.
type fakeCell struct {
	t     *testing.T
	log   *memory.Log
	box   *sealed.Box
	actor *sealed.Log // the log as actors have it
	view  *projections.View[inventory.State]
	zones *projections.View[*zones.State]
	mutex sync.Mutex
}

const (
	operatorID events.AccountID  = "00000000-0000-4000-8000-000000000001"
	aliceID    events.AccountID  = "00000000-0000-4000-8000-00000000000a"
	bobID      events.AccountID  = "00000000-0000-4000-8000-00000000000b"
	upstreamID events.UpstreamID = "00000000-0000-4000-8000-0000000000c1"
)

func newFakeCell(t *testing.T) *fakeCell {
	t.Helper()
	cell := &fakeCell{t: t, log: memory.New(), box: sealed.NewBox(fakeKeys{made: map[events.Owner]string{}})}
	cell.actor = sealed.NewLog(cell.log, cell.box)
	runner := projections.NewRunner(projections.Options{Log: cell.log})
	cell.view = projections.Add(runner, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version})
	cell.zones = projections.Add(runner, projections.Projection[*zones.State]{
		Name: "zones", Version: zones.Version, Empty: zones.Empty(zones.Options{Domain: "pantheon.localhost"}),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = runner.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; _ = cell.log.Close() })
	for _, registered := range []account.Register{
		{Account: operatorID, Kind: events.AccountOperator, Name: "Operator"},
		{Account: aliceID, Kind: events.AccountUser, Name: "Alice Adams", Email: "alice@example.org"},
		{Account: bobID, Kind: events.AccountUser, Name: "Bob Brown", Email: "bob@example.org"},
	} {
		cell.must(registered.Account.Stream(), registered)
	}
	cell.must(operatorID.Stream(), account.AddUpstream{
		Upstream: upstreamID, Name: "wordpress", Label: "WordPress", Framework: events.WordPress,
		Source: events.CodeSource{Location: "/usr/share/wordpress"},
	})
	return cell
}

// fakeKeys are keys in memory; an empty one is destroyed. The box calls one
// method at a time.
type fakeKeys struct{ made map[events.Owner]string }

func (k fakeKeys) Key(owner events.Owner, create bool) (string, error) {
	key, known := k.made[owner]
	if !known && create {
		key = fmt.Sprintf("the key of %v", owner)
		k.made[owner] = key
	}
	if key == "" {
		return "", problem.New(problem.NotFound, "no key")
	}
	return key, nil
}

func (k fakeKeys) Destroy(owner events.Owner) error {
	k.made[owner] = ""
	return nil
}

// forget is what the platform does when the API has it in the log.
func (f *fakeCell) forget(ctx context.Context, owner events.Owner) (events.Position, error) {
	if err := f.box.Forget(owner); err != nil {
		return 0, err
	}
	to, command := owner.Site.Stream(), any(site.ReportForgotten{})
	if owner.Account != "" {
		to, command = owner.Account.Stream(), account.ReportForgotten{}
	}
	receipt, err := f.Do(ctx, events.Meta{Command: "forgotten", Principal: "host/" + string(hostID), Time: time.Now()}, to, command)
	if err != nil {
		return 0, err
	}
	return receipt.Tip.Position, f.view.Wait(ctx, receipt.Tip.Position)
}

// must carries out a command of the test itself and waits for the view.
func (f *fakeCell) must(to events.StreamID, command any) {
	f.t.Helper()
	meta := events.Meta{Command: events.CommandID(f.t.Name() + time.Now().String()), Principal: "policy/test", Time: time.Now()}
	receipt, err := f.Do(context.Background(), meta, to, command)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.view.Wait(f.t.Context(), receipt.Tip.Position); err != nil {
		f.t.Fatal(err)
	}
}

// Do implements api.Commander.
func (f *fakeCell) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var past []events.Event
	var tip events.Tip
	for envelope, err := range f.actor.Stream(ctx, to, 0) {
		if err != nil {
			return events.Receipt{}, err
		}
		tip = envelope.Tip()
		if envelope.Meta.Command == meta.Command {
			return events.Receipt{Stream: to, Tip: tip, Repeated: true}, nil
		}
		past = append(past, envelope.Events...)
	}
	decided, err := decide(past, command)
	if err != nil || len(decided) == 0 {
		return events.Receipt{Stream: to, Tip: tip}, err
	}
	tip, err = f.actor.Append(ctx, tip, events.Commit{Stream: to, Meta: meta, Events: decided})
	return events.Receipt{Stream: to, Tip: tip, Events: decided}, err
}

func decide(past []events.Event, command any) ([]events.Event, error) {
	switch c := command.(type) {
	case account.Command:
		return account.Decide(fold(past, account.Evolve), c)
	case site.Command:
		return site.Decide(fold(past, site.Evolve), c)
	case environment.Command:
		return environment.Decide(fold(past, environment.Evolve), c)
	case host.Command:
		return host.Decide(fold(past, host.Evolve), c)
	case binding.Command:
		return binding.Decide(fold(past, binding.Evolve), c)
	case drop.Command:
		return drop.Decide(fold(past, drop.Evolve), c)
	case workflow.Command:
		return workflow.Decide(fold(past, workflow.Evolve), c)
	case zone.Command:
		return zone.Decide(fold(past, zone.Evolve), c)
	}
	panic("the fake cell has no such actor")
}

func fold[S any](past []events.Event, evolve func(S, events.Event) S) S {
	var state S
	for _, event := range past {
		state = evolve(state, event)
	}
	return state
}

// server is the gateway on a Unix socket and on TCP.
type server struct {
	*fakeCell
	socket string
	tcp    string
	logged *bytes.Buffer
}

var sessionKey = bytes.Repeat([]byte{7}, 32)

func start(t *testing.T, change func(*api.Options)) *server {
	t.Helper()
	cell := newFakeCell(t)
	s := &server{fakeCell: cell, socket: filepath.Join(t.TempDir(), "api.sock"), logged: &bytes.Buffer{}}
	options := api.Options{
		Commander: cell, Inventory: cell.view, Log: cell.log, Operator: operatorID, Key: sessionKey, Version: "v1",
		Logger: slog.New(slog.NewTextHandler(s.logged, nil)), Unseal: cell.box.Open, Forget: cell.forget, Zones: cell.zones,
	}
	if change != nil {
		change(&options)
	}
	gateway, err := api.New(options)
	if err != nil {
		t.Fatal(err)
	}
	unix, err := api.ListenUnix(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.tcp = tcp.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx, unix, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) into(t *testing.T, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), value); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// as is a client: the operator on the Unix socket, or whoever has the session.
type as struct {
	s       *server
	session string // empty: the Unix socket
	headers map[string]string
}

func (s *server) operator() as { return as{s: s} }

// user logs in with a machine token of the account.
func (s *server) user(id events.AccountID) as {
	s.t.Helper()
	var token api.Token
	s.operator().do("POST", "users/"+string(id)+"/machine_tokens", `{"device_name":"test"}`).into(s.t, &token)
	var session api.Session
	anonymous := as{s: s, session: "none"}
	anonymous.do("POST", "authorize/machine-token", `{"machine_token":"`+token.Token+`"}`).into(s.t, &session)
	if session.UserID != id {
		s.t.Fatalf("logged in as %q", session.UserID)
	}
	return as{s: s, session: session.Session}
}

func (a as) with(name, value string) as {
	headers := map[string]string{name: value}
	for k, v := range a.headers {
		headers[k] = v
	}
	return as{a.s, a.session, headers}
}

func (a as) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if a.session == "" {
				return api.DialUnix(ctx, a.s.socket)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", a.s.tcp)
		},
	}}
}

func (a as) request(ctx context.Context, method, path, body string) *http.Request {
	request, err := http.NewRequestWithContext(ctx, method, "http://api/api/"+path, strings.NewReader(body))
	if err != nil {
		a.s.t.Fatal(err)
	}
	if a.session != "" && a.session != "none" {
		request.Header.Set("Authorization", "Bearer "+a.session)
	}
	for name, value := range a.headers {
		request.Header.Set(name, value)
	}
	return request
}

func (a as) do(method, path, body string) answer {
	a.s.t.Helper()
	response, err := a.client().Do(a.request(a.s.t.Context(), method, path, body))
	if err != nil {
		a.s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, strings.TrimSpace(string(text))}
}

// expect is do with a status.
func (a as) expect(status int, method, path, body string) answer {
	a.s.t.Helper()
	got := a.do(method, path, body)
	if got.status != status {
		a.s.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	return got
}

const (
	hostID events.HostID = "0000000000000000000000000000000a"
	dropID events.DropID = "0000000000000000000000000000000d"
)

// makeSite asks for a site and does what its workflow's policies would: its
// dev environment then has one DROP on one host.
func (s *server) makeSite(owner as, name string) events.SiteID {
	s.t.Helper()
	var w api.Workflow
	owner.expect(202, "POST", "users/me/workflows",
		`{"type":"create_site","params":{"site_name":"`+name+`","upstream_id":"wordpress"}}`).into(s.t, &w)
	s.finish(w, name)
	return w.Site
}

func (s *server) finish(w api.Workflow, name string) {
	s.t.Helper()
	owner := w.User.ID
	dev := events.EnvironmentOf(w.Site, "dev")
	s.must(w.Site.Stream(), site.Create{
		Site: w.Site, Name: name, Label: name, Owner: owner, Upstream: upstreamID, Framework: events.WordPress,
		Source: events.CodeSource{Location: "/usr/share/wordpress"},
	})
	settings := environment.DefaultSettings("dev")
	s.must(dev.Stream(), environment.Create{
		Environment: dev, SiteName: name, Framework: events.WordPress, UID: events.FirstUID + 1, Settings: settings,
	})
	commit := strings.Repeat("a", 40)
	s.must(dev.Stream(), environment.Deploy{Commit: commit, Message: "first"})
	if _, known := s.state().Host(hostID); !known {
		s.must(hostID.Stream(), host.Register{Host: hostID, Name: "one", MemoryMiB: 4096, Cores: 2, Isolated: true, Version: "v1"})
	}
	id := events.DropID(strings.ReplaceAll(string(w.Site), "-", ""))
	s.must(id.Stream(), drop.Request{Drop: id, Environment: dev, MemoryMiB: settings.MemoryMiB})
	s.must(hostID.Stream(), host.AdmitDrop{Drop: id, Spec: events.DropSpec{
		Generation: 1, Environment: dev, SiteName: name, Framework: events.WordPress, UID: events.FirstUID + 1,
		Commit: commit, Deployment: 1, Seed: 1, Settings: settings,
	}})
	s.must(id.Stream(), drop.Place{Host: hostID})
	s.must(w.Site.Stream(), site.Activate{})
	for _, step := range w.Steps {
		s.must(w.ID.Stream(), workflow.CompleteStep{Step: events.WorkflowStep(step.Name)})
	}
}

func (s *server) state() inventory.State {
	state, _ := s.view.Load()
	return state
}
