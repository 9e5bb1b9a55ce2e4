package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/agent/desired"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/files"
	"pantheon/runtime/keys"
	"pantheon/runtime/sandbox"
	"pantheon/runtime/service/mariadb"
)

const testHost = events.HostID("00000000000000000000000000000001")

// fakeStream is a host's stream in memory.
type fakeStream struct {
	mu      sync.Mutex
	commits []events.Envelope
	more    chan struct{}
}

func newFakeStream() *fakeStream { return &fakeStream{more: make(chan struct{})} }

func (s *fakeStream) append(decided ...events.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, events.Envelope{
		Commit: events.Commit{Stream: testHost.Stream(), Events: decided}, Revision: events.Revision(len(s.commits) + 1)})
	close(s.more)
	s.more = make(chan struct{})
}

func (s *fakeStream) after(revision events.Revision) ([]events.Envelope, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits[revision:], s.more
}

func (s *fakeStream) Read(_ context.Context, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		commits, _ := s.after(after)
		for _, envelope := range commits {
			if !yield(envelope, nil) {
				return
			}
		}
	}
}

func (s *fakeStream) Follow(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for {
			commits, more := s.after(after)
			for _, envelope := range commits {
				if !yield(envelope, nil) {
					return
				}
				after = envelope.Revision
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(events.Envelope{}, ctx.Err())
				return
			}
		}
	}
}

// reported collects facts and lets a test wait for one.
type reported struct {
	mu    sync.Mutex
	facts []events.Event
	more  chan struct{}
}

func newReported() *reported { return &reported{more: make(chan struct{})} }

func (r *reported) report(_ context.Context, _ events.Meta, _ events.StreamID, fact events.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, fact)
	close(r.more)
	r.more = make(chan struct{})
	return nil
}

func (r *reported) count(name string) (int, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, fact := range r.facts {
		if events.NameOf(fact) == name {
			n++
		}
	}
	return n, r.more
}

// wait returns when n facts of a name were reported.
func (r *reported) wait(t *testing.T, name string, n int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		have, more := r.count(name)
		if have >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%d × %s reported, want %d", have, name, n)
		}
	}
}

