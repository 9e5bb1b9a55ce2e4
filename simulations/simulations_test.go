package simulations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pantheon/actors/policy"
	"pantheon/events/problem"
)

// seedsOf gives the seeds of a test; SIMULATION_SEEDS asks for more.
func seedsOf(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("SIMULATION_SEEDS")); err == nil {
		return n
	}
	if raceDetector {
		return (otherwise + 4) / 5 // it takes eight times as long
	}
	return otherwise
}

// firstSeed of a swarm; SIMULATION_FIRST asks for another, so that every commit
// is tried with seeds of its own.
func firstSeed() (first int, given bool) {
	n, err := strconv.Atoi(os.Getenv("SIMULATION_FIRST"))
	return n, err == nil
}

// swarm runs small cells, each with its own faults, and counts what happened.
func swarm(t *testing.T, first, seeds int) (happened map[string]int) {
	happened = map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			r := run(t, Options{Seed: uint64(seed), Hosts: 2 + (seed+1)%7, Sites: 12 + 7*((seed-1)%5), Duration: 4 * time.Hour})
			t.Logf("%d commits, %d steps, %d visits, %d unserved, converged in %.0fs, hash %s", r.Commits, r.Steps, r.Visits, r.Unserved, r.Converged, r.Hash)
			report(t, r)
			for kind, n := range r.Happened {
				happened[kind] += n
			}
		})
	}
	return happened
}

// TestSwarmOfTheCommit tries seeds that nobody has tried before: the task that
// runs all tests gives the commit's hash. A seed that fails goes to
// testdata/failed-seeds.txt with its story.
func TestSwarmOfTheCommit(t *testing.T) {
	first, given := firstSeed()
	if !given {
		t.Skip("no SIMULATION_FIRST: the swarm with the commit's hash for its seed is part of `go tool task test`")
	}
	swarm(t, first, seedsOf(4))
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestSwarm runs the same small cells always, and sees that all kinds of faults
// come up in them.
func TestSwarm(t *testing.T) {
	happened := swarm(t, 1, min(seedsOf(30), 30))
	if seedsOf(30) < 30 {
		return
	}
	// A fault that never happens finds nothing.
	for _, kind := range []string{
		"lost", "twice", "answer lost", "conflict", "repeated", "cut", "isolated", "clogged", "log outage", "log slow",
		"node down", "host down", "host paused", "host slow", "agent down", "lease renewed", "stray", "intent failed", "fact refused",
		"flash crowd", "crawler", "order", "unserved", "served", "converged",
		"log fail-over", "log full", "disk full", "disk slow", "out of memory", "torn write", "php hangs", "router down", "clock lost",
	} {
		if happened[kind] == 0 {
			t.Errorf("%q never happened", kind)
		}
	}
	t.Log(happened)
}

func report(t *testing.T, r *Result) {
	t.Helper()
	if r.Violation == nil {
		return
	}
	t.Errorf("pantheon simulate %s: %s at %s, position %d: %s\nknobs: %s", r.Again(), r.Violation.Rule, r.Violation.At, r.Violation.Position, r.Violation.Text, r.Knobs)
	for _, line := range r.Violation.Trace {
		t.Log(line)
	}
}

// TestSameSeedSameTrace: chance is the seed and nothing else. The second run
// writes its trace, which must not change it.
func TestSameSeedSameTrace(t *testing.T) {
	for seed := range seedsOf(3) {
		o := Options{Seed: uint64(1000 + seed), Hosts: 5, Sites: 30, Duration: 3 * time.Hour}
		first := run(t, o)
		var trace bytes.Buffer
		o.Trace = &trace
		o.Repeat = true
		second := run(t, o)
		if second.Repeated == "" {
			t.Errorf("seed %d: its first steps were not repeated", o.Seed)
		}
		if first.Hash != second.Hash || first.Steps != second.Steps {
			t.Errorf("seed %d: hash %s after %d steps, then %s after %d", o.Seed, first.Hash, first.Steps, second.Hash, second.Steps)
		}
		if lines := bytes.Count(trace.Bytes(), []byte("\n")); lines < 1000 {
			t.Errorf("seed %d: the trace has %d lines", o.Seed, lines)
		}
		if other := run(t, Options{Seed: o.Seed + 1, Hosts: 5, Sites: 30, Duration: 3 * time.Hour}); other.Hash == first.Hash {
			t.Errorf("seeds %d and %d have one trace", o.Seed, o.Seed+1)
		}
	}
}

// TestAnotherRunIsNoticed: what comes from elsewhere than the seed ends the run
// before it begins.
func TestAnotherRunIsNoticed(t *testing.T) {
	lost := false
	o := Options{Seed: 1, Hosts: 3, Sites: 10, Duration: time.Hour, Repeat: true}
	o.Seams = dropIntents(func(policy.Intent) bool { before := lost; lost = true; return !before })
	if _, err := Run(t.Context(), o); problem.KindOf(err) != problem.Internal || !strings.Contains(err.Error(), "two runs") {
		t.Errorf("a run that the seed does not decide: %v", err)
	}
}

// TestSeedsThatFailedOnce runs what testdata/failed-seeds.txt lists.
func TestSeedsThatFailedOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/failed-seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var o Options
		var hours int
		if n, err := fmt.Sscan(line, &o.Seed, &o.Hosts, &o.Sites, &hours); n != 4 {
			t.Fatalf("%q: %v", line, err)
		}
		o.Duration = time.Duration(hours) * time.Hour
		report(t, run(t, o))
		count++
	}
	if count < 7 {
		t.Errorf("%d seeds are left", count)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{Hosts: 0, Sites: 1, Duration: time.Hour}, {Hosts: MaxHosts + 1, Sites: 1, Duration: time.Hour},
		{Hosts: 1, Sites: 0, Duration: time.Hour}, {Hosts: 1, Sites: MaxSites + 1, Duration: time.Hour},
		{Hosts: 1, Sites: 1, Duration: time.Second}, {Hosts: 1, Sites: 1, Duration: (MaxDays + 1) * 24 * time.Hour},
	} {
		if _, err := Run(t.Context(), o); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestRunEnds: a context that ends ends the run.
func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Seed: 1, Hosts: 3, Sites: 20, Duration: 1000 * 24 * time.Hour, Progress: func(float64, time.Duration) { cancel() }}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run ended with %v", err)
	}
}

func TestLoopKeepsOrder(t *testing.T) {
	var l loop
	var got, want []int
	random := newChance(1, "test")
	for n := range 2000 {
		at := time.Duration(random.IntN(500))
		l.at(at, func() { got = append(got, int(at)*10000+n) })
		want = append(want, int(at)*10000+n)
	}
	for l.step(time.Hour) {
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("tasks ran out of order")
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for ms := range 1000 {
		h.add(time.Duration(ms)*time.Millisecond, 1)
	}
	for _, q := range []float64{0.01, 0.5, 0.99} {
		got, want := h.quantile(q).Seconds(), q
		if got < want*0.9 || got > want*1.01 {
			t.Errorf("the %g quantile is %gs", q, got)
		}
	}
}
