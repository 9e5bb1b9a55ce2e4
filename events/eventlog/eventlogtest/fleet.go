package eventlogtest

import (
	"fmt"
	"iter"
	"time"

	"pantheon/events"
)

// FleetHosts is the number of hosts of a Fleet.
const FleetHosts = 4

// FleetCommits is the number of commits that each site of a Fleet adds, in
// eight streams of its own and one of a host.
const FleetCommits = 44

// Fleet gives the history of a cell with that many sites, each created by a
// workflow and then woken and put to sleep a few times. The same call gives
// the same commits. It is a load for benchmarks, not a story: nothing of it
// was decided by an actor.
func Fleet(sites int) iter.Seq[events.Commit] {
	return func(yield func(events.Commit) bool) {
		f := &fleet{yield: yield, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		for h := range FleetHosts {
			f.put(fleetHost(h).Stream(), events.HostRegistered{
				Host: fleetHost(h), Name: fmt.Sprintf("host-%d", h), MemoryMiB: 24 << 10, Cores: 8, Isolated: true, Version: "test",
			})
		}
		for n := 0; n < sites && !f.left; n++ {
			f.site(n)
		}
	}
}

type fleet struct {
	yield func(events.Commit) bool
	left  bool
	count int
	now   time.Time
}

func (f *fleet) put(stream events.StreamID, list ...events.Event) {
	if f.left {
		return
	}
	f.count++
	f.now = f.now.Add(137 * time.Millisecond)
	meta := events.Meta{
		Command: events.CommandID(fmt.Sprintf("5d0e7a52-0b3e-4b8a-8d7e-%012x", f.count)), Principal: "policy/fleet",
		Gateway: "policy", Cause: events.Position(f.count - 1), Time: f.now,
	}
	f.left = !f.yield(events.Commit{Stream: stream, Meta: meta, Events: list})
}

func fleetHost(n int) events.HostID { return events.HostID(fmt.Sprintf("%032x", 1<<20+n)) }

// FleetSite gives the id of the n-th site, and FleetSiteName its name.
func FleetSite(n int) events.SiteID {
	return events.SiteID(fmt.Sprintf("3b5a1a52-0b3e-4b8a-8d7e-%012x", n))
}

// FleetSiteName gives the name of the n-th site.
func FleetSiteName(n int) string { return fmt.Sprintf("site-%06d", n) }

func (f *fleet) site(n int) {
	site, name, host := FleetSite(n), FleetSiteName(n), fleetHost(n%FleetHosts)
	env := events.EnvironmentOf(site, "dev")
	owner := events.AccountID(fmt.Sprintf("c1f0a7de-6d0b-4c1e-8f4e-%012x", n/10))
	upstream := events.UpstreamID("0a0a7a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f")
	workflow := events.WorkflowID(fmt.Sprintf("9d3c6d0e-51f6-4a1b-9a53-%012x", n))
	source := events.CodeSource{Location: "/usr/share/wordpress"}
	settings := events.EnvironmentSettings{
		PHPVersion: "8.2", Connection: events.ConnectionGit, Drops: 1, Workers: 4, MemoryMiB: 256, IdleAfterSeconds: 900,
	}
	steps := []events.WorkflowStep{
		events.StepClaimName, events.StepCreateSite, events.StepCreateEnvironment, events.StepImportCode, events.StepCreateDatabase,
		events.StepCreateFiles, events.StepDeployCode, events.StepPlaceDrop, events.StepActivateSite,
	}
	f.put(workflow.Stream(), events.WorkflowStarted{
		Workflow: workflow, Type: events.WorkflowCreateSite, Description: "Create site " + name, Site: site, Environment: env, Steps: steps,
		Create: &events.CreateSite{Name: name, Label: "Site " + name, Owner: owner, Upstream: upstream, Framework: events.WordPress, Source: source, Settings: settings},
	})
	unique := events.UniqueName(events.SpaceSite, name)
	f.put(unique.Stream(), events.NameClaimed{Name: unique, By: site.Stream().String()})
	f.put(site.Stream(), events.SiteCreated{Site: site, Name: name, Label: "Site " + name, Owner: owner, Upstream: upstream, Framework: events.WordPress, Source: source})
	f.put(env.Stream(), events.EnvironmentCreated{Environment: env, SiteName: name, Framework: events.WordPress, UID: events.FirstUID + uint32(n), Settings: settings})
	var services []events.BoundService
	for k, kind := range []events.BindingKind{events.CodeServer, events.DBServer, events.FileServer} {
		services = append(services, f.binding(n, k, kind, env, host))
	}
	f.put(env.Stream(), events.CodeDeployed{Environment: env, Commit: fmt.Sprintf("%040x", n), Message: "Initial code", Deployment: 1})
	f.drop(n, host, events.DropSpec{
		Generation: 1, Environment: env, SiteName: name, Framework: events.WordPress, UID: events.FirstUID + uint32(n),
		Commit: fmt.Sprintf("%040x", n), Deployment: 1, Settings: settings, Services: services,
	})
	f.put(site.Stream(), events.SiteActivated{Site: site})
	for _, step := range steps {
		f.put(workflow.Stream(), events.WorkflowStepDone{Workflow: workflow, Step: step})
	}
	f.put(workflow.Stream(), events.WorkflowSucceeded{Workflow: workflow})
}

func (f *fleet) binding(n, k int, kind events.BindingKind, env events.EnvironmentID, host events.HostID) events.BoundService {
	id := events.BindingID(fmt.Sprintf("%016x%016x", k+1, n))
	spec := events.BindingSpec{Kind: kind, Site: env.Site(), Environment: env, MemoryMiB: 64, Credential: 1}
	if kind == events.CodeServer {
		spec.Environment = ""
	}
	f.put(id.Stream(), events.BindingRequested{Binding: id, Spec: spec})
	f.put(host.Stream(), events.BindingAdmitted{Host: host, Binding: id, Spec: spec})
	f.put(id.Stream(), events.BindingPlaced{Binding: id, Host: host})
	f.put(id.Stream(), events.BindingProvisioned{Binding: id, Host: host})
	return events.BoundService{Kind: kind, Binding: id, Host: host}
}

// FleetDrop gives the id of the n-th site's DROP.
func FleetDrop(n int) events.DropID { return events.DropID(fmt.Sprintf("%032x", 1<<40+n)) }

func (f *fleet) drop(n int, host events.HostID, spec events.DropSpec) {
	id := FleetDrop(n)
	f.put(id.Stream(), events.DropRequested{Drop: id, Environment: spec.Environment, MemoryMiB: spec.Settings.MemoryMiB})
	f.put(host.Stream(), events.DropAdmitted{Host: host, Drop: id, Spec: spec})
	f.put(id.Stream(), events.DropPlaced{Drop: id, Environment: spec.Environment, Host: host})
	f.put(id.Stream(), events.DropReady{Drop: id, Host: host, Generation: 1})
	for range 6 {
		f.put(id.Stream(), events.DropAwoke{Drop: id, Host: host, Trigger: "http", DurationMS: 41})
		f.put(id.Stream(), events.DropSlept{Drop: id, Host: host, Trigger: "idle", IdleSeconds: 900})
	}
}
