package jetstream

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	log, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func TestConformance(t *testing.T) {
	eventlogtest.Run(t, eventlogtest.Adapter{
		Open: func(t *testing.T) eventlog.Log { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, log eventlog.Log) eventlog.Log {
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, log.(*Log).dir)
		},
		Restoring: func(t *testing.T) eventlogtest.Restoring {
			dir := filepath.Join(t.TempDir(), "log")
			return eventlogtest.Restoring{
				Begin: func() (eventlog.Restorer, error) { return Restore(t.Context(), Options{Dir: dir}) },
				Open:  func() eventlog.Log { return open(t, dir) },
				Keeps: true,
			}
		},
	})
}

// Opening, reading, waiting and closing leave no goroutine behind.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	cycle := func() {
		log := open(t, dir)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range log.Tail(t.Context(), 0) {
			}
		}()
		var tip events.Tip
		for envelope, err := range log.Stream(t.Context(), eventlogtest.Stream(1), 0) {
			if err != nil {
				t.Fatal(err)
			}
			tip = envelope.Tip()
		}
		eventlogtest.Append(t, log, tip, eventlogtest.Commit(eventlogtest.Stream(1), "x"))
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	cycle() // the server's libraries start some goroutines for good
	before := runtime.NumGoroutine()
	for range 3 {
		cycle()
	}
	eventually(t, "goroutines to end", func() error {
		if now := runtime.NumGoroutine(); now > before {
			return fmt.Errorf("%d goroutines, %d before", now, before)
		}
		return nil
	})
}
