package simulations

import (
	"fmt"
	"time"

	"pantheon/actors/environment"
	actorhost "pantheon/actors/host"
	"pantheon/actors/name"
	actorsite "pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// operators are people with the command line: they want things, send the same
// command again when no answer comes, and make mistakes.
type operators struct {
	*World
	random  chance
	serial  int
	open    int // wishes without a definite answer
	stop    bool
	created int // sites asked for so far
}

// wish is one thing that somebody wants, sent until the answer is definite.
type wish struct {
	id       events.CommandID
	serial   int
	to       events.StreamID
	command  any
	attempts int
	repeated bool // once more, later
	then     func(events.Receipt, error)
}

// want sends a wish.
func (o *operators) want(to events.StreamID, command any, then func(events.Receipt, error)) {
	o.serial++
	o.open++
	w := &wish{id: events.CommandID(fmt.Sprintf("%soperator:%d", o.ids, o.serial)), serial: o.serial, to: to, command: command, then: then}
	w.repeated = o.random.yes(o.knobs.Repeats)
	o.send(w, time.Second)
	if w.repeated {
		o.after(o.random.between(0, time.Minute), func() { o.again(w) })
	}
}

func (o *operators) meta(w *wish) events.Meta {
	return events.Meta{Command: o.seams.wish(w), Principal: "account/00000000-0000-4000-8000-000000000000", Gateway: "cli",
		Address: fmt.Sprintf("192.0.2.1:%d", w.serial)}
}

func (o *operators) send(w *wish, delay time.Duration) {
	w.attempts++
	attempt := w.attempts
	meta := o.meta(w)
	o.trace.step(o.now, "command", string(w.id), fmt.Sprintf("%T", w.command), int64(attempt))
	o.do(operatorEndpoint, meta, w.to, w.command, func(receipt events.Receipt, err error) {
		o.acknowledged(meta.Command, receipt, err)
		if err != nil && retriable(problem.KindOf(err)) && !o.inVain(w.to) {
			o.stats.refusals++
			o.after(delay, func() { o.send(w, min(2*delay, 30*time.Second)) })
			return
		}
		o.open--
		if err != nil && w.attempts == 1 && o.knobs.Duplicate == 0 && !w.repeated {
			o.ledger.Refused(w.to, meta.Command, err)
		}
		if w.then != nil {
			w.then(receipt, err)
		}
	})
}

// inVain says whether a command is for a machine that never comes back.
func (o *operators) inVain(to events.StreamID) bool {
	m := o.machineOf[events.HostID(to.ID)]
	return to.Kind == events.KindHost && m != nil && m.gone
}

// again is the same command once more, as from a script that was run twice.
func (o *operators) again(w *wish) {
	meta := o.meta(w)
	o.do(operatorEndpoint, meta, w.to, w.command, func(receipt events.Receipt, err error) {
		o.acknowledged(meta.Command, receipt, err)
	})
}

// create asks for the next site.
func (o *operators) create() {
	if o.created >= len(o.sites) {
		return
	}
	s := o.sites[o.created]
	o.created++
	location := "/srv/code/drupal"
	if o.random.yes(o.knobs.ImportFails) {
		location = "/srv/code/missing"
	}
	settings := environment.DefaultSettings("dev")
	settings.MemoryMiB = o.knobs.DropMiB
	settings.IdleAfterSeconds = int64(o.knobs.IdleAfter / time.Second)
	if o.random.yes(o.knobs.TwoDrops) {
		settings.Drops = 2
	}
	id := events.WorkflowID(fmt.Sprintf("%08x-0000-4000-9000-%012x", s.n, o.serial+1))
	o.want(id.Stream(), workflow.Start{
		Workflow: id, Type: events.WorkflowCreateSite, Description: "Create site " + s.name, Site: s.id, Environment: s.env,
		Create: &events.CreateSite{Name: s.name, Label: s.name, Framework: events.Drupal, Owner: "00000000-0000-4000-8000-000000000000",
			Upstream: "00000000-0000-4000-8000-000000000001", Source: events.CodeSource{Location: location}, Settings: settings},
	}, func(_ events.Receipt, err error) {
		if err == nil {
			s.asked = true
			o.visitors.begin(s)
		}
	})
}

// codeOf is what a code server finds in its repository.
func codeOf(source events.CodeSource) *events.CodeFacts {
	return &events.CodeFacts{Commit: fmt.Sprintf("%040x", len(source.Location)), WebDocroot: true, ProtectedWebPaths: []string{"/private/"}}
}

// act is one thing that an operator does now and then.
func (o *operators) act() {
	s := o.pick()
	if s == nil {
		return
	}
	switch n := o.random.IntN(100); {
	case n < 5:
		o.delete(s)
	case n < 10:
		o.create()
	case n < 35:
		o.deploy(s, false)
	case n < 60:
		o.settings(s)
	case n < 70:
		o.order(s)
	case n < 73:
		o.want(s.env.Stream(), environment.RotateSeed{}, nil)
	case n < 78:
		o.domain(s)
	default:
		o.mistake(s)
	}
}

// pick chooses a site that was asked for and is not leaving.
func (o *operators) pick() *site {
	for range 20 {
		if s := o.sites[o.random.IntN(len(o.sites))]; s.asked && !s.leaving {
			return s
		}
	}
	return nil
}

// delete asks for a site's end. Nobody does where its data is on a machine that
// is gone for good: the deletion would wait for that machine's word.
func (o *operators) delete(s *site) {
	if o.bereft(s) {
		return
	}
	s.leaving = true
	id := events.WorkflowID(fmt.Sprintf("%08x-0000-4000-a000-%012x", s.n, o.serial+1))
	o.want(id.Stream(), workflow.Start{Workflow: id, Type: events.WorkflowDeleteSite, Description: "Delete site " + s.name, Site: s.id}, nil)
}

func (o *operators) deploy(s *site, force bool) {
	o.want(s.env.Stream(), environment.Deploy{Commit: fmt.Sprintf("%040x", o.serial+1000), Message: "Deploy", Force: force}, nil)
}

// settings changes one thing of an environment and keeps the rest.
func (o *operators) settings(s *site) {
	known, found := o.inventory.now().Environment(s.env)
	if !found || known.Settings.PHPVersion == "" {
		return
	}
	var change environment.SettingsChange
	switch o.random.IntN(4) {
	case 0:
		change.Drops = new(o.random.IntN(4))
	case 1:
		change.MemoryMiB = new(o.knobs.DropMiB * (1 + o.random.IntN(2)))
		if o.random.yes(0.1) { // more than any machine has
			*change.MemoryMiB = min(o.knobs.HostMiB, environment.MaxMemoryMiB)
		}
	case 2:
		change.IdleAfterSeconds = new(60 * (1 + o.random.Int64N(120)))
	case 3:
		change.Workers = new(1 + o.random.IntN(16))
	}
	o.want(s.env.Stream(), environment.ChangeSettings{Change: change}, nil)
}

// domain gives a site a further host name, or takes it away.
func (o *operators) domain(s *site) {
	claim := events.UniqueName(events.SpaceHost, fmt.Sprintf("www.shop-%d.%s", s.n, domain))
	if o.random.yes(0.4) {
		o.want(claim.Stream(), name.Release{Name: claim, By: s.env.Stream().String()}, nil)
		return
	}
	o.want(claim.Stream(), name.Claim{Name: claim, By: s.env.Stream().String()}, nil)
}

// order puts a DROP to sleep or wakes it.
func (o *operators) order(s *site) {
	for _, d := range o.inventory.now().Drops(s.env) {
		if d.Host == "" {
			continue
		}
		var command any = actorhost.OrderWake{Drop: d.ID}
		if o.random.yes(0.5) {
			command = actorhost.OrderSleep{Drop: d.ID}
		}
		o.want(d.Host.Stream(), command, nil)
		return
	}
}

// mistake is a command that has to be refused, or does nothing.
func (o *operators) mistake(s *site) {
	switch o.random.IntN(6) {
	case 0:
		o.want(s.env.Stream(), environment.Deploy{Commit: "main"}, nil)
	case 1:
		o.want(s.env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{PHPVersion: new("8"), Drops: new(-1)}}, nil)
	case 2:
		o.want(s.id.Stream(), actorsite.Delete{}, nil)
	case 3: // a name that is taken
		if known, found := o.inventory.now().SiteByName(s.name); !found || known.ID != s.id || known.Status != inventory.Active {
			return
		}
		claim := events.UniqueName(events.SpaceSite, s.name)
		o.want(claim.Stream(), name.Claim{Name: claim, By: o.sites[0].id.Stream().String()}, nil)
	case 4: // a second site of the same name
		id := events.WorkflowID(fmt.Sprintf("%08x-0000-4000-b000-%012x", s.n, o.serial+1))
		twin := events.SiteID(fmt.Sprintf("%08x-0000-4000-b000-%012x", s.n, o.serial+1))
		o.want(id.Stream(), workflow.Start{
			Workflow: id, Type: events.WorkflowCreateSite, Description: "Create " + s.name + " again", Site: twin, Environment: events.EnvironmentOf(twin, "dev"),
			Create: &events.CreateSite{Name: s.name, Label: s.name, Framework: events.Drupal, Source: events.CodeSource{Location: "/srv/code/drupal"}, Settings: environment.DefaultSettings("dev")},
		}, nil)
	case 5:
		unknown := newSite(1 << 24)
		o.want(unknown.env.Stream(), environment.RotateSeed{}, nil)
	}
}

// scale sets how many DROPs serve a site.
func (o *operators) scale(s *site, drops int) {
	if known, found := o.inventory.now().Environment(s.env); found && known.Settings.PHPVersion != "" {
		o.want(s.env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}}, nil)
	}
}
