package environment

import "pantheon/events"

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.EnvironmentCreated:
		s.Created, s.Settings, s.Seed = e, e.Settings, 1
	case events.EnvironmentSettingsChanged:
		s.Settings = e.Settings
	case events.CodeDeployed:
		s.Commit, s.Deployment = e.Commit, e.Deployment
	case events.SeedRotated:
		s.Seed = e.Generation
	case events.EnvironmentDeletionRequested:
		s.Deleting = true
	case events.EnvironmentDeleted:
		s.Deleting, s.Deleted = true, true
	}
	return s
}
