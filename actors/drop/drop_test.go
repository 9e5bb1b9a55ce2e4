package drop_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/drop"
	"pantheon/events"
)

var actor = actortest.Actor[drop.State, drop.Command]{
	Stream: events.DropID("dddddddddddddddddddddddddddddddd").Stream(),
	Decide: drop.Decide, Evolve: drop.Evolve,
	Commands: []drop.Command{drop.Request{}, drop.Place{}, drop.Displace{}, drop.RequestMove{}, drop.Report{}, drop.RequestRetirement{}, drop.Retire{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
