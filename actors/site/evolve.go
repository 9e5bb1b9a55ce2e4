package site

import "pantheon/events"

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.SiteCreated:
		s.Phase, s.Created = Creating, e
	case events.SiteActivated:
		s.Phase = Active
	case events.SiteDeletionRequested:
		s.Phase = Deleting
	case events.SiteDeleted:
		s.Phase = Deleted
	case events.SiteForgettingRequested:
		s.Phase = Forgetting
	case events.SiteForgotten:
		s.Phase = Forgotten
		s.Created.Label, s.Created.Source = "", events.CodeSource{}
	}
	return s
}
