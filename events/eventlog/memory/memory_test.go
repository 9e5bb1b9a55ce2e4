package memory_test

import (
	"fmt"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
)

func TestConformance(t *testing.T) {
	eventlogtest.Run(t, eventlogtest.Adapter{
		Open: func(t *testing.T) eventlog.Log {
			log := memory.New()
			t.Cleanup(func() { _ = log.Close() })
			return log
		},
		Restoring: func(*testing.T) eventlogtest.Restoring {
			log := memory.New()
			return eventlogtest.Restoring{
				Begin: func() (eventlog.Restorer, error) { return memory.Restore(log) },
				Open:  func() eventlog.Log { return unclosed{log} },
			}
		},
	})
}

func BenchmarkAppend(b *testing.B) {
	log := memory.New()
	var tip events.Tip
	for i := 0; b.Loop(); i++ {
		tip = eventlogtest.Append(b, log, tip, eventlogtest.Commit(eventlogtest.Stream(1), fmt.Sprint(i)))
	}
}

// unclosed is a log that outlives its Close, as one on disk does.
type unclosed struct{ *memory.Log }

func (unclosed) Close() error { return nil }
