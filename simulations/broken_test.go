package simulations

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pantheon/actors"
	actordrop "pantheon/actors/drop"
	actorhost "pantheon/actors/host"
	actorname "pantheon/actors/name"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/runtime/drop/machine"
)

// broken is a cell with one bug, and within how many seeds it is found. Every
// bug stands for one that somebody could write.
type broken struct {
	name string
	// seeds is within how many it is found; the first ones may be skipped, to
	// save time.
	seeds, skip int
	rules       string // one of them notices
	seams       Seams
}

func dropIntents(w func(policy.Intent) bool) Seams {
	return Seams{Intent: func(_ *World, intent policy.Intent) []policy.Intent {
		if w(intent) {
			return nil
		}
		return []policy.Intent{intent}
	}}
}

var brokenCells = []broken{
	{"double placement: the policies ask two hosts at once and never take one back", 4, 0, "liveness", Seams{Intent: doublePlacement}},
	{"forgotten fence: a machine serves after its lease", 330, 320, "serving", Seams{Unfenced: true}},
	{"lost wake: who comes while php-fpm stops is forgotten", 60, 30, "wake", Seams{Drop: lostWake}},
	{"lost wake: a start that failed is forgotten", 10, 0, "wake liveness", Seams{Drop: lostFailure}},
	{"stale route: routers do not hear of losses and moves", 20, 0, "routing refold", Seams{Route: staleRoute}},
	{"forgotten idempotency: a command that is sent again is another one", 20, 0, "once", Seams{Renamed: true}},
	{"over-commitment: hosts count what they offer four times", 12, 0, "capacity", Seams{Decide: overcommitted}},
	{"over-commitment: agents wake whatever the memory says", 8, 0, "memory", Seams{Overcommit: true}},
	{"unretired binding: its host is never told", 4, 0, "liveness",
		dropIntents(func(i policy.Intent) bool { return strings.HasPrefix(i.Key, "dismiss/dbserver") })},
	{"lost host: what it held is not displaced", 12, 0, "liveness availability",
		dropIntents(func(i policy.Intent) bool { return strings.HasPrefix(i.Key, "displace/") })},
	{"lost answer taken for a failure", 20, 0, "linearizable refused names liveness", Seams{Denied: true}},
	{"stuck name: a deleted site keeps it", 4, 0, "liveness names",
		dropIntents(func(i policy.Intent) bool {
			return strings.Contains(i.Key, "release_name") && !strings.HasPrefix(i.Key, "done/")
		})},
	{"forgotten report: an agent believes it has said what it has not", 4, 0, "liveness ready", Seams{Unreported: true}},
	{"forgetful zone: names of deleted sites stay", 12, 0, "zone", Seams{Zone: forgetfulZone}},
	{"stale address: the zone does not hear that a machine has moved", 12, 0, "zone", Seams{Zone: staleAddress}},
	{"stale zone: it does not hear that a DROP has left", 12, 0, "zone", Seams{Zone: staleRoute}},
	{"forgetful view: the inventory misses who fell asleep", 12, 0, "refold", Seams{View: forgetful}},
	{"two masters: a DROP takes every placement", 12, 0, "placement liveness availability linearizable", Seams{Decide: twoMasters}},
	{"restless: DROPs are moved to where least room is, for the sake of balance", 20, 0, "balance", Seams{Intent: wrongWay}},
	{"taken name: a name's actor gives it to whoever asks", 4, 0, "names liveness", Seams{Decide: takenName}},
}

func TestBrokenCellsAreFound(t *testing.T) {
	for _, b := range brokenCells {
		t.Run(b.name, func(t *testing.T) {
			for seed := b.skip; seed < b.seeds; seed++ {
				r := run(t, Options{Seed: uint64(seed + 1), Hosts: 4, Sites: 24, Duration: 4 * time.Hour, Seams: b.seams})
				if r.Violation == nil {
					continue
				}
				if !strings.Contains(b.rules, r.Violation.Rule) {
					t.Errorf("seed %d: rule %s noticed, not one of %s: %s", seed+1, r.Violation.Rule, b.rules, r.Violation.Text)
				}
				t.Logf("seed %s: %s: %s", strconv.Itoa(seed+1), r.Violation.Rule, r.Violation.Text)
				return
			}
			t.Errorf("not found within %d seeds", b.seeds)
		})
	}
}

