package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/name"
	"pantheon/events"
)

// Intent is a command that would close a gap.
type Intent struct {
	// Key is the command's id but for its prefix: the same gap has the same
	// key, another gap another.
	Key     string
	Policy  string // placement, rollout, workflow, hostloss, renewal, retirement
	To      events.StreamID
	Command any
	Cause   events.Position
	Site    events.SiteID
	// Step and Workflow are set where a refusal means that this step can never
	// be done.
	Workflow events.WorkflowID
	Step     events.WorkflowStep
	// Placement is the host that was chosen, where one was.
	Placement events.HostID
}

// Gap names what the intent would close, whichever host was chosen for it: two
// intents of one gap contradict each other.
func (i Intent) Gap() string {
	if i.Placement == "" {
		return i.Key
	}
	return strings.TrimSuffix(i.Key, placementSuffix(i.Placement))
}

// Plan gives the intents of every site that changed since the last call, in a
// fixed order. Sites for which it gives any are looked at again by the next
// Apply that touches them, or by Again.
func (s *State) Plan() []Intent {
	var intents []Intent
	for _, id := range slices.Sorted(maps.Keys(s.dirty)) {
		intents = append(intents, s.planSite(id)...)
	}
	s.dirty = map[events.SiteID]bool{} // one that was large once is slow to look through for ever
	for _, key := range slices.Sorted(maps.Keys(s.Strays)) {
		intents = append(intents, s.Strays[key].dismissal())
	}
	return intents
}

// dismissal is rule 7.
func (s stray) dismissal() Intent {
	intent := Intent{Policy: "retirement", To: s.Host.Stream(), Cause: s.At}
	if s.Drop != "" {
		intent.Key, intent.Command = fmt.Sprintf("stray/%s/%d", s.Drop, s.At), host.DismissDrop{Drop: s.Drop, Reason: "another host has it, or it is retired"}
	} else {
		intent.Key, intent.Command = fmt.Sprintf("stray/%s/%d", s.Binding, s.At), host.DismissBinding{Binding: s.Binding}
	}
	return intent
}

// Again lets the next Plan look at a site once more, after an intent of it
// failed.
func (s *State) Again(id events.SiteID) { s.dirty[id] = true }

// Refuse notes that the host of a placement would not take it, and why;
// another is chosen until something changes on any host.
func (s *State) Refuse(intent Intent, reason string) {
	subject := intent.Gap()
	if s.refusals[subject] == nil {
		s.refusals[subject] = map[events.HostID]string{}
	}
	s.refusals[subject][intent.Placement] = reason
	s.dirty[intent.Site] = true
}

// unplaceable says that nobody can take what subject stands for, and why: every
// host there is has refused it, lacks the version of PHP, or is being drained. A
// host that is lost may come back, and a cell without hosts gets some: that is
// waited for.
func (p *planner) unplaceable(d *dropState, subject string) (reason string, refused bool) {
	refusals := p.refusals[subject]
	if _, found := p.choose(d, refusals); found {
		return "", false
	}
	if d != nil && p.lackedByAll(p.php(d)) {
		return "no host has PHP " + p.php(d), true
	}
	if len(refusals) > 0 {
		return refusals[slices.Min(slices.Collect(maps.Keys(refusals)))], true
	}
	for _, h := range p.Hosts { // any will do
		if h.Draining && !h.Lost && !h.Closed {
			return "no host takes anything new: every one is being drained", true
		}
	}
	return "", false
}

// planner gathers the intents of one site.
type planner struct {
	*State
	id       events.SiteID
	site     *siteState
	intents  []Intent
	unplaced bool
}

func (s *State) planSite(id events.SiteID) []Intent {
	known := s.Sites[id]
	if known == nil {
		return nil
	}
	p := &planner{State: s, id: id, site: known}
	p.planWorkflows()
	p.planRetirement()
	p.planLeftovers()
	for _, b := range known.Bindings {
		p.planBinding(b)
	}
	for _, env := range known.Environments {
		p.planStale(env)
		p.planDropCount(env)
	}
	for _, d := range known.Drops {
		p.planDrop(d)
	}
	if p.unplaced {
		s.Unplaced[id] = true
	} else {
		delete(s.Unplaced, id)
	}
	if known.Deleted && len(known.Drops)+len(known.Bindings)+len(known.Workflows) == 0 {
		*known = siteState{Deleted: true, Names: known.Names, Environments: known.Environments, Last: known.Last}
	}
	return p.intents
}

