package name

import "pantheon/events"

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.NameClaimed:
		s.By = e.By
	case events.NameReleased:
		s.By = ""
	}
	return s
}
