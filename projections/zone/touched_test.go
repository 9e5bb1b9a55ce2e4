package zone

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
)

// A name that Touched does not give has the records, the cuts above it, and the
// keys that sign it that it had; and Touched says so of zones that are there.
func TestTouched(t *testing.T) {
	told := 0
	rapid.Check(t, func(t *rapid.T) {
		state := Empty(testOptions)
		states := []*State{state}
		for _, envelope := range randomHistory(t) {
			state = state.Apply(envelope)
			states = append(states, state)
		}
		i := rapid.IntRange(0, len(states)-1).Draw(t, "older")
		older, later := states[i], states[rapid.IntRange(i, len(states)-1).Draw(t, "later")]
		touched := map[string]bool{}
		if !older.Touched(later, func(name []byte) bool { touched[string(name)] = true; return true }) {
			return
		}
		told++
		if older.Len() != later.Len() {
			t.Fatalf("%d zones, then %d", older.Len(), later.Len())
		}
		for z := range later.All() {
			then := older.Zone(z.Apex())
			if then == nil || !reflect.DeepEqual(then.keys, z.keys) || then.Internal() != z.Internal() {
				t.Fatalf("%s was %+v", z.Name(), then)
			}
			for _, text := range randomNames {
				name, _ := wireName(text)
				if !hasSuffix(name, z.apex) || touched[name] {
					continue
				}
				was, is := then.Lookup([]byte(name)), z.Lookup([]byte(name))
				if was.Cut != is.Cut || !sameSets(then.At([]byte(name)).answered(), z.At([]byte(name)).answered()) {
					t.Fatalf("%s was %+v and is %+v", text, was, is)
				}
			}
		}
	})
	if told == 0 {
		t.Error("no two states differ in names alone")
	}
}

// Who asks for no more names is told that there may be.
func TestTouchedLeft(t *testing.T) {
	zone := events.ZoneName("example.org")
	state := Empty(testOptions).Apply(events.Envelope{Position: 1, Commit: events.Commit{Stream: zone.Stream(), Events: []events.Event{events.ZoneAdded{Zone: zone, Role: events.ZoneCustom}}}})
	changed := state.Apply(events.Envelope{Position: 2, Commit: events.Commit{Stream: zone.Stream(), Events: []events.Event{
		events.RecordsAdded{Zone: zone, Records: []events.ZoneRecord{{Name: "www.example.org", Type: "A", TTL: 60, Data: "192.0.2.1"}}},
	}}})
	names := 0
	if !state.Touched(changed, func([]byte) bool { names++; return true }) || names != 2 {
		t.Errorf("%d names, want the new one and the apex", names)
	}
	if state.Touched(changed, func([]byte) bool { return false }) {
		t.Error("all names were told, and none was wanted")
	}
	if !state.Touched(state, func([]byte) bool { t.Error("a name differs from itself"); return true }) {
		t.Error("a state differs from itself")
	}
}
