package projections_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
	"pantheon/projections"
	"pantheon/projections/inventory"
)

// once runs a tally with its history, asks, and ends both.
func once(t *testing.T, log projections.Log, store projections.Store, version int, options projections.HistoryOptions, ask func(*projections.History[tally])) {
	t.Helper()
	projection := projections.Projection[tally]{Name: "tally", Version: version}
	runner := projections.NewRunner(projections.Options{Log: log, Store: store})
	options.Log = log
	history := projections.NewHistory(projections.Add(runner, projection), projection, options)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) })
	all.Go(func() { _ = history.Run(ctx) })
	defer func() { cancel(); all.Wait() }()
	if err := runner.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(history)
}

// savedPast asks for all of the past until there are saved states of every
// stretch of it: one that passes while another one is written is not saved.
func savedPast(t *testing.T, log projections.Log, dir string, version, commits, stretch int) []string {
	t.Helper()
	files := projections.Files{Dir: dir}
	for {
		once(t, log, nil, version, projections.HistoryOptions{EveryCommits: 10, Past: files, PastEveryCommits: stretch}, func(h *projections.History[tally]) {
			for position := range commits {
				checkAt(t, h, position)
			}
		})
		names, err := files.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(names) >= commits/stretch-1 {
			slices.Sort(names)
			return names
		}
	}
}

// After a start the first question about the past reads the nearest saved state
// and folds what is behind it. Every position has its own state all the same, in
// whatever order it is asked for.
func TestHistoryOverStarts(t *testing.T) {
	log, store, dir := &countingLog{Log: memory.New()}, projections.Files{Dir: t.TempDir()}, t.TempDir()
	fill(t, log.Log, 0, 2000)
	start(t, log, store, 0).stop()
	savedPast(t, log, dir, 0, 2000, 400)
	options := projections.HistoryOptions{EveryCommits: 2, Past: projections.Files{Dir: dir}, PastEveryCommits: 400}
	for _, position := range []int{1999, 1234, 450, 300} {
		once(t, log, store, 0, options, func(h *projections.History[tally]) {
			before := log.read.Load()
			checkAt(t, h, position)
			// A state of each stretch is saved, wherever in it.
			if read := log.read.Load() - before; read > 800 {
				t.Errorf("the state at %d took %d commits", position, read)
			}
			for _, other := range []int{1999, 5, 1200, 801, 799, 1600, 3, 1998, position} {
				checkAt(t, h, other)
			}
		})
	}
}

// What was saved of another version, of another log, or is damaged, is not used
// and goes.
func TestHistoryOfAnotherPast(t *testing.T) {
	log, dir := memory.New(), t.TempDir()
	fill(t, log, 0, 1000)
	names := savedPast(t, log, dir, 0, 1000, 200)
	other := memory.New()
	fill(t, other, 7, 1207)
	ask := func(log projections.Log, version, position int) {
		options := projections.HistoryOptions{EveryCommits: 2, Past: projections.Files{Dir: dir}, PastEveryCommits: 1 << 30}
		once(t, log, nil, version, options, func(h *projections.History[tally]) { checkAt(t, h, position) })
	}
	left := func() []string {
		all, err := projections.Files{Dir: dir}.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(all)
		return all
	}
	newest := filepath.Join(dir, names[len(names)-1]+".snapshot")
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(newest, data, 0o600); err != nil {
		t.Fatal(err)
	}
	fill(t, log, 1000, 1100)
	ask(log, 0, 1099)
	if got := left(); !slices.Equal(got, names[:len(names)-1]) {
		t.Errorf("%q are left of %q, of which the last is damaged", got, names)
	}
	ask(other, 0, 1199)
	if got := left(); len(got) != 0 {
		t.Errorf("%q are left beside another log", got)
	}
	savedPast(t, log, dir, 0, 1000, 200)
	fill(t, log, 1100, 1200)
	ask(log, 1, 1199)
	if got := left(); len(got) != 0 {
		t.Errorf("%q are left of an older version", got)
	}
}

// However long the log gets, few states are saved, spread over all of it.
func TestHistorySavesFew(t *testing.T) {
	log, dir := memory.New(), t.TempDir()
	fill(t, log, 0, 1500)
	names := savedPast(t, log, dir, 0, 1500, 100)
	fill(t, log, 1500, 6000)
	options := projections.HistoryOptions{EveryCommits: 10, Past: projections.Files{Dir: dir}, PastEveryCommits: 100}
	for len(names) < 40 { // rounds, until the newest part is covered too
		once(t, log, nil, 0, options, func(h *projections.History[tally]) { checkAt(t, h, 5999) })
		all, err := projections.Files{Dir: dir}.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 16 {
			t.Fatalf("%d states are saved", len(all))
		}
		if slices.ContainsFunc(all, func(name string) bool { return strings.Compare(name, "tally@00000000000000005000") > 0 }) {
			return
		}
		names = append(names, "another round")
	}
	t.Error("nothing is saved of the newest part")
}

var _ projections.Past = projections.Files{}

// BenchmarkHistoryFirst is the first question about the past after a start whose
// live view began from a snapshot: folded from the log's beginning, and from the
// nearest of the states that were saved.
func BenchmarkHistoryFirst(b *testing.B) {
	dir, commits, _ := writeFleet(b, *replayEvents/eventlogtest.FleetCommits)
	log := openLog(b, dir)
	defer log.Close()
	store, past := projections.Files{Dir: b.TempDir()}, projections.Files{Dir: b.TempDir()}
	projection := projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version}
	once := func(options projections.HistoryOptions, ask func(*projections.History[inventory.State])) {
		runner := projections.NewRunner(projections.Options{Log: log, Store: store})
		options.Log = log
		history := projections.NewHistory(projections.Add(runner, projection), projection, options)
		ctx, cancel := context.WithCancel(b.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = runner.Run(ctx) })
		all.Go(func() { _ = history.Run(ctx) })
		defer func() { cancel(); all.Wait() }()
		if err := runner.Ready(b.Context()); err != nil {
			b.Fatal(err)
		}
		ask(history)
	}
	saving := projections.HistoryOptions{Past: past, PastEveryCommits: commits / 10}
	at := func(position int) func(*projections.History[inventory.State]) {
		return func(h *projections.History[inventory.State]) {
			if _, err := h.At(b.Context(), events.Position(position)); err != nil {
				b.Fatal(err)
			}
		}
	}
	once(projections.HistoryOptions{}, func(*projections.History[inventory.State]) {}) // the snapshot
	for names := []string(nil); len(names) < 5; {
		once(saving, at(commits-1))
		var err error
		if names, err = past.Names(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for name, options := range map[string]projections.HistoryOptions{"beginning": {}, "saved": saving} {
		b.Run(name, func(b *testing.B) {
			var used, took time.Duration
			for b.Loop() {
				once(options, func(h *projections.History[inventory.State]) {
					began, cpu := time.Now(), cpuTime()
					at(commits * 9 / 10)(h)
					took, used = took+time.Since(began), used+cpuTime()-cpu
				})
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s-first")
			b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s-first")
		})
	}
}
