package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/actors/workflow"
	"pantheon/events"
)

// balance has DROPs moved until none is better off elsewhere, and gives the moves.
func (w *world) balance() []events.DropMoveRequested {
	w.t.Helper()
	var moves []events.DropMoveRequested
	for w.settle(); w.state.Unbalanced(); w.settle() {
		intent, found := w.state.Rebalance()
		if !found {
			continue
		}
		if intent.Policy != "rebalancing" || len(moves) > len(w.drops) {
			w.t.Fatalf("move %d is %+v, of %d DROPs", len(moves), intent, len(w.drops))
		}
		w.must(intent.To, intent.Command)
		moves = append(moves, w.last("DropMoveRequested").(events.DropMoveRequested))
	}
	return moves
}

func (w *world) join(n int, zone string) events.HostID {
	w.t.Helper()
	id := hostID(n)
	w.must(id.Stream(), host.Register{Host: id, Name: fmt.Sprint("host-", n), Zone: zone, MemoryMiB: 8192, Cores: 2, Version: "test"})
	return id
}

func (w *world) wantReason(moves []events.DropMoveRequested, word string) {
	w.t.Helper()
	for _, m := range moves {
		if !strings.HasPrefix(m.Reason, "rebalancing: ") || !strings.Contains(m.Reason, word) || m.To == "" {
			w.t.Errorf("the move is %+v, its reason should tell of %s", m, word)
		}
	}
}

// dataOf gives the host of an environment's database.
func (w *world) dataOf(env events.EnvironmentID) events.HostID {
	for id := range w.bindings {
		if spec := w.bindingSpec(events.BindingID(id)); spec.Kind == events.DBServer && spec.Environment == env {
			return w.bindings[id].Host
		}
	}
	w.t.Fatalf("%s has no database", env)
	return ""
}

func TestMachineThatJoinsGetsTheSecondDrop(t *testing.T) {
	w, env := zoned(t, "a")
	w.settle()
	w.scale(env, 2)
	data := w.dataOf(env)
	second := w.join(2, "a")
	moves := w.balance()
	hosts, _ := w.spread()
	if len(moves) != 1 || hosts[data] != 1 || hosts[second] != 1 {
		t.Fatalf("after the moves %v the DROPs are on %v", moves, hosts)
	}
	w.wantReason(moves, "1 other DROPs")
	ready := w.order(func(e events.Event) bool { r, ok := e.(events.DropReady); return ok && r.Host == second })
	retired := w.order(func(e events.Event) bool {
		r, ok := e.(events.DropRetirementRequested)
		return ok && r.Drop == moves[0].Drop
	})
	if ready < 0 || retired < ready {
		t.Errorf("one DROP was retired at %d, the other was ready at %d", retired, ready)
	}
	third := w.join(3, "b")
	moves = w.balance()
	hosts, zones := w.spread()
	if len(moves) != 1 || len(zones) != 2 || hosts[data] != 1 || hosts[third] != 1 {
		t.Errorf("after the moves %v the DROPs are on %v, in zones %v", moves, hosts, zones)
	}
	w.wantReason(moves, `zone "a"`)
}

func TestDropReturnsToItsDataAfterADrain(t *testing.T) {
	w, env := zoned(t, "", "")
	w.settle()
	data := w.dataOf(env)
	w.must(data.Stream(), host.Drain{})
	w.settle()
	if _, on := w.only(); on == data || len(w.balance()) > 0 {
		t.Fatalf("the DROP is on %s, or moves while a host is being drained", on)
	}
	w.must(data.Stream(), host.EndDrain{})
	moves := w.balance()
	if _, on := w.only(); on != data || len(moves) != 1 {
		t.Errorf("after %v the DROP is on %s", moves, on)
	}
	w.wantReason(moves, "holds a part of the site")
}

