package policy

import (
	"fmt"
	"slices"

	"pantheon/actors/binding"
	"pantheon/actors/environment"
	"pantheon/actors/name"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
)

// MaxPrepareFailures is how often in a row a DROP may fail to be prepared
// before the workflow that waits for it gives up and goes back. With the
// agent's back-off (1 s, doubling) these are half a minute.
const MaxPrepareFailures = 5

// MaxProvisionFailures is how often in a row a host may fail to provide a
// binding, where a retry could help, before the workflow goes back. With the
// agent's back-off these are about seven seconds.
const MaxProvisionFailures = 4

// planWorkflows is rule 1. What a site's creation still wants is void when the
// site is being deleted: the creation goes back, beside the deletion. It goes
// back, too, when what it has made is lost.
func (p *planner) planWorkflows() {
	for _, w := range p.site.Workflows {
		open := w.open()
		if !w.Undoing && w.Started.Type == events.WorkflowCreateSite && len(open) > 0 {
			switch {
			case p.site.Deleting:
				step{p, w, open[0]}.fail("the site is being deleted")
				continue
			case slices.ContainsFunc(p.site.Bindings, func(b *bindingState) bool { return b.Lost }):
				step{p, w, open[0]}.fail("a host of it is gone for good")
				continue
			}
		}
		for _, name := range open {
			p.planStep(w, name)
		}
	}
}

func (w *workflowState) open() []events.WorkflowStep {
	var done []events.WorkflowStep
	for _, step := range w.Steps {
		if w.Done[step] {
			done = append(done, step)
		}
	}
	if w.Undoing {
		return w.Started.Type.OpenUndo(w.Steps, done)
	}
	return w.Started.Type.Open(done)
}

// step is one open step being planned.
type step struct {
	*planner
	workflow *workflowState
	name     events.WorkflowStep
}

// complete records the step as done.
func (s step) complete() {
	s.want("workflow", fmt.Sprintf("done/%s/%s/%t", s.workflow.ID, s.name, s.workflow.Undoing),
		s.workflow.ID.Stream(), workflow.CompleteStep{Step: s.name})
}

// fail sends the workflow back.
func (s step) fail(reason string) {
	s.want("workflow", fmt.Sprintf("failed/%s/%s", s.workflow.ID, s.name),
		s.workflow.ID.Stream(), workflow.FailStep{Step: s.name, Reason: reason})
}

// do sends the step's command; a refusal that no retry can mend fails the step.
func (s step) do(to events.StreamID, command any) {
	s.doMore("", to, command)
}

// doMore is do for a step of several commands, told apart by suffix.
func (s step) doMore(suffix string, to events.StreamID, command any) {
	intent := s.want("workflow", fmt.Sprintf("do/%s/%s/%t%s", s.workflow.ID, s.name, s.workflow.Undoing, suffix), to, command)
	intent.Workflow, intent.Step = s.workflow.ID, s.name
}

// Failed gives the intent that sends a workflow back because an intent of it
// was refused; false where the intent was no step of a workflow.
func Failed(refused Intent, reason string) (Intent, bool) {
	if refused.Step == "" {
		return Intent{}, false
	}
	return Intent{
		Key: fmt.Sprintf("failed/%s/%s", refused.Workflow, refused.Step), Policy: "workflow",
		To: refused.Workflow.Stream(), Command: workflow.FailStep{Step: refused.Step, Reason: reason},
		Cause: refused.Cause, Site: refused.Site,
	}, true
}

