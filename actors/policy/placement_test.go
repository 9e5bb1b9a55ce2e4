package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/events"
)

// where gives the host of each DROP that is placed and not retiring.
func (w *world) where() map[events.DropID]events.HostID {
	placed := map[events.DropID]events.HostID{}
	for id, d := range w.drops {
		if d.Host != "" && !d.Retiring {
			placed[events.DropID(id)] = d.Host
		}
	}
	return placed
}

func (w *world) only() (events.DropID, events.HostID) {
	w.t.Helper()
	placed := w.where()
	if len(placed) != 1 {
		w.t.Fatalf("placed are %v, want one DROP", placed)
	}
	for id, on := range placed {
		return id, on
	}
	return "", ""
}

// order gives the place in the log of the first event that fits, -1 for none.
func (w *world) order(fits func(events.Event) bool) int {
	return slices.IndexFunc(w.log, func(envelope events.Envelope) bool { return slices.ContainsFunc(envelope.Events, fits) })
}

func (w *world) wantReplaced(old events.DropID) {
	w.t.Helper()
	next, _ := w.only()
	if next == old {
		w.t.Fatalf("DROP %s was not replaced", old)
	}
	ready := w.order(func(e events.Event) bool { r, ok := e.(events.DropReady); return ok && r.Drop == next })
	retired := w.order(func(e events.Event) bool { r, ok := e.(events.DropRetirementRequested); return ok && r.Drop == old })
	if ready < 0 || retired < ready {
		w.t.Errorf("the old DROP was retired at %d, the new one was ready at %d", retired, ready)
	}
}

func TestDrainReplacesBeforeItRetires(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	w.create(1, "blog")
	w.settle()
	old, from := w.only()
	w.must(from.Stream(), host.Drain{})
	w.settle()
	if _, on := w.only(); on == from {
		t.Errorf("the DROP is still on the drained host")
	}
	w.wantReplaced(old)
	w.expect(map[string]int{"BindingDismissed": 0, "DropRequested": 2, "DropRetired": 1})
}

func TestDrainWithoutRoomElsewhereLeavesTheDropServing(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.create(1, "blog")
	w.settle()
	old, _ := w.only()
	w.must(hostID(1).Stream(), host.Drain{})
	w.settle()
	if now, _ := w.only(); now != old {
		t.Fatalf("%s serves instead of %s", now, old)
	}
	w.must(hostID(1).Stream(), host.EndDrain{})
	w.settle()
	w.only()
	w.must(hostID(1).Stream(), host.Drain{})
	w.must(hostID(2).Stream(), host.Register{Host: hostID(2), Name: "late", MemoryMiB: 8192, Cores: 2, Version: "test"})
	w.settle()
	if _, on := w.only(); on != hostID(2) {
		t.Errorf("the DROP is on %s although another host has come", on)
	}
}

func TestSiteOfADrainedCellIsRefusedWithTheReason(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.must(hostID(1).Stream(), host.Drain{})
	w.create(1, "blog")
	w.settle()
	w.expect(map[string]int{"BindingAdmitted": 0, "WorkflowFailed": 1})
	failed := w.last("WorkflowFailed").(events.WorkflowFailed)
	if !strings.Contains(failed.Reason, "drained") {
		t.Errorf("the reason is lost: %+v", failed)
	}
}

func TestMoveGoesWhereTheOperatorWants(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2), hostID(3), hostID(4))
	w.create(1, "blog")
	w.settle()
	for _, to := range []events.HostID{hostID(3), hostID(4), hostID(2)} {
		old, from := w.only()
		if from == to {
			continue
		}
		w.must(old.Stream(), drop.RequestMove{To: to, Reason: "operator"})
		w.settle()
		w.wantReplaced(old)
		if _, on := w.only(); on != to {
			t.Errorf("the DROP went to %s, not to %s", on, to)
		}
	}
}

func TestDropsAreSpreadOverHostsThenZones(t *testing.T) {
	w := newWorld(t)
	for n, zone := range []string{"a", "a", "b", "c"} {
		id := hostID(n + 1)
		w.must(id.Stream(), host.Register{Host: id, Name: "host", Zone: zone, MemoryMiB: 8192 - 100*n, Cores: 2, Version: "test"})
	}
	id := w.create(1, "blog")
	w.settle()
	for n, want := range []struct{ hosts, zones int }{{1, 1}, {2, 2}, {3, 3}, {4, 3}, {4, 3}} {
		drops := n + 1
		w.must(events.EnvironmentOf(id, "dev").Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}})
		w.settle()
		hosts, zones := map[events.HostID]bool{}, map[string]bool{}
		placed := w.where()
		for _, on := range placed {
			hosts[on] = true
			zones[w.hosts[string(on)].Registered.Zone] = true
		}
		if len(placed) != drops || len(hosts) != want.hosts || len(zones) != want.zones {
			t.Errorf("%d DROPs are on %d hosts in %d zones, want %d on %d in %d", len(placed), len(hosts), len(zones), drops, want.hosts, want.zones)
		}
	}
}

func TestExplainRanksAsPlacementDoes(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2), hostID(3))
	w.create(1, "blog")
	w.settle()
	id, on := w.only()
	other := hostID(1)
	if on == other {
		other = hostID(2)
	}
	w.must(other.Stream(), host.ReportLost{Reason: "lease expired"})
	all := w.state.Explain(id)
	if len(all) != 3 || all[0].Host != on || !all[0].Near || all[2].Refused != "it is lost" {
		t.Errorf("the ranking is %+v; the DROP is on %s", all, on)
	}
	if w.state.Explain(events.DropID(hostID(9))) != nil {
		t.Error("there is a ranking for a DROP that never was")
	}
}

// TestManyAtOnceAskManyHosts: what is placed before the first answer comes goes to
// several of hosts that have as much room.
func TestManyAtOnceAskManyHosts(t *testing.T) {
	const sites = 100
	w := newWorld(t, hostID(1), hostID(2), hostID(3), hostID(4))
	for n := range sites {
		w.create(n+1, fmt.Sprintf("site-%d", n))
	}
	asked := map[events.HostID]int{}
	for len(asked) == 0 {
		intents := w.state.Plan()
		for _, intent := range intents {
			if intent.Placement != "" {
				asked[intent.Placement]++
			}
		}
		for _, intent := range intents {
			w.carryOut(intent)
		}
	}
	for id, n := range asked {
		if len(asked) != 4 || n > 2*3*sites/4 {
			t.Errorf("host %s is asked %d times, %d hosts are", id, n, len(asked))
		}
	}
	w.settle()
	for id, h := range w.hosts {
		if n := h.Drops() + h.Bindings(); n < 4*sites/8 || n > 4*sites/2 {
			t.Errorf("host %s holds %d", id, n)
		}
	}
}
