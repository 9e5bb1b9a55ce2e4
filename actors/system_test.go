package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pantheon/actors/environment"
	"pantheon/actors/name"
	"pantheon/actors/site"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSite = events.SiteID("01990000-0000-7000-8000-000000000001")

var testEnvironment = events.EnvironmentOf(testSite, "dev")

// start makes a System that is closed, without a leak, at the test's end.
func start(t testing.TB, options Options) *System {
	t.Helper()
	if options.Log == nil {
		options.Log = memory.New()
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do carries out a command that must succeed.
func do(t testing.TB, s *System, id string, to events.StreamID, command any) events.Receipt {
	t.Helper()
	receipt, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(id)}, to, command)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return receipt
}

func createEnvironment() environment.Create {
	return environment.Create{
		Environment: testEnvironment, SiteName: "hello", Framework: events.WordPress,
		UID: events.FirstUID, Settings: environment.DefaultSettings("dev"),
	}
}

// stream reads a whole stream.
func stream(t testing.TB, log eventlog.Reader, id events.StreamID) []events.Envelope {
	t.Helper()
	var all []events.Envelope
	for envelope, err := range log.Stream(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, envelope)
	}
	return all
}

func wantKind(t testing.TB, err error, kind problem.Kind, words string) {
	t.Helper()
	if problem.KindOf(err) != kind || err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error is %v (%v), want %v with %q", err, problem.KindOf(err), kind, words)
	}
}

func TestDo(t *testing.T) {
	log := memory.New()
	s := start(t, Options{Log: log, Now: func() time.Time { return time.Unix(1e9, 5).In(time.FixedZone("", 3600)) }})
	claim := name.Claim{Name: "site:hello", By: testSite.Stream().String()}
	to := events.NameID("site:hello").Stream()

	receipt := do(t, s, "claim", to, claim)
	if len(receipt.Events) != 1 || receipt.Tip.Revision != 1 || receipt.Repeated {
		t.Errorf("receipt of a claim: %+v", receipt)
	}
	if again := do(t, s, "claim", to, claim); !again.Repeated || len(again.Events) != 0 || again.Tip != receipt.Tip {
		t.Errorf("receipt of the same claim: %+v", again)
	}
	if fulfilled := do(t, s, "other id", to, claim); fulfilled.Repeated || len(fulfilled.Events) != 0 || fulfilled.Tip != receipt.Tip {
		t.Errorf("receipt of a claim that is fulfilled: %+v", fulfilled)
	}
	if at := stream(t, log, to)[0].Meta.Time; !at.Equal(time.Unix(1e9, 5)) || at.Location() != time.UTC {
		t.Errorf("time of the commit is %v", at)
	}
	_, err := s.Do(t.Context(), events.Meta{Command: "theirs"}, to, name.Claim{Name: "site:hello", By: "site/01990000-0000-7000-8000-000000000002"})
	wantKind(t, err, problem.Conflict, "is taken")
}

