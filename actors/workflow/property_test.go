package workflow_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/workflow"
	"pantheon/events"
)

var steps = append(slices.Concat(events.WorkflowCreateSite.Stages()...), slices.Concat(events.WorkflowDeleteSite.Stages()...)...)

func TestProperties(t *testing.T) {
	actortest.Machine[workflow.State, workflow.Command]{Actor: actor, Command: command, Check: check}.Properties(t)
}

func command(t *rapid.T, s workflow.State) workflow.Command {
	if s.Started.Workflow == "" || rapid.IntRange(0, 20).Draw(t, "start") == 0 {
		start := workflow.Start{
			Workflow: events.WorkflowID(actor.Stream.ID), Type: events.WorkflowDeleteSite,
			Site: "01990000-0000-7000-8000-000000000001", Environment: "dev.01990000-0000-7000-8000-000000000001",
		}
		if rapid.IntRange(0, 3).Draw(t, "create") > 0 {
			start.Type, start.Create = events.WorkflowCreateSite, &events.CreateSite{Name: "hello"}
		}
		return start
	}
	// Mostly an open step, or the walk would not get far.
	step := rapid.SampledFrom(append(slices.Clone(steps), "dance")).Draw(t, "any step")
	if open := workflow.Open(s); len(open) > 0 && rapid.IntRange(0, 3).Draw(t, "open") > 0 {
		step = rapid.SampledFrom(open).Draw(t, "step")
	}
	if rapid.IntRange(0, 12).Draw(t, "fail") == 0 {
		return workflow.FailStep{Step: step, Reason: "it broke"}
	}
	return workflow.CompleteStep{Step: step}
}

func check(before workflow.State, _ workflow.Command, decided []events.Event, after workflow.State) error {
	if before.Ended && len(decided) > 0 {
		return errors.New("invariant 4: something follows the end")
	}
	back := after.Failed.Step != ""
	for _, event := range decided {
		switch e := event.(type) {
		case events.WorkflowStepDone:
			if !slices.Contains(workflow.Open(before), e.Step) || slices.Contains(before.Done, e.Step) {
				return errors.New("invariant 1: the step was not open")
			}
		case events.WorkflowSucceeded:
			if back || len(after.Done) != len(after.Started.Steps) {
				return errors.New("invariant 2: succeeded too early")
			}
		case events.WorkflowFailed:
			if !back {
				return errors.New("invariant 3: failed without a failure")
			}
		}
	}
	if after.Started.Workflow != "" && after.Ended != (len(workflow.Open(after)) == 0) {
		return errors.New("invariants 2, 3: ended and open disagree")
	}
	if !after.Ended && after.Started.Workflow != "" && !back && len(after.Done) == len(after.Started.Steps) {
		return errors.New("invariant 2: all is done and it has not succeeded")
	}
	return nil
}

// Whichever step fails, the way back ends, and takes back all that was done.
func TestEveryStepCanFail(t *testing.T) {
	forward := slices.Concat(events.WorkflowCreateSite.Stages()...)
	for i, failing := range forward {
		s := decide(t, workflow.State{}, workflow.Start{
			Workflow: events.WorkflowID(actor.Stream.ID), Type: events.WorkflowCreateSite, Create: &events.CreateSite{Name: "hello"},
			Site: "01990000-0000-7000-8000-000000000001", Environment: "dev.01990000-0000-7000-8000-000000000001",
		})
		for _, step := range forward[:i] {
			s = decide(t, s, workflow.CompleteStep{Step: step})
		}
		s = decide(t, s, workflow.FailStep{Step: failing, Reason: "it broke"})
		for _, step := range s.Failed.Undo {
			s = decide(t, s, workflow.CompleteStep{Step: step})
		}
		if !s.Ended {
			t.Errorf("%s failed, %v was taken back, and it has not ended", failing, s.Failed.Undo)
		}
		named, created := slices.Contains(s.Failed.Undo, events.StepReleaseName), slices.Contains(s.Failed.Undo, events.StepDeleteSite)
		if named != (i > 0) || created != (i > 1) {
			t.Errorf("%s failed: takes back %v", failing, s.Failed.Undo)
		}
	}
}

func decide(t *testing.T, s workflow.State, command workflow.Command) workflow.State {
	t.Helper()
	decided, err := workflow.Decide(s, command)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range decided {
		s = workflow.Evolve(s, event)
	}
	return s
}
