package projections_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

func (s tally) Differences(later tally) int {
	return s.streams.CountChanges(later.streams, func(a, b int) bool { return a == b })
}

// countingLog counts the commits that readers of the past were given.
type countingLog struct {
	*memory.Log
	read atomic.Int64
}

func (l *countingLog) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range l.Log.Between(ctx, after, upTo) {
			l.read.Add(1)
			if !yield(envelope, err) {
				return
			}
		}
	}
}

// remember runs a tally with its history.
func remember(t *testing.T, log projections.Log, store projections.Store, options projections.HistoryOptions) *projections.History[tally] {
	t.Helper()
	projection := projections.Projection[tally]{Name: "tally", Version: 1}
	runner := projections.NewRunner(projections.Options{Log: log, Store: store})
	options.Log = log
	history := projections.NewHistory(projections.Add(runner, projection), projection, options)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) })
	all.Go(func() { _ = history.Run(ctx) })
	t.Cleanup(func() { cancel(); all.Wait() })
	if err := runner.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return history
}

func checkAt(t *testing.T, history *projections.History[tally], position int) {
	t.Helper()
	state, err := history.At(t.Context(), events.Position(position))
	if err != nil || state.commits != uint64(position) || state.sum() != uint64(position) {
		t.Fatalf("at %d: %d commits, %d in the streams (%v)", position, state.commits, state.sum(), err)
	}
}

// Every past position has its own state, in whatever order it is asked for,
// whether the live view began from the log or from a snapshot, and however few
// states may be kept.
func TestHistoryAtEveryPosition(t *testing.T) {
	log, store := memory.New(), projections.Files{Dir: t.TempDir()}
	fill(t, log, 0, 400)
	start(t, log, store, 1).stop()
	fill(t, log, 400, 600)
	for name, options := range map[string]projections.HistoryOptions{
		"roomy": {EveryCommits: 16}, "cramped": {EveryCommits: 4, MaxRecords: 30}, "one record": {EveryCommits: 1, MaxRecords: 1}, "default": {},
	} {
		for _, kept := range []projections.Store{nil, store} {
			history := remember(t, log, kept, options)
			for _, position := range rand.New(rand.NewPCG(1, 2)).Perm(601) {
				checkAt(t, history, position)
			}
			if _, err := history.At(t.Context(), 601); problem.KindOf(err) != problem.Invalid {
				t.Errorf("%s: behind the end: %v", name, err)
			}
		}
	}
}

// After the first question, a question folds no more than what lies between
// two kept states.
func TestHistoryFoldsLittle(t *testing.T) {
	log := &countingLog{Log: memory.New()}
	fill(t, log.Log, 0, 1000)
	store := projections.Files{Dir: t.TempDir()}
	start(t, log, store, 1).stop()
	history := remember(t, log, store, projections.HistoryOptions{EveryCommits: 50})
	checkAt(t, history, 999)
	for _, position := range []int{3, 49, 50, 51, 500, 727, 998} {
		before := log.read.Load()
		checkAt(t, history, position)
		if read := log.read.Load() - before; read > 51 {
			t.Errorf("the state at %d took %d commits", position, read)
		}
	}
	before := log.read.Load()
	checkAt(t, history, 998)
	checkAt(t, history, 1000)
	if read := log.read.Load() - before; read != 0 {
		t.Errorf("states that are known took %d commits", read)
	}
}

// The live fold's states are kept as they pass: nothing is folded again for a
// position close behind one.
func TestHistoryKeepsWhatPasses(t *testing.T) {
	log := &countingLog{Log: memory.New()}
	history := remember(t, log, nil, projections.HistoryOptions{EveryCommits: 10})
	for i := range 200 {
		fill(t, log.Log, i, i+1)
		if err := history.Wait(t.Context(), events.Position(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	// Run takes offers in its own time; the question is repeated until it has.
	for {
		before := log.read.Load()
		checkAt(t, history, 155)
		if read := log.read.Load() - before; read <= 11 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("states that passed are not kept")
		}
		for p := 1; p <= 9; p++ { // push the answer out of what is known
			checkAt(t, history, p)
		}
	}
}

// Readers of the past on all sides, while the fold goes on.
func TestHistoryConcurrently(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 300)
	history := remember(t, log, nil, projections.HistoryOptions{EveryCommits: 8, MaxRecords: 60})
	var all sync.WaitGroup
	all.Go(func() { fill(t, log, 300, 500) })
	for reader := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(reader)))
			for range 100 {
				position := random.IntN(301)
				state, err := history.At(t.Context(), events.Position(position))
				if err != nil || state.sum() != uint64(position) {
					t.Errorf("at %d: %d commits (%v)", position, state.sum(), err)
				}
			}
		})
	}
	all.Wait()
}