func TestDoRefuses(t *testing.T) {
	s := start(t, Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	good, id := name.Claim{Name: "site:hello", By: testSite.Stream().String()}, events.Meta{Command: "c"}
	for _, c := range []struct {
		what    string
		ctx     context.Context
		meta    events.Meta
		to      events.StreamID
		command any
		kind    problem.Kind
		words   string
	}{
		{"no id", t.Context(), events.Meta{}, good.Name.Stream(), good, problem.Invalid, "command id"},
		{"no command", t.Context(), id, good.Name.Stream(), nil, problem.Invalid, "nothing"},
		{"no kind", t.Context(), id, events.StreamID{Kind: "ship", ID: "x"}, good, problem.Invalid, "kind"},
		{"bad id", t.Context(), id, events.SiteID("x").Stream(), good, problem.Invalid, "no id of a site"},
		{"foreign command", t.Context(), id, testSite.Stream(), good, problem.Invalid, "no command of a site"},
		{"other addressee", t.Context(), id, events.NameID("site:else").Stream(), good, problem.Invalid, "was sent to name/site:else"},
		{"never was", t.Context(), id, testSite.Stream(), site.Activate{}, problem.NotFound, "cannot find the site"},
		{"too late", ended, id, good.Name.Stream(), good, problem.Unavailable, "canceled"},
	} {
		_, err := s.Do(c.ctx, c.meta, c.to, c.command)
		t.Run(c.what, func(t *testing.T) { wantKind(t, err, c.kind, c.words) })
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Do(t.Context(), id, good.Name.Stream(), good)
	wantKind(t, err, problem.Unavailable, "shutting down")
}

// Many commanders on one entity: every command has one effect, in one order.
func TestConcurrentCommanders(t *testing.T) {
	const commanders, each = 64, 20
	log := memory.New()
	s := start(t, Options{Log: log})
	do(t, s, "create", testEnvironment.Stream(), createEnvironment())
	var all sync.WaitGroup
	for c := range commanders {
		all.Go(func() {
			for i := range each {
				do(t, s, fmt.Sprintf("rotate/%d/%d", c, i), testEnvironment.Stream(), environment.RotateSeed{})
			}
		})
	}
	all.Wait()
	wantSeeds(t, log, commanders*each)
}

// wantSeeds checks that the environment's seed was rotated n times, by as many
// commands, without a gap.
func wantSeeds(t *testing.T, log eventlog.Reader, n int) {
	t.Helper()
	commands := map[events.CommandID]bool{}
	seed := 1
	for _, envelope := range stream(t, log, testEnvironment.Stream())[1:] {
		if commands[envelope.Meta.Command] {
			t.Errorf("command %s had two effects", envelope.Meta.Command)
		}
		commands[envelope.Meta.Command] = true
		if seed++; envelope.Events[0] != (events.SeedRotated{Environment: testEnvironment, Generation: seed}) {
			t.Errorf("revision %d holds %v, want seed %d", envelope.Revision, envelope.Events[0], seed)
		}
	}
	if len(commands) != n {
		t.Errorf("%d commands are in the log, want %d", len(commands), n)
	}
}

// Two live copies of one actor, each command sent to both at once: nothing is
// lost and nothing happens twice.
func TestTwoSystemsOneLog(t *testing.T) {
	const commanders, each = 16, 25
	log := memory.New()
	systems := []*System{start(t, Options{Log: log}), start(t, Options{Log: log})}
	do(t, systems[0], "create", testEnvironment.Stream(), createEnvironment())
	var all sync.WaitGroup
	var effects, repeats atomic.Int64
	for c := range commanders {
		for _, s := range systems {
			all.Go(func() {
				for i := range each {
					receipt := persist(t, s, fmt.Sprintf("rotate/%d/%d", c, i), testEnvironment.Stream(), environment.RotateSeed{})
					if receipt.Repeated {
						repeats.Add(1)
					} else {
						effects.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	wantSeeds(t, log, commanders*each)
	if effects.Load() != commanders*each || repeats.Load() != commanders*each {
		t.Errorf("%d receipts of an effect and %d of a repeat, want %d each", effects.Load(), repeats.Load(), commanders*each)
	}
}

// persist sends a command until it is not refused as Busy.
func persist(t *testing.T, s *System, id string, to events.StreamID, command any) events.Receipt {
	for {
		receipt, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(id)}, to, command)
		if problem.KindOf(err) == problem.Busy {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		return receipt
	}
}

// A copy of an actor that was overtaken gives no answer from the past, neither
// a refusal nor "it is so already".
func TestOvertakenCopyReadsBeforeItRefuses(t *testing.T) {
	log := memory.New()
	here, there := start(t, Options{Log: log}), start(t, Options{Log: log})
	to := events.NameID("site:hello").Stream()
	mine := name.Claim{Name: "site:hello", By: testSite.Stream().String()}
	yours := name.Claim{Name: "site:hello", By: "site/01990000-0000-7000-8000-000000000002"}

	do(t, here, "1", to, mine)
	do(t, there, "2", to, name.Release(mine))
	do(t, here, "3", to, yours) // here still believed it was mine
	_, err := there.Do(t.Context(), events.Meta{Command: "4"}, to, mine)
	wantKind(t, err, problem.Conflict, "is taken") // there believed it was free
	do(t, there, "5", to, name.Release(yours))
	if receipt := do(t, here, "6", to, yours); len(receipt.Events) != 1 {
		t.Errorf("here still believed it was yours: %+v", receipt)
	}
}

// The same command id after a restart has no second effect.
func TestRepeatedAcrossRestart(t *testing.T) {
	log := memory.New()
	s := start(t, Options{Log: log})
	do(t, s, "create", testEnvironment.Stream(), createEnvironment())
	first := do(t, s, "rotate", testEnvironment.Stream(), environment.RotateSeed{})
	for i := range MaxLoadCommits { // so that reading takes more than one load
		do(t, s, fmt.Sprintf("rotate/%d", i), testEnvironment.Stream(), environment.RotateSeed{})
	}
	s.Close()
	s = start(t, Options{Log: log})
	if again := do(t, s, "rotate", testEnvironment.Stream(), environment.RotateSeed{}); !again.Repeated || again.Tip != first.Tip {
		t.Errorf("after a restart: %+v, first was %+v", again, first)
	}
	wantSeeds(t, log, MaxLoadCommits+1)
}

// gate is a log whose appends wait until it opens.
type gate struct {
	eventlog.Log
	open chan struct{}
	at   atomic.Int64 // appends that wait or have waited
}

func (g *gate) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	g.at.Add(1)
	<-g.open
	return g.Log.Append(ctx, tip, commit)
}

// A flood is answered Busy beyond the bound, at once; what was taken is
// carried out, and nothing is dropped without a word.
func TestFloodIsAnsweredBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gate{Log: memory.New(), open: make(chan struct{})}
		s := start(t, Options{Log: log, MailboxCommands: 10})
		errs := make(chan error, 1000)
		for i := range cap(errs) {
			go func() {
				_, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(fmt.Sprint(i))},
					testEnvironment.Stream(), createEnvironment())
				errs <- err
			}()
		}
		synctest.Wait() // nobody can move any more: the log's gate is shut
		if len(errs) != cap(errs)-10 {
			t.Errorf("%d commands are answered while the log stands still, want %d", len(errs), cap(errs)-10)
		}
		for range len(errs) {
			wantKind(t, <-errs, problem.Busy, "commands wait for environment/")
		}
		if refused := s.Statistics().Refused; refused != uint64(cap(errs)-10) {
			t.Errorf("the counter says %d", refused)
		}
		close(log.open)
		for range 10 {
			if err := <-errs; err != nil {
				t.Errorf("a command that was taken: %v", err)
			}
		}
	})
}

// Residents stay within their bound, and come back from the log.
func TestPassivationByNumber(t *testing.T) {
	const streams, bound = 10_000, 100
	s := start(t, Options{ResidentActors: bound})
	var most int
	for round := range 2 {
		for i := range streams / (1 + 9*round) { // a tenth of them once more
			id := events.NameID(fmt.Sprintf("site:name-%d", i))
			receipt := do(t, s, fmt.Sprintf("claim/%d/%d", i, round), id.Stream(), name.Claim{Name: id, By: testSite.Stream().String()})
			if (round == 0) != (len(receipt.Events) == 1) {
				t.Fatalf("round %d of %s: %+v", round, id, receipt)
			}
			most = max(most, s.Statistics().Resident)
		}
	}
	if most != bound {
		t.Errorf("%d actors lived at once, the bound is %d", most, bound)
	}
}

// While all residents are at work another actor finds no place: Busy.
func TestNoRoomForAnotherActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gate{Log: memory.New(), open: make(chan struct{})}
		s := start(t, Options{Log: log, ResidentActors: 1})
		var working sync.WaitGroup
		working.Go(func() { do(t, s, "1", testEnvironment.Stream(), createEnvironment()) })
		synctest.Wait()
		to := events.NameID("site:hello")
		_, err := s.Do(t.Context(), events.Meta{Command: "2"}, to.Stream(), name.Claim{Name: to, By: "site/x"})
		wantKind(t, err, problem.Busy, "1 actors are at work")
		close(log.open)
		working.Wait()
	})
}

