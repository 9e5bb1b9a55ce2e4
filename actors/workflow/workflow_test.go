package workflow_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/workflow"
	"pantheon/events"
)

var actor = actortest.Actor[workflow.State, workflow.Command]{
	Stream: events.WorkflowID("01990000-0000-7000-8000-0000000000ff").Stream(),
	Decide: workflow.Decide, Evolve: workflow.Evolve,
	Commands: []workflow.Command{workflow.Start{}, workflow.CompleteStep{}, workflow.FailStep{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
