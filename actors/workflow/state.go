package workflow

import (
	"slices"

	"pantheon/events"
)

// State is what a workflow's stream says; the zero value is one that never was.
type State struct {
	Started events.WorkflowStarted
	Done    []events.WorkflowStep // in the order they were done
	// Failed is the step that sent the workflow back; its Step is empty on the
	// way forward.
	Failed events.WorkflowStepFailed
	Ended  bool
}

func (s State) exists() bool { return s.Started.Workflow != "" }

// Open gives the steps that may run now, none when the workflow has ended.
func Open(s State) []events.WorkflowStep {
	switch {
	case s.Ended || !s.exists():
		return nil
	case s.Failed.Step != "":
		return s.Started.Type.OpenUndo(s.Failed.Undo, s.Done)
	}
	return s.Started.Type.Open(s.Done)
}

func (s State) open(step events.WorkflowStep) bool { return slices.Contains(Open(s), step) }
func (s State) done(step events.WorkflowStep) bool { return slices.Contains(s.Done, step) }
