package actors_test

import (
	"fmt"
	"testing"
	"time"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/problem"
)

// unplaced gives the agenda of a cell with two hosts and a binding that waits
// for one of them.
func unplaced(t *testing.T) (*actors.Agenda, policy.Intent, time.Time) {
	t.Helper()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	agenda := actors.NewAgenda(policy.New(), 0)
	one, two := events.HostID("00000000000000000000000000000001"), events.HostID("00000000000000000000000000000002")
	spec := events.BindingSpec{Kind: events.CodeServer, Site: "00000000-0000-4000-8000-000000000001", MemoryMiB: 1}
	fold(agenda, one.Stream(), events.HostRegistered{Host: one, Name: "one", MemoryMiB: 1024, Cores: 1})
	fold(agenda, two.Stream(), events.HostRegistered{Host: two, Name: "two", MemoryMiB: 512, Cores: 1})
	id := policy.BindingIDOf(events.CodeServer, string(spec.Site))
	fold(agenda, id.Stream(), events.BindingRequested{Binding: id, Spec: spec})
	wanted := agenda.Next(now)
	if len(wanted) != 1 || wanted[0].Placement != one {
		t.Fatalf("wanted is %+v", wanted)
	}
	return agenda, wanted[0], now
}

func fold(agenda *actors.Agenda, stream events.StreamID, event events.Event) {
	agenda.Apply(events.Envelope{Commit: events.Commit{Stream: stream, Events: []events.Event{event}}, Position: agenda.Position() + 1})
}

// grow makes the other host the better choice.
func grow(agenda *actors.Agenda) {
	two := events.HostID("00000000000000000000000000000002")
	fold(agenda, two.Stream(), events.HostRegistered{Host: two, Name: "two", MemoryMiB: 4096, Cores: 1})
}

// TestAgendaPlacesOnce: while a host is asked, and until the fold has seen its
// answer, no other host is asked for the same thing. The simulator found a
// binding on two hosts, in its first seed.
func TestAgendaPlacesOnce(t *testing.T) {
	agenda, first, now := unplaced(t)
	grow(agenda)
	if again := agenda.Next(now); len(again) != 0 {
		t.Fatalf("%s was asked for while %s is on its way", again[0].Key, first.Key)
	}
	agenda.Settle(first, events.Receipt{Tip: events.Tip{Position: agenda.Position() + 5}}, nil, now)
	grow(agenda)
	if again := agenda.Next(now); len(again) != 0 {
		t.Fatalf("%s was asked for after %s was admitted", again[0].Key, first.Key)
	}
}

// TestAgendaStaysWithUnclearPlacement: a host whose answer was lost is asked
// again, with the same command.
func TestAgendaStaysWithUnclearPlacement(t *testing.T) {
	agenda, first, now := unplaced(t)
	agenda.Settle(first, events.Receipt{}, problem.New(problem.Unavailable, "no answer"), now)
	grow(agenda)
	now = now.Add(time.Minute)
	agenda.Wake(now)
	if again := agenda.Next(now); len(again) != 1 || again[0].Key != first.Key {
		t.Fatalf("after an unclear end of %s wanted is %+v", first.Key, again)
	}
	agenda.Settle(first, events.Receipt{}, problem.New(problem.Exhausted, "full"), now)
	if again := agenda.Next(now); len(again) != 1 || again[0].Placement == first.Placement {
		t.Fatalf("after a refusal of %s wanted is %+v", first.Key, again)
	}
}

// TestAgendaComesToWhatDoesNotFit: many sites want something at once, more than
// may wait. All are served, in order and without a delay; the simulator found that
// placing a hundred thousand DROPs was mostly waiting.
func TestAgendaComesToWhatDoesNotFit(t *testing.T) {
	const sites = 10_000
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	agenda := actors.NewAgenda(policy.New(), 0)
	on := events.HostID("00000000000000000000000000000001")
	fold(agenda, on.Stream(), events.HostRegistered{Host: on, Name: "one", MemoryMiB: 1 << 30, Cores: 1})
	bindings := map[events.StreamID]bool{}
	for n := range sites {
		spec := events.BindingSpec{Kind: events.CodeServer, Site: events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n)), MemoryMiB: 1}
		id := policy.BindingIDOf(events.CodeServer, string(spec.Site))
		fold(agenda, id.Stream(), events.BindingRequested{Binding: id, Spec: spec})
		bindings[id.Stream()] = true
	}
	for rounds := 0; len(bindings) > 0; rounds++ {
		wanted := agenda.Next(now)
		if _, waits := agenda.NextWake(); waits || len(wanted) == 0 || rounds > 3*sites {
			t.Fatalf("%d sites are left, and nothing is wanted now", len(bindings))
		}
		for _, intent := range wanted {
			switch c := intent.Command.(type) {
			case host.AdmitBinding:
				fold(agenda, on.Stream(), events.BindingAdmitted{Host: on, Binding: c.Binding, Spec: c.Spec})
			case binding.Place:
				fold(agenda, intent.To, events.BindingPlaced{Binding: events.BindingID(intent.To.ID), Host: c.Host})
				delete(bindings, intent.To)
			}
			agenda.Settle(intent, events.Receipt{Tip: events.Tip{Position: agenda.Position() + 1}}, nil, now)
		}
	}
}