// TestEmptyMachineGetsItsShare: of the second DROPs, not of those beside their data.
func TestEmptyMachineGetsItsShare(t *testing.T) {
	const sites = 24
	w := newWorld(t, hostID(1), hostID(2), hostID(3))
	envs := make([]events.EnvironmentID, sites)
	for n := range sites {
		envs[n] = events.EnvironmentOf(w.create(n+1, fmt.Sprint("site-", n)), "dev")
		w.settle()
		w.scale(envs[n], 2)
	}
	if moves := w.balance(); len(moves) > 2 {
		t.Errorf("%d DROPs moved in a cell that nothing happened to", len(moves))
	}
	joined := w.join(4, "")
	moves := w.balance()
	hosts, _ := w.spread()
	if got := hosts[joined]; got < sites/2 || got != len(moves) {
		t.Errorf("%d moves, the DROPs are on %v", len(moves), hosts)
	}
	for _, env := range envs {
		near := 0
		for id, on := range w.where() {
			if w.drops[string(id)].Requested.Environment == env && on == w.dataOf(env) {
				near++
			}
		}
		if near != 1 {
			t.Errorf("%d DROPs of %s are beside their data", near, env)
		}
	}
	w.wantReason(moves, "MiB for each thing")
}

func TestNothingMovesWhileSomethingGoesOn(t *testing.T) {
	for name, begin := range map[string]func(w *world, env events.EnvironmentID) (end func()){
		"a host is lost": func(w *world, _ events.EnvironmentID) func() {
			w.must(hostID(3).Stream(), host.ReportLost{Reason: "lease"})
			return func() { w.must(hostID(3).Stream(), host.ReportReturned{}) }
		},
		"a host is drained": func(w *world, _ events.EnvironmentID) func() {
			w.must(hostID(3).Stream(), host.Drain{})
			return func() { w.must(hostID(3).Stream(), host.EndDrain{}) }
		},
		"a workflow runs": func(w *world, env events.EnvironmentID) func() {
			w.must(workflowID(7).Stream(), workflow.Start{Workflow: workflowID(7), Type: events.WorkflowCreateSite, Description: "again",
				Site: env.Site(), Environment: env, Create: &events.CreateSite{Name: "blog", Framework: events.WordPress}})
			return func() {
				w.must(workflowID(7).Stream(), workflow.FailStep{Step: events.StepClaimName, Reason: "enough"})
			}
		},
		"a DROP cannot be prepared": func(w *world, env events.EnvironmentID) func() {
			w.prepareFails = true
			three := 3
			w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &three}})
			return func() {
				two := 2
				w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &two}})
				w.prepareFails = false
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, env := zoned(t, "a")
			w.settle()
			w.scale(env, 2)
			w.join(2, "a")
			w.join(3, "a")
			end := begin(w, env)
			for range 20 { // not to the end: some of this has none
				for _, intent := range w.state.Plan() {
					if _, isStep := intent.Command.(workflow.CompleteStep); !isStep {
						w.carryOut(intent)
					}
				}
				if intent, found := w.state.Rebalance(); found {
					t.Fatalf("wanted is %+v", intent)
				}
			}
			end()
			if name != "a host is lost" && name != "a host is drained" {
				return
			}
			if moves := w.balance(); len(moves) != 1 {
				t.Errorf("afterwards %v", moves)
			}
		})
	}
}

// TestOneMovesAtATime: the next move waits until the old DROP of the one before is
// gone.
func TestOneMovesAtATime(t *testing.T) {
	w := newWorld(t, hostID(1))
	for n := range 3 {
		env := events.EnvironmentOf(w.create(n+1, fmt.Sprint("site-", n)), "dev")
		w.settle()
		w.scale(env, 2)
	}
	w.join(2, "")
	first, found := w.state.Rebalance()
	if !found {
		t.Fatal("nothing is to be moved")
	}
	w.must(first.To, first.Command)
	for rounds := 0; w.count("DropRetired") == 0; rounds++ {
		if second, found := w.state.Rebalance(); found || rounds > 20 {
			t.Fatalf("%+v is wanted, in round %d", second, rounds)
		}
		for _, intent := range w.state.Plan() {
			w.carryOut(intent)
		}
	}
	if moves := w.balance(); len(moves) != 2 {
		t.Errorf("then %v", moves)
	}
}

