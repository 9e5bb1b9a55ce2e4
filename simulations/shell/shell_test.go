package shell_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pantheon/simulations"
	"pantheon/simulations/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// number reads an environment variable, as package simulations does.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// seedsOf is the number of seeds of a test.
func seedsOf(otherwise int) int {
	if raceDetector {
		otherwise = (otherwise + 2) / 3 // it takes eight times as long
	}
	return number("SIMULATION_SEEDS", otherwise)
}

func run(t *testing.T, cell simulations.Options, o shell.Options) *simulations.Result {
	t.Helper()
	return runWith(t, cell, func() shell.Options { return o })
}

// runWith simulates a cell at the level of the shell, in a bubble of its own;
// the options are made there.
func runWith(t *testing.T, cell simulations.Options, options func() shell.Options) (result *simulations.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Quiesce = synctest.Wait
		var err error
		if result, err = shell.Run(t.Context(), cell, o); err != nil {
			t.Fatal(err)
		}
	})
	return result
}

func report(t *testing.T, r *simulations.Result) {
	t.Helper()
	if r.Violation == nil {
		return
	}
	t.Errorf("seed %d: %s at %s, position %d: %s\nknobs: %s", r.Seed, r.Violation.Rule, r.Violation.At, r.Violation.Position, r.Violation.Text, r.Knobs)
	for _, line := range r.Violation.Trace {
		t.Log(line)
	}
}

// TestScenarios runs each scenario that comes with the program at both levels:
// what it expects has to come at both.
func TestScenarios(t *testing.T) {
	shrunk := number("SIMULATION_SHRINK", 30)
	if raceDetector {
		shrunk *= 3
	}
	for _, name := range simulations.ScenarioNames() {
		t.Run(name, func(t *testing.T) {
			s, err := simulations.FindScenario(name)
			if err != nil {
				t.Fatal(err)
			}
			cell := simulations.Options{Seed: 7, Hosts: s.Hosts, Sites: s.Sites / shrunk, Duration: s.Duration, Scenario: s}
			twins, err := simulations.Run(t.Context(), cell)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, cell, shell.Options{})
			report(t, r)
			for _, line := range r.Failed {
				t.Error(line)
			}
			if of, want := shell.Class(r), shell.Class(twins); of != want {
				t.Errorf("this level %s; the first %s", of, want)
			}
			t.Logf("%s: %d commits (twins: %d)", strings.Join(r.Expected, "; "), r.Commits, twins.Commits)
		})
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
		var cell simulations.Options
		var hours int
		if n, err := fmt.Sscan(line, &cell.Seed, &cell.Hosts, &cell.Sites, &hours); n != 4 {
			t.Fatalf("%q: %v", line, err)
		}
		cell.Duration = time.Duration(hours) * time.Hour
		report(t, run(t, cell, shell.Options{Bounds: shell.DrawBounds(cell.Seed)}))
		count++
	}
	if count < 2 {
		t.Errorf("%d seeds are left", count)
	}
}

// TestSwarm runs small cells with faults and bounds from the seed.
func TestSwarm(t *testing.T) {
	happened := map[string]int{}
	seeds := seedsOf(4)
	for seed := range seeds {
		seed += number("SHELL_FIRST", 1)
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			cell := simulations.Options{Seed: uint64(seed), Hosts: 2 + (seed+1)%5, Sites: 12 + 5*(seed%4), Duration: 3 * time.Hour}
			bounds := shell.DrawBounds(cell.Seed)
			began := time.Now()
			r := run(t, cell, shell.Options{Bounds: bounds})
			t.Logf("%.1fs: %+v: %d commits, %d steps, %d visits, %d unserved, converged in %.0fs", time.Since(began).Seconds(), bounds, r.Commits, r.Steps, r.Visits, r.Unserved, r.Converged)
			report(t, r)
			for kind, n := range r.Happened {
				happened[kind] += n
			}
		})
	}
	if seeds < 30 {
		return
	}
	for _, kind := range []string{
		"busy", "conflict", "answer lost", "repeated", "node down", "log outage", "log slow", "intent", "command failed",
		"host down", "host paused", "isolated", "agent down", "lease renewed", "unserved", "served", "converged",
	} {
		if happened[kind] == 0 {
			t.Errorf("%q never happened", kind)
		}
	}
	if seeds >= 200 && happened["policies ended"] == 0 { // it came in none of 40, and in some of 60
		t.Error("the policies never ended by themselves")
	}
	t.Log(happened)
}
