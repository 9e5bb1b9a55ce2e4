package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkStart compares a start in a sandbox with a bare start of the same
// program, from the call to its end, which for a sandbox includes the removal
// of its cgroup, and to the return of Start.
//
// Measured on 2 cores, kernel 6.18, cgroup v1, other work going on:
//
//	bare start to end      p50 0.7 ms  p90 1.1 ms
//	sandbox start          p50 1.5 ms  p90 2.5 ms
//	sandbox start to end   p50 2.2 ms  p90 3.4 ms
func BenchmarkStart(b *testing.B) {
	m := openIsolated(b)
	root := testRoot(b, m, "bench")
	var bare, started, gone []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(begin))
		begin = time.Now()
		p, err := m.Start(root.command("/bin/true"))
		if err != nil {
			b.Fatal(err)
		}
		started = append(started, time.Since(begin))
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
		gone = append(gone, time.Since(begin))
	}
	fmt.Fprintf(os.Stderr, "bare start to end   %s\nsandbox start       %s\nsandbox start to end %s\n",
		spread(bare), spread(started), spread(gone))
	b.ReportMetric(float64(quantile(started, 50).Microseconds()), "µs/start-p50")
	b.ReportMetric(float64(quantile(bare, 50).Microseconds()), "µs/bare-p50")
}

func quantile(ds []time.Duration, percent int) time.Duration {
	sorted := slices.Clone(ds)
	slices.Sort(sorted)
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func spread(ds []time.Duration) string {
	return fmt.Sprintf("n %d p50 %v p90 %v p99 %v", len(ds), quantile(ds, 50), quantile(ds, 90), quantile(ds, 99))
}
