package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapFloorBytes is how much may be allocated between two collections at
	// the least: a router of a small cell has few bytes alive and allocates
	// some 2 KB a request, and with Go's default it would collect many times a
	// second (measured: 29 µs a request against 22 µs).
	heapFloorBytes = 192 << 20
	// heapLook is how often the share is set anew.
	heapLook = 10 * time.Second
)

// tuneCollector lets the heap of a small cell grow by heapFloorBytes between
// collections, and that of a large one by its own size, Go's default. GOGC in
// the environment turns it off.
func tuneCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(heapLook)
	defer ticker.Stop()
	for {
		metrics.Read(live)
		debug.SetGCPercent(collectorPercent(live[0].Value.Uint64()))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func collectorPercent(liveBytes uint64) int {
	const goDefault, most = 100, 2000
	return min(max(goDefault, int(heapFloorBytes*100/max(liveBytes, 1<<20))), most)
}
