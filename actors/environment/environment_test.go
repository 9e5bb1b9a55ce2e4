package environment_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/environment"
	"pantheon/events"
)

var actor = actortest.Actor[environment.State, environment.Command]{
	Stream: events.EnvironmentID("dev.01990000-0000-7000-8000-000000000001").Stream(),
	Decide: environment.Decide, Evolve: environment.Evolve,
	Commands: []environment.Command{environment.Create{}, environment.ChangeSettings{}, environment.Deploy{}, environment.RotateSeed{}, environment.RequestDeletion{}, environment.Delete{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
