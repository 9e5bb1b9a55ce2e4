package simulations

import (
	"math/bits"
	"time"
)

// stats count what happened to visitors and machines.
type stats struct {
	visits, served, unserved, notReady int64
	retries, held, degraded            int64
	dataless                           int64     // unserved, and their data was out of reach
	counted                            int64     // visits that were not simulated one by one
	noRoom                             int64     // starts that got no memory
	refusals                           int64     // of operators' commands, which were sent again
	times                              histogram // time to serve beyond PHP's own work
	detailed                           bool      // every served request is traced
	series                             []Sample
	last                               Sample
}

// Sample is one point of the plots.
type Sample struct {
	At         float64 `json:"at_hours"`
	VisitsS    float64 `json:"visits_per_second"`
	Awake      int     `json:"awake_drops"`
	P50MS      float64 `json:"serve_p50_ms"`
	P99MS      float64 `json:"serve_p99_ms"`
	Moves      int     `json:"moves"`
	Unserved   int64   `json:"unserved"`
	Degraded   int64   `json:"degraded"`
	LiveHosts  int     `json:"live_hosts"`
	visits     int64
	unserved   int64
	degraded   int64
	placements int
}

// histogram of durations: 16 buckets for each doubling of a microsecond.
type histogram struct {
	counts [40 * 16]int64
	n      int64
	window [40 * 16]int64 // since the last sample
	wn     int64
}

func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 16 {
		return int(us)
	}
	top := bits.Len64(us) - 5
	return min(16*(top+1)+int(us>>top)-16, 40*16-1)
}

func bucketTime(i int) time.Duration {
	if i < 16 {
		return time.Duration(i) * time.Microsecond
	}
	top := i/16 - 1
	return time.Duration(uint64(i%16+16)<<top) * time.Microsecond
}

// add counts n of one duration.
func (h *histogram) add(d time.Duration, n int64) {
	i := bucket(d)
	h.counts[i] += n
	h.n += n
	h.window[i] += n
	h.wn += n
}

// quantile of all, or of those since the last sample.
func (h *histogram) quantile(q float64) time.Duration       { return quantile(&h.counts, h.n, q) }
func (h *histogram) recentQuantile(q float64) time.Duration { return quantile(&h.window, h.wn, q) }

func quantile(counts *[40 * 16]int64, n int64, q float64) time.Duration {
	left := int64(q * float64(n))
	for i, count := range counts {
		if left -= count; left < 0 {
			return bucketTime(i)
		}
	}
	return 0
}

func (h *histogram) clearWindow() { h.window, h.wn = [40 * 16]int64{}, 0 }

// sample takes one point of the plots.
func (w *World) sample(interval time.Duration) {
	s := &w.stats
	awake, live := 0, 0
	for _, m := range w.hosts {
		awake += len(m.processes)
		if m.powered && m.believed {
			live++
		}
	}
	point := Sample{
		At: w.now.Hours(), Awake: awake, LiveHosts: live,
		VisitsS: float64(s.visits-s.last.visits) / interval.Seconds(),
		P50MS:   milliseconds(s.times.recentQuantile(0.5)), P99MS: milliseconds(s.times.recentQuantile(0.99)),
		Moves: w.ledger.Moves() - s.last.placements, Unserved: s.unserved - s.last.unserved, Degraded: s.degraded - s.last.degraded,
		visits: s.visits, unserved: s.unserved, degraded: s.degraded, placements: w.ledger.Moves(),
	}
	s.times.clearWindow()
	s.last = point
	s.series = append(s.series, point)
	w.trace.step(w.now, "sample", "", "", int64(awake))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
