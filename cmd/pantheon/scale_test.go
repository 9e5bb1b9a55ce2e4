package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/gateways/api"
	"pantheon/projections"
)

// fakeAgents do at once what the streams of hosts say, on every host.
type fakeAgents struct {
	log  eventlog.Reader
	do   api.Commander
	kind map[events.BindingID]events.BindingKind
	// breakNext says why the next DROPs cannot be prepared, if they cannot, and how
	// often that is tried in vain.
	breakNext func() (reason string, times int)
}

func (a *fakeAgents) run(ctx context.Context) {
	for envelope, err := range a.log.Tail(ctx, 0) {
		if err != nil {
			return
		}
		for _, event := range envelope.Events {
			to, reports := a.answer(event)
			for _, report := range reports {
				meta := events.Meta{Command: events.CommandID("agent/" + randomID()), Principal: "host/test", Time: time.Now()}
				_, _ = a.do.Do(ctx, meta, to, report)
			}
		}
	}
}

func (a *fakeAgents) answer(event events.Event) (to events.StreamID, reports []any) {
	switch e := event.(type) {
	case events.BindingRequested:
		a.kind[e.Binding] = e.Spec.Kind
	case events.BindingPlaced:
		fact := events.BindingProvisioned{Binding: e.Binding, Host: e.Host}
		if a.kind[e.Binding] == events.CodeServer {
			fact.Code = &events.CodeFacts{Commit: strings.Repeat("0123", 10)}
		}
		return e.Binding.Stream(), []any{binding.Report{Host: e.Host, Fact: fact}}
	case events.DropPlaced:
		reason, times := a.breakNext()
		for i := range times {
			reports = append(reports, drop.Report{Host: e.Host, Fact: events.DropPrepareFailed{
				Drop: e.Drop, Host: e.Host, Generation: 1, Reason: reason, RetryAfterSeconds: 1 << i}})
		}
		if times < maxFailures {
			reports = append(reports, drop.Report{Host: e.Host, Fact: events.DropReady{Drop: e.Drop, Host: e.Host, Generation: 1}})
		}
		return e.Drop.Stream(), reports
	}
	return events.StreamID{}, nil
}

// startMatrix is a control plane with policies and two hosts, and a site on it.
func startMatrix(t *testing.T) (p *controlPlane, breakDrops func(reason string, times int)) {
	t.Helper()
	var mutex sync.Mutex
	broken, vain := "", 0
	p = startControlPlane(t, func(o *api.Options) {
		log := o.Log.(eventlog.Reader)
		reactor := actors.NewReactor(actors.ReactorOptions{
			Log: log, Commander: o.Commander, Logger: slog.New(slog.DiscardHandler),
			Snapshots: policySnapshots{projections.Files{Dir: t.TempDir()}},
		})
		o.Placement = reactor
		agents := &fakeAgents{log: log, do: o.Commander, kind: map[events.BindingID]events.BindingKind{}, breakNext: func() (string, int) {
			mutex.Lock()
			defer mutex.Unlock()
			return broken, vain
		}}
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { _ = reactor.Run(ctx) })
		all.Go(func() { agents.run(ctx) })
		t.Cleanup(func() { cancel(); all.Wait() })
	})
	p.register("one")
	p.register("two")
	p.run(0, "upstream add wordpress /usr/share --framework wordpress")
	p.run(0, "site create blog --upstream wordpress")
	return p, func(reason string, times int) {
		mutex.Lock()
		defer mutex.Unlock()
		broken, vain = reason, times
	}
}

func TestScale(t *testing.T) {
	p, _ := startMatrix(t)
	out, said := p.run(0, "env scale blog.dev 2 --fields state,host")
	if got := strings.Fields(out); len(got) != 6 || got[2] != "ready" || got[4] != "ready" || got[3] == got[5] || strings.Contains(said, "are on") {
		t.Errorf("two DROPs:\n%s%s", out, said)
	}
	if _, said := p.run(0, "env scale blog dev 5"); !strings.Contains(said, "5 DROPs are on 2 hosts: ") {
		t.Errorf("more DROPs than hosts: %s", said)
	}
	p.run(0, "env scale blog.dev 1")
	p.shows("env info blog.dev --field wanted_drops", "1")
	if _, said := p.run(64, "env scale blog.dev 0"); !strings.Contains(said, "hint: add --yes") {
		t.Errorf("none at all: %s", said)
	}
	p.run(0, "env scale blog.dev 0 --yes")
	if out, _ := p.run(0, "env scale blog.dev 3 --no-wait --format json"); !strings.HasPrefix(out, "[") {
		t.Errorf("not waited for: %s", out)
	}
	p.run(0, "env scale blog.dev 3")
}