// testAgent is an agent without sandboxes over real stores; the database
// server is never started.
func testAgent(t testing.TB, dir string, stream HostStream, report Report) *Agent {
	t.Helper()
	machine, err := sandbox.Open(sandbox.Options{Parent: "pantheon-test", Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := code.Open(code.Options{Dir: dir + "/code"})
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := files.Open(dir + "/files")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(dir + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	return New(Options{Host: testHost, Dir: dir + "/host", MemoryMiB: 4096, Stream: stream, Report: report,
		Machine: machine, Code: store, Files: volumes, Keys: ring, Logger: quiet,
		Database: mariadb.New(mariadb.Options{Dir: dir + "/mariadb", Log: quiet})})
}

// run runs an agent until the returned function is called.
func run(t *testing.T, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if err := a.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func bindingID(n int) events.BindingID { return events.BindingID(fmt.Sprintf("%032x", n)) }

func siteOf(n int) events.SiteID {
	return events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
}

func filesBinding(n int) events.BindingAdmitted {
	return events.BindingAdmitted{Host: testHost, Binding: bindingID(n), Spec: events.BindingSpec{
		Kind: events.FileServer, Site: siteOf(n), Environment: events.EnvironmentOf(siteOf(n), "dev"),
		UID: uint32(os.Getuid()), Framework: events.PHP}}
}

// TestRestartForgetsNothing: what was admitted or dismissed while the agent
// was away is done at its next start, once.
func TestRestartForgetsNothing(t *testing.T) {
	dir, stream := t.TempDir(), newFakeStream()
	stream.append(filesBinding(1))
	first := newReported()
	stop := run(t, testAgent(t, dir, stream, first.report))
	first.wait(t, "BindingProvisioned", 1)
	stream.append(filesBinding(2))
	first.wait(t, "BindingProvisioned", 2)
	stop()

	dismissed := filesBinding(1)
	stream.append(events.BindingDismissed{Host: testHost, Binding: dismissed.Binding, Spec: dismissed.Spec})
	stream.append(filesBinding(3))
	second := newReported()
	a := testAgent(t, dir, stream, second.report)
	stop = run(t, a)
	second.wait(t, "BindingRetired", 1)
	second.wait(t, "BindingProvisioned", 1)
	if _, err := os.Stat(a.options.Files.Path(dismissed.Spec.Environment)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files of a dismissed binding are still there: %v", err)
	}
	stop()

	third := newReported()
	run(t, testAgent(t, dir, stream, third.report))()
	if len(third.facts) != 0 {
		t.Errorf("a start with nothing to do reported %v", third.facts)
	}
}

// brokenStream cannot be read beyond its first commits for a while.
type brokenStream struct {
	*fakeStream
	failures int
}

func (s *brokenStream) Read(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range s.fakeStream.Read(ctx, after) {
			if !yield(envelope, err) {
				return
			}
			if s.failures > 0 {
				s.failures--
				yield(events.Envelope{}, problem.New(problem.Unavailable, "cannot read the log"))
				return
			}
		}
	}
}

// TestStartWaitsForTheLog: when the log was moved to one machine, the others
// began anew, did not reach it for a moment, and ended with all that ran on them.
func TestStartWaitsForTheLog(t *testing.T) {
	stream, facts := &brokenStream{fakeStream: newFakeStream(), failures: 2}, newReported()
	for n := range 4 {
		stream.append(filesBinding(n))
	}
	stop := run(t, testAgent(t, t.TempDir(), stream, facts.report))
	facts.wait(t, "BindingProvisioned", 4)
	stop()
}

func TestImportOfNothingIsFinal(t *testing.T) {
	stream, facts := newFakeStream(), newReported()
	defer run(t, testAgent(t, t.TempDir(), stream, facts.report))()
	stream.append(events.BindingAdmitted{Host: testHost, Binding: bindingID(1), Spec: events.BindingSpec{
		Kind: events.CodeServer, Site: siteOf(1), Source: events.CodeSource{Location: "/nonexistent/upstream"}}})
	facts.wait(t, "BindingFailed", 1)
	if failed := facts.facts[0].(events.BindingFailed); !failed.Final || failed.Reason == "" {
		t.Errorf("got %+v", failed)
	}
}

func TestDismissedDropIsRefusedAtOnce(t *testing.T) {
	a := testAgent(t, t.TempDir(), newFakeStream(), newReported().report)
	spec := events.DropSpec{Generation: 1, Environment: events.EnvironmentOf(siteOf(1), "dev")}
	a.apply(events.DropAdmitted{Drop: "d", Spec: spec})
	a.apply(events.DropDismissed{Drop: "d"})
	if err := a.Ping(t.Context(), "d"); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestQueueGivesAKeyToOneWorkerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		busy, done := map[key]bool{}, map[key]int{}
		go q.run(ctx, 4, func(_ context.Context, k key) time.Duration {
			mu.Lock()
			if busy[k] {
				t.Errorf("%s is with two workers", k)
			}
			busy[k] = true
			mu.Unlock()
			<-time.After(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			busy[k] = false
			if done[k]++; done[k] == 1 && k == "again" {
				return time.Second
			}
			return 0
		})
		for range 100 {
			q.add("a")
			q.add("b")
		}
		q.add("again")
		<-time.After(10 * time.Second)
		cancel()
		synctest.Wait()
		if done["a"] == 0 || done["a"] > 3 || done["again"] != 2 {
			t.Errorf("handed out: %v", done)
		}
	})
}

func TestReporterTriesAgainAndKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []events.Event
		ids := map[events.CommandID]int{}
		attempts := 0
		r := newReporter(func(_ context.Context, meta events.Meta, _ events.StreamID, fact events.Event) error {
			ids[meta.Command]++
			if attempts++; attempts <= 3 {
				return problem.New(problem.Unavailable, "no leader")
			}
			if _, refused := fact.(events.DropCrashed); refused {
				return problem.New(problem.Conflict, "not yours")
			}
			sent = append(sent, fact)
			return nil
		}, testHost, "boot", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.run(ctx) })
		want := []events.Event{events.DropAwoke{Drop: "1"}, events.DropSlept{Drop: "1"}}
		r.note(events.StreamID{}, want[0])
		r.note(events.StreamID{}, events.DropCrashed{Drop: "1"})
		if err := r.deliver(ctx, events.StreamID{}, want[1]); err != nil {
			t.Error(err)
		}
		cancel()
		running.Wait()
		if !slices.Equal(sent, want) || len(ids) != 3 {
			t.Errorf("sent %v with ids %v", sent, ids)
		}
	})
}