// Idle actors leave after IdleAfter, by one timer for all.
func TestPassivationByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Options{IdleAfter: time.Minute})
		claim := func(i int) {
			id := events.NameID(fmt.Sprintf("site:name-%d", i))
			do(t, s, fmt.Sprint("claim", i), id.Stream(), name.Claim{Name: id, By: testSite.Stream().String()})
		}
		for i := range 2 * evictedAtOnce {
			claim(i)
		}
		<-time.After(50 * time.Second)
		claim(0) // is not idle for a minute
		<-time.After(11 * time.Second)
		synctest.Wait()
		if statistics := s.Statistics(); statistics.Resident != 1 || statistics.Idle != 1 {
			t.Errorf("after a minute: %+v", statistics)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if statistics := s.Statistics(); statistics.Resident != 0 {
			t.Errorf("after two minutes: %+v", statistics)
		}
	})
}

// ctx ends the waiting only; the command happens.
func TestContextEndsOnlyTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gate{Log: memory.New(), open: make(chan struct{})}
		s := start(t, Options{Log: log})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Do(ctx, events.Meta{Command: "create"}, testEnvironment.Stream(), createEnvironment())
		wantKind(t, err, problem.Unavailable, "may still happen")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not say why", err)
		}
		close(log.open)
		if receipt := do(t, s, "create", testEnvironment.Stream(), createEnvironment()); !receipt.Repeated {
			t.Errorf("%+v", receipt)
		}
	})
}

