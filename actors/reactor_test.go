package actors_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

const reactorHost = events.HostID("00000000000000000000000000000001")

// fakeMachine stands for the agents: it reports success for all that a host
// admits.
type fakeMachine struct {
	log    *memory.Log
	system *actors.System
}

func (m fakeMachine) run(ctx context.Context) {
	for envelope, err := range m.log.Tail(ctx, 0) {
		if err != nil {
			return
		}
		for _, event := range envelope.Events {
			m.react(ctx, envelope.Position, event)
		}
	}
}

func (m fakeMachine) react(ctx context.Context, at events.Position, event events.Event) {
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("machine:%d", at)), Cause: at}
	switch e := event.(type) {
	case events.BindingPlaced:
		fact := events.BindingProvisioned{Binding: e.Binding, Host: e.Host, Code: &events.CodeFacts{Commit: "0123456789abcdef0123456789abcdef01234567"}}
		_, _ = m.system.Do(ctx, meta, e.Binding.Stream(), binding.Report{Host: e.Host, Fact: fact})
	case events.BindingDismissed:
		_, _ = m.system.Do(ctx, meta, e.Binding.Stream(), binding.Report{Host: e.Host, Fact: events.BindingRetired{Binding: e.Binding, Host: e.Host}})
	case events.DropPlaced:
		_, _ = m.system.Do(ctx, meta, e.Drop.Stream(), drop.Report{Host: e.Host, Fact: events.DropReady{Drop: e.Drop, Host: e.Host, Generation: 1}})
	}
}

// kept keeps one snapshot in memory.
type kept struct {
	mu       sync.Mutex
	snapshot actors.Snapshot
}

func (k *kept) Load(context.Context) (actors.Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.snapshot, nil
}

func (k *kept) Save(_ context.Context, snapshot actors.Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.snapshot = snapshot
	return nil
}

// flaky refuses every nth command as a busy cell would.
type flaky struct {
	actors.Commander
	mu    sync.Mutex
	every int
	n     int
}

func (f *flaky) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	f.mu.Lock()
	f.n++
	refuse := f.n%f.every == 0
	f.mu.Unlock()
	if refuse {
		return events.Receipt{}, problem.New(problem.Unavailable, "the log has no leader")
	}
	return f.Commander.Do(ctx, meta, to, command)
}

type cell struct {
	log    *memory.Log
	system *actors.System
	stop   func()
}

func startCell(t *testing.T, log *memory.Log, snapshots actors.Snapshots, every int) cell {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	system, err := actors.New(actors.Options{Log: log, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reactor := actors.NewReactor(actors.ReactorOptions{Log: log, Snapshots: snapshots, Logger: quiet,
		Commander: &flaky{Commander: system, every: every}})
	var running sync.WaitGroup
	running.Go(func() {
		if err := reactor.Run(ctx); err != nil {
			t.Errorf("the reactor ended: %v", err)
		}
	})
	running.Go(func() { fakeMachine{log, system}.run(ctx) })
	return cell{log, system, func() {
		cancel()
		running.Wait()
		if err := system.Close(); err != nil {
			t.Error(err)
		}
	}}
}

func (c cell) do(t *testing.T, id string, to events.StreamID, command any) {
	t.Helper()
	if _, err := c.system.Do(t.Context(), events.Meta{Command: events.CommandID(id)}, to, command); err != nil {
		t.Fatal(err)
	}
}

func (c cell) createSite(t *testing.T, n int) {
	t.Helper()
	siteID := events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
	id := events.WorkflowID(fmt.Sprintf("00000000-0000-4000-9000-%012x", n))
	c.do(t, fmt.Sprintf("create:%d", n), id.Stream(), workflow.Start{Workflow: id, Type: events.WorkflowCreateSite,
		Description: "Create a site", Site: siteID, Environment: events.EnvironmentOf(siteID, "dev"),
		Create: &events.CreateSite{Name: fmt.Sprintf("site-%d", n), Label: "Site", Framework: events.PHP,
			Owner: "00000000-0000-4000-8000-000000000000", Upstream: "00000000-0000-4000-8000-000000000001",
			Source: events.CodeSource{Location: "/srv/code"}, Settings: environment.DefaultSettings("dev")}})
}

func counts(t *testing.T, log *memory.Log) map[string]int {
	t.Helper()
	found := map[string]int{}
	for envelope, err := range log.All(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range envelope.Events {
			found[events.NameOf(event)]++
		}
	}
	return found
}

// TestReactorCreatesSites runs the production shell and policies; one command
// in seven is refused on its way.
func TestReactorCreatesSites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCell(t, memory.New(), &kept{}, 7)
		defer c.stop()
		c.do(t, "host", reactorHost.Stream(), host.Register{Host: reactorHost, Name: "one", MemoryMiB: 16384, Cores: 2, Version: "test"})
		for n := range 10 {
			c.createSite(t, n)
		}
		<-time.After(5 * time.Minute) // of the bubble's clock
		got := counts(t, c.log)
		for name, want := range map[string]int{"SiteActivated": 10, "DropReady": 10, "WorkflowSucceeded": 10, "WorkflowFailed": 0} {
			if got[name] != want {
				t.Errorf("%d × %s, want %d", got[name], name, want)
			}
		}
	})
}

// TestReactorGoesOnAfterRestart stops everything in the middle, again and
// again, with and without a snapshot.
func TestReactorGoesOnAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, snapshots := memory.New(), &kept{}
		first := startCell(t, log, snapshots, 3)
		first.do(t, "host", reactorHost.Stream(), host.Register{Host: reactorHost, Name: "one", MemoryMiB: 16384, Cores: 2, Version: "test"})
		for n := range 5 {
			first.createSite(t, n)
		}
		first.stop()
		for round := range 20 {
			if round%3 == 0 {
				snapshots = &kept{}
			}
			c := startCell(t, log, snapshots, 3)
			<-time.After(120 * time.Millisecond)
			c.stop()
		}
		c := startCell(t, log, snapshots, 1000)
		<-time.After(time.Minute)
		c.stop()
		got := counts(t, log)
		if got["SiteActivated"] != 5 || got["WorkflowSucceeded"] != 5 || got["DropAdmitted"] != 5 || got["SiteCreated"] != 5 {
			t.Errorf("after restarts: %v", got)
		}
	})
}

// TestReactorRefusesForeignSnapshot folds the whole log when the snapshot is
// of another one.
func TestReactorRefusesForeignSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign := &kept{snapshot: actors.Snapshot{Version: 1, State: []byte("{}"), Position: 3}}
		c := startCell(t, memory.New(), foreign, 1000)
		c.do(t, "host", reactorHost.Stream(), host.Register{Host: reactorHost, Name: "one", MemoryMiB: 16384, Cores: 2, Version: "test"})
		c.createSite(t, 1)
		<-time.After(time.Minute)
		c.stop()
		if got := counts(t, c.log); got["SiteActivated"] != 1 {
			t.Errorf("the site was not created: %v", got)
		}
		if foreign.snapshot.Position <= 3 {
			t.Errorf("no snapshot was kept at the end")
		}
	})
}
