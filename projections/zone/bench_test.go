package zone_test

import (
	"flag"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/projections"
	"pantheon/projections/zone"
)

var benchNames = flag.Int("zone-names", 1_000_000, "names of the benchmarks")

var benchOptions = zone.Options{
	Domain: "pantheon.localhost", Internal: "drush.in", Settings: events.ZoneSettings{
		Entry: []string{"192.0.2.1", "2001:db8::1"}, Services: []events.ServicePort{{Server: "appserver", Service: "ssh", Port: 2222}},
	},
	Together: together,
}

func together(tasks ...func()) {
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(task)
	}
	all.Wait()
}

func benchName(n int) string { return fmt.Sprintf("host-%07d.example.org", n*7919%*benchNames) }

func benchCommit(position events.Position, list ...events.Event) events.Envelope {
	return events.Envelope{Commit: events.Commit{Stream: events.ZoneName("example.org").Stream(), Events: list}, Position: position}
}

// operatorZone has one address at each of that many names, added in no order.
func operatorZone(names int) *zone.State {
	s := zone.Empty(benchOptions).Edit()
	s = s.Apply(benchCommit(1, events.ZoneAdded{Zone: "example.org", Role: events.ZoneCustom}))
	position := events.Position(1)
	for from := 0; from < names; from += 500 {
		var records []events.ZoneRecord
		for n := from; n < min(from+500, names); n++ {
			records = append(records, events.ZoneRecord{Name: benchName(n), Type: "A", TTL: 300, Data: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)})
		}
		position++
		s = s.Apply(benchCommit(position, events.RecordsAdded{Zone: "example.org", Records: records}))
	}
	return s.Seal()
}

// fleetZone has the names of that many sites: three of the web, and of dev's
// services.
func fleetZone(sites int) *zone.State {
	s := zone.Empty(benchOptions).Edit()
	position := events.Position(0)
	for commit := range eventlogtest.Fleet(sites) {
		position++
		s = s.Apply(events.Envelope{Commit: commit, Position: position})
		if host, isHost := commit.Events[0].(events.HostRegistered); isHost {
			position++
			s = s.Apply(events.Envelope{Commit: events.Commit{Stream: commit.Stream, Events: []events.Event{
				events.HostAddressesChanged{Host: host.Host, Addresses: []string{"10.0.0." + string(host.Name[5])}},
			}}, Position: position})
		}
	}
	return s.Seal()
}

func live() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// cpuTime gives what the process has used of all cores: on a machine with
// other work the time on the clock says little.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func count(s *zone.State) (names int) {
	for z := range s.All() {
		names += z.Len()
	}
	return names
}

// BenchmarkMemory says what a name costs, all that the view holds counted.
func BenchmarkMemory(b *testing.B) {
	for name, build := range map[string]func() *zone.State{
		"operator": func() *zone.State { return operatorZone(*benchNames) },
		"platform": func() *zone.State { return fleetZone(*benchNames / 9) }, // a site has nine names here
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := live()
				began := time.Now()
				s := build()
				b.ReportMetric(time.Since(began).Seconds(), "s-fold")
				b.ReportMetric((live()-before)/float64(count(s)), "B/name")
				b.ReportMetric(float64(count(s)), "names")
				runtime.KeepAlive(s)
			}
		})
	}
}

// BenchmarkStart loads a snapshot from a file, as the runner does.
func BenchmarkStart(b *testing.B) {
	for name, build := range map[string]func() *zone.State{
		"operator": func() *zone.State { return operatorZone(*benchNames) },
		"platform": func() *zone.State { return fleetZone(*benchNames / 9) },
	} {
		b.Run(name, func(b *testing.B) {
			store := projections.Files{Dir: b.TempDir()}
			s := build()
			want := count(s)
			began := time.Now()
			if err := store.Save(b.Context(), projections.Header{Name: "zone", Version: zone.Version}, s.Save()); err != nil {
				b.Fatal(err)
			}
			save := time.Since(began)
			s = nil
			used := cpuTime()
			for b.Loop() {
				err := store.Load(b.Context(), "zone", func(_ projections.Header, records iter.Seq2[[]byte, error]) (err error) {
					s, err = zone.Empty(benchOptions).Load(records)
					return err
				})
				if err != nil || count(s) != want {
					b.Fatal(err, count(s))
				}
			}
			b.ReportMetric(save.Seconds(), "s-save")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s-load")
			b.ReportMetric((cpuTime()-used).Seconds()/float64(b.N), "cpu-s-load")
		})
	}
}

// BenchmarkApply is one commit on a large view, as when it is published at
// once: a record that comes and goes; and one that concerns no name.
func BenchmarkApply(b *testing.B) {
	s := operatorZone(*benchNames)
	record := []events.ZoneRecord{{Name: "new.example.org", Type: "A", TTL: 60, Data: "192.0.2.1"}}
	position := events.Position(1_000_000)
	var latencies []time.Duration
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			var event events.Event = events.RecordsAdded{Zone: "example.org", Records: record}
			if i%2 == 1 {
				event = events.RecordsRemoved{Zone: "example.org", Records: record}
			}
			position++
			began := time.Now()
			s = s.Edit().Apply(benchCommit(position, event)).Seal()
			latencies = append(latencies, time.Since(began))
		}
		slices.Sort(latencies)
		b.ReportMetric(float64(latencies[len(latencies)*99/100].Nanoseconds())/1e3, "µs-p99")
	})
	b.Run("nothing", func(b *testing.B) {
		b.ReportAllocs()
		drop := eventlogtest.FleetDrop(1)
		for b.Loop() {
			position++
			s = s.Edit().Apply(events.Envelope{Commit: events.Commit{Stream: drop.Stream(), Events: []events.Event{events.DropAwoke{Drop: drop}}}, Position: position}).Seal()
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	s := operatorZone(*benchNames)
	for name, make := range map[string]func(int) string{
		"hit":  benchName,
		"miss": func(n int) string { return "no-" + benchName(n) },
	} {
		var queries [4096][]byte
		for i := range queries {
			queries[i] = wire(make(i * 31))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				query := queries[i%len(queries)]
				match := s.Find(query).Lookup(query)
				if (match.Node == nil) != (name == "miss") {
					b.Fatal("lost")
				}
			}
		})
	}
	b.Run("neighbours", func(b *testing.B) {
		query := wire("no-" + benchName(5))
		z := s.Find(query)
		for b.Loop() {
			z.After(z.Before(query))
		}
	})
}

func wire(text string) []byte {
	var name []byte
	for _, label := range strings.Split(text, ".") {
		name = append(append(name, byte(len(label))), label...)
	}
	return append(name, 0)
}
