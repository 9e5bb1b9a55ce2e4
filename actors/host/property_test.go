package host

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/events"
	"pantheon/events/problem"
)

const testHost = events.HostID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

// Snapshot copies everything a state holds, for tests that look whether a
// later fold changed it.
func (s State) Snapshot() any {
	copied := content{s.Registered, slices.Clone(s.Addresses), slices.Clone(s.Roles), [3]bool{s.Lost, s.Draining, s.Removed}, s.ReservedKiB, s.LargestDropMiB(), map[events.DropID]admitted{}, map[events.BindingID]events.BindingSpec{}}
	if s.drops != nil {
		for all := s.drops.Iterator(); !all.Done(); {
			id, drop, _ := all.Next()
			copied.drops[id] = drop
		}
	}
	if s.bindings != nil {
		for all := s.bindings.Iterator(); !all.Done(); {
			id, spec, _ := all.Next()
			copied.bindings[id] = spec
		}
	}
	return copied
}

type content struct {
	registered  events.HostRegistered
	addresses   []string
	roles       []events.HostRole
	flags       [3]bool // lost, draining, removed
	reservedKiB int64
	largestMiB  int
	drops       map[events.DropID]admitted
	bindings    map[events.BindingID]events.BindingSpec
}

func TestProperties(t *testing.T) {
	actortest.Machine[State, Command]{
		Actor:   actortest.Actor[State, Command]{Stream: testHost.Stream(), Decide: Decide, Evolve: Evolve},
		Command: randomCommand,
		Again: func(c Command) bool {
			switch c.(type) {
			case OrderSleep, OrderWake:
				return true
			}
			return false
		},
		Check: check,
	}.Properties(t)
}

func randomCommand(t *rapid.T, s State) Command {
	drop := events.DropID(rapid.SampledFrom([]string{
		"11111111111111111111111111111111", "22222222222222222222222222222222", "33333333333333333333333333333333", "bad",
	}).Draw(t, "drop"))
	binding := events.BindingID(drop)
	if !s.exists() || rapid.IntRange(0, 9).Draw(t, "register") == 0 {
		return Register{Host: testHost, Name: "box", MemoryMiB: rapid.SampledFrom([]int{0, 256, 1024}).Draw(t, "memory"), Cores: 2}
	}
	switch rapid.IntRange(0, 17).Draw(t, "command") {
	case 12:
		return Drain{}
	case 13:
		return EndDrain{}
	case 14:
		return TakeRoles{Roles: rapid.SliceOf(rapid.SampledFrom([]events.HostRole{events.RoleHost, events.RoleDNS, "king"})).Draw(t, "roles")}
	case 15:
		return Remove{}
	case 16:
		return WriteOff{}
	case 11:
		return ReportAddresses{Addresses: rapid.SliceOf(rapid.SampledFrom([]string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "x"})).Draw(t, "addresses")}
	case 0:
		return ReportLost{}
	case 1:
		return ReportReturned{}
	case 2, 3, 4:
		return AdmitDrop{Drop: drop, Spec: randomSpec(t)}
	case 5, 6:
		return ChangeDropSpec{Drop: drop, Spec: randomSpec(t)}
	case 7:
		return DismissDrop{Drop: drop}
	case 8, 9:
		return AdmitBinding{Binding: binding, Spec: events.BindingSpec{
			Kind:      rapid.SampledFrom([]events.BindingKind{events.CacheServer, events.DBServer, "teapot"}).Draw(t, "kind"),
			MemoryMiB: rapid.SampledFrom([]int{-1, 8, 300}).Draw(t, "memory"),
		}}
	case 10:
		return DismissBinding{Binding: binding}
	default:
		return OrderWake{Drop: drop}
	}
}

func randomSpec(t *rapid.T) events.DropSpec {
	return events.DropSpec{
		Generation: rapid.IntRange(0, 5).Draw(t, "generation"), Environment: "dev.01990000-0000-7000-8000-000000000001",
		Settings: events.EnvironmentSettings{MemoryMiB: rapid.SampledFrom([]int{64, 128, 512, 900}).Draw(t, "size")},
	}
}