func TestWhatSleepsMovesFirst(t *testing.T) {
	for _, asleep := range []int{0, 1} {
		w, env := zoned(t, "")
		w.settle()
		w.scale(env, 2)
		var sleeper events.DropID
		for n := range 2 {
			if id := policy.DropIDOf(env, n); n == asleep {
				sleeper = id
			} else {
				w.must(id.Stream(), drop.Report{Host: hostID(1), Fact: events.DropAwoke{Drop: id, Host: hostID(1), Trigger: "http"}})
			}
		}
		w.join(2, "")
		if moves := w.balance(); len(moves) != 1 || moves[0].Drop != sleeper {
			t.Errorf("%v, and %s slept", moves, sleeper)
		}
	}
}

// TestFullMachineGetsNothing: it would refuse, and the DROP be placed elsewhere,
// from where it would move again.
func TestFullMachineGetsNothing(t *testing.T) {
	w, env := zoned(t, "a", "a")
	w.settle()
	w.scale(env, 3)
	small := hostID(3)
	w.must(small.Stream(), host.Register{Host: small, Name: "small", Zone: "b", MemoryMiB: 512, Cores: 1, Version: "test"})
	if moves := w.balance(); len(moves) > 0 {
		t.Errorf("moved to a machine without room: %v", moves)
	}
}

// TestDropThatHasNotItsSpecStays: it shall be larger, and its host has no room for
// that. The simulator found that another one was requested, which no host could
// take.
func TestDropThatHasNotItsSpecStays(t *testing.T) {
	w, env := zoned(t, "a")
	w.settle()
	w.scale(env, 2)
	large := 10_000
	w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{MemoryMiB: &large}})
	for _, intent := range w.state.Plan() {
		w.carryOut(intent)
	}
	w.join(2, "a")
	for w.state.Unbalanced() {
		if intent, found := w.state.Rebalance(); found {
			t.Fatalf("wanted is %+v", intent)
		}
	}
}

// TestWhatAnOperatorMovedStays: away from its data, until its host is lost.
func TestWhatAnOperatorMovedStays(t *testing.T) {
	for _, to := range []events.HostID{"", hostID(2)} {
		w := newWorld(t, hostID(1))
		env := events.EnvironmentOf(w.create(1, "blog"), "dev")
		w.settle()
		old, data := w.only()
		w.join(2, "")
		w.must(old.Stream(), drop.RequestMove{To: to, Reason: "an operator wants it elsewhere"})
		moves := w.balance()
		moved, on := w.only()
		if len(moves) > 0 || on == data {
			t.Fatalf("moves %v, the DROP is on %s", moves, on)
		}
		for _, c := range w.state.Explain(moved) {
			if (c.Host == on) != strings.Contains(c.Rebalancing, "operator") {
				t.Errorf("told of %s is %q", c.Host, c.Rebalancing)
			}
		}
		w.must(data.Stream(), host.Drain{})
		w.must(on.Stream(), host.ReportLost{Reason: "lease"})
		w.settle()
		w.must(data.Stream(), host.EndDrain{})
		w.must(on.Stream(), host.ReportReturned{})
		w.balance()
		if _, on := w.only(); on != w.dataOf(env) {
			t.Errorf("after its host was lost the DROP is on %s", on)
		}
	}
}

