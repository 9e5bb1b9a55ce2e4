package simulations

import (
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// BenchmarkNormalLoad is the cell that the speed is stated for: 20 hosts,
// 1,000 sites, every checker on.
func BenchmarkNormalLoad(b *testing.B) {
	simulated := 0.0
	for b.Loop() {
		calm := &Scenario{Name: "normal"}
		r, err := Run(b.Context(), Options{Seed: 1, Hosts: 20, Sites: 1000, Duration: 24 * time.Hour, Scenario: calm})
		if err != nil || !r.OK() {
			b.Fatal(err, r)
		}
		simulated += r.Simulated * 3600
		b.ReportMetric(float64(r.Visits), "visits")
		b.ReportMetric(float64(r.Commits), "commits")
		b.ReportMetric(float64(r.Steps), "steps")
	}
	b.ReportMetric(simulated/b.Elapsed().Seconds(), "×real-time")
}

// BenchmarkLargeCell is a day of the largest cell there is: a thousand machines,
// a hundred thousand sites, every checker on, visits thinned.
func BenchmarkLargeCell(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(300)) // as the command has it
	for b.Loop() {
		r, err := Run(b.Context(), Options{Seed: 1, Hosts: largeHosts(), Sites: 100 * largeHosts(), Duration: 24 * time.Hour, Scenario: &Scenario{Name: "normal"}, Thin: true})
		if err != nil || !r.OK() {
			b.Fatal(err, r.Violation)
		}
		b.ReportMetric(float64(r.Visits), "visits")
		b.ReportMetric(float64(r.Counted), "visits-counted-only")
		b.ReportMetric(float64(r.Commits), "commits")
		b.ReportMetric(float64(r.Steps), "steps")
	}
	b.ReportMetric(processor().Seconds(), "cpu-s")
}

// largeHosts is the size of the large cell; SIMULATION_HOSTS asks for another.
func largeHosts() int {
	if n, err := strconv.Atoi(os.Getenv("SIMULATION_HOSTS")); err == nil {
		return n
	}
	return MaxHosts
}
