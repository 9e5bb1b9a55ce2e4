package policy_test

import (
	"testing"

	"pantheon/actors/binding"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/events"
)

// loseHost has a cell of two hosts whose only site is wholly on one of them, and
// writes that one off. It gives the site, and the two.
func loseHost(t *testing.T) (w *world, id events.SiteID, gone, left events.HostID) {
	t.Helper()
	w = newWorld(t, hostID(1))
	id = w.create(1, "blog")
	w.settle()
	w.must(hostID(2).Stream(), host.Register{Host: hostID(2), Name: "late", MemoryMiB: 8192, Cores: 2, Version: "test"})
	w.must(hostID(1).Stream(), host.ReportLost{Reason: "its lease ran out"})
	w.settle()
	w.expect(map[string]int{"DropDisplaced": 0, "BindingLost": 0})
	w.must(hostID(1).Stream(), host.WriteOff{})
	w.settle()
	return w, id, hostID(1), hostID(2)
}

func TestHostWrittenOffLosesItsData(t *testing.T) {
	w, id, gone, _ := loseHost(t)
	w.expect(map[string]int{"BindingLost": 3, "DropDisplaced": 1, "DropPlaced": 1, "DropRequested": 1, "BindingRequested": 3})
	if lost := w.last("BindingLost").(events.BindingLost); lost.Host != gone || lost.Site != id {
		t.Errorf("lost is %+v", lost)
	}
	w.delete(2, id)
	w.settle()
	w.expect(map[string]int{"SiteDeleted": 1, "DropRetired": 1, "BindingRetired": 3, "WorkflowSucceeded": 2, "NameReleased": 1})
}

func TestLostBindingsAreRenewedElsewhere(t *testing.T) {
	w, id, _, left := loseHost(t)
	w.commit = "abcdef0123456789abcdef0123456789abcdef01"
	dev := events.EnvironmentOf(id, "dev")
	for _, lost := range []events.BindingID{
		policy.BindingIDOf(events.CodeServer, string(id)), policy.BindingIDOf(events.DBServer, string(dev)), policy.BindingIDOf(events.FileServer, string(dev)),
	} {
		w.must(lost.Stream(), binding.Renew{})
	}
	w.settle()
	w.expect(map[string]int{"BindingRequested": 6, "BindingRetired": 3, "BindingProvisioned": 6, "DropPlaced": 2, "DropRequested": 1, "CodeDeployed": 2})
	placed := w.last("DropAdmitted").(events.DropAdmitted)
	if placed.Host != left || len(placed.Spec.Services) != 3 {
		t.Fatalf("the DROP was admitted as %+v", placed)
	}
	for _, service := range placed.Spec.Services {
		if service.Host != left {
			t.Errorf("%s is on %s", service.Kind, service.Host)
		}
	}
	if changed := w.last("DropSpecChanged").(events.DropSpecChanged); changed.Spec.Commit != w.commit {
		t.Errorf("the DROP shall run %s", changed.Spec.Commit)
	}
	w.must(left.Stream(), host.ReportLost{Reason: "its lease ran out"})
	w.must(left.Stream(), host.WriteOff{})
	w.settle()
	w.expect(map[string]int{"BindingLost": 6, "DropDisplaced": 2})
	w.delete(2, id)
	w.settle()
	w.expect(map[string]int{"SiteDeleted": 1, "BindingRetired": 6})
}

// A site that was being deleted when its host went waits for nobody.
func TestDeletionGoesOnWithoutTheHost(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.deaf = true
	id := w.create(1, "blog")
	w.settle()
	w.delete(2, id)
	w.settle()
	w.expect(map[string]int{"SiteDeleted": 0, "BindingDismissed": 3})
	w.must(hostID(1).Stream(), host.ReportLost{Reason: "its lease ran out"})
	w.must(hostID(1).Stream(), host.WriteOff{})
	w.settle()
	w.expect(map[string]int{"SiteDeleted": 1, "BindingLost": 3, "BindingRetired": 3, "WorkflowSucceeded": 2})
}

// What says that a binding is on a host may come when that is gone.
func TestBindingIsPlacedLateOnAHostThatIsGone(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	w.create(1, "blog")
	var late *policy.Intent
	for late == nil {
		for _, intent := range w.state.Plan() {
			if _, places := intent.Command.(binding.Place); places && late == nil {
				late = &intent
				continue
			}
			w.carryOut(intent)
		}
	}
	gone := late.Command.(binding.Place).Host
	w.must(gone.Stream(), host.ReportLost{Reason: "its lease ran out"})
	w.must(gone.Stream(), host.WriteOff{})
	w.must(late.To, late.Command)
	w.settle()
	if w.count("BindingLost") == 0 {
		t.Error("nothing is lost")
	}
	w.expect(map[string]int{"WorkflowFailed": 1, "SiteDeleted": 1, "NameReleased": 1})
	if w.count("BindingRequested") != w.count("BindingRetired") {
		t.Errorf("%d bindings were requested and %d retired", w.count("BindingRequested"), w.count("BindingRetired"))
	}
}
