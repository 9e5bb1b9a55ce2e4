package binding

import "pantheon/events"

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.BindingRequested:
		s.Requested = e
	case events.BindingPlaced:
		s.Host = e.Host
	case events.BindingProvisioned:
		s.Provisioned, s.Failed = &e, events.BindingFailed{}
	case events.BindingFailed:
		s.Failed = e
	case events.BindingLost:
		s.Lost = true
	case events.BindingRenewalRequested:
		s.Renewing = true
	case events.BindingRetirementRequested:
		s.Retiring = true
	case events.BindingRetired:
		s.Retiring, s.Retired = true, true
	}
	return s
}