func TestExplainTellsOfRebalancing(t *testing.T) {
	w, env := zoned(t, "a")
	w.settle()
	w.scale(env, 2)
	second := w.join(2, "a")
	told := func(id events.DropID) string {
		for _, c := range w.state.Explain(id) {
			if c.Host == second {
				return c.Rebalancing
			}
		}
		return ""
	}
	id := policy.DropIDOf(env, 1)
	if got := told(id); !strings.Contains(got, "would move here") || strings.Contains(got, "not while") {
		t.Errorf("told is %q", got)
	}
	w.must(hostID(1).Stream(), host.ReportLost{Reason: "lease"})
	w.must(hostID(1).Stream(), host.ReportReturned{})
	w.join(3, "a")
	w.must(hostID(3).Stream(), host.Drain{})
	if got := told(id); !strings.Contains(got, "not while host host-3 is being drained") {
		t.Errorf("told is %q", got)
	}
	w.must(hostID(3).Stream(), host.EndDrain{})
	intent, _ := w.state.Rebalance()
	w.must(intent.To, intent.Command)
	move := w.last("DropMoveRequested").(events.DropMoveRequested)
	for _, c := range w.state.Explain(move.Drop) {
		if (c.Host == move.To) != (c.Rebalancing == "another DROP takes its place here") {
			t.Errorf("told of %s is %q, it moves to %s", c.Host, c.Rebalancing, move.To)
		}
	}
}

// TestRebalancingComesToRest: whatever has become of a cell, few moves make it
// balanced, none of them undoes another, and none costs spread or data.
func TestRebalancingComesToRest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, hostID(1))
		var envs []events.EnvironmentID
		for step := range rapid.IntRange(3, 25).Draw(r, "steps") {
			envs = someEvent(r, w, envs, step)
			w.settle()
		}
		for n := range w.hosts { // calm
			id := events.HostID(n)
			w.must(id.Stream(), host.EndDrain{})
			w.must(id.Stream(), host.ReportReturned{})
		}
		moves := w.balance()
		for _, reason := range []string{"holds a part of the site", "for each thing it holds"} { // what is more pressing may undo them
			left := map[events.EnvironmentID]map[events.HostID]bool{}
			for _, m := range moves {
				if !strings.Contains(m.Reason, reason) {
					continue
				}
				if left[m.Environment] == nil {
					left[m.Environment] = map[events.HostID]bool{}
				}
				if left[m.Environment][m.Host] = true; left[m.Environment][m.To] {
					r.Fatalf("%s goes back to %s: %s", m.Environment, m.To, m.Reason)
				}
			}
		}
		for _, env := range envs {
			w.wantWellPlaced(r, env)
		}
	})
}

func someEvent(r *rapid.T, w *world, envs []events.EnvironmentID, step int) []events.EnvironmentID {
	someHost := hostID(rapid.IntRange(1, 6).Draw(r, "host"))
	_, known := w.hosts[string(someHost)]
	switch rapid.IntRange(0, 6).Draw(r, "event") {
	case 0, 1:
		return append(envs, events.EnvironmentOf(w.create(step+1, fmt.Sprint("site-", step)), "dev"))
	case 2, 3:
		for _, env := range envs {
			drops := rapid.IntRange(1, 4).Draw(r, "drops")
			_ = w.do(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}})
		}
	case 4:
		w.must(someHost.Stream(), host.Register{Host: someHost, Name: "host", Zone: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "zone"),
			MemoryMiB: rapid.SampledFrom([]int{600, 4096, 8192}).Draw(r, "memory"), Cores: 1, Version: "test"})
	case 5:
		if known {
			w.must(someHost.Stream(), host.Drain{})
		}
	case 6:
		if known {
			w.must(someHost.Stream(), host.ReportLost{Reason: "lease"})
		}
	}
	return envs
}

// wantWellPlaced: no machine with room has two more of an environment's DROPs than
// another has.
func (w *world) wantWellPlaced(r *rapid.T, env events.EnvironmentID) {
	on := map[events.HostID]int{}
	for id, at := range w.where() {
		if w.drops[string(id)].Requested.Environment == env {
			on[at]++
		}
	}
	for at, n := range on {
		for id, h := range w.hosts {
			if n > on[events.HostID(id)]+1 && h.Registered.MemoryMiB >= 4096 {
				r.Fatalf("host %s has %d DROPs of %s, host %s %d", at, n, env, id, on[events.HostID(id)])
			}
		}
	}
}
