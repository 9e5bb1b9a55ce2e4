package policy_test

import (
	"strings"
	"testing"

	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/events"
)

// admitTwice carries out what the policies want until something is placed that
// matches, and has both hosts admit it: as two copies of the policies that
// chose differently do, or one whose first answer was lost. The simulator found
// both: the second host kept what it had for ever.
func admitTwice(t *testing.T, matches func(policy.Intent) bool) *world {
	t.Helper()
	w := newWorld(t, hostID(1), hostID(2))
	w.create(1, "blog")
	for range 100 {
		for _, intent := range w.state.Plan() {
			if intent.Placement == "" || !matches(intent) {
				w.carryOut(intent)
				continue
			}
			w.must(hostID(1).Stream(), intent.Command)
			w.must(hostID(2).Stream(), intent.Command)
			w.settle()
			return w
		}
	}
	t.Fatal("nothing was placed")
	return nil
}

func TestSecondAdmissionOfDropIsDismissed(t *testing.T) {
	w := admitTwice(t, func(i policy.Intent) bool {
		return i.Gap()[:len("admit/")+32] == "admit/"+string(policy.DropIDOf("dev."+events.EnvironmentID(siteID(1)), 0))
	})
	w.expect(map[string]int{"DropAdmitted": 2, "DropDismissed": 1, "DropPlaced": 1, "DropReady": 1, "WorkflowSucceeded": 1})
	if kept, given := w.last("DropPlaced").(events.DropPlaced).Host, w.last("DropDismissed").(events.DropDismissed).Host; kept != hostID(1) || given != hostID(2) {
		t.Errorf("the DROP is on %s and was dismissed on %s", kept, given)
	}
}

func TestSecondAdmissionOfBindingIsDismissed(t *testing.T) {
	w := admitTwice(t, func(i policy.Intent) bool {
		return i.Gap() == "admit/dbserver/"+string(policy.BindingIDOf(events.DBServer, "dev."+string(siteID(1))))
	})
	w.expect(map[string]int{"BindingAdmitted": 4, "BindingDismissed": 1, "BindingRetired": 0, "WorkflowSucceeded": 1})
	w.delete(2, siteID(1))
	w.settle()
	w.expect(map[string]int{"BindingDismissed": 4, "BindingRetired": 3, "SiteDeleted": 1, "NameReleased": 1})
}

// TestRefusedDropIsPlacedWhenItAsksForLess: every host refuses a DROP that is
// too large; a smaller setting is placed although no host has changed. The
// simulator found that it was not (seed 4019).
func TestRefusedDropIsPlacedWhenItAsksForLess(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	id := events.EnvironmentOf(w.create(1, "blog"), "dev")
	w.settle()
	drops, memory := 2, environment.MaxMemoryMiB
	w.must(id.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops, MemoryMiB: &memory}})
	for range 20 {
		for _, intent := range w.state.Plan() {
			if w.do(intent.To, intent.Command) != nil && intent.Placement != "" {
				w.state.Refuse(intent, "too large")
			}
		}
	}
	w.expect(map[string]int{"DropRequested": 2, "DropPlaced": 1})
	memory = 512
	w.must(id.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{MemoryMiB: &memory}})
	w.settle()
	w.expect(map[string]int{"DropRequested": 2, "DropPlaced": 2})
}

// TestLateAdmissionOfRetiredDrop: a host that was asked before answers when the
// DROP's last word is on its way. The simulator found that it kept what it had
// for ever.
func TestLateAdmissionOfRetiredDrop(t *testing.T) {
	w := newWorld(t, hostID(1))
	site := w.create(1, "blog")
	w.settle()
	dropped := w.last("DropPlaced").(events.DropPlaced)
	spec := w.last("DropAdmitted").(events.DropAdmitted).Spec
	w.delete(2, site)
	for range 100 {
		for _, intent := range w.state.Plan() {
			if strings.HasPrefix(intent.Key, "retired/") {
				w.must(dropped.Host.Stream(), host.AdmitDrop{Drop: dropped.Drop, Spec: spec})
			}
			w.carryOut(intent)
		}
	}
	w.settle()
	w.expect(map[string]int{"DropRetired": 1, "DropAdmitted": 2, "DropDismissed": 2, "SiteDeleted": 1})
}

// TestNoDropIsWanted: an operator sets the number of DROPs to none while the
// site is created. The simulator found a workflow that waited for one for ever.
func TestNoDropIsWanted(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := events.EnvironmentOf(w.create(1, "blog"), "dev")
	none := 0
	for range 100 {
		for _, intent := range w.state.Plan() {
			w.carryOut(intent)
			if w.count("CodeDeployed") == 1 && w.count("EnvironmentSettingsChanged") == 0 {
				w.must(id.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &none}})
			}
		}
	}
	w.settle()
	w.expect(map[string]int{"SiteActivated": 1, "WorkflowSucceeded": 1})
}
