package simulations

import (
	"testing"
	"time"

	"pantheon/events"
)

// TestDropsWithoutTheirFiles: the machine with the files of some DROPs is emptied
// and switched off, then the one they went to is emptied. What would replace them
// is not prepared, as on real machines, and they stay.
func TestDropsWithoutTheirFiles(t *testing.T) {
	s := &Scenario{}
	if err := s.Add("at 1h drain host 1", "at 2h drain host 2"); err != nil {
		t.Fatal(err)
	}
	w, r, err := simulate(t.Context(), Options{Seed: 4, Hosts: 4, Sites: 24, Duration: 4 * time.Hour, Scenario: s, VisitsPerSiteHour: 20}.resolved())
	if err != nil {
		t.Fatal(err)
	}
	report(t, r)
	lost := map[events.HostID]bool{}
	of := map[events.DropID]events.EnvironmentID{}
	without, stayed := 0, 0
	for _, envelope := range w.log.all {
		for _, event := range envelope.Events {
			switch e := event.(type) {
			case events.HostLost:
				lost[e.Host] = true
			case events.DropPlaced:
				of[e.Drop] = e.Environment
			case events.DropReady:
				if files := w.ledger.Services(of[e.Drop]).Of(events.FileServer); lost[files] && files != e.Host {
					t.Errorf("DROP %s is ready on %s, and its files are on %s, which is lost", e.Drop, e.Host, files)
				}
			case events.DropPrepareFailed:
				if e.Reason == errNoFiles.Error() {
					without++
				}
			}
		}
	}
	for _, m := range w.hosts {
		stayed += m.drained.left
	}
	if without == 0 || stayed == 0 {
		t.Errorf("%d preparations failed for want of files, %d DROPs stayed on a machine that was emptied", without, stayed)
	}
}