// Close finishes what is under way.
func TestCloseFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gate{Log: memory.New(), open: make(chan struct{})}
		s := start(t, Options{Log: log})
		done := make(chan error)
		go func() {
			_, err := s.Do(t.Context(), events.Meta{Command: "create"}, testEnvironment.Stream(), createEnvironment())
			done <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { s.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a command was under way")
		default:
		}
		close(log.open)
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-closed
	})
}

// faulty is a log whose appends and reads fail as told.
type faulty struct {
	eventlog.Log
	mu     sync.Mutex
	append func(write func() (events.Tip, error)) (events.Tip, error)
	read   error
}

func (f *faulty) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	write := func() (events.Tip, error) { return f.Log.Append(ctx, tip, commit) }
	if f.append == nil {
		return write()
	}
	return f.append(write)
}

func (f *faulty) Stream(ctx context.Context, id events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read; err != nil {
		return func(yield func(events.Envelope, error) bool) { yield(events.Envelope{}, err) }
	}
	return f.Log.Stream(ctx, id, after)
}

func (f *faulty) set(append func(write func() (events.Tip, error)) (events.Tip, error), read error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.append, f.read = append, read
}

// An append without a clear end is looked up in the log.
func TestUnclearAppend(t *testing.T) {
	lost, full := errors.New("connection lost"), errors.New("no space left on device")
	log := &faulty{Log: memory.New()}
	s := start(t, Options{Log: log})
	log.set(func(write func() (events.Tip, error)) (events.Tip, error) {
		if _, err := write(); err != nil {
			return events.Tip{}, err
		}
		return events.Tip{}, lost
	}, nil)
	if receipt := do(t, s, "create", testEnvironment.Stream(), createEnvironment()); receipt.Repeated || len(receipt.Events) != 1 || receipt.Tip.Revision != 1 {
		t.Errorf("it is in the log: %+v", receipt)
	}
	log.set(func(func() (events.Tip, error)) (events.Tip, error) { return events.Tip{}, full }, nil)
	_, err := s.Do(t.Context(), events.Meta{Command: "rotate"}, testEnvironment.Stream(), environment.RotateSeed{})
	wantKind(t, err, problem.Unavailable, "no space left on device")
	log.set(func(func() (events.Tip, error)) (events.Tip, error) { return events.Tip{}, lost }, lost)
	_, err = s.Do(t.Context(), events.Meta{Command: "rotate"}, testEnvironment.Stream(), environment.RotateSeed{})
	wantKind(t, err, problem.Unavailable, "connection lost")
	log.set(nil, nil)
	if receipt := do(t, s, "rotate", testEnvironment.Stream(), environment.RotateSeed{}); receipt.Repeated || receipt.Tip.Revision != 2 {
		t.Errorf("after the log is back: %+v", receipt)
	}
}

// An append that always loses the race ends as Busy, not in a loop.
func TestEndlessConflict(t *testing.T) {
	log := &faulty{Log: memory.New()}
	var appends int
	log.set(func(func() (events.Tip, error)) (events.Tip, error) {
		appends++
		return events.Tip{}, eventlog.ErrConflict
	}, nil)
	s := start(t, Options{Log: log})
	_, err := s.Do(t.Context(), events.Meta{Command: "create"}, testEnvironment.Stream(), createEnvironment())
	wantKind(t, err, problem.Busy, "changed")
	if appends != MaxConflictRetries+1 {
		t.Errorf("%d appends", appends)
	}
}

