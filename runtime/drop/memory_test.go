package drop

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pantheon/events"
)

// TestSleepingDropIsSmall counts the memory of 10,000 DROPs that sleep, each
// with strings of its own as they come from the log.
func TestSleepingDropIsSmall(t *testing.T) {
	const drops, most = 10_000, 4 << 10
	h := NewHost(Options{Host: "a", Now: time.Now, Report: func(events.DropID, events.Event) {}})
	runners := make([]*Runner, 0, drops)
	var before, after runtime.MemStats
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range drops {
		id := events.DropID(fmt.Sprintf("%032x", i))
		r := h.Runner(id, fmt.Sprintf("/var/lib/pantheon/hosts/%032x/drops/%s", 1, id))
		spec, _ := goldenSpec(events.Drupal)
		spec.Environment = events.EnvironmentID(fmt.Sprintf("dev.%08x-0c4e-4f5a-9b7c-1d2e3f4a5b6c", i))
		spec.SiteName = fmt.Sprintf("site-%d", i)
		spec.Commit = fmt.Sprintf("%040x", i)
		spec.Services = []events.BoundService{{Kind: events.DBServer, Binding: events.BindingID(fmt.Sprintf("%032x", i))}}
		r.prepared = prepared{spec, Places{
			Code:  fmt.Sprintf("/var/lib/pantheon/code/%08x-0c4e-4f5a-9b7c-1d2e3f4a5b6c/releases/%s", i, spec.Commit),
			Files: "/var/lib/pantheon/files/" + string(spec.Environment), DatabaseSocket: "/var/lib/pantheon/services/mariadb/mysqld.sock"}}
		r.input(Prepared{Generation: 1, IdleAfter: time.Minute})
		runners = append(runners, r)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / drops
	t.Logf("%d bytes each", each)
	if each > most {
		t.Errorf("a sleeping DROP takes %d bytes, more than %d", each, most)
	}
	if now := runtime.NumGoroutine(); now > goroutines || len(h.idle) != 0 {
		t.Errorf("%d goroutines, %d before; %d idle checks", now, goroutines, len(h.idle))
	}
	runtime.KeepAlive(runners)
}
