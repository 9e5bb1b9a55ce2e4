package keys

import (
	"fmt"
	"os"
	"testing"

	"pantheon/events"
)

// BenchmarkReconcile is the start of a control machine of a cell with 2,000 keys:
// a new one, and one that has them. The bucket is in memory.
func BenchmarkReconcile(b *testing.B) {
	const sites = 2000
	machines := founded(b, b.TempDir())
	for i := range sites {
		if _, err := machines[0].ring.Site(events.SiteID(fmt.Sprintf("%s%012d", blog[:24], i))); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := os.RemoveAll(machines[1].dir); err != nil {
				b.Fatal(err)
			}
			machines[1].on(b)
			b.StartTimer()
			machines[1].reconcile(b)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/sites, "µs/key")
	})
	b.Run("again", func(b *testing.B) {
		machines[1].on(b)
		for b.Loop() {
			machines[1].reconcile(b)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/sites, "µs/key")
	})
}
