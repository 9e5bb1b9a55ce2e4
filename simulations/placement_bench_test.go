package simulations

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
)

// BenchmarkPlacement prints how long a cell takes, with a hundred DROPs for each
// machine, to place all of them, and to recover from the loss of one rack in
// fifty: in the cell's own time until the last of them is ready, and in time of
// the processor that simulates it. Half of the DROPs are beside their data; those
// stay when the rack is lost, and so does one whose files are lost with it.
func BenchmarkPlacement(b *testing.B) {
	sizes := []int{250, 500, 1000}
	if n, err := strconv.Atoi(os.Getenv("SIMULATION_HOSTS")); err == nil {
		sizes = []int{n}
	}
	for _, hosts := range sizes {
		b.Run(strconv.Itoa(hosts), func(b *testing.B) {
			for b.Loop() {
				placed(b, hosts)
			}
		})
	}
}

func placed(b *testing.B, hosts int) {
	const perHost = 100
	o := Options{Seed: 1, Hosts: hosts, Sites: hosts * perHost / 2, Duration: 24 * time.Hour, Scenario: &Scenario{}, Thin: true, unplaced: true}
	var err error
	if o.founded, err = found(o); err != nil {
		b.Fatal(err)
	}
	w := newWorld(o)
	w.knobs.ActEvery, w.visitors.stop = 0, true
	w.begin()

	began, cpu, ready, from := w.now, processor(), 0, 0
	awaited(b, w, func() bool {
		for ; from < len(w.log.all); from++ {
			for _, event := range w.log.all[from].Events {
				if _, is := event.(events.DropReady); is {
					ready++
				}
			}
		}
		return ready == hosts*perHost
	})
	b.ReportMetric((w.now - began).Seconds(), "place-all-virtual-s")
	b.ReportMetric((processor() - cpu).Seconds(), "place-all-cpu-s")

	moving := 0
	began, cpu = w.now, processor()
	rack := w.hosts[:max(hosts/50, 1)]
	lost := map[events.HostID]bool{}
	for _, m := range rack {
		lost[m.id] = true
	}
	for _, m := range rack {
		for _, id := range w.ledger.Held(m.id) {
			services := w.ledger.Services(w.ledger.EnvironmentOf(id))
			if services.Of(events.DBServer) != m.id && !lost[services.Of(events.FileServer)] {
				moving++
			}
		}
	}
	for _, m := range rack {
		w.faults.crashHost(m, 24*time.Hour)
	}
	awaited(b, w, func() bool { return len(w.ledger.Moved()) == moving })
	b.ReportMetric(float64(moving), "DROPs-moved")
	b.ReportMetric((w.now - began).Seconds(), "recover-virtual-s")
	b.ReportMetric((processor() - cpu).Seconds(), "recover-cpu-s")
}

// awaited lets a tenth of a second after the other pass until something is so.
func awaited(b *testing.B, w *World, so func() bool) {
	b.Helper()
	for end := w.now + time.Hour; !so(); {
		if w.until(b.Context(), w.now+100*time.Millisecond); w.violation != nil || w.now > end {
			b.Fatalf("after %s it is not so: %v, %s", w.now, w.violation, w.ledger.Unsettled())
		}
	}
}

// processor is the time that this process has had of it.
func processor() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
