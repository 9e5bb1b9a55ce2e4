package simulations

import (
	"fmt"
	"strconv"
	"time"

	"pantheon/actors/environment"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
	"pantheon/simulations/check"
)

// founded is a cell as it stands at the beginning of a large run. To create a
// hundred thousand sites command by command would take longer than their day:
// here the log is written that their creation leaves, without what only the way
// there needs (workflows, failed attempts). Everything sleeps. Runs do not change
// it, so several can begin with it.
type founded struct {
	log       *memory.Log
	drops     map[events.HostID][]events.DropID
	bindings  map[events.HostID][]heldBinding
	revisions map[events.HostID]events.Revision
	routes    routing.State
	inventory inventory.State
	sites     int // that are there; the others are left for operators to create
	err       error
}

type heldBinding struct {
	id   events.BindingID
	spec events.BindingSpec
}

// founding writes the log.
type founding struct {
	*founded
	knobs   Knobs
	options Options
	tips    map[events.StreamID]events.Tip
	waiting map[events.HostID][]events.Event // of hosts, to be written together
	serial  int
}

// found builds the cell that a large run begins with.
func found(o Options) (*founded, error) {
	f := &founding{
		founded: &founded{log: memory.New(), drops: map[events.HostID][]events.DropID{}, bindings: map[events.HostID][]heldBinding{},
			revisions: map[events.HostID]events.Revision{}, sites: o.Sites - o.Sites/20},
		knobs: o.knobs(), options: o, tips: map[events.StreamID]events.Tip{}, waiting: map[events.HostID][]events.Event{},
	}
	if o.unplaced {
		f.sites = o.Sites
	}
	f.log.Grow(foundingPerSite*f.sites + 4*o.Hosts)
	for n := range o.Hosts {
		f.host(n)
	}
	for n := range f.sites {
		f.site(n)
	}
	for n := range o.Hosts {
		f.flush(hostIDOf(n))
	}
	f.fold()
	return f.founded, f.err
}

func hostIDOf(n int) events.HostID { return events.HostID(fmt.Sprintf("%032x", n+1)) }

// write appends a commit.
func (f *founding) write(to events.StreamID, list ...events.Event) {
	if f.err != nil {
		return
	}
	f.serial++
	meta := events.Meta{Command: events.CommandID("founding:" + strconv.Itoa(f.serial)), Principal: "policy/workflow", Gateway: "policy",
		Time: beginning().Add(-time.Hour)}
	var tip events.Tip
	if tip, f.err = f.log.Write(f.tips[to], events.Commit{Stream: to, Meta: meta, Events: list}); f.err == nil && to.Kind == events.KindHost {
		f.tips[to] = tip // of the others there is one commit each
	}
}

func (f *founding) host(n int) {
	id := hostIDOf(n)
	port := int(firstNode) + f.knobs.Nodes + f.knobs.Routers + n
	f.write(id.Stream(), registered(id, f.options.hostNames()[n], f.knobs.HostMiB), events.HostAddressesChanged{Host: id, Addresses: []string{addressOf(0, port)}},
		events.HostSoftwareChanged{Host: id, Protocol: simulatedProtocol, PHP: simulatedPHP()})
}

// admits has a host hold something, with its next commit.
func (f *founding) admits(on events.HostID, event events.Event) {
	f.waiting[on] = append(f.waiting[on], event)
	if len(f.waiting[on]) == events.MaxCommitEvents {
		f.flush(on)
	}
}

func (f *founding) flush(on events.HostID) {
	if len(f.waiting[on]) > 0 {
		f.write(on.Stream(), f.waiting[on]...)
		f.waiting[on] = nil
	}
	f.revisions[on] = f.tips[on.Stream()].Revision
}