func (p *planner) planStep(w *workflowState, open events.WorkflowStep) {
	s := step{p, w, open}
	switch open {
	case events.StepClaimName:
		wanted := events.UniqueName(events.SpaceSite, w.Started.Create.Name)
		s.until(p.site.holds(wanted), wanted.Stream(), name.Claim{Name: wanted, By: p.id.Stream().String()})
	case events.StepCreateSite:
		s.createSite()
	case events.StepCreateEnvironment:
		s.createEnvironment()
	case events.StepImportCode:
		s.bind(events.BindingSpec{Kind: events.CodeServer, Site: p.id, Source: w.Started.Create.Source, MemoryMiB: codeServerMiB})
	case events.StepCreateDatabase:
		s.bind(events.BindingSpec{Kind: events.DBServer, Site: p.id, Environment: w.Started.Environment, MemoryMiB: databaseMiB, Credential: 1})
	case events.StepCreateFiles:
		s.bind(s.fileServer())
	case events.StepDeployCode:
		s.deployCode()
	case events.StepPlaceDrop:
		s.placeDrop()
	case events.StepActivateSite:
		s.until(p.site.Active, p.id.Stream(), site.Activate{})
	case events.StepRequestDeletion:
		s.requestDeletion()
	case events.StepRetireDrops:
		s.waitFor(len(p.site.Drops) == 0)
	case events.StepRetireBindings:
		s.waitFor(len(p.site.Bindings) == 0)
	case events.StepDeleteEnvironment:
		s.deleteEnvironments()
	case events.StepDeleteSite:
		s.until(p.site.Deleted || !p.site.Created, p.id.Stream(), site.Delete{})
	case events.StepReleaseName:
		held := events.UniqueName(events.SpaceSite, s.siteName())
		s.until(!p.site.holds(held), held.Stream(), name.Release{Name: held, By: p.id.Stream().String()})
	}
}

// Reservations of a binding: what one more of its kind costs its host, in MiB.
const (
	codeServerMiB = 1 // git runs only while it works
	databaseMiB   = 8 // a share of the server's buffer pool and its connections
	fileServerMiB = 1
)

// until completes the step when its effect is there, and sends its command
// while it is not.
func (s step) until(done bool, to events.StreamID, command any) {
	if done {
		s.complete()
		return
	}
	s.do(to, command)
}

// waitFor completes the step when another rule has brought its effect about.
func (s step) waitFor(done bool) {
	if done {
		s.complete()
	}
}

// requestDeletion waits for a site that is on its way: a deletion that found
// nothing to delete would end before it is there.
func (s step) requestDeletion() {
	if s.site.Created || !s.creating() {
		s.until(s.site.Deleting || !s.site.Created, s.id.Stream(), site.RequestDeletion{Reason: s.workflow.Started.Description})
	}
}

// creating says whether a workflow that goes forward creates the site.
func (s step) creating() bool {
	return slices.ContainsFunc(s.site.Workflows, func(w *workflowState) bool {
		return w.Started.Type == events.WorkflowCreateSite && !w.Undoing
	})
}

func (s step) siteName() string {
	if create := s.workflow.Started.Create; create != nil {
		return create.Name
	}
	return s.site.Name
}

func (s step) createSite() {
	create := s.workflow.Started.Create
	s.until(s.site.Created, s.id.Stream(), site.Create{
		Site: s.id, Name: create.Name, Label: create.Label, Owner: create.Owner,
		Upstream: create.Upstream, Framework: create.Framework, Source: create.Source})
}

// createEnvironment derives the user id from the position of the workflow's
// first commit: unique in the cell, because a workflow creates at most one
// environment.
func (s step) createEnvironment() {
	id, create := s.workflow.Started.Environment, s.workflow.Started.Create
	if s.workflow.At > maxUID-events.FirstUID {
		s.fail("the cell has used up its user ids; create the site in another cell")
		return
	}
	s.until(s.site.environment(id) != nil, id.Stream(), environment.Create{
		Environment: id, SiteName: create.Name, Framework: create.Framework,
		UID: events.FirstUID + uint32(s.workflow.At), Settings: create.Settings})
}

// maxUID is the largest user id Linux gives a process; the one above it means
// "no change" to setuid(2).
const maxUID = 1<<32 - 2

