package simulations

import (
	"testing"
	"time"

	actordrop "pantheon/actors/drop"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/simulations/check"
)

// TestRebalancingComesToRest: whatever faults and operators have left of a cell,
// DROPs are moved for the sake of balance, no more of them than there are, and
// then no more.
func TestRebalancingComesToRest(t *testing.T) {
	total := 0
	for seed := range seedsOf(8) {
		w, result, err := simulate(t.Context(), Options{Seed: uint64(300 + seed), Hosts: 3 + seed%5, Sites: 20 + 5*(seed%4), Duration: 3 * time.Hour}.resolved())
		if err != nil {
			t.Fatal(err)
		}
		if report(t, result); w.violation != nil {
			continue
		}
		before := w.ledger.Rebalancings()
		w.until(t.Context(), w.now+2*time.Hour)
		rested := w.ledger.Rebalancings()
		w.until(t.Context(), w.now+time.Hour)
		if report(t, w.result(w.knobs, 0, check.Checked{})); w.ledger.Rebalancings() != rested {
			t.Errorf("seed %d: %d moves in the third hour after everything was healed", 300+seed, w.ledger.Rebalancings()-rested)
		}
		t.Logf("seed %d: %d moves, %d of them at rest", 300+seed, rested, rested-before)
		total += rested
	}
	if total == 0 {
		t.Error("nothing was ever moved")
	}
}

// wrongWay has every DROP that rebalancing moves go where least room is.
func wrongWay(w *World, intent policy.Intent) []policy.Intent {
	move, moves := intent.Command.(actordrop.RequestMove)
	if !moves || intent.Policy != "rebalancing" {
		return []policy.Intent{intent}
	}
	held := func(id events.HostID) int { return len(w.ledger.Held(id)) }
	from := w.ledger.HostOf(events.DropID(intent.To.ID))
	move.To = ""
	for _, m := range w.hosts {
		if m.id != from && (move.To == "" || held(m.id) > held(move.To)) {
			move.To = m.id
		}
	}
	intent.Command = move
	return []policy.Intent{intent}
}
