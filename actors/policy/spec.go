package policy

import "pantheon/events"

// SpecOf gives the newest spec that a host has of a DROP.
func (s *State) SpecOf(id events.DropID) (events.DropSpec, bool) {
	_, _, d := s.dropOf(id)
	if d == nil || d.Admitted == "" {
		return events.DropSpec{}, false
	}
	return d.Spec, true
}