// TestAgendaSpreadsWhatWasPlannedAtOnce: many things wait for a host while one has
// the most room. They do not all go there; the simulator found that placing many
// DROPs was mostly waiting for one host to prepare them.
func TestAgendaSpreadsWhatWasPlannedAtOnce(t *testing.T) {
	const sites, hosts = 1200, 5
	agenda := actors.NewAgenda(policy.New(), 0)
	for n := range hosts {
		id := events.HostID(fmt.Sprintf("%032x", n+1))
		memory := 8192
		if n == 0 {
			memory *= 2
		}
		fold(agenda, id.Stream(), events.HostRegistered{Host: id, Name: "host", MemoryMiB: memory, Cores: 1})
	}
	for n := range sites {
		spec := events.BindingSpec{Kind: events.CodeServer, Site: events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n)), MemoryMiB: 1}
		id := policy.BindingIDOf(events.CodeServer, string(spec.Site))
		fold(agenda, id.Stream(), events.BindingRequested{Binding: id, Spec: spec})
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	admitted := map[string]int{}
	for wanted := agenda.Next(now); len(wanted) > 0; wanted = agenda.Next(now) {
		for _, intent := range wanted {
			if c, admits := intent.Command.(host.AdmitBinding); admits {
				admitted[intent.To.ID]++
				fold(agenda, intent.To, events.BindingAdmitted{Host: intent.Placement, Binding: c.Binding, Spec: c.Spec})
			} else {
				fold(agenda, intent.To, events.BindingPlaced{Binding: events.BindingID(intent.To.ID), Host: intent.Command.(binding.Place).Host})
			}
			agenda.Settle(intent, events.Receipt{Tip: events.Tip{Position: agenda.Position()}}, nil, now)
		}
	}
	for id, n := range admitted {
		if len(admitted) != hosts || n > sites/2 || n < sites/12 {
			t.Errorf("host %s has admitted %d of %d, on %d hosts", id, n, sites, len(admitted))
		}
	}
}

// TestAgendaTakesLateAnswerForSuccess: an actor was busy for long, then carried
// the command out, and the log told of it before the answer came. The simulator
// found a workflow that was failed for its success: the name of its site stayed
// taken.
func TestAgendaTakesLateAnswerForSuccess(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	agenda := actors.NewAgenda(policy.New(), 0)
	site, id := events.SiteID("00000000-0000-4000-8000-000000000001"), events.WorkflowID("00000000-0000-4000-9000-000000000001")
	fold(agenda, id.Stream(), events.WorkflowStarted{Workflow: id, Type: events.WorkflowCreateSite, Site: site,
		Environment: events.EnvironmentOf(site, "dev"), Steps: []events.WorkflowStep{events.StepClaimName}, Create: &events.CreateSite{Name: "blog"}})
	var claim policy.Intent
	for range 50 {
		wanted := agenda.Next(now)
		if len(wanted) != 1 || wanted[0].Step != events.StepClaimName {
			t.Fatalf("wanted is %+v", wanted)
		}
		claim = wanted[0]
		agenda.Settle(claim, events.Receipt{}, problem.New(problem.Busy, "too many actors are at work"), now)
		now = now.Add(time.Minute)
		agenda.Wake(now)
	}
	if wanted := agenda.Next(now); len(wanted) != 1 {
		t.Fatalf("wanted is %+v", wanted)
	}
	name := events.UniqueName(events.SpaceSite, "blog")
	fold(agenda, name.Stream(), events.NameClaimed{Name: name, By: site.Stream().String()})
	agenda.Settle(claim, events.Receipt{Tip: events.Tip{Position: agenda.Position()}}, nil, now)
	for _, intent := range agenda.Next(now) {
		if _, failing := intent.Command.(workflow.FailStep); failing {
			t.Errorf("the step that was done is failed: %s", intent.Key)
		}
	}
}

