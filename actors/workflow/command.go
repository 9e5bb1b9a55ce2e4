package workflow

import "pantheon/events"

// Command is a wish addressed to one workflow. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Start begins the workflow; the type says which steps it takes.
type Start struct {
	Workflow    events.WorkflowID
	Type        events.WorkflowType
	Description string
	Site        events.SiteID
	Environment events.EnvironmentID
	// Create is what create_site is asked for; nil for other types.
	Create *events.CreateSite
}

// CompleteStep says that a step's effect is in the log.
type CompleteStep struct{ Step events.WorkflowStep }

// FailStep says that a step can never be done; the workflow goes back.
type FailStep struct {
	Step   events.WorkflowStep
	Reason string
}

func (Start) isCommand()        {}
func (CompleteStep) isCommand() {}
func (FailStep) isCommand()     {}