func TestScaleIsRefused(t *testing.T) {
	p := startControlPlane(t)
	p.run(66, "env scale nothing.dev 2")
	p.run(64, "env scale nothing 2")
	p.run(64, "env scale nothing.dev")
	p, _ = startMatrix(t)
	for _, line := range []string{"blog.dev many", "blog.dev 33", "blog.dev 2.5", "blog.dev -1", "blog.dev -- -1", "blog.dev 99999999999999999999"} {
		if _, said := p.run(64, "env scale "+line); !strings.HasPrefix(said, "pantheon: ") {
			t.Errorf("%s: %s", line, said)
		}
	}
	if _, said := p.run(65, "env scale blog.live 2"); !strings.Contains(said, "is not initialized") {
		t.Errorf("an environment without code: %s", said)
	}
	p.shows("env info blog.dev --field wanted_drops", "1")
}

// TestScaleWithoutRoom: scale said nothing, and waited for what could not come.
func TestScaleWithoutRoom(t *testing.T) {
	p, _ := startMatrix(t)
	p.run(0, "host drain one --wait=false")
	p.run(0, "host drain two --wait=false")
	_, said := p.run(75, "env scale blog.dev 2")
	for _, text := range []string{
		"cannot bring blog.dev to 2 DROPs now (1 ready): no host can take it: ", "one: it is being drained", "two: it is being drained",
		"hint: it is placed by itself when a host can take it; pantheon placement explain ",
	} {
		if !strings.Contains(said, text) {
			t.Errorf("no %q in %s", text, said)
		}
	}
	p.shows("drop list blog --fields state,reason", "requested  no host can take it: ")
	p.run(0, "host undrain one")
	p.run(0, "env scale blog.dev 2")
	if out, _ := p.run(0, "drop list blog --field reason"); strings.TrimSpace(out) != "" {
		t.Errorf("reasons %q", out)
	}
}

// TestScaleOfWhatIsTooBig: no host offers so much memory.
func TestScaleOfWhatIsTooBig(t *testing.T) {
	p, _ := startMatrix(t)
	p.run(0, "env scale blog.dev 0 --yes")
	p.run(0, "env set blog.dev --memory-mib 8000")
	_, said := p.run(75, "env scale blog.dev 1")
	if !strings.Contains(said, "(0 ready): no host can take it: host ") || !strings.Contains(said, "offers 4096 MiB, ") {
		t.Errorf("no host is big enough: %s", said)
	}
}

func TestScaleOfWhatFails(t *testing.T) {
	p, breakDrops := startMatrix(t)
	breakDrops("cannot check the release out: disk full", maxFailures)
	_, said := p.run(69, "env scale blog.dev 2")
	if !strings.Contains(said, "has failed 4 times: cannot check the release out: disk full") || !strings.Contains(said, "hint: pantheon events tail --stream drop/") {
		t.Errorf("a DROP that fails: %s", said)
	}
}

// TestScaleOfWhatFailsAtFirst: scale gave up when a DROP had failed once, though
// its host tried again and succeeded.
func TestScaleOfWhatFailsAtFirst(t *testing.T) {
	p, breakDrops := startMatrix(t)
	breakDrops("cannot reach the files", maxFailures-1)
	if out, _ := p.run(0, "env scale blog.dev 2 --field state"); out != "ready\nready\n" {
		t.Errorf("at last:\n%s", out)
	}
}

