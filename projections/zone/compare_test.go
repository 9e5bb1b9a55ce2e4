package zone

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
)

// nodesOf lists a state's names, each with its zone.
func nodesOf(s *State) map[string]*Node {
	all := map[string]*Node{}
	for z := range s.All() {
		for node := range z.Nodes() {
			all[fmt.Sprintf("%q in %q", node.name, z.apex)] = node
		}
	}
	return all
}

// changesBetween gives what Changes says, each name with its zone.
func changesBetween(t *rapid.T, s, later *State) map[string]NameChange {
	// A name may be in two zones, and a change does not say in which: the nodes
	// tell.
	older, newer := nodesOf(s), nodesOf(later)
	given := map[string]NameChange{}
	for c := range s.Changes(later) {
		found := ""
		for _, key := range slices.Sorted(maps.Keys(older)) {
			if c.Before != nil && older[key] == c.Before && newer[key] == c.After && strings.HasPrefix(key, fmt.Sprintf("%q in ", c.Name)) {
				found = key
			}
		}
		for _, key := range slices.Sorted(maps.Keys(newer)) {
			if c.Before == nil && newer[key] == c.After && older[key] == nil && strings.HasPrefix(key, fmt.Sprintf("%q in ", c.Name)) {
				found = key
			}
		}
		if _, twice := given[found]; found == "" || twice {
			t.Fatalf("%q is said to have changed from %v to %v (again: %v)", c.Name, c.Before.answered(), c.After.answered(), twice)
		}
		given[found] = c
	}
	return given
}

// checkChanges compares with a look at every name of both states; exact says
// that nothing else may be given.
func checkChanges(t *rapid.T, s, later *State, exact bool) {
	given := changesBetween(t, s, later)
	if n := s.Differences(later); n != len(given) {
		t.Fatalf("%d differences, %d changes", n, len(given))
	}
	older, newer := nodesOf(s), nodesOf(later)
	names := maps.Clone(older)
	maps.Copy(names, newer)
	for name := range names {
		before, after := older[name], newer[name]
		differs := (before == nil) != (after == nil) || !sameSets(before.answered(), after.answered())
		_, told := given[name]
		if differs && !told {
			t.Fatalf("%s changed from %v to %v, which is not told", name, before.answered(), after.answered())
		}
		if exact && told && before == after {
			t.Fatalf("%s is as it was, and told", name)
		}
	}
}

// What Changes gives between any two states of a history, and between states
// that share nothing, is what differs when every name is looked at.
func TestChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := Empty(testOptions)
		states := []*State{state}
		for _, envelope := range randomHistory(t) {
			state = state.Apply(envelope)
			states = append(states, state)
		}
		a, b := rapid.SampledFrom(states).Draw(t, "a"), rapid.SampledFrom(states).Draw(t, "b")
		checkChanges(t, a, b, true)
		checkChanges(t, b, a, true)
		if n := a.Differences(a); n != 0 {
			t.Fatalf("%d names differ from themselves", n)
		}
		loaded, err := Empty(testOptions).Load(b.Save())
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, a, loaded, false)
		checkChanges(t, loaded, a, false)
	})
}

// Who has seen enough of the changes may leave.
func TestChangesLeft(t *testing.T) {
	before := Empty(testOptions)
	after := before
	for i, zone := range []events.ZoneName{"example.org", "example.net"} {
		after = after.Apply(events.Envelope{Position: events.Position(i + 1), Commit: events.Commit{Stream: zone.Stream(), Events: []events.Event{
			events.ZoneAdded{Zone: zone, Role: events.ZoneCustom},
			events.RecordsAdded{Zone: zone, Records: []events.ZoneRecord{{Name: "www." + string(zone), Type: "A", TTL: 60, Data: "192.0.2.1"}}},
		}}})
	}
	all := before.Differences(after)
	for want := 1; want <= all; want++ {
		seen := 0
		for range before.Changes(after) {
			if seen++; seen == want {
				break
			}
		}
		if seen != want {
			t.Fatalf("%d of %d changes before the reader left, want %d", seen, all, want)
		}
	}
}