// stuckLog stops within the past until its reader leaves.
type stuckLog struct{ *memory.Log }

func (l stuckLog) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range l.Log.Between(ctx, after, upTo) {
			if envelope.Position > 5 {
				<-ctx.Done()
				envelope, err = events.Envelope{}, ctx.Err()
			}
			if !yield(envelope, err) || err != nil {
				return
			}
		}
	}
}

func TestHistoryEndsWithItsContext(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 20)
	history := remember(t, stuckLog{log}, nil, projections.HistoryOptions{EveryCommits: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for position := range 6 { // more than may fold at once: the others wait
		all.Go(func() {
			if _, err := history.At(ctx, events.Position(10+position)); !errors.Is(err, context.Canceled) {
				t.Errorf("the question ended with %v", err)
			}
		})
	}
	cancel()
	all.Wait()
	checkAt(t, history, 4) // and the next one is answered
}

func TestHistoryOfABrokenLog(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 20)
	broken := brokenPast{log}
	history := remember(t, broken, nil, projections.HistoryOptions{})
	if _, err := history.At(t.Context(), 10); !errors.Is(err, errBroken) || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a broken log gave %v", err)
	}
}

type brokenPast struct{ *memory.Log }

func (brokenPast) Between(context.Context, events.Position, events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) { yield(events.Envelope{}, errBroken) }
}

// wholeLog is a log that can only be read to its end.
type wholeLog struct{ log *memory.Log }

func (l wholeLog) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return l.log.All(ctx, after)
}

func (l wholeLog) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return l.log.Tail(ctx, after)
}

func (l wholeLog) Head(ctx context.Context) (events.Position, error) { return l.log.Head(ctx) }

func TestHistoryOfALogWithoutRanges(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 100)
	history := remember(t, wholeLog{log}, nil, projections.HistoryOptions{EveryCommits: 40})
	for _, position := range []int{7, 50, 99, 3} {
		checkAt(t, history, position)
	}
}

// BenchmarkHistory asks a cell of a million events for its states at random
// past positions, after the first question. The live views began from their
// snapshots, as after a restart.
func BenchmarkHistory(b *testing.B) {
	dir, commits, count := writeFleet(b, *replayEvents/eventlogtest.FleetCommits)
	log := openLog(b, dir)
	defer log.Close()
	store := projections.Files{Dir: b.TempDir()}
	first := newViews(log, store)
	stop := first.run(b)
	if err := first.runner.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	stop()
	v := newViews(log, store)
	options := projections.HistoryOptions{Log: log}
	inventories := projections.NewHistory(v.inventory, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version}, options)
	routings := projections.NewHistory(v.routing, projections.Projection[routing.State]{Name: "routing", Version: routing.Version, Empty: routing.Empty("pantheon.localhost")}, options)
	defer v.run(b)()
	if err := v.runner.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	_, before := memoryMiB()
	began := time.Now()
	ask := func(position events.Position) {
		if _, err := inventories.At(b.Context(), position); err != nil {
			b.Fatal(err)
		}
		if _, err := routings.At(b.Context(), position); err != nil {
			b.Fatal(err)
		}
	}
	ask(events.Position(commits - 1))
	b.ReportMetric(time.Since(began).Seconds(), "s-first")
	_, after := memoryMiB()
	random := rand.New(rand.NewPCG(1, 1))
	var took []time.Duration
	used := cpuTime()
	for b.Loop() {
		began := time.Now()
		ask(events.Position(1 + random.IntN(commits-1)))
		took = append(took, time.Since(began))
	}
	b.ReportMetric(float64((cpuTime()-used).Milliseconds())/float64(len(took)), "cpu-ms")
	slices.Sort(took)
	b.ReportMetric(float64(count), "events")
	b.ReportMetric(after-before, "MiB-kept")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms-p50")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "ms-worst")
}
