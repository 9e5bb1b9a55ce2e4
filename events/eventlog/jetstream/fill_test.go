package jetstream_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
)

var streamSites = flag.Int("stream-sites", 25_000, "sites in the log of BenchmarkStream, 44 commits each")

func openFleet(t testing.TB, dir string, sites int) (*jetstream.Log, int) {
	t.Helper()
	commits, _, err := jetstreamtest.Write(t.Context(), dir, eventlogtest.Fleet(sites))
	if err != nil {
		t.Fatal(err)
	}
	log, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log, commits
}

// A log of several files, long enough to be decoded in parallel, gives what was
// put into it, wherever one begins and however one leaves; and the offline
// check takes it.
func TestLongLog(t *testing.T) {
	const sites = 700
	dir := t.TempDir()
	log, commits := openFleet(t, dir, sites)
	if want := sites*eventlogtest.FleetCommits + eventlogtest.FleetHosts; commits != want {
		t.Fatalf("%d commits, want %d", commits, want)
	}
	want := slices.Collect(eventlogtest.Fleet(sites))
	for _, after := range []int{0, 1, 17_001, commits - 600, commits - 3, commits} {
		at := after
		for envelope, err := range log.All(t.Context(), events.Position(after)) {
			if err != nil {
				t.Fatal(err)
			}
			if at++; envelope.Position != events.Position(at) || envelope.Stream != want[at-1].Stream || envelope.Meta.Command != want[at-1].Meta.Command {
				t.Fatalf("position %d holds %s of %s", envelope.Position, envelope.Meta.Command, envelope.Stream)
			}
		}
		if at != commits {
			t.Fatalf("from %d one gets to %d of %d", after, at, commits)
		}
	}
	for stop := 1; stop < 5000; stop += 997 {
		n := 0
		for _, err := range log.All(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
	}
	host := eventlogtest.Collect(t, log.Stream(t.Context(), want[0].Stream, 0))
	if len(host) != 1+4*sites/eventlogtest.FleetHosts {
		t.Errorf("the first host's stream has %d commits", len(host))
	}
	rest := eventlogtest.Collect(t, log.Stream(t.Context(), want[0].Stream, 690))
	if len(rest) != len(host)-690 || rest[0].Revision != 691 {
		t.Errorf("behind revision 690 stand %d commits", len(rest))
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if last, err := jetstream.Verify(t.Context(), dir); err != nil || int(last) != commits {
		t.Errorf("Verify gives %d, %v", last, err)
	}
}

// BenchmarkStream reads one stream of a few commits out of a log of a million,
// with the verification of its chain, and appends to it.
func BenchmarkStream(b *testing.B) {
	log, commits := openFleet(b, b.TempDir(), *streamSites)
	b.Run("read", func(b *testing.B) {
		var latencies []time.Duration
		for i := 0; b.Loop(); i++ {
			began := time.Now()
			stream := eventlogtest.FleetDrop(i * 7919 % *streamSites).Stream()
			if got := eventlogtest.Collect(b, log.Stream(b.Context(), stream, 10)); len(got) != 5 {
				b.Fatalf("%d commits", len(got))
			}
			latencies = append(latencies, time.Since(began))
		}
		slices.Sort(latencies)
		b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "µs-p50")
		b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "µs-p99")
		b.ReportMetric(float64(commits), "commits")
	})
}