// TestFactsNameWhatLedToThem: the commit of the host's stream that says what the
// thing shall be, or the order that was carried out.
func TestFactsNameWhatLedToThem(t *testing.T) {
	var c causes
	id, other := events.DropID("1"), events.BindingID("2")
	awoke := func(trigger string) events.Event { return events.DropAwoke{Drop: id, Trigger: trigger} }
	check := func(want events.Position, stream events.StreamID, fact events.Event) {
		t.Helper()
		if got := c.cause(stream, fact); got != want {
			t.Errorf("%+v is caused by %d, want %d", fact, got, want)
		}
	}
	check(0, id.Stream(), awoke("http"))
	c.note(desired.Change{Drop: id}, 10)
	c.note(desired.Change{Binding: other}, 11)
	c.note(desired.Change{}, 12)
	check(10, id.Stream(), awoke("http"))
	check(10, id.Stream(), awoke("operator")) // of an earlier run's order
	check(11, other.Stream(), events.BindingProvisioned{Binding: other})
	c.note(desired.Change{Order: &desired.Order{Drop: id}}, 20)
	check(20, id.Stream(), events.DropSlept{Drop: id, Trigger: "operator"})
	check(10, id.Stream(), events.DropSlept{Drop: id, Trigger: "idle"})
	check(10, id.Stream(), awoke("http"))
	c.note(desired.Change{Drop: id}, 30)
	check(30, id.Stream(), events.DropReady{Drop: id})
	c.forget(id.Stream())
	check(0, id.Stream(), awoke("http"))

	r := newReporter(nil, testHost, "boot", slog.New(slog.DiscardHandler))
	r.causes.note(desired.Change{Drop: id}, 40)
	r.note(id.Stream(), events.DropCrashed{Drop: id})
	r.causes.note(desired.Change{Drop: id}, 41)
	if meta := r.meta(<-r.queue); meta.Cause != 40 || meta.Gateway != "agent" || meta.Principal != testHost.Stream().String() {
		t.Errorf("a fact is sent with %+v", meta)
	}
}

func TestReporterIsBounded(t *testing.T) {
	r := newReporter(nil, testHost, "boot", slog.New(slog.DiscardHandler))
	for range maxFactsQueued + 10 {
		r.note(events.StreamID{}, events.DropSlept{})
	}
	if got := r.dropped.Load(); got != 10 {
		t.Errorf("%d facts were dropped, want 10", got)
	}
}

func TestBudgetIsNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(func() int64 { return 1024 * 1024 }, func() *drop.Runner { return nil })
		ctx := t.Context()
		for i := range 2 {
			if err := b.reserve(ctx, events.DropID(fmt.Sprint(i)), 512); err != nil {
				t.Fatal(err)
			}
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := b.reserve(limited, "2", 512); problem.KindOf(err) != problem.Busy {
			t.Errorf("a third DROP was let in: %v", err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- b.reserve(ctx, "2", 512) }()
		synctest.Wait()
		b.release("0")
		if err := <-waiting; err != nil {
			t.Error(err)
		}
	})
}

func TestBudgetLetsOneDropInAlways(t *testing.T) {
	b := newBudget(func() int64 { return 1 }, func() *drop.Runner { return nil })
	if err := b.reserve(t.Context(), "big", 16384); err != nil {
		t.Error(err)
	}
}

// TestSleepingDropsAreSmall is DESIGN's promise: at most 4 KiB each in the
// agent.
func TestSleepingDropsAreSmall(t *testing.T) {
	const drops = 10_000
	a := testAgent(t, t.TempDir(), newFakeStream(), newReported().report)
	before := heap()
	for n := range drops {
		a.apply(events.DropAdmitted{Host: testHost, Drop: events.DropID(fmt.Sprintf("%032x", n)), Spec: sleepingSpec(n)})
	}
	each := (heap() - before) / drops
	runtime.KeepAlive(a)
	t.Logf("%d bytes each", each)
	if each > 4096 {
		t.Errorf("a sleeping DROP takes %d bytes, 4096 are allowed", each)
	}
}

