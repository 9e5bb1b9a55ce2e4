package inventory

import (
	"slices"
	"strings"

	"pantheon/events"
)

func (s State) applyWorkflow(at when, event events.Event) State {
	switch e := event.(type) {
	case events.WorkflowStarted:
		return s.startWorkflow(at, e)
	case events.WorkflowStepDone:
		return s.changeWorkflow(at, e.Workflow, func(changed *Workflow) { changed.endStep(at, e.Step, StepDone) })
	case events.WorkflowStepFailed:
		return s.changeWorkflow(at, e.Workflow, func(changed *Workflow) {
			changed.endStep(at, e.Step, StepFailed)
			changed.goBack(e)
		})
	case events.WorkflowSucceeded:
		return s.finishWorkflow(at, e.Workflow, Succeeded, "")
	case events.WorkflowFailed:
		return s.finishWorkflow(at, e.Workflow, WorkflowFailure, e.Reason)
	default: // unknown events are skipped
	}
	return s
}

func (s State) startWorkflow(at when, e events.WorkflowStarted) State {
	started := &Workflow{
		ID: e.Workflow, Type: e.Type, Description: e.Description, Site: e.Site, Environment: e.Environment,
		Principal: strings.Clone(at.meta.Principal), Started: at.meta.Time, Changed: at.position, Position: at.position,
		Steps: make([]Step, len(e.Steps)),
	}
	for i, step := range e.Steps {
		started.Steps[i] = Step{Name: step, State: StepWaiting}
	}
	if e.Create != nil {
		started.SiteName = e.Create.Name
	} else if site, known := s.sites.Get(e.Site); known {
		started.SiteName = site.Name
	}
	return s.putWorkflow(started)
}

func (s State) putWorkflow(w *Workflow) State {
	s.workflows = s.workflows.Set(s.edit, w.ID, w)
	s.started = s.started.Set(s.edit, positionKey(w.Position), w.ID)
	var ids []events.WorkflowID
	if list, known := s.bySite.Get(w.Site); known {
		ids = list.ids
	}
	s.bySite = s.bySite.Set(s.edit, w.Site, &siteWorkflows{slices.Insert(slices.Clone(ids), 0, w.ID)})
	return s
}

func (s State) changeWorkflow(at when, id events.WorkflowID, with func(*Workflow)) State {
	s.workflows = change(s.workflows, s.edit, id, func(changed *Workflow) {
		changed.Changed = at.position
		changed.Steps = slices.Clone(changed.Steps)
		with(changed)
	})
	return s
}

// endStep marks the first waiting step of that name.
func (w *Workflow) endStep(at when, name events.WorkflowStep, state StepState) {
	for i := range w.Steps {
		if w.Steps[i].Name == name && w.Steps[i].State == StepWaiting {
			w.Steps[i].State, w.Steps[i].At = state, at.meta.Time
			return
		}
	}
}

// goBack replaces the steps that were left by the way back.
func (w *Workflow) goBack(e events.WorkflowStepFailed) {
	w.Reason = e.Reason
	for i := range w.Steps {
		if w.Steps[i].State == StepWaiting {
			w.Steps[i].State = StepSkipped
		}
	}
	for _, step := range e.Undo {
		w.Steps = append(w.Steps, Step{Name: step, State: StepWaiting, Undo: true})
	}
}

func (s State) finishWorkflow(at when, id events.WorkflowID, result Result, reason string) State {
	s = s.changeWorkflow(at, id, func(changed *Workflow) {
		changed.Result, changed.Finished = result, at.meta.Time
		if reason != "" {
			changed.Reason = reason
		}
	})
	if w, known := s.workflows.Get(id); known {
		return s.trimWorkflows(w.Site)
	}
	return s
}

// trimWorkflows forgets a site's oldest finished workflows beyond the bound.
func (s State) trimWorkflows(site events.SiteID) State {
	list := s.bySite.At(site)
	if list == nil || len(list.ids) <= KeptWorkflows {
		return s
	}
	kept := make([]events.WorkflowID, 0, KeptWorkflows)
	finished := 0
	for _, id := range list.ids {
		w := s.workflows.At(id)
		if w.Result != "" {
			if finished++; finished > KeptWorkflows {
				s = s.dropWorkflow(w)
				continue
			}
		}
		kept = append(kept, id)
	}
	s.bySite = s.bySite.Set(s.edit, site, &siteWorkflows{kept})
	return s
}

func (s State) dropWorkflow(w *Workflow) State {
	s.workflows = s.workflows.Delete(s.edit, w.ID)
	s.started = s.started.Delete(s.edit, positionKey(w.Position))
	return s
}

func (s State) forgetWorkflows(site events.SiteID) State {
	list := s.bySite.At(site)
	if list == nil {
		return s
	}
	for _, id := range list.ids {
		s = s.dropWorkflow(s.workflows.At(id))
	}
	s.bySite = s.bySite.Delete(s.edit, site)
	return s
}
