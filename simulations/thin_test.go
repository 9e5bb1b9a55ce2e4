package simulations

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestThinnedIsLikeWhole: a day of one cell, once with every visit simulated and
// once thinned: as many visits, as many wakes, everything served.
func TestThinnedIsLikeWhole(t *testing.T) {
	for _, perHour := range []float64{1, 10} {
		o := Options{Seed: 4, Hosts: 6, Sites: 120, Duration: 24 * time.Hour, Scenario: &Scenario{}, VisitsPerSiteHour: perHour}
		whole := run(t, o)
		o.Thin = true
		thinned := run(t, o)
		report(t, whole)
		report(t, thinned)
		if apart(float64(whole.Visits), float64(thinned.Visits)) > 0.1 || apart(float64(whole.Woken), float64(thinned.Woken)) > 0.25 {
			t.Errorf("%g visits an hour: %d visits and %d wakes, thinned %d and %d", perHour, whole.Visits, whole.Woken, thinned.Visits, thinned.Woken)
		}
		if thinned.Counted < thinned.Visits/3 || thinned.Unserved > 0 || thinned.Served+thinned.NotReady != thinned.Visits {
			t.Errorf("%d of %d visits are only counted, %d are served, %d are not", thinned.Counted, thinned.Visits, thinned.Served, thinned.Unserved)
		}
		if len(whole.Thinned) > 0 || len(thinned.Thinned) == 0 || !strings.Contains(thinned.Again(), "--thin") {
			t.Errorf("said is %q, then %q: %s", whole.Thinned, thinned.Thinned, thinned.Again())
		}
		t.Logf("%d visits and %d wakes in %d steps, thinned %d and %d in %d", whole.Visits, whole.Woken, whole.Steps, thinned.Visits, thinned.Woken, thinned.Steps)
	}
}

func apart(a, b float64) float64 { return math.Abs(a-b) / max(a, b, 1) }

// TestThinnedSwarm: faults from the seed in thinned cells, with the checkers, and
// the same trace whenever it is run.
func TestThinnedSwarm(t *testing.T) {
	for seed := range seedsOf(6) {
		o := Options{Seed: uint64(500 + seed), Hosts: 8, Sites: 160, Duration: 6 * time.Hour, Thin: true}
		first := run(t, o)
		report(t, first)
		if o.Repeat = seed == 0; o.Repeat {
			if again := run(t, o); again.Hash != first.Hash || again.Repeated == "" {
				t.Errorf("traces %s and %s", first.Hash, again.Hash)
			}
		}
		t.Logf("%d visits, %d counted only, %d unserved, %d commits, %d steps", first.Visits, first.Counted, first.Unserved, first.Commits, first.Steps)
	}
}