func (p *planner) want(policy, key string, to events.StreamID, command any) *Intent {
	p.intents = append(p.intents, Intent{Key: key, Policy: policy, To: to, Command: command, Cause: p.site.Last, Site: p.id})
	return &p.intents[len(p.intents)-1]
}

// leaving says whether the environment, or its whole site, is being deleted.
func (p *planner) leaving(id events.EnvironmentID) bool {
	if p.site.Deleting || p.site.Deleted {
		return true
	}
	env := p.site.environment(id)
	return env != nil && env.Deleting
}

// planRetirement is rule 2: DROPs first; bindings once no DROP uses them.
func (p *planner) planRetirement() {
	used := map[events.EnvironmentID]bool{}
	for _, d := range p.site.Drops {
		used[d.Environment] = true
		if p.leaving(d.Environment) && !d.Retiring {
			p.want("retirement", fmt.Sprintf("retire/%s", d.ID), d.ID.Stream(), drop.RequestRetirement{})
		}
	}
	for _, b := range p.site.Bindings {
		siteWide := b.Spec.Environment == ""
		leaving := p.site.Deleting || p.site.Deleted || (!siteWide && p.leaving(b.Spec.Environment))
		inUse := used[b.Spec.Environment] || (siteWide && len(p.site.Drops) > 0)
		if leaving && !inUse && !b.Retiring {
			p.want("retirement", fmt.Sprintf("retire/%s", b.ID), b.ID.Stream(), binding.RequestRetirement{})
		}
	}
}

// planLeftovers is rule 8: of a site that is gone, or never came, nothing stays.
// What is left was on its way when the last workflow ended.
func (p *planner) planLeftovers() {
	if len(p.site.Workflows) > 0 || p.site.Created && !p.site.Deleted {
		return
	}
	for _, held := range p.site.Names {
		p.want("retirement", fmt.Sprintf("release/%s/%d", held.Name, held.At), held.Name.Stream(),
			name.Release{Name: held.Name, By: p.id.Stream().String()})
	}
	for _, env := range p.site.Environments {
		id := env.Created.Environment
		if env.Deleting {
			p.want("retirement", "delete/"+string(id), id.Stream(), environment.Delete{})
		} else {
			p.want("retirement", "leave/"+string(id), id.Stream(), environment.RequestDeletion{})
		}
	}
}

func (b *bindingState) key() string { return fmt.Sprintf("%s/%s", b.Spec.Kind, b.ID) }

func (d *dropState) key() string { return fmt.Sprintf("%s/%d", d.ID, d.Placements) }

// planBinding is rule 3 for bindings, and their way out.
func (p *planner) planBinding(b *bindingState) {
	key := b.key()
	switch {
	case b.Host != "" && p.Hosts[b.Host].Gone && !b.Lost:
		p.want("hostloss", "lose/"+key, b.ID.Stream(), binding.Lose{Host: b.Host})
	case b.Lost && b.Retiring:
		p.want("retirement", "retired/"+key, b.ID.Stream(), binding.Retire{})
	case b.Lost:
		p.planRenewal(b)
	case b.Dismissed: // its host reports when it is gone
	case b.Admitted != "" && b.Host == "": // also on its way out: its host will report
		p.want("placement", "placed/"+key, b.ID.Stream(), binding.Place{Host: b.Admitted})
	case b.Retiring && b.Admitted == "":
		p.want("retirement", "retired/"+key, b.ID.Stream(), binding.Retire{})
	case b.Retiring:
		p.want("retirement", "dismiss/"+key, b.Admitted.Stream(), host.DismissBinding{Binding: b.ID})
	case b.Admitted == "":
		p.place(nil, "admit/"+key, host.AdmitBinding{Binding: b.ID, Spec: b.Spec})
	}
}