func sleepingSpec(n int) events.DropSpec {
	id := events.EnvironmentOf(siteOf(n), "dev")
	return events.DropSpec{Generation: 1, Environment: id, SiteName: fmt.Sprintf("site-%d", n), Framework: events.WordPress,
		UID: uint32(events.FirstUID + n), Commit: fmt.Sprintf("%040x", n), Deployment: 1, Seed: 1,
		Settings: events.EnvironmentSettings{PHPVersion: "8.2", Connection: events.ConnectionGit, Drops: 1, Workers: 4,
			MemoryMiB: 512, IdleAfterSeconds: 3600, ProtectedWebPaths: []string{"/private/", "/xmlrpc.php"}},
		Services: []events.BoundService{
			{Kind: events.CodeServer, Binding: bindingID(3 * n), Host: testHost},
			{Kind: events.DBServer, Binding: bindingID(3*n + 1), Host: testHost},
			{Kind: events.FileServer, Binding: bindingID(3*n + 2), Host: testHost},
		}}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestFactThatCameTooEarlyIsSentAgain: the host's stream is ahead of the
// binding's, whose actor refuses facts until the placement is recorded.
func TestFactThatCameTooEarlyIsSentAgain(t *testing.T) {
	stream, facts := newFakeStream(), newReported()
	refusals := 3
	early := func(ctx context.Context, meta events.Meta, to events.StreamID, fact events.Event) error {
		if refusals--; refusals >= 0 {
			return problem.New(problem.Conflict, "it does not hold the binding")
		}
		return facts.report(ctx, meta, to, fact)
	}
	defer run(t, testAgent(t, t.TempDir(), stream, early))()
	stream.append(filesBinding(1))
	facts.wait(t, "BindingProvisioned", 1)
}

// TestDropAdmittedAgainIsServed: a DROP that comes back to the host, before or
// after its removal, is not taken for the one that was dismissed.
func TestDropAdmittedAgainIsServed(t *testing.T) {
	a := testAgent(t, t.TempDir(), newFakeStream(), newReported().report)
	admitted := events.DropAdmitted{Host: testHost, Drop: events.DropID(fmt.Sprintf("%032x", 7)), Spec: sleepingSpec(7)}
	a.apply(admitted)
	e := a.entry(admitted.Drop)
	a.apply(events.DropDismissed{Host: testHost, Drop: admitted.Drop})
	a.apply(admitted)
	if e.dismissed.Load() || a.entry(admitted.Drop) != e {
		t.Error("the DROP that was admitted again counts as dismissed")
	}

	// The removal that had begun before ends without forgetting it.
	if a.removeEntry(e) {
		t.Error("the removal forgot a DROP that is wanted")
	}
	a.apply(events.DropDismissed{Host: testHost, Drop: admitted.Drop})
	if err := a.removeDrop(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if a.entry(admitted.Drop) != nil {
		t.Error("a dismissed DROP was not forgotten")
	}
	if _, err := a.prepare(t.Context(), e); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a request that had waited made the folder of a removed DROP anew: %v", err)
	}
}

// TestDropsThatHaveSleptAreSmall is the same promise for DROPs that have been
// prepared, and so were or could have been used since the agent's start.
func TestDropsThatHaveSleptAreSmall(t *testing.T) {
	if _, err := drop.FindPHP("8.2"); err != nil {
		t.Skipf("needs PHP: %v", err)
	}
	const drops = 500
	dir := t.TempDir()
	a := testAgent(t, dir, newFakeStream(), newReported().report)
	source := t.TempDir()
	if err := os.WriteFile(source+"/index.php", []byte("<?php echo 1;"), 0o644); err != nil {
		t.Fatal(err)
	}
	imported, err := a.options.Code.Import(t.Context(), siteOf(1), events.CodeSource{Location: source})
	if err != nil {
		t.Fatal(err)
	}
	spec := func(n int) events.DropSpec {
		s := sleepingSpec(n)
		s.Environment, s.Commit = events.EnvironmentOf(siteOf(1), "dev"), imported.Commit
		return s
	}
	before := heap()
	for n := range drops {
		id := events.DropID(fmt.Sprintf("%032x", n))
		a.apply(events.DropAdmitted{Host: testHost, Drop: id, Spec: spec(n)})
		if _, err := a.prepare(t.Context(), a.entry(id)); err != nil {
			t.Fatal(err)
		}
		a.rest(id)
		a.note(id, events.DropSlept{Drop: id, Host: testHost, Trigger: "idle"})
	}
	each := (heap() - before) / drops
	runtime.KeepAlive(a)
	t.Logf("%d bytes each", each)
	if each > 4096 {
		t.Errorf("a DROP that sleeps again takes %d bytes, 4096 are allowed", each)
	}
}