func (s step) fileServer() events.BindingSpec {
	spec := events.BindingSpec{Kind: events.FileServer, Site: s.id, Environment: s.workflow.Started.Environment, MemoryMiB: fileServerMiB}
	if env := s.site.environment(spec.Environment); env != nil {
		spec.UID, spec.Framework = env.Created.UID, env.Created.Framework
	}
	return spec
}

// bind has a service requested, and waits until its host has provided it.
func (s step) bind(spec events.BindingSpec) {
	owner := string(spec.Environment)
	if owner == "" {
		owner = string(spec.Site)
	}
	id := BindingIDOf(spec.Kind, owner)
	b := s.site.binding(spec.Kind, spec.Environment)
	switch {
	case b == nil:
		s.do(id.Stream(), binding.Request{Binding: id, Spec: spec})
	case b.Provisioned:
		s.complete()
	case b.Failed != "":
		s.fail(b.Failed)
	case b.Failures >= MaxProvisionFailures:
		s.fail(b.Reason)
	case b.Admitted == "":
		s.failIfUnplaceable(nil, b.key())
	}
}

// failIfUnplaceable fails the step when no host takes what it waits for: a DROP, or
// where d is nil a binding.
func (s step) failIfUnplaceable(d *dropState, key string) {
	if reason, refused := s.unplaceable(d, "admit/"+key); refused {
		s.fail(reason)
	}
}

// deployCode takes over what the code's pantheon.yml asks for, then deploys
// the head of the default branch.
func (s step) deployCode() {
	env := s.site.environment(s.workflow.Started.Environment)
	server := s.site.binding(events.CodeServer, "")
	if env == nil || server == nil || server.Code == nil {
		return
	}
	if env.Commit != "" {
		s.complete()
		return
	}
	change := asked(*server.Code)
	if !equalSettings(change.Apply(env.Settings), env.Settings) {
		s.doMore("/settings", env.Created.Environment.Stream(), environment.ChangeSettings{Change: change})
		return
	}
	s.do(env.Created.Environment.Stream(), environment.Deploy{Commit: server.Code.Commit, Message: "Site created"})
}

// asked is what the code's pantheon.yml asks for.
func asked(code events.CodeFacts) environment.SettingsChange {
	change := environment.SettingsChange{WebDocroot: &code.WebDocroot}
	if code.PHPVersion != "" {
		change.PHPVersion = &code.PHPVersion
	}
	if code.FileMount != "" {
		change.FileMount = &code.FileMount
	}
	if len(code.ProtectedWebPaths) > 0 {
		change.ProtectedWebPaths = &code.ProtectedWebPaths
	}
	return change
}

func equalSettings(a, b events.EnvironmentSettings) bool {
	paths := slices.Equal(a.ProtectedWebPaths, b.ProtectedWebPaths)
	a.ProtectedWebPaths, b.ProtectedWebPaths = nil, nil
	return paths && fmt.Sprint(a) == fmt.Sprint(b)
}

// placeDrop waits until a host has said that the DROP would serve. Where none
// is wanted any longer there is nothing to wait for.
func (s step) placeDrop() {
	if env := s.site.environment(s.workflow.Started.Environment); env != nil && env.Settings.Drops == 0 {
		s.complete()
		return
	}
	for _, d := range s.site.Drops {
		if d.Environment != s.workflow.Started.Environment || d.Retiring {
			continue
		}
		switch {
		case d.Host != "" && d.Ready >= d.Spec.Generation:
			s.complete()
			return
		case d.Failures >= MaxPrepareFailures:
			s.fail(d.Reason)
			return
		case d.Admitted == "":
			s.failIfUnplaceable(d, d.key())
			return
		}
	}
}

func (s step) deleteEnvironments() {
	if len(s.site.Environments) == 0 {
		s.complete()
		return
	}
	for _, env := range s.site.Environments {
		id := env.Created.Environment
		if env.Deleting {
			s.doMore("/delete/"+string(id), id.Stream(), environment.Delete{})
		} else {
			s.doMore("/request/"+string(id), id.Stream(), environment.RequestDeletion{})
		}
	}
}
