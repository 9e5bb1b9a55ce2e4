package workflow

import (
	"reflect"
	"slices"

	"pantheon/events"
	"pantheon/events/problem"
)

const (
	// MaxDescriptionBytes bounds what people read about a workflow.
	MaxDescriptionBytes = 1024
	// MaxTextBytes bounds each text of what to create, to keep the commit
	// small; the site's actor checks what they mean.
	MaxTextBytes = 4096
)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, starting := command.(Start); starting {
		return start(s, c)
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the workflow")
	}
	switch c := command.(type) {
	case CompleteStep:
		return completeStep(s, c)
	case FailStep:
		return failStep(s, c)
	case Start: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a workflow has no such command", command)
}

func start(s State, c Start) ([]events.Event, error) {
	started := events.WorkflowStarted{
		Workflow: c.Workflow, Type: c.Type, Description: c.Description, Site: c.Site, Environment: c.Environment,
		Steps: slices.Concat(c.Type.Stages()...),
	}
	if c.Create != nil {
		create := *c.Create
		create.Settings.ProtectedWebPaths = slices.Clone(create.Settings.ProtectedWebPaths)
		started.Create = &create
	}
	if s.exists() {
		if reflect.DeepEqual(s.Started, started) {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot start workflow %s: it exists already", c.Workflow).WithHint("start it with a new id")
	}
	if err := check(c); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot start workflow %.60q", c.Type)
	}
	return []events.Event{started}, nil
}

func check(c Start) error {
	if _, err := events.ParseStreamID(c.Workflow.Stream().String()); err != nil {
		return err
	}
	if _, err := events.ParseSiteID(string(c.Site)); err != nil {
		return err
	}
	if err := events.CheckText("its description", c.Description, MaxDescriptionBytes); err != nil {
		return err
	}
	switch {
	case !c.Type.Known():
		return problem.New(problem.Invalid, "its type is not known")
	case (c.Type == events.WorkflowCreateSite) != (c.Create != nil):
		return problem.New(problem.Invalid, "create_site, and nothing else, says what to create")
	case c.Create == nil:
		return nil
	}
	if _, err := events.ParseEnvironmentID(string(c.Environment)); err != nil {
		return err
	}
	if c.Environment.Site() != c.Site {
		return problem.New(problem.Invalid, "environment %s is not of site %s", c.Environment, c.Site)
	}
	if _, err := events.ParseSiteName(c.Create.Name); err != nil {
		return err
	}
	for _, text := range []string{c.Create.Label, c.Create.Source.Location, c.Create.Source.Branch} {
		if err := events.CheckText("a text of what to create", text, MaxTextBytes); err != nil {
			return err
		}
	}
	return nil
}

func completeStep(s State, c CompleteStep) ([]events.Event, error) {
	switch {
	case !s.has(c.Step):
		return nil, problem.New(problem.Invalid, "cannot complete step %.40q: %s has no such step", c.Step, s.Started.Type)
	case s.done(c.Step), s.late(c.Step):
		return nil, nil
	case !s.open(c.Step):
		return nil, problem.New(problem.Conflict, "cannot complete step %s of workflow %s: it is not its turn", c.Step, s.Started.Workflow)
	}
	done := events.WorkflowStepDone{Workflow: s.Started.Workflow, Step: c.Step}
	after := Evolve(s, done)
	switch {
	case len(Open(after)) > 0:
		return []events.Event{done}, nil
	case s.Failed.Step != "":
		return []events.Event{done, events.WorkflowFailed{Workflow: s.Started.Workflow, Reason: s.Failed.Reason}}, nil
	}
	return []events.Event{done, events.WorkflowSucceeded{Workflow: s.Started.Workflow}}, nil
}

// failStep sends the workflow back. A step of the way back that fails ends the
// workflow where it stands: its reasons then name both.
func failStep(s State, c FailStep) ([]events.Event, error) {
	switch {
	case !s.has(c.Step):
		return nil, problem.New(problem.Invalid, "cannot fail step %.40q: %s has no such step", c.Step, s.Started.Type)
	case s.Failed.Step == c.Step, s.late(c.Step):
		return nil, nil
	case !s.open(c.Step):
		return nil, problem.New(problem.Conflict, "cannot fail step %s of workflow %s: it is not its turn, or done", c.Step, s.Started.Workflow)
	}
	failed := events.WorkflowStepFailed{Workflow: s.Started.Workflow, Step: c.Step, Reason: events.Reason(c.Reason)}
	reason := failed.Reason
	if s.Failed.Step == "" {
		failed.Undo = s.Started.Type.Undo(s.Done, c.Step)
	} else {
		reason = events.Reason(s.Failed.Reason + "; and step " + string(c.Step) + " of the way back failed: " + failed.Reason)
	}
	if len(failed.Undo) > 0 {
		return []events.Event{failed}, nil
	}
	return []events.Event{failed, events.WorkflowFailed{Workflow: s.Started.Workflow, Reason: reason}}, nil
}

// has says whether the step is one of the workflow's type, either way.
func (s State) has(step events.WorkflowStep) bool {
	return slices.Contains(s.Started.Steps, step) || slices.Contains(s.Failed.Undo, step)
}

// late says whether the workflow has turned or ended, so that nothing about
// the step matters any more.
func (s State) late(step events.WorkflowStep) bool {
	return s.Ended || (s.Failed.Step != "" && !slices.Contains(s.Failed.Undo, step))
}
