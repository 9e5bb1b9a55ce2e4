package drop

import "pantheon/events"

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.DropRequested:
		s.Requested = e
	case events.DropPlaced:
		s = State{Requested: s.Requested, Host: e.Host, Retiring: s.Retiring}
	case events.DropDisplaced:
		s = State{Requested: s.Requested, Retiring: s.Retiring}
	case events.DropMoveRequested:
		s.Moving, s.MovingTo = true, e.To
	case events.DropReady:
		s.Ready, s.Failed = e.Generation, events.DropPrepareFailed{}
	case events.DropPrepareFailed:
		s.Failed = e
	case events.DropAwoke:
		s.Awake, s.StartFailed = true, events.DropStartFailed{}
	case events.DropSlept, events.DropCrashed:
		s.Awake = false
	case events.DropStartFailed:
		s.StartFailed = e
	case events.DropRetirementRequested:
		s.Retiring = true
	case events.DropRetired:
		s.Retiring, s.Retired, s.Awake, s.Host = true, true, false, ""
	}
	return s
}