func doublePlacement(w *World, intent policy.Intent) []policy.Intent {
	admit, isAdmit := intent.Command.(actorhost.AdmitDrop)
	switch {
	case strings.HasPrefix(intent.Key, "stray/"):
		return nil
	case !isAdmit:
		return []policy.Intent{intent}
	}
	for _, m := range w.hosts {
		if m.id != intent.Placement {
			second := intent
			second.Key = "second/" + intent.Key
			second.To, second.Command, second.Placement = m.id.Stream(), admit, ""
			return []policy.Intent{intent, second}
		}
	}
	return []policy.Intent{intent}
}

func lostWake(s machine.State, in machine.Input, now time.Time) (machine.State, []machine.Effect) {
	next, effects := machine.Step(s, in, now)
	if _, exited := in.(machine.Exited); exited && s.Waiting > 0 && next.Phase == machine.Starting {
		next.Phase, next.Waiting = machine.Asleep, 0
		return next, effects[:1]
	}
	return next, effects
}

// lostFailure forgets that a start failed: the DROP seems to start for ever.
func lostFailure(s machine.State, in machine.Input, now time.Time) (machine.State, []machine.Effect) {
	if _, failed := in.(machine.StartFailed); failed {
		return s, nil
	}
	return machine.Step(s, in, now)
}

func without(envelope events.Envelope, hide func(events.Event) bool) (events.Envelope, bool) {
	var left []events.Event
	for _, event := range envelope.Events {
		if !hide(event) {
			left = append(left, event)
		}
	}
	envelope.Events = left
	return envelope, len(left) > 0
}

func staleRoute(envelope events.Envelope) (events.Envelope, bool) {
	return without(envelope, func(event events.Event) bool {
		switch event.(type) {
		case events.DropDisplaced, events.HostLost, events.DropRetirementRequested:
			return true
		}
		return false
	})
}

func forgetful(envelope events.Envelope) (events.Envelope, bool) {
	return without(envelope, func(event events.Event) bool {
		_, slept := event.(events.DropSlept)
		return slept
	})
}

func forgetfulZone(envelope events.Envelope) (events.Envelope, bool) {
	return without(envelope, func(event events.Event) bool {
		_, gone := event.(events.SiteDeleted)
		return gone
	})
}

// staleAddress hides every address but a machine's first.
func staleAddress(envelope events.Envelope) (events.Envelope, bool) {
	return without(envelope, func(event events.Event) bool {
		moved, is := event.(events.HostAddressesChanged)
		return is && !strings.HasPrefix(moved.Addresses[0], "10.0.")
	})
}

func overcommitted(production actors.Decide) actors.Decide {
	return func(state, command any) ([]events.Event, error) {
		if s, isHost := state.(actorhost.State); isHost {
			switch command.(type) {
			case actorhost.AdmitDrop, actorhost.AdmitBinding, actorhost.ChangeDropSpec:
				s.Registered.MemoryMiB *= 4
				state = s
			}
		}
		return production(state, command)
	}
}

// twoMasters lets a DROP forget, when it is placed, that it has a host.
func twoMasters(production actors.Decide) actors.Decide {
	return func(state, command any) ([]events.Event, error) {
		s, isDrop := state.(actordrop.State)
		if _, placing := command.(actordrop.Place); isDrop && placing {
			s.Host = ""
			state = s
		}
		if _, displacing := command.(actordrop.Displace); isDrop && displacing {
			return nil, nil
		}
		return production(state, command)
	}
}

// takenName lets the name's actor give it to whoever asks.
func takenName(production actors.Decide) actors.Decide {
	return func(state, command any) ([]events.Event, error) {
		if _, claiming := command.(actorname.Claim); claiming {
			state = actorname.State{}
		}
		return production(state, command)
	}
}
