// Package desired is what a host's stream says that its agent shall have: a
// fold of it, pure, for the agent and the simulator alike.
//
// Events enter through Apply, which says what they touched; nothing else
// changes a State, but that its owner forgets a dismissed binding once it has
// reported it retired. A State belongs to one goroutine at a time.
package desired

import "pantheon/events"

// State is what the stream says; make one with New.
type State struct {
	Drops    map[events.DropID]events.DropSpec
	Bindings map[events.BindingID]events.BindingSpec
	// Dismissed bindings stay until they are reported retired: their spec says
	// what is to be removed.
	Dismissed map[events.BindingID]events.BindingSpec
}

// New gives the state of an empty stream.
func New() State {
	return State{
		Drops:     map[events.DropID]events.DropSpec{},
		Bindings:  map[events.BindingID]events.BindingSpec{},
		Dismissed: map[events.BindingID]events.BindingSpec{},
	}
}

// Order is what an operator wants done once.
type Order struct {
	Drop events.DropID
	Wake bool
}

// Change names what an event touched; the zero value is nothing.
type Change struct {
	Drop    events.DropID
	Binding events.BindingID
	Order   *Order
}

// Apply folds one event and says what it touched.
func (s *State) Apply(event events.Event) Change {
	switch e := event.(type) {
	case events.DropAdmitted:
		s.Drops[e.Drop] = e.Spec
		return Change{Drop: e.Drop}
	case events.DropSpecChanged:
		s.Drops[e.Drop] = e.Spec
		return Change{Drop: e.Drop}
	case events.DropDismissed:
		delete(s.Drops, e.Drop)
		return Change{Drop: e.Drop}
	case events.BindingAdmitted:
		s.Bindings[e.Binding] = e.Spec
		delete(s.Dismissed, e.Binding)
		return Change{Binding: e.Binding}
	case events.BindingDismissed:
		delete(s.Bindings, e.Binding)
		s.Dismissed[e.Binding] = e.Spec
		return Change{Binding: e.Binding}
	case events.DropSleepOrdered:
		return Change{Order: &Order{Drop: e.Drop}}
	case events.DropWakeOrdered:
		return Change{Order: &Order{Drop: e.Drop, Wake: true}}
	}
	return Change{}
}

// AvailableKiB is what a host that offers memoryMiB has for all its awake
// DROPs together: the offer less what is set aside for good. It is rule (B) of
// actors/host.
func (s *State) AvailableKiB(memoryMiB int) int64 {
	available := int64(memoryMiB)*1024 - int64(len(s.Drops))*events.SleepingDropKiB
	for _, spec := range s.Bindings {
		available -= spec.ReservationKiB()
	}
	return available
}
