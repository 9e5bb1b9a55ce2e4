package policy_test

import (
	"cmp"
	"fmt"
	"testing"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/name"
	"pantheon/actors/policy"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/problem"
)

// world is the smallest cell: the real deciders over states in memory, the
// policies, and a machine that does at once what its host's stream says,
// unless a test told it otherwise.
type world struct {
	t        *testing.T
	position events.Position
	state    *policy.State
	log      []events.Envelope

	sites        map[string]site.State
	environments map[string]environment.State
	drops        map[string]drop.State
	hosts        map[string]host.State
	bindings     map[string]binding.State
	workflows    map[string]workflow.State
	names        map[string]name.State

	// commit is the head of what code servers import; one of the test's where it
	// is empty.
	commit string
	// importFails is the final reason a code server reports; empty: it works.
	importFails string
	// importRetries: importFails is not final, and the host tries again.
	importRetries bool
	// prepareFails: no DROP can be prepared.
	prepareFails bool
	// deaf: no host removes what it shall.
	deaf bool
	// repeatEvery nth command is sent again, as after a lost reply.
	repeatEvery int
	sent        int
}

func newWorld(t *testing.T, hosts ...events.HostID) *world {
	w := &world{t: t, state: policy.New(),
		sites: map[string]site.State{}, environments: map[string]environment.State{}, drops: map[string]drop.State{},
		hosts: map[string]host.State{}, bindings: map[string]binding.State{}, workflows: map[string]workflow.State{},
		names: map[string]name.State{}}
	for _, id := range hosts {
		w.must(id.Stream(), host.Register{Host: id, Name: "host-" + string(id[:4]), MemoryMiB: 8192, Cores: 2, Isolated: true, Version: "test"})
	}
	return w
}

// must carries out a command that has to succeed.
func (w *world) must(to events.StreamID, command any) {
	w.t.Helper()
	if err := w.do(to, command); err != nil {
		w.t.Fatalf("%T to %s: %v", command, to, err)
	}
}

// do decides, appends and folds one command.
func (w *world) do(to events.StreamID, command any) error {
	var decided []events.Event
	var err error
	switch c := command.(type) {
	case site.Command:
		decided, err = step(w.sites, to.ID, c, site.Decide, site.Evolve)
	case environment.Command:
		decided, err = step(w.environments, to.ID, c, environment.Decide, environment.Evolve)
	case drop.Command:
		decided, err = step(w.drops, to.ID, c, drop.Decide, drop.Evolve)
	case host.Command:
		decided, err = step(w.hosts, to.ID, c, host.Decide, host.Evolve)
	case binding.Command:
		decided, err = step(w.bindings, to.ID, c, binding.Decide, binding.Evolve)
	case workflow.Command:
		decided, err = step(w.workflows, to.ID, c, workflow.Decide, workflow.Evolve)
	case name.Command:
		decided, err = step(w.names, to.ID, c, name.Decide, name.Evolve)
	default:
		w.t.Fatalf("no decider for %T", command)
	}
	if err == nil && len(decided) > 0 {
		w.append(to, decided)
	}
	return err
}

func step[S, C any](states map[string]S, id string, command C,
	decide func(S, C) ([]events.Event, error), evolve func(S, events.Event) S) ([]events.Event, error) {
	decided, err := decide(states[id], command)
	for _, event := range decided {
		states[id] = evolve(states[id], event)
	}
	return decided, err
}

func (w *world) append(to events.StreamID, decided []events.Event) {
	w.position++
	envelope := events.Envelope{Commit: events.Commit{Stream: to, Events: decided}, Position: w.position}
	w.log = append(w.log, envelope)
	w.state.Apply(envelope)
	for _, event := range decided {
		w.machine(event)
	}
}