// A panic in a decider ends one command; a panic in a fold ends what is under
// way for that actor. The others notice nothing.
func TestPanicIsolation(t *testing.T) {
	var logged strings.Builder
	log := memory.New()
	s := start(t, Options{Log: log, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	row := s.kinds[events.KindEnvironment]
	decide, evolve := row.decide, row.evolve
	row.decide = func(state, command any) ([]events.Event, error) {
		if deploy, ok := command.(environment.Deploy); ok && deploy.Message == "panic" {
			panic("deciding")
		}
		return decide(state, command)
	}
	poisoned := atomic.Bool{}
	row.replay = nil
	row.evolve = func(state any, event events.Event) any {
		if poisoned.Load() {
			panic("folding")
		}
		return evolve(state, event)
	}
	s.kinds[events.KindEnvironment] = row
	to := testEnvironment.Stream()

	do(t, s, "create", to, createEnvironment())
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if i%4 != 0 {
				do(t, s, fmt.Sprintf("rotate/%d", i), to, environment.RotateSeed{})
				return
			}
			_, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(fmt.Sprint("deploy", i))}, to, environment.Deploy{Commit: "c", Message: "panic"})
			wantKind(t, err, problem.Internal, "incident")
		})
	}
	all.Wait()
	do(t, s, "settled", to, environment.RotateSeed{}) // so that the next fold is of its own commit
	wantSeeds(t, log, 31)

	poisoned.Store(true)
	_, err := s.Do(t.Context(), events.Meta{Command: "fold"}, to, environment.RotateSeed{})
	wantKind(t, err, problem.Internal, "incident")
	do(t, s, "other", events.NameID("site:other").Stream(), name.Claim{Name: "site:other", By: testSite.Stream().String()})
	poisoned.Store(false)
	if receipt := do(t, s, "fold", to, environment.RotateSeed{}); !receipt.Repeated {
		t.Errorf("the commit was in the log before the fold: %+v", receipt)
	}
	s.Close()
	_, incident, _ := strings.Cut(err.Error(), "incident ")
	incident, _, _ = strings.Cut(incident, ")")
	if incident == "" || !strings.Contains(logged.String(), incident) {
		t.Errorf("incident %q is not in the log", incident)
	}
}

// A stream that a newer version wrote to is not decided on.
func TestUnknownEvent(t *testing.T) {
	future := events.Envelope{
		Commit:   events.Commit{Stream: testSite.Stream(), Meta: events.Meta{Command: "f"}, Events: []events.Event{events.Unknown{Name: "SiteFrozen", Version: 3}}},
		Revision: 1, Position: 1,
	}
	s := start(t, Options{Log: &canned{memory.New(), []events.Envelope{future}}})
	_, err := s.Do(t.Context(), events.Meta{Command: "a"}, testSite.Stream(), site.Activate{})
	wantKind(t, err, problem.Unsupported, `"SiteFrozen" version 3`)
	if receipt := do(t, s, "f", testSite.Stream(), site.Activate{}); !receipt.Repeated {
		t.Errorf("its command is known: %+v", receipt)
	}
}

// A log that gives a stream out of order is not believed.
func TestStreamOutOfOrder(t *testing.T) {
	commit := events.Commit{Stream: testSite.Stream()}
	for what, envelope := range map[string]events.Envelope{
		"a gap":          {Commit: commit, Revision: 2, Position: 1},
		"another chain":  {Commit: commit, Revision: 1, Position: 1, Previous: events.Hash{1}},
		"another stream": {Commit: events.Commit{Stream: testEnvironment.Stream()}, Revision: 1, Position: 1},
	} {
		t.Run(what, func(t *testing.T) {
			s := start(t, Options{Log: &canned{memory.New(), []events.Envelope{envelope}}})
			_, err := s.Do(t.Context(), events.Meta{Command: "a"}, testSite.Stream(), site.Activate{})
			wantKind(t, err, problem.Unavailable, "does not follow revision 0 of site/")
		})
	}
}

// canned is a log whose streams all hold the same envelopes.
type canned struct {
	eventlog.Log
	envelopes []events.Envelope
}

func (c *canned) Stream(_ context.Context, _ events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for _, envelope := range c.envelopes {
			if envelope.Revision > after && !yield(envelope, nil) {
				return
			}
		}
	}
}

func TestNewNeedsALog(t *testing.T) {
	_, err := New(Options{})
	wantKind(t, err, problem.Invalid, "Options.Log")
}

func TestRecentCommandsAreBounded(t *testing.T) {
	var recent recentCommands
	for i := range 3 * RecentCommands {
		recent.add(events.CommandID(fmt.Sprint(i)), events.Tip{Revision: events.Revision(i)})
	}
	if len(recent.index) != RecentCommands || len(recent.ring) != RecentCommands {
		t.Errorf("%d and %d are remembered", len(recent.index), len(recent.ring))
	}
	if _, found := recent.find(events.CommandID(fmt.Sprint(2*RecentCommands - 1))); found {
		t.Error("one too old is remembered")
	}
	if tip, found := recent.find(events.CommandID(fmt.Sprint(2 * RecentCommands))); !found || tip.Revision != 2*RecentCommands {
		t.Error("the oldest of the bound is forgotten")
	}
}
