package name_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/name"
	"pantheon/events"
)

var actor = actortest.Actor[name.State, name.Command]{
	Stream: events.NameID("site:hello").Stream(),
	Decide: name.Decide, Evolve: name.Evolve,
	Commands: []name.Command{name.Claim{}, name.Release{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