// planRenewal is rule 9: when the other binding is on its way, the lost one
// leaves.
func (p *planner) planRenewal(b *bindingState) {
	owner := b.Spec.Environment
	next := BindingIDOf(b.Spec.Kind, string(b.ID))
	switch {
	case !b.Renewing || p.site.Deleting || p.site.Deleted || owner != "" && p.leaving(owner):
	case p.Bindings[next] == "":
		p.want("renewal", "renew/"+b.key(), next.Stream(), binding.Request{Binding: next, Spec: b.Spec})
	default:
		p.want("renewal", "replaced/"+b.key(), b.ID.Stream(), binding.RequestRetirement{})
	}
}

// planStale is the rest of rule 9: a release that no host has is nowhere any
// more.
func (p *planner) planStale(env *environmentState) {
	id := env.Created.Environment
	if !env.Stale || p.leaving(id) || slices.ContainsFunc(p.site.Drops, func(d *dropState) bool { return d.Environment == id && d.Ready > 0 }) {
		return
	}
	if server := p.site.binding(events.CodeServer, ""); server != nil && server.Code != nil {
		p.want("renewal", fmt.Sprintf("deploy/%s/%s", id, server.ID), id.Stream(),
			environment.Deploy{Commit: server.Code.Commit, Message: "Code imported anew"})
	}
}

// planDropCount is rule 4. Ids of DROPs are derived from how many the
// environment has ever asked for, so that asking twice asks for the same one.
//
// A DROP that is to leave its host serves on until the environment has enough
// that are ready elsewhere: a move makes before it breaks.
func (p *planner) planDropCount(env *environmentState) {
	id := env.Created.Environment
	if p.leaving(id) || env.Commit == "" || !p.served(id) {
		return
	}
	var staying, moving []*dropState
	ready := 0
	for _, d := range p.site.Drops {
		switch {
		case d.Environment != id || d.Retiring:
		case p.toLeave(d):
			moving = append(moving, d)
		default:
			staying = append(staying, d)
			if p.ready(d) {
				ready++
			}
		}
	}
	p.retireBeyond(env, staying, env.Settings.Drops)
	p.retireBeyond(env, moving, env.Settings.Drops-ready)
	// One at a time: the number of the next id is known when this one is there.
	if len(staying) < env.Settings.Drops {
		next := DropIDOf(id, env.Requested)
		p.want("placement", "request/"+string(next), next.Stream(),
			drop.Request{Drop: next, Environment: id, MemoryMiB: env.Settings.MemoryMiB})
	}
}

// toLeave says whether another DROP is to take this one's place.
func (p *planner) toLeave(d *dropState) bool {
	return d.Moving || d.Admitted != "" && p.Hosts[d.Admitted].Draining || p.misplaced(d)
}

// ready says whether a request would be served by the DROP.
func (p *planner) ready(d *dropState) bool {
	return d.Host != "" && d.Host == d.Admitted && d.Ready > 0 && !p.Hosts[d.Host].Lost
}

// served says whether every service an environment's DROPs need is there.
func (p *planner) served(id events.EnvironmentID) bool {
	return p.provisioned(events.DBServer, id) && p.provisioned(events.FileServer, id)
}

func (p *planner) provisioned(kind events.BindingKind, id events.EnvironmentID) bool {
	b := p.site.binding(kind, id)
	return b != nil && b.Provisioned
}

func (s *siteState) binding(kind events.BindingKind, id events.EnvironmentID) *bindingState {
	for _, b := range s.Bindings {
		if b.Spec.Kind == kind && b.Spec.Environment == id && !b.Retiring && !b.Lost {
			return b
		}
	}
	return nil
}

