package jetstream

import (
	"fmt"
	"slices"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
)

// BenchmarkCommit appends to a log on one machine, by the network to the same,
// and to one that three servers hold; here all of them share one disk and its
// cores. One writer shows the latency, 64 of them the rate.
func BenchmarkCommit(b *testing.B) {
	ca := newAuthority(b)
	for _, kind := range []struct {
		name string
		log  func(b *testing.B) eventlog.Log
	}{
		{"R1", func(b *testing.B) eventlog.Log { return open(b, b.TempDir()) }},
		{"R1-network", func(b *testing.B) eventlog.Log { return dialed(b, listening(b, b.TempDir(), ca), ca) }},
		{"R3", func(b *testing.B) eventlog.Log {
			dir, _ := standalone(b, 0)
			return grown(b, dir).of(1)
		}},
	} {
		log := kind.log(b)
		next := 0
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", kind.name, writers), func(b *testing.B) {
				first := next
				next += writers
				tips := make([]events.Tip, writers)
				for w := range writers {
					tips[w] = endOf(b, log, first+w)
				}
				n := max(b.N, writers)
				took, latencies := appendAll(b, writers, n, func(w int) (err error) {
					tips[w], err = log.Append(bg, tips[w], benchCommit(eventlogtest.Stream(first+w)))
					return err
				})
				slices.Sort(latencies)
				b.ReportMetric(float64(len(latencies))/took.Seconds(), "commits/s")
				report(b, "", latencies)
			})
		}
	}
}

func endOf(b *testing.B, log eventlog.Log, stream int) (tip events.Tip) {
	b.Helper()
	for _, envelope := range eventlogtest.Collect(b, log.Stream(bg, eventlogtest.Stream(stream), 0)) {
		tip = envelope.Tip()
	}
	return tip
}

// BenchmarkRead reads 20,000 commits by the network and from three servers, and
// one stream of ten commits out of them.
func BenchmarkRead(b *testing.B) {
	const commits = 20_000
	ca := newAuthority(b)
	log := listening(b, b.TempDir(), ca)
	fillFast(b, log, commits)
	client := dialed(b, log, ca)
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if got := len(eventlogtest.Collect(b, client.All(bg, 0))); got != commits {
				b.Fatalf("%d commits", got)
			}
		}
		b.ReportMetric(commits*float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
	b.Run("stream", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n++
			if got := len(eventlogtest.Collect(b, client.Stream(bg, eventlogtest.Stream(n*7919%commits), 0))); got != 1 {
				b.Fatalf("%d commits", got)
			}
		}
	})
}
