package actortest

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/events/problem"
)

// Machine is a random walk over an actor's states.
type Machine[S, C any] struct {
	Actor[S, C]
	// Command draws a command that makes sense often enough in the state.
	Command func(*rapid.T, S) C
	// Again says of a command that was carried out that the same one has
	// another effect.
	Again func(C) bool
	// Check says what is wrong with a step: the actor's numbered invariants.
	Check func(before S, command C, decided []events.Event, after S) error
}

// Properties walks at random and checks after each step what holds of every
// decider, then the actor's own invariants:
//
//   - deciding twice gives the same, and changes neither state nor command;
//   - a decision gives events or an error, never both;
//   - an error has a kind, which is not Internal;
//   - the events are of the actor's kind and fit a commit;
//   - folding changes no older state;
//   - the same command once more gives nothing (but see Again).
func (m Machine[S, C]) Properties(t *testing.T) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		var state S
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			state = m.step(t, state)
		}
	})
}

func (m Machine[S, C]) step(t *rapid.T, before S) S {
	t.Helper()
	command := m.Command(t, before)
	memory := snapshot(before)
	decided, err := m.Decide(before, command)
	repeated, errAgain := m.Decide(before, command)
	if !reflect.DeepEqual(decided, repeated) || (err == nil) != (errAgain == nil) {
		t.Fatalf("%#v decides %v (%v), then %v (%v)", command, decided, err, repeated, errAgain)
	}
	if err != nil {
		if len(decided) > 0 || problem.KindOf(err) == problem.Internal {
			t.Fatalf("%#v gives %v and %v (%v)", command, decided, err, problem.KindOf(err))
		}
	} else if len(decided) > 0 {
		if _, err := encode(m.Stream, decided); err != nil {
			t.Fatalf("%#v: %v", command, err)
		}
	}
	after := before
	for _, event := range decided {
		after = m.Evolve(after, event)
	}
	if !reflect.DeepEqual(snapshot(before), memory) {
		t.Fatalf("%#v changed the state before it", command)
	}
	if err == nil && (m.Again == nil || !m.Again(command)) {
		if more, err := m.Decide(after, command); len(more) > 0 || err != nil {
			t.Fatalf("%#v once more gives %v (%v)", command, more, err)
		}
	}
	if m.Check != nil {
		if err := m.Check(before, command, decided, after); err != nil {
			t.Fatalf("%#v gave %v: %v\nbefore %+v\nafter  %+v", command, decided, err, before, after)
		}
	}
	return after
}

// Snapshotter is a state whose content DeepEqual would not copy.
type Snapshotter interface{ Snapshot() any }

// snapshot copies what a fold could change in place: maps and slices that are
// fields of the state.
func snapshot(state any) any {
	if s, ok := state.(Snapshotter); ok {
		return s.Snapshot()
	}
	original := reflect.ValueOf(state)
	copied := reflect.New(original.Type()).Elem()
	copied.Set(original)
	for i := range original.NumField() {
		field := original.Field(i)
		if !copied.Field(i).CanSet() {
			continue
		}
		switch field.Kind() {
		case reflect.Map:
			if !field.IsNil() {
				clone := reflect.MakeMap(field.Type())
				for entries := field.MapRange(); entries.Next(); {
					clone.SetMapIndex(entries.Key(), entries.Value())
				}
				copied.Field(i).Set(clone)
			}
		case reflect.Slice:
			if !field.IsNil() {
				copied.Field(i).Set(reflect.AppendSlice(reflect.MakeSlice(field.Type(), 0, field.Len()), field))
			}
		default: // copied with the whole
		}
	}
	return copied.Interface()
}
