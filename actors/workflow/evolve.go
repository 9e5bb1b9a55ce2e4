package workflow

import (
	"slices"

	"pantheon/events"
)

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.WorkflowStarted:
		s.Started = e
	case events.WorkflowStepDone:
		s.Done = append(slices.Clip(s.Done), e.Step)
	case events.WorkflowStepFailed:
		// A second one is about a step of the way back, and ends the workflow.
		if s.Failed.Step == "" {
			s.Failed = e
		}
	case events.WorkflowSucceeded, events.WorkflowFailed:
		s.Ended = true
	}
	return s
}
