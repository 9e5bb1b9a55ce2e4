package policy_test

import (
	"testing"

	"pantheon/actors/environment"
	"pantheon/actors/name"
	"pantheon/actors/policy"
	"pantheon/events"
)

// TestNameClaimedForNobodyIsGivenBack: two copies of the policies have a name
// claimed; the first is told that it is taken, and the creation ends. The name
// gets free, and only then the second copy's command arrives. The simulator
// found that nobody could use the name any more.
func TestNameClaimedForNobodyIsGivenBack(t *testing.T) {
	w := newWorld(t, hostID(1))
	first := w.create(1, "blog")
	w.settle()
	second := w.create(2, "blog")
	w.settle() // refused: taken
	w.delete(3, first)
	w.settle()
	wanted := events.UniqueName(events.SpaceSite, "blog")
	for range 2 { // late, and again
		w.must(wanted.Stream(), name.Claim{Name: wanted, By: second.Stream().String()})
		w.settle()
	}
	w.expect(map[string]int{"NameClaimed": 3, "NameReleased": 3})
	w.create(4, "blog")
	w.settle()
	w.expect(map[string]int{"SiteActivated": 2})
}

// TestNameOfASiteIsKept: another name that somebody claimed for a site is
// neither taken for the one it is created with nor given back while it is there.
func TestNameOfASiteIsKept(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := siteID(1)
	other := events.UniqueName(events.SpaceSite, "journal")
	w.create(1, "blog")
	w.must(other.Stream(), name.Claim{Name: other, By: id.Stream().String()})
	w.settle()
	w.expect(map[string]int{"NameClaimed": 2, "NameReleased": 0, "SiteActivated": 1})
	w.delete(2, id)
	w.settle()
	w.expect(map[string]int{"NameReleased": 2, "SiteDeleted": 1, "WorkflowSucceeded": 2})
}

// TestLateEnvironmentOfADeletedSite: the command that creates an environment
// arrives when its site has been deleted.
func TestLateEnvironmentOfADeletedSite(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := w.create(1, "blog")
	var late *policy.Intent
	for late == nil {
		for _, intent := range w.state.Plan() {
			if _, creates := intent.Command.(environment.Create); creates {
				late = &intent
				break
			}
			w.carryOut(intent)
		}
	}
	w.delete(2, id)
	for range 100 {
		for _, intent := range w.state.Plan() {
			if _, creates := intent.Command.(environment.Create); !creates {
				w.carryOut(intent)
			}
		}
	}
	w.expect(map[string]int{"SiteDeleted": 1, "EnvironmentCreated": 0})
	w.must(late.To, late.Command)
	w.settle()
	w.expect(map[string]int{"EnvironmentCreated": 1, "EnvironmentDeleted": 1})
}
