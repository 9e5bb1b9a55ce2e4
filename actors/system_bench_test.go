package actors

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"pantheon/actors/environment"
	"pantheon/actors/name"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
)

// One caller, one actor: the way through directory, mailbox and worker.
func BenchmarkDoOneActor(b *testing.B) {
	s := start(b, Options{})
	do(b, s, "create", testEnvironment.Stream(), createEnvironment())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		do(b, s, fmt.Sprint(i), testEnvironment.Stream(), environment.RotateSeed{})
	}
}

// 64 callers, one actor.
func BenchmarkDoOneActorParallel(b *testing.B) {
	s := start(b, Options{})
	do(b, s, "create", testEnvironment.Stream(), createEnvironment())
	var n atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			do(b, s, fmt.Sprint(n.Add(1)), testEnvironment.Stream(), environment.RotateSeed{})
		}
	})
}

// 64 callers, a new actor for each command: spawn, load, append, and from
// DefaultResidentActors on an eviction.
func BenchmarkDoNewActors(b *testing.B) {
	s := start(b, Options{})
	var n atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := events.NameID(fmt.Sprintf("site:n%d", n.Add(1)))
			do(b, s, "claim", id.Stream(), name.Claim{Name: id, By: testSite.Stream().String()})
		}
	})
}

// The log alone, for comparison.
func BenchmarkMemoryLogAppend(b *testing.B) {
	log := memory.New()
	var tip events.Tip
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		commit := events.Commit{Stream: testEnvironment.Stream(), Meta: events.Meta{Command: events.CommandID(fmt.Sprint(i))}, Events: []events.Event{events.SeedRotated{Environment: testEnvironment, Generation: i}}}
		var err error
		if tip, err = log.Append(b.Context(), tip, commit); err != nil {
			b.Fatal(err)
		}
	}
}

// What an idle resident actor weighs beyond what its log does.
func TestResidentActorWeight(t *testing.T) {
	const actors = 2_000
	log := memory.New()
	s := start(t, Options{Log: log})
	claimAll := func(s *System) {
		for i := range actors {
			id := events.NameID(fmt.Sprintf("site:n%d", i))
			do(t, s, "claim", id.Stream(), name.Claim{Name: id, By: testSite.Stream().String()})
		}
	}
	claimAll(s)
	s.Close()
	s = start(t, Options{Log: log})
	before := heap()
	claimAll(s) // now only reads
	bytes := (heap() - before) / actors
	t.Logf("a resident actor of one commit weighs %d bytes", bytes)
	if bytes > 8<<10 {
		t.Errorf("%d bytes are more than DefaultResidentActors counts on", bytes)
	}
	if resident := s.Statistics().Resident; resident != actors {
		t.Errorf("%d are resident", resident)
	}
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