func TestScalingLooks(t *testing.T) {
	drops := func(states ...string) (all []api.Drop) {
		for i, state := range states {
			all = append(all, api.Drop{ID: events.DropID(fmt.Sprint(i)), State: state, Host: events.HostID(state)})
		}
		return all
	}
	failing := func(failures int) []api.Drop {
		all := drops("awake", "failed")
		all[1].Failures, all[1].Reason = failures, "no files"
		return all
	}
	settings := events.EnvironmentSettings{Drops: 2}
	var words strings.Builder
	less := scaling{c: &cli{errors: &words}, wanted: 2, said: -1, now: api.Environment{Settings: &settings, Drops: drops("awake", "ready", "ready")}}
	for range 2 {
		_, _ = less.look()
	}
	less.now.Drops = drops("awake", "requested")
	_, _ = less.look()
	if words.String() != "3 DROPs are there, 2 wanted\n1 of 2 DROPs are ready\n" {
		t.Errorf("progress %q", words.String())
	}
	for _, c := range []struct {
		now, before []api.Drop
		done, fails bool
	}{
		{now: drops("ready", "asleep"), done: true},
		{now: drops("awake", "crashed", "deleting"), done: true},
		{now: drops("awake", "ready", "ready")},
		{now: drops("awake", "preparing")},
		{now: drops("awake", "requested")},
		{now: failing(1)},
		{now: failing(maxFailures), fails: true},
		{now: failing(maxFailures), before: failing(maxFailures)},
	} {
		s := scaling{failed: map[events.DropID]string{}, c: &cli{errors: &strings.Builder{}}, name: "blog.dev", wanted: 2, before: c.before, now: api.Environment{Settings: &settings, Drops: c.now}}
		if done, err := s.look(); done != c.done || (err != nil) != c.fails {
			t.Errorf("%v: %t, %v", c.now, done, err)
		}
	}
	words.Reset()
	again := scaling{failed: map[events.DropID]string{}, c: &cli{errors: &words}, wanted: 2, said: 1, now: api.Environment{Settings: &settings, Drops: failing(1)}}
	for range 2 {
		_, _ = again.look()
	}
	if words.String() != "DROP 1 has failed, and is tried again: no files\n" {
		t.Errorf("of a failure %q", words.String())
	}
	away := drops("awake", "awake")
	away[1].Lost = true
	s := scaling{c: &cli{errors: &strings.Builder{}}, wanted: 2, now: api.Environment{Settings: &settings, Drops: away}}
	if done, err := s.look(); done || err != nil {
		t.Errorf("with one on a lost host: %t, %v", done, err)
	}
	settings.Drops = 5
	s = scaling{c: &cli{}, wanted: 2, now: api.Environment{Settings: &settings}}
	if _, err := s.look(); err == nil {
		t.Error("somebody else's number is not noticed")
	}
}

func TestEnvInfoSaysWhatIsLost(t *testing.T) {
	p, _ := startMatrix(t)
	p.run(0, "env scale blog.dev 2")
	out, _ := p.run(0, "env info blog.dev --field if_lost")
	if got := strings.Split(strings.TrimSpace(out), "; "); len(got) != 2 ||
		!strings.Contains(out, "one of 2 DROPs: the environment is down until it is back") || strings.Count(out, "one of 2 DROPs") != 2 {
		t.Errorf("lost with which host: %s", out)
	}
	p.run(0, "env scale blog.dev 0 --yes")
	p.shows("env info blog.dev --format json", `"losses": [`, `"effect": "down"`)
	if out, _ := p.run(0, "env info blog.test --field if_lost"); out != "\n" {
		t.Errorf("an environment without anything: %s", out)
	}
}

// TestDropsOfALostHost: they were listed as if they were served.
func TestDropsOfALostHost(t *testing.T) {
	p, _ := startMatrix(t)
	id, _ := p.run(0, "drop list blog.dev --fields host --format csv")
	name := strings.TrimPrefix(strings.TrimSpace(id), "host\n")
	out, _ := p.run(0, "host info "+name+" --field id")
	p.do("lost", events.HostID(strings.TrimSpace(out)).Stream(), host.ReportLost{Reason: "its lease ran out"})
	p.shows("drop list blog.dev --field reason", "its host is lost")
	p.shows("binding list blog.dev --field reason", "its host is lost")
	p.shows("env list blog --field drops", "1 lost")
	p.shows("env info blog.dev --field if_lost", name+" (lost now, or cut off): code, database, files and its only DROP: the environment is down until it is back")
}

// TestDrainSaysWhyItIsStuck: it waited in silence for room that is nowhere.
func TestDrainSaysWhyItIsStuck(t *testing.T) {
	p, _ := startMatrix(t)
	small := events.HostID(randomID())
	p.do("small", small.Stream(), host.Register{Host: small, Name: "small", MemoryMiB: 300, Cores: 1})
	on, _ := p.run(0, "drop list blog.dev --field host")
	for _, name := range []string{"one", "two"} {
		if name != strings.TrimSpace(on) {
			p.run(0, "host drain "+name+" --wait=false")
		}
	}
	said := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	c := &cli{in: strings.NewReader(""), out: &strings.Builder{}, errors: lineWriter(said), getenv: func(string) string { return "" }}
	ended := make(chan int)
	go func() {
		ended <- c.run(ctx, []string{"host", "drain", strings.TrimSpace(on), "--data", p.data})
	}()
	if line := <-said; line != "1 DROP is left on "+on {
		t.Errorf("first %q", line)
	}
	if line := <-said; !strings.HasPrefix(line, "blog.dev waits for another DROP, ") || !strings.Contains(line, "host small offers 300 MiB, ") {
		t.Errorf("then %q", line)
	}
	p.shows("drop list --state requested --field environment", "blog.dev\n")
	p.shows("drop list --host "+strings.TrimSpace(on)+" --field state", "ready\n")
	p.run(64, "drop list --state flying")
	p.run(66, "drop list --host nowhere")
	cancel()
	if code := <-ended; code != 130 {
		t.Errorf("exit code %d", code)
	}
}