// site writes one site with its services on one host, and its DROPs: the first
// beside them, a second one elsewhere.
func (f *founding) site(n int) {
	s := newSite(n)
	data := hostIDOf(n % f.options.Hosts)
	source := events.CodeSource{Location: "/srv/code/drupal"}
	settings := environment.DefaultSettings("dev")
	settings.MemoryMiB, settings.IdleAfterSeconds = f.knobs.DropMiB, int64(f.knobs.IdleAfter/time.Second)
	settings.WebDocroot, settings.ProtectedWebPaths = true, []string{"/private/"}
	if f.options.Hosts > 1 && float64(hashText(f.options.Seed, s.name)%1000) < 1000*f.knobs.TwoDrops {
		settings.Drops = 2
	}
	name := events.UniqueName(events.SpaceSite, s.name)
	f.write(name.Stream(), events.NameClaimed{Name: name, By: s.id.Stream().String()})
	f.write(s.id.Stream(), events.SiteCreated{Site: s.id, Name: s.name, Label: s.name, Owner: "00000000-0000-4000-8000-000000000000",
		Upstream: "00000000-0000-4000-8000-000000000001", Framework: events.Drupal, Source: source}, events.SiteActivated{Site: s.id})
	uid := events.FirstUID + uint32(n)
	spec := events.DropSpec{Generation: 1, Environment: s.env, SiteName: s.name, Framework: events.Drupal, UID: uid,
		Commit: codeOf(source).Commit, Deployment: 1, Seed: 1, Settings: settings}
	f.write(s.env.Stream(), events.EnvironmentCreated{Environment: s.env, SiteName: s.name, Framework: events.Drupal, UID: uid, Settings: settings},
		events.CodeDeployed{Environment: s.env, Commit: spec.Commit, Message: "Site created", Deployment: 1})
	for _, b := range []events.BindingSpec{
		{Kind: events.CodeServer, Site: s.id, Source: source, MemoryMiB: 1},
		{Kind: events.DBServer, Site: s.id, Environment: s.env, MemoryMiB: 8, Credential: 1},
		{Kind: events.FileServer, Site: s.id, Environment: s.env, MemoryMiB: 1, UID: uid, Framework: events.Drupal},
	} {
		spec.Services = append(spec.Services, f.binding(b, data))
	}
	for i := range settings.Drops {
		on := hostIDOf((n + i*(f.options.Hosts/2)) % f.options.Hosts)
		f.drop(policy.DropIDOf(s.env, i), spec, on)
	}
}

func (f *founding) binding(spec events.BindingSpec, on events.HostID) events.BoundService {
	owner, code := string(spec.Environment), (*events.CodeFacts)(nil)
	if spec.Kind == events.CodeServer {
		owner, code = string(spec.Site), codeOf(spec.Source)
	}
	id := policy.BindingIDOf(spec.Kind, owner)
	f.write(id.Stream(), events.BindingRequested{Binding: id, Spec: spec}, events.BindingPlaced{Binding: id, Host: on},
		events.BindingProvisioned{Binding: id, Host: on, Code: code})
	f.admits(on, events.BindingAdmitted{Host: on, Binding: id, Spec: spec})
	f.bindings[on] = append(f.bindings[on], heldBinding{id, spec})
	return events.BoundService{Kind: spec.Kind, Binding: id, Host: on}
}

func (f *founding) drop(id events.DropID, spec events.DropSpec, on events.HostID) {
	if f.options.unplaced {
		return
	}
	f.write(id.Stream(), events.DropRequested{Drop: id, Environment: spec.Environment, MemoryMiB: spec.Settings.MemoryMiB},
		events.DropPlaced{Drop: id, Environment: spec.Environment, Host: on}, events.DropReady{Drop: id, Host: on, Generation: 1})
	f.admits(on, events.DropAdmitted{Host: on, Drop: id, Spec: spec})
	f.drops[on] = append(f.drops[on], id)
}

// fold makes the views of it once: every router and every person begins with
// them.
func (f *founding) fold() {
	routes, all := routing.Empty(domain).Edit(), inventory.State{}.Edit()
	for _, envelope := range f.log.Commits() {
		routes, all = routes.Apply(envelope), all.Apply(envelope)
	}
	f.routes, f.inventory = routes.Seal(), all.Seal()
}

// base is where a refold of the log begins for the views, as the live ones do.
func (f *founded) base() check.Base {
	if f == nil {
		return check.Base{Routing: routing.Empty(domain)}
	}
	return check.Base{Position: events.Position(len(f.log.Commits())), Routing: f.routes, Inventory: f.inventory}
}

// found fills the log with what was there before, and the checkers' books.
func (l *cellLog) found(f *founded) {
	l.memory = f.log.Clone()
	l.memory.Grow(commitsPerSite * f.sites)
	l.all = l.memory.Commits()
	for _, envelope := range l.all {
		l.ledger.Past(envelope, -time.Hour)
		l.zone.Past(envelope)
		l.history.Past(envelope.Stream, envelope.Revision)
		l.placements.Past(envelope)
	}
	l.trace.step(l.now, "founded", l.all[len(l.all)-1].Hash.String(), "", int64(len(l.all)))
}

// has puts on the machine's disk what the log says that it holds.
func (m *host) has(f *founded) {
	for _, id := range f.drops[m.id] {
		m.drops[id] = dropMarker{1, true}
	}
	for _, b := range f.bindings[m.id] {
		m.bindings[b.id] = bindingMarker{spec: b.spec, reported: true}
	}
	m.revision = f.revisions[m.id]
}