// machine is the agent of every host that is not lost.
func (w *world) machine(event events.Event) {
	switch e := event.(type) {
	case events.BindingPlaced:
		w.provision(e.Binding, e.Host)
	case events.BindingDismissed:
		if w.deaf {
			return
		}
		w.must(e.Binding.Stream(), binding.Report{Host: e.Host, Fact: events.BindingRetired{Binding: e.Binding, Host: e.Host}})
	case events.DropPlaced:
		spec, _ := w.state.SpecOf(e.Drop)
		w.prepare(e.Drop, e.Host, spec.Generation)
	case events.DropSpecChanged:
		w.prepare(e.Drop, e.Host, e.Spec.Generation)
	}
}

func (w *world) provision(id events.BindingID, on events.HostID) {
	spec := w.bindingSpec(id)
	var fact events.Event
	switch {
	case spec.Kind != events.CodeServer:
		fact = events.BindingProvisioned{Binding: id, Host: on}
	case w.importFails != "" && w.importRetries:
		for attempt := range policy.MaxProvisionFailures {
			w.must(id.Stream(), binding.Report{Host: on, Fact: events.BindingFailed{Binding: id, Host: on,
				Reason: w.importFails, RetryAfterSeconds: 1 << attempt}})
		}
		return
	case w.importFails != "":
		fact = events.BindingFailed{Binding: id, Host: on, Reason: w.importFails, Final: true}
	default:
		fact = events.BindingProvisioned{Binding: id, Host: on, Code: &events.CodeFacts{
			Commit: cmp.Or(w.commit, "0123456789abcdef0123456789abcdef01234567"), WebDocroot: true, ProtectedWebPaths: []string{"/private/"}}}
	}
	w.must(id.Stream(), binding.Report{Host: on, Fact: fact})
}

func (w *world) bindingSpec(id events.BindingID) events.BindingSpec {
	for _, envelope := range w.log {
		for _, event := range envelope.Events {
			if e, ok := event.(events.BindingRequested); ok && e.Binding == id {
				return e.Spec
			}
		}
	}
	w.t.Fatalf("binding %s was never requested", id)
	return events.BindingSpec{}
}

func (w *world) prepare(id events.DropID, on events.HostID, generation int) {
	if w.prepareFails {
		for attempt := range policy.MaxPrepareFailures {
			w.must(id.Stream(), drop.Report{Host: on, Fact: events.DropPrepareFailed{Drop: id, Host: on, Generation: generation,
				Reason: "cannot check the release out: disk full", RetryAfterSeconds: 1 << attempt}})
		}
		return
	}
	_ = w.do(id.Stream(), drop.Report{Host: on, Fact: events.DropReady{Drop: id, Host: on, Generation: generation}})
}

// settle carries out intents until there are none, and fails the test when
// that takes more than a bound.
func (w *world) settle() {
	w.t.Helper()
	for range 500 {
		intents := w.state.Plan()
		if len(intents) == 0 {
			return
		}
		for _, intent := range intents {
			w.carryOut(intent)
		}
	}
	w.t.Fatalf("the policies do not come to rest; last wanted: %v", w.state.Plan())
}

func (w *world) carryOut(intent policy.Intent) {
	w.sent++
	err := w.do(intent.To, intent.Command)
	if w.repeatEvery > 0 && w.sent%w.repeatEvery == 0 {
		_ = w.do(intent.To, intent.Command) // the reply was lost, it is sent again
	}
	if err == nil {
		return
	}
	if problem.KindOf(err) == problem.Exhausted && intent.Placement != "" {
		w.state.Refuse(intent, err.Error())
		return
	}
	if failure, ok := policy.Failed(intent, err.Error()); ok {
		w.must(failure.To, failure.Command)
	}
}

// count is how often an event stands in the log.
func (w *world) count(eventName string) int {
	n := 0
	for _, envelope := range w.log {
		for _, event := range envelope.Events {
			if events.NameOf(event) == eventName {
				n++
			}
		}
	}
	return n
}

func hostID(n int) events.HostID { return events.HostID(fmt.Sprintf("%032x", n)) }
func siteID(n int) events.SiteID {
	return events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
}
func workflowID(n int) events.WorkflowID {
	return events.WorkflowID(fmt.Sprintf("00000000-0000-4000-9000-%012x", n))
}