// TestAgendaMovesSlowly: not before hosts have been as they are for a minute, and
// then a DROP every ten seconds; and nobody is woken for nothing.
func TestAgendaMovesSlowly(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	agenda := actors.NewAgenda(policy.New(), 0)
	one, two := events.HostID("00000000000000000000000000000001"), events.HostID("00000000000000000000000000000002")
	fold(agenda, one.Stream(), events.HostRegistered{Host: one, Name: "one", MemoryMiB: 4096, Cores: 1})
	const sites = 3
	for n := range sites {
		twoDrops(agenda, one, events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n)))
	}
	if wanted := agenda.Next(now); len(wanted) != 0 {
		t.Fatalf("wanted is %+v", wanted)
	}
	if at, waits := agenda.NextWake(); waits {
		t.Fatalf("a cell of one host waits until %s", at)
	}
	joined := now
	fold(agenda, two.Stream(), events.HostRegistered{Host: two, Name: "two", MemoryMiB: 4096, Cores: 1})
	var moved []time.Duration
	for range 100 {
		for _, intent := range agenda.Next(now) {
			if intent.Policy != "rebalancing" {
				t.Fatalf("wanted is %+v", intent)
			}
			moved = append(moved, now.Sub(joined))
			old := events.DropID(intent.To.ID)
			fold(agenda, intent.To, events.DropMoveRequested{Drop: old, Host: one, To: two})
			agenda.Settle(intent, events.Receipt{Tip: events.Tip{Position: agenda.Position()}}, nil, now)
			finish(agenda, old, two)
		}
		at, waits := agenda.NextWake()
		if !waits {
			break
		}
		if !at.After(now) {
			t.Fatalf("woken again at once, %s after the host joined", now.Sub(joined))
		}
		now = at
		agenda.Wake(now)
	}
	if _, waits := agenda.NextWake(); waits || fmt.Sprint(moved) != "[1m0s 1m10s 1m20s]" {
		t.Errorf("DROPs were moved %v after the host joined; it goes on: %t", moved, waits)
	}
}

// twoDrops folds a site whose environment has two DROPs, both beside its data.
func twoDrops(agenda *actors.Agenda, on events.HostID, site events.SiteID) {
	env := events.EnvironmentOf(site, "dev")
	settings := events.EnvironmentSettings{Drops: 2, MemoryMiB: 64}
	fold(agenda, site.Stream(), events.SiteCreated{Site: site})
	fold(agenda, env.Stream(), events.EnvironmentCreated{Environment: env, Settings: settings})
	fold(agenda, env.Stream(), events.CodeDeployed{Environment: env, Commit: "c", Deployment: 1})
	var services []events.BoundService
	for _, kind := range []events.BindingKind{events.DBServer, events.FileServer} {
		id := policy.BindingIDOf(kind, string(env))
		spec := events.BindingSpec{Kind: kind, Site: site, Environment: env}
		fold(agenda, id.Stream(), events.BindingRequested{Binding: id, Spec: spec})
		fold(agenda, on.Stream(), events.BindingAdmitted{Host: on, Binding: id, Spec: spec})
		fold(agenda, id.Stream(), events.BindingPlaced{Binding: id, Host: on})
		fold(agenda, id.Stream(), events.BindingProvisioned{Binding: id, Host: on})
		services = append(services, events.BoundService{Kind: kind, Binding: id, Host: on})
	}
	for n := range settings.Drops {
		place(agenda, policy.DropIDOf(env, n), on, events.DropSpec{Generation: 1, Environment: env, Commit: "c", Deployment: 1, Seed: 1, Settings: settings, Services: services})
	}
}

func place(agenda *actors.Agenda, id events.DropID, on events.HostID, spec events.DropSpec) {
	fold(agenda, id.Stream(), events.DropRequested{Drop: id, Environment: spec.Environment})
	fold(agenda, on.Stream(), events.DropAdmitted{Host: on, Drop: id, Spec: spec})
	fold(agenda, id.Stream(), events.DropPlaced{Drop: id, Environment: spec.Environment, Host: on})
	fold(agenda, id.Stream(), events.DropReady{Drop: id, Host: on, Generation: 1})
}

// finish folds the rest of a DROP's move.
func finish(agenda *actors.Agenda, old events.DropID, to events.HostID) {
	spec, _ := agenda.State().SpecOf(old)
	place(agenda, policy.DropIDOf(spec.Environment, 2), to, spec)
	fold(agenda, old.Stream(), events.DropRetirementRequested{Drop: old})
	from := events.HostID("00000000000000000000000000000001")
	fold(agenda, from.Stream(), events.DropDismissed{Host: from, Drop: old})
	fold(agenda, old.Stream(), events.DropRetired{Drop: old})
}
