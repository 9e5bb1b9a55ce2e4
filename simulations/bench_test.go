package simulations

import (
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
