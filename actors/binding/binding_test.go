package binding_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/binding"
	"pantheon/events"
)

var actor = actortest.Actor[binding.State, binding.Command]{
	Stream: events.BindingID("cccccccccccccccccccccccccccccccc").Stream(),
	Decide: binding.Decide, Evolve: binding.Evolve,
	Commands: []binding.Command{binding.Request{}, binding.Place{}, binding.Report{}, binding.Lose{}, binding.Renew{}, binding.RequestRetirement{}, binding.Retire{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