func check(before State, command Command, decided []events.Event, after State) error {
	now, was := after.Snapshot().(content), before.Snapshot().(content)
	var reserved int64
	var largest int
	for id, drop := range now.drops {
		reserved += events.SleepingDropKiB
		largest = max(largest, drop.MemoryMiB)
		if old, known := was.drops[id]; known && drop.Generation < old.Generation {
			return errors.New("invariant 3: the generation fell")
		}
	}
	for _, spec := range now.bindings {
		reserved += spec.ReservationKiB()
	}
	if reserved != now.reservedKiB || largest != now.largestMiB {
		return fmt.Errorf("invariant 4: %d KiB and %d MiB are counted, %d and %d are there", now.reservedKiB, now.largestMiB, reserved, largest)
	}
	fits := reserved+int64(largest)*1024 <= int64(after.Registered.MemoryMiB)*1024
	grown := reserved > was.reservedKiB || largest > was.largestMiB
	if grown && !fits {
		return errors.New("invariant 1: over-committed")
	}
	more := len(now.drops) > len(was.drops) || len(now.bindings) > len(was.bindings)
	if more && (before.Lost || before.Draining || before.Roles != nil && !slices.Contains(before.Roles, events.RoleHost)) {
		return errors.New("invariant 2: a host that takes nothing admitted something")
	}
	if after.Removed && len(now.drops)+len(now.bindings) > 0 {
		return errors.New("invariant 5: a removed host holds something")
	}
	if _, given := command.(WriteOff); given && len(decided) > 0 && !before.Lost && !before.Draining {
		return errors.New("invariant 6: a host that serves was written off")
	}
	if len(decided) == 0 && !maps.Equal(now.drops, was.drops) {
		return errors.New("something changed without an event")
	}
	return nil
}

// A tenth, for the test's sake, of the design's figure: 100,000 sleeping
// environments with their sites' code on a host of 24 GiB, of which the
// platform itself keeps 2. It also says what the host's state weighs.
func TestSleepingEnvironments(t *testing.T) {
	const environments = 100_000 / 10
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := carry(t, State{}, Register{Host: testHost, Name: "box", MemoryMiB: 22 << 10 / 10, Cores: 8})
	for i := range environments {
		spec := events.DropSpec{Generation: 1, Environment: "dev.01990000-0000-7000-8000-000000000001"}
		spec.Settings.MemoryMiB = 512
		s = carry(t, s, AdmitDrop{Drop: events.DropID(fmt.Sprintf("%032x", i)), Spec: spec})
		for k, kind := range []events.BindingKind{events.CodeServer, events.DBServer, events.FileServer} {
			s = carry(t, s, AdmitBinding{
				Binding: events.BindingID(fmt.Sprintf("%032x", 3*i+k)), Spec: events.BindingSpec{Kind: kind, MemoryMiB: 8},
			})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d DROPs and %d bindings reserve %d MiB; the state weighs %d KiB",
		s.Drops(), s.Bindings(), s.ReservedKiB>>10, (after.HeapAlloc-before.HeapAlloc)>>10)
	_, err := Decide(s, AdmitBinding{Binding: "ffffffffffffffffffffffffffffffff", Spec: events.BindingSpec{Kind: events.CacheServer, MemoryMiB: 16 << 10}})
	if problem.KindOf(err) != problem.Exhausted {
		t.Errorf("more than there is: %v", err)
	}
	runtime.KeepAlive(s)
}

func carry(t *testing.T, s State, command Command) State {
	t.Helper()
	decided, err := Decide(s, command)
	if err != nil || len(decided) == 0 {
		t.Fatalf("%#v: %v %v", command, decided, err)
	}
	for _, event := range decided {
		s = Evolve(s, event)
	}
	return s
}

func BenchmarkAdmitDrop(b *testing.B) {
	s := Evolve(State{}, events.HostRegistered{Host: testHost, Name: "box", MemoryMiB: 1 << 30, Cores: 1})
	spec := events.DropSpec{Generation: 1, Environment: "dev.01990000-0000-7000-8000-000000000001"}
	spec.Settings.MemoryMiB = 512
	for i := 0; b.Loop(); i++ {
		decided, err := Decide(s, AdmitDrop{Drop: events.DropID(fmt.Sprintf("%032x", i)), Spec: spec})
		if err != nil {
			b.Fatal(err)
		}
		s = Evolve(s, decided[0])
	}
}
