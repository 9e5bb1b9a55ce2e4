package drop_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/drop"
	"pantheon/events"
	"pantheon/events/problem"
)

var (
	id    = events.DropID(actor.Stream.ID)
	hosts = []events.HostID{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}
)

func TestProperties(t *testing.T) {
	actortest.Machine[drop.State, drop.Command]{Actor: actor, Command: command, Check: check}.Properties(t)
}

func command(t *rapid.T, _ drop.State) drop.Command {
	host := rapid.SampledFrom(hosts).Draw(t, "host")
	switch rapid.IntRange(0, 13).Draw(t, "command") {
	case 0, 1:
		return drop.Request{Drop: id, Environment: "dev.01990000-0000-7000-8000-000000000001", MemoryMiB: rapid.SampledFrom([]int{512, 512, 0}).Draw(t, "memory")}
	case 2, 3:
		return drop.Place{Host: host}
	case 4:
		return drop.Displace{Host: host}
	case 5:
		if rapid.Bool().Draw(t, "really") {
			return drop.RequestRetirement{}
		}
		return drop.Place{Host: host}
	case 6:
		return drop.Retire{}
	case 13:
		return drop.RequestMove{To: rapid.SampledFrom(append(hosts, "", "x")).Draw(t, "to")}
	default:
		return drop.Report{Host: host, Fact: fact(t, host)}
	}
}

func fact(t *rapid.T, host events.HostID) events.Event {
	generation := rapid.IntRange(1, 4).Draw(t, "generation")
	reason := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "reason")
	return rapid.SampledFrom([]events.Event{
		events.DropReady{Drop: id, Host: host, Generation: generation},
		events.DropPrepareFailed{Drop: id, Host: host, Generation: generation, Reason: reason},
		events.DropAwoke{Drop: id, Host: host, Trigger: "http"},
		events.DropSlept{Drop: id, Host: host, Trigger: "idle"},
		events.DropCrashed{Drop: id, Host: host, Reason: reason},
		events.DropStartFailed{Drop: id, Host: host, Reason: reason, Attempt: generation},
		events.HostReturned{Host: host},
	}).Draw(t, "fact")
}

func check(before drop.State, command drop.Command, decided []events.Event, after drop.State) error {
	if len(decided) > 0 && (before.Retired || (before.Retiring && after.Host != "" && after.Host != before.Host)) {
		return errors.New("invariant 5: something follows the end")
	}
	if before.Host != "" && after.Host != "" && before.Host != after.Host {
		return errors.New("invariant 1: moved without being displaced")
	}
	report, reports := command.(drop.Report)
	if !reports {
		return nil
	}
	if len(decided) > 0 && report.Host != before.Host {
		return errors.New("invariant 2: a fact of another host was taken")
	}
	if max(after.Ready, after.Failed.Generation) < max(before.Ready, before.Failed.Generation) {
		return errors.New("invariant 3: the generation fell")
	}
	if len(decided) == 0 {
		return nil
	}
	switch decided[0].(type) {
	case events.DropAwoke, events.DropStartFailed:
		if before.Awake {
			return errors.New("invariant 4: it was awake")
		}
	case events.DropSlept, events.DropCrashed:
		if !before.Awake {
			return errors.New("invariant 4: it was asleep")
		}
	}
	return nil
}

// Whatever an agent of another host reports, it is told so.
func TestFactsOfAnotherHostAreRefused(t *testing.T) {
	s := drop.State{Requested: events.DropRequested{Drop: id}, Host: hosts[0]}
	rapid.Check(t, func(t *rapid.T) {
		reported := fact(t, hosts[1])
		if _, foreign := reported.(events.HostReturned); foreign {
			t.Skip("no fact of a DROP")
		}
		if _, err := drop.Decide(s, drop.Report{Host: hosts[1], Fact: reported}); problem.KindOf(err) != problem.Conflict {
			t.Fatalf("%v: %v", reported, err)
		}
	})
}