// planDrop is rules 3, 5 and 6 for one DROP.
func (p *planner) planDrop(d *dropState) {
	spec, complete := p.spec(d)
	lost := d.Admitted != "" && p.Hosts[d.Admitted].Lost && !d.hasDataOn(d.Admitted)
	key := d.key()
	switch {
	case d.Retiring && d.Admitted != "":
		p.want("retirement", "dismiss/"+key, d.Admitted.Stream(), host.DismissDrop{Drop: d.ID, Reason: "retired"})
	case d.Retiring:
		p.want("retirement", "retired/"+string(d.ID), d.ID.Stream(), drop.Retire{})
	case lost:
		p.want("hostloss", "dismiss/"+key, d.Admitted.Stream(), host.DismissDrop{Drop: d.ID, Reason: "the host is lost"})
	case d.Host != "" && d.Host != d.Admitted:
		p.want("hostloss", fmt.Sprintf("displace/%s/%d", d.ID, d.Placements), d.ID.Stream(),
			drop.Displace{Host: d.Host, Reason: "the host has given the DROP up"})
	case !complete:
	case d.Admitted == "":
		p.place(d, "admit/"+key, host.AdmitDrop{Drop: d.ID, Spec: spec})
	case d.Host == "":
		p.want("placement", "placed/"+key, d.ID.Stream(), drop.Place{Host: d.Admitted})
	case !sameSpec(spec, d.Spec) && !p.Hosts[d.Admitted].lacks(spec.Settings.PHPVersion): // it serves on as it is until another one does
		p.want("rollout", fmt.Sprintf("spec/%s/%d", d.ID, spec.Generation), d.Admitted.Stream(), host.ChangeDropSpec{Drop: d.ID, Spec: spec})
	}
}

// hasDataOn says whether the database or the files of the DROP are on a host.
// The host's own fence lets it serve such a DROP whether or not it is in touch
// with its cell, by the same rule and the same spec: nobody else may have it. A
// service that names no host is of the time when there was only one.
func (d *dropState) hasDataOn(host events.HostID) bool {
	return slices.ContainsFunc(d.Spec.Services, func(service events.BoundService) bool {
		data := service.Kind == events.DBServer || service.Kind == events.FileServer
		return data && (service.Host == "" || service.Host == host)
	})
}

// spec composes what the DROP shall be; false while its environment is not
// ready for one.
func (p *planner) spec(d *dropState) (events.DropSpec, bool) {
	env := p.site.environment(d.Environment)
	if env == nil || env.Commit == "" || p.leaving(d.Environment) {
		return events.DropSpec{}, false
	}
	spec := events.DropSpec{
		Generation:  d.Spec.Generation + 1,
		Environment: d.Environment,
		SiteName:    env.Created.SiteName,
		Framework:   env.Created.Framework,
		UID:         env.Created.UID,
		Commit:      env.Commit,
		Deployment:  env.Deployment,
		Seed:        env.Seed,
		Settings:    env.Settings,
	}
	for _, b := range p.site.Bindings {
		if b.Host != "" && !b.Retiring && !b.Lost && (b.Spec.Environment == d.Environment || b.Spec.Environment == "") {
			spec.Services = append(spec.Services, events.BoundService{Kind: b.Spec.Kind, Binding: b.ID, Host: b.Host})
		}
	}
	slices.SortFunc(spec.Services, func(a, b events.BoundService) int {
		if a.Kind != b.Kind {
			return compare(string(a.Kind), string(b.Kind))
		}
		return compare(string(a.Binding), string(b.Binding))
	})
	return spec, p.served(d.Environment)
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// sameSpec says whether a DROP may go on as it is. How many others there are is
// no concern of it: scaling restarts nothing.
func sameSpec(a, b events.DropSpec) bool {
	a.Generation, a.Settings.Drops = b.Generation, b.Settings.Drops
	return reflect.DeepEqual(a, b)
}

// place wants something admitted by the best host that has not refused it: a
// DROP, or where d is nil a binding.
func (p *planner) place(d *dropState, subject string, command any) {
	p.unplaced = true
	chosen, found := p.choose(d, p.refusals[subject])
	if !found {
		return
	}
	intent := p.want("placement", subject+placementSuffix(chosen), chosen.Stream(), command)
	intent.Placement = chosen
}

func placementSuffix(chosen events.HostID) string { return "@" + string(chosen) }

// DropIDOf derives the id of an environment's nth DROP, counted from 0.
func DropIDOf(id events.EnvironmentID, n int) events.DropID {
	return events.DropID(derived("drop", string(id), n))
}

// BindingIDOf derives the id of an environment's (or, for a code server, a
// site's) binding of a kind.
func BindingIDOf(kind events.BindingKind, owner string) events.BindingID {
	return events.BindingID(derived(string(kind), owner, 0))
}

func derived(kind, owner string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", kind, owner, n))
	return hex.EncodeToString(sum[:16])
}
