package api

import (
	"strings"
	"time"

	"pantheon/events"
	"pantheon/projections/inventory"
)

// The results of a workflow, in the words of Terminus.
const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
)

// workflowRecord makes the record that Terminus polls.
func (v view) workflowRecord(w *inventory.Workflow, now time.Time) Workflow {
	done, all := w.Progress()
	record := Workflow{
		ID: w.ID, Type: w.Type, Description: w.Description, ActiveDescription: w.Description,
		CreatedAt: w.Started.Unix(), StartedAt: w.Started.Unix(), TotalTime: now.Sub(w.Started).Seconds(),
		Step: done, NumberOfTasks: all, User: v.workflowUser(w),
		Site: w.Site, SiteName: w.SiteName, Steps: workflowSteps(w),
	}
	if w.Environment != "" {
		name := string(w.Environment.Name())
		record.Environment = &name
	}
	record.Operations = operations(w, record.Steps)
	if w.Result == "" {
		if w.Type == events.WorkflowCreateSite {
			record.WaitingForTask = &WaitingForTask{Site: w.Site}
		}
		return record
	}
	result, finished := resultSucceeded, w.Finished.Unix()
	if w.Result != inventory.Succeeded {
		result = resultFailed
		record.FinalTask = &FinalTask{Reason: w.Reason}
	}
	record.Result, record.FinishedAt = &result, &finished
	record.TotalTime = w.Finished.Sub(w.Started).Seconds()
	return record
}

func (v view) workflowUser(w *inventory.Workflow) WorkflowUser {
	id, isAccount := strings.CutPrefix(w.Principal, "account/")
	if !isAccount {
		return WorkflowUser{Email: w.Principal}
	}
	user, _ := v.account(events.AccountID(id))
	return WorkflowUser{ID: user.ID, Email: user.Email}
}

// workflowSteps gives the steps; those that may run now are running.
func workflowSteps(w *inventory.Workflow) []WorkflowStep {
	var done, undo, undone []events.WorkflowStep
	for _, step := range w.Steps {
		switch {
		case step.Undo:
			undo = append(undo, step.Name)
			if step.State == inventory.StepDone {
				undone = append(undone, step.Name)
			}
		case step.State == inventory.StepDone:
			done = append(done, step.Name)
		}
	}
	running := make(map[events.WorkflowStep]bool)
	open := w.Type.Open(done)
	if len(undo) > 0 {
		open = w.Type.OpenUndo(undo, undone)
	}
	for _, step := range open {
		running[step] = w.Result == ""
	}
	steps := make([]WorkflowStep, len(w.Steps))
	for i, step := range w.Steps {
		steps[i] = WorkflowStep{Name: string(step.Name), State: string(step.State), Undo: step.Undo}
		if step.State == inventory.StepWaiting && running[step.Name] {
			steps[i].State = "running"
		}
	}
	return steps
}

// operations are the steps in the words of Terminus.
func operations(w *inventory.Workflow, steps []WorkflowStep) []Operation {
	all := make([]Operation, 0, len(steps))
	before := w.Started
	for i, step := range w.Steps {
		operation := Operation{
			ID: string(step.Name), Type: "platform", Description: strings.ReplaceAll(string(step.Name), "_", " "),
			Environment: string(w.Environment.Name()),
		}
		result := ""
		switch step.State {
		case inventory.StepDone:
			result = resultSucceeded
		case inventory.StepFailed:
			result = resultFailed
			operation.LogOutput = w.Reason
		case inventory.StepWaiting, inventory.StepSkipped:
		}
		if result != "" {
			operation.Result = &result
			operation.RunTime = max(0, w.Steps[i].At.Sub(before).Seconds())
			before = step.At
		}
		all = append(all, operation)
	}
	return all
}
