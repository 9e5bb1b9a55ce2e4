package keeper_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
	"pantheon/projections/audit/keeper"
)

// BenchmarkOpen is how long a log and its tree take to be opened: by two readings
// of the whole log, and by the log's own alone.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	commits, _, err := jetstreamtest.Write(b.Context(), filepath.Join(dir, "log"), eventlogtest.Fleet(200_000/eventlogtest.FleetCommits))
	if err != nil {
		b.Fatal(err)
	}
	tree := keeper.Options{Dir: filepath.Join(dir, "audit"), Key: filepath.Join(dir, "keys")}
	open := func(options jetstream.Options) *jetstream.Log {
		options.Dir = filepath.Join(dir, "log")
		log, err := jetstream.Open(b.Context(), options)
		if err != nil {
			b.Fatal(err)
		}
		return log
	}
	for name, once := range map[string]func() (*jetstream.Log, *keeper.Keeper, error){
		"two readings": func() (*jetstream.Log, *keeper.Keeper, error) {
			log := open(jetstream.Options{})
			options := tree
			options.Log = log
			k, err := keeper.Open(b.Context(), options)
			return log, k, err
		},
		"one reading": func() (*jetstream.Log, *keeper.Keeper, error) {
			opening, err := keeper.Begin(tree)
			if err != nil {
				return nil, nil, err
			}
			log := open(jetstream.Options{See: opening.See})
			k, err := opening.Finish(b.Context(), log)
			return log, k, err
		},
	} {
		b.Run(name, func(b *testing.B) {
			began := cpuTime()
			for b.Loop() {
				log, k, err := once()
				if err != nil {
					b.Fatal(err)
				}
				if err := errors.Join(k.Close(), log.Close()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(commits)*float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(commits)*float64(b.N)/(cpuTime()-began).Seconds(), "commits/cpu-s")
		})
	}
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
