package projections_test

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
	"pantheon/events/eventlog/sealed"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

var (
	replayEvents = flag.Int("replay-events", 1_000_000, "events of BenchmarkReplay")
	startSites   = flag.Int("start-sites", 100_000, "sites of BenchmarkStart")
	sealTexts    = flag.Bool("seal-texts", false, "seal the personal texts of the log that is replayed, as a platform does")
)

// views are all projections of this version.
type views struct {
	runner    *projections.Runner
	routing   *projections.View[routing.State]
	inventory *projections.View[inventory.State]
}

func newViews(log projections.Log, store projections.Store) views {
	runner := projections.NewRunner(projections.Options{Log: log, Store: store})
	return views{
		runner:    runner,
		routing:   projections.Add(runner, projections.Projection[routing.State]{Name: "routing", Version: routing.Version, Empty: routing.Empty("pantheon.localhost")}),
		inventory: projections.Add(runner, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version}),
	}
}

// run starts the runner and returns what ends it.
func (v views) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.runner.Run(ctx) }()
	return func() { cancel(); <-done }
}

func writeFleet(b *testing.B, sites int) (dir string, commits, count int) {
	b.Helper()
	dir = b.TempDir()
	fleet := eventlogtest.Fleet(sites)
	if *sealTexts {
		fleet = sealing(b, fleet)
	}
	commits, count, err := jetstreamtest.Write(b.Context(), dir, fleet)
	if err != nil {
		b.Fatal(err)
	}
	return dir, commits, count
}

// ownKeys makes keys from the owners' names.
type ownKeys struct{}

func (ownKeys) Key(owner events.Owner, _ bool) (string, error) {
	return fmt.Sprintf("the key of %s%s", owner.Site, owner.Account), nil
}
func (ownKeys) Destroy(events.Owner) error { return nil }

// sealedCommit keeps what is appended, and knows how streams began.
type sealedCommit struct {
	commit events.Commit
	first  map[events.StreamID]events.Commit
}

func (s *sealedCommit) Append(_ context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	s.commit = commit
	return tip, nil
}

func (s *sealedCommit) Stream(_ context.Context, stream events.StreamID, _ events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) { yield(events.Envelope{Commit: s.first[stream]}, nil) }
}

// sealing gives the commits as a platform writes them.
func sealing(b *testing.B, commits iter.Seq[events.Commit]) iter.Seq[events.Commit] {
	return func(yield func(events.Commit) bool) {
		out := &sealedCommit{first: map[events.StreamID]events.Commit{}}
		log := sealed.NewLog(out, sealed.NewBox(ownKeys{}))
		for commit := range commits {
			tip := events.Tip{Revision: 1}
			if _, begun := out.first[commit.Stream]; !begun {
				out.first[commit.Stream], tip = commit, events.Tip{}
			}
			if _, err := log.Append(b.Context(), tip, commit); err != nil {
				b.Fatal(err)
			}
			if !yield(out.commit) {
				return
			}
		}
	}
}

func openLog(b testing.TB, dir string) *jetstream.Log {
	b.Helper()
	log, err := jetstream.Open(b.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// BenchmarkReplay folds a log on disk into all projections, from position 0,
// with decoding and all checks; and, for the share of each part, does parts of
// that.
func BenchmarkReplay(b *testing.B) {
	dir, _, count := writeFleet(b, *replayEvents/eventlogtest.FleetCommits)
	log := openLog(b, dir)
	defer log.Close()
	var began time.Duration
	rate := func(b *testing.B) {
		all := float64(count) * float64(b.N)
		b.ReportMetric(all/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(all/(cpuTime()-began).Seconds(), "events/cpu-s")
	}
	b.Run("read", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			for _, err := range log.All(b.Context(), 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b)
	})
	b.Run("routing", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			state := routing.Empty("pantheon.localhost").Edit()
			for envelope := range log.All(b.Context(), 0) {
				state = state.Apply(envelope)
			}
		}
		rate(b)
	})
	b.Run("inventory", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			state := inventory.State{}.Edit()
			for envelope := range log.All(b.Context(), 0) {
				state = state.Apply(envelope)
			}
		}
		rate(b)
	})
	b.Run("all", func(b *testing.B) {
		began = cpuTime()
		for b.Loop() {
			v := newViews(log, nil)
			stop := v.run(b)
			if err := v.runner.Ready(b.Context()); err != nil {
				b.Fatal(err)
			}
			stop()
		}
		rate(b)
	})
}

// BenchmarkStart is a start with a cell of 100,000 sites: open and verify the
// log, then views from nothing, and then again from their snapshots.
func BenchmarkStart(b *testing.B) {
	dir, commits, _ := writeFleet(b, *startSites)
	store := projections.Files{Dir: b.TempDir()}
	for _, name := range []string{"replay", "snapshot"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				debug.FreeOSMemory()
				began := time.Now()
				log := openLog(b, dir)
				opened := time.Now()
				v := newViews(log, store)
				stop := v.run(b)
				if err := v.runner.Ready(b.Context()); err != nil {
					b.Fatal(err)
				}
				ready := time.Now()
				resident, heap := memoryMiB()
				b.ReportMetric(float64(commits), "commits")
				b.ReportMetric(opened.Sub(began).Seconds(), "s-open")
				b.ReportMetric(ready.Sub(opened).Seconds(), "s-views")
				b.ReportMetric(resident, "MiB-resident")
				b.ReportMetric(heap, "MiB-live")
				if got := v.inventory.Snapshot().SiteCount(); got != *startSites {
					b.Fatalf("%d sites", got)
				}
				stop()
				b.ReportMetric(time.Since(ready).Seconds(), "s-save")
				if err := log.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// cpuTime gives what the process has used of all cores: on a machine with
// other work the time on the clock says little.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// memoryMiB gives what the process holds, as the kernel and the collector see it,
// in MiB.
func memoryMiB() (resident, live float64) {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			resident = kib / 1024
		}
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return resident, float64(stats.HeapAlloc) / (1 << 20)
}

// BenchmarkVisible is the time from the return of Append to the moment when a
// reader of the routing view sees the event, with all projections behind a log
// on disk that holds 2,000 sites.
func BenchmarkVisible(b *testing.B) {
	const sites = 2_000
	dir, _, _ := writeFleet(b, sites)
	log := openLog(b, dir)
	defer log.Close()
	v := newViews(log, nil)
	defer v.run(b)()
	if err := v.runner.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	drop := eventlogtest.FleetDrop(7)
	var tip events.Tip
	for envelope, err := range log.Stream(b.Context(), drop.Stream(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		tip = envelope.Tip()
	}
	env := events.EnvironmentOf(eventlogtest.FleetSite(7), "dev")
	host := events.HostID(fmt.Sprintf("%032x", 77))
	var latencies []time.Duration
	for i := 0; b.Loop(); i++ {
		commit := eventlogtest.Commit(drop.Stream(), fmt.Sprint(i))
		commit.Events = []events.Event{
			events.DropPlaced{Drop: drop, Environment: env, Host: host},
			events.DropReady{Drop: drop, Host: host, Generation: i + 2},
		}
		tip = eventlogtest.Append(b, log, tip, commit)
		committed := time.Now()
		if err := v.routing.Wait(b.Context(), tip.Position); err != nil {
			b.Fatal(err)
		}
		latencies = append(latencies, time.Since(committed))
	}
	route, _ := v.routing.Snapshot().Lookup("dev-" + eventlogtest.FleetSiteName(7) + ".pantheon.localhost")
	if len(route.Drops) != 1 || route.Drops[0].Host != host {
		b.Fatalf("%+v", route)
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "µs-p99")
}
