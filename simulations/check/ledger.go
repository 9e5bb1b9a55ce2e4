package check

import (
	"maps"
	"slices"
	"strings"
	"time"

	"pantheon/events"
)

// Violate takes a broken promise: the rule's name and what happened.
type Violate func(rule, format string, args ...any)

// Bounds within which the cell must react.
type Bounds struct{ Serve, Route, Ready time.Duration }

// Move is a DROP that was placed again.
type Move struct {
	Drop        events.DropID
	Environment events.EnvironmentID
	From, To    events.HostID
	// At is when it was ready again, After how long it had been without a host
	// that lives.
	At, After time.Duration
}

// Ledger is the checkers' own book of the cell.
type Ledger struct {
	violate Violate
	bounds  Bounds

	hosts        map[events.HostID]*host
	drops        map[events.DropID]*drop
	bindings     map[events.BindingID]*binding
	environments map[events.EnvironmentID]*environment
	names        map[events.NameID]claim
	sites        map[events.SiteID]siteState
	workflows    map[events.WorkflowID]events.WorkflowStarted
	commands     map[uint64]struct{}
	wishes       map[string]events.Position
	refused      []refused
	moves        int
	moved        []Move
	orders       map[order]struct{}
	position     events.Position
	balance      balance
	rebalancings int
}

// order is a wish to wake or sleep, by its place in its host's stream.
type order struct {
	host     events.HostID
	revision events.Revision
	event    int
}

type siteState uint8

const (
	created siteState = iota + 1
	deleted
)

type host struct {
	id       events.HostID
	offered  int64 // KiB
	lost     bool
	lostAt   time.Duration
	reserved int64
	drops    map[events.DropID]int // memory limit in MiB
	bindings map[events.BindingID]int64
	sizes    map[int]int // how many DROPs of each limit
}

type drop struct {
	environment events.EnvironmentID
	host        events.HostID // as its own stream says
	placed      bool          // ever
	generation  int           // of the spec it was admitted with, newest
	ready       int           // reported for its host
	everReady   holders       // in the words of those hosts
	dismissed   []dismissal
	heldBy      holders
	retiring    bool
	retired     bool
	// away is since when it has had no host that lives, where it had one; from
	// is that one.
	away time.Duration
	from events.HostID
}

// dismissal is when a host gave a DROP up last.
type dismissal struct {
	host events.HostID
	at   time.Duration
}

// claim of a name; one that nobody but an operator asked for is theirs to keep.
type claim struct {
	by     string
	direct bool
}

type binding struct {
	spec        events.BindingSpec
	provisioned bool
	retired     bool
	heldBy      holders
}

// holders are the hosts that have admitted something, in order: one at rest.
type holders []events.HostID

func (h holders) has(id events.HostID) bool { return slices.Contains(h, id) }

func (h holders) with(id events.HostID) holders {
	if i, there := slices.BinarySearch(h, id); !there {
		return slices.Insert(h, i, id)
	}
	return h
}

func (h holders) without(id events.HostID) holders {
	if i, there := slices.BinarySearch(h, id); there {
		return slices.Delete(h, i, i+1)
	}
	return h
}

type environment struct {
	settings events.EnvironmentSettings
	deployed bool
	deleting bool
	drops    []events.DropID // in order, not retiring
	services Services
	// missing is when the first request came that no DROP was ready for; 0
	// where one is.
	missing time.Duration
}

// Services are the hosts that an environment's services are on, one of each kind.
type Services []struct {
	Kind events.BindingKind
	Host events.HostID
}

// Of gives the host of one kind; empty for none.
func (s Services) Of(kind events.BindingKind) events.HostID {
	for _, service := range s {
		if service.Kind == kind {
			return service.Host
		}
	}
	return ""
}

func (s Services) with(kind events.BindingKind, on events.HostID) Services {
	for i := range s {
		if s[i].Kind == kind {
			s[i].Host = on
			return s
		}
	}
	return append(s, Services{{kind, on}}...)
}

// NewLedger makes an empty book.
func NewLedger(violate Violate, bounds Bounds) *Ledger {
	return &Ledger{
		violate: violate, bounds: bounds,
		hosts: map[events.HostID]*host{}, drops: map[events.DropID]*drop{}, bindings: map[events.BindingID]*binding{},
		environments: map[events.EnvironmentID]*environment{}, names: map[events.NameID]claim{}, sites: map[events.SiteID]siteState{},
		workflows: map[events.WorkflowID]events.WorkflowStarted{}, commands: map[uint64]struct{}{}, wishes: map[string]events.Position{},
		orders: map[order]struct{}{},
	}
}

// Commit books one commit.
func (l *Ledger) Commit(envelope events.Envelope, now time.Duration) {
	l.wish(envelope)
	l.Past(envelope, now)
}

// Past books a commit from before the simulation: people's addresses tell
// nothing about their wishes there.
func (l *Ledger) Past(envelope events.Envelope, now time.Duration) {
	l.position = envelope.Position
	l.once(envelope)
	for _, event := range envelope.Events {
		l.rebalanced(envelope, event)
		switch envelope.Stream.Kind {
		case events.KindHost:
			l.host(events.HostID(envelope.Stream.ID), event, now)
		case events.KindDrop:
			l.drop(events.DropID(envelope.Stream.ID), event, now)
		case events.KindBinding:
			l.binding(events.BindingID(envelope.Stream.ID), event)
		case events.KindEnvironment:
			l.environment(events.EnvironmentID(envelope.Stream.ID), event)
		case events.KindSite, events.KindName, events.KindWorkflow:
			l.other(envelope, event)
		case events.KindAccount, events.KindZone:
		}
	}
}

// once: a command id has one commit in its stream.
func (l *Ledger) once(envelope events.Envelope) {
	key := commandKey(envelope.Stream, envelope.Meta.Command)
	if _, twice := l.commands[key]; twice {
		l.violate("once", "command %s has a second commit in %s", envelope.Meta.Command, envelope.Stream)
	}
	l.commands[key] = struct{}{}
}

// wish: what one wish of an operator led to, told by the address it came from,
// has one commit.
func (l *Ledger) wish(envelope events.Envelope) {
	if wish := envelope.Meta.Address; wish != "" {
		if first, twice := l.wishes[wish]; twice {
			l.violate("once", "one wish of an operator (%s) has effects at positions %d and %d", wish, first, envelope.Position)
		}
		l.wishes[wish] = envelope.Position
	}
}

func (l *Ledger) host(id events.HostID, event events.Event, now time.Duration) {
	h := l.hosts[id]
	if h == nil {
		h = &host{id: id, drops: map[events.DropID]int{}, bindings: map[events.BindingID]int64{}, sizes: map[int]int{}}
		l.hosts[id] = h
	}
	switch e := event.(type) {
	case events.HostRegistered:
		h.offered = int64(e.MemoryMiB) * 1024
	case events.HostLost:
		h.lost, h.lostAt = true, now
		for drop := range h.drops {
			l.dropOf(drop).leaves(id, now)
		}
	case events.HostWrittenOff:
		l.writtenOff(h, now)
	case events.HostReturned:
		h.lost = false
		for drop := range h.drops {
			if d := l.dropOf(drop); d.host == id {
				d.from = ""
				l.environmentOf(d.environment).missing = 0
			}
		}
		for id := range h.bindings { // what was missing until now is excused
			if b := l.bindings[id]; b != nil && b.spec.Environment != "" {
				l.environmentOf(b.spec.Environment).missing = 0
			}
		}
	case events.DropAdmitted:
		if h.lost {
			l.violate("capacity", "lost host %s admits DROP %s", id, e.Drop)
		}
		h.put(e.Drop, e.Spec.Settings.MemoryMiB)
		d := l.dropOf(e.Drop)
		d.generation, d.heldBy = e.Spec.Generation, d.heldBy.with(id)
		d.dismissed = slices.DeleteFunc(d.dismissed, func(old dismissal) bool { return old.host == id })
		l.capacity(h)
	case events.DropSpecChanged:
		larger := e.Spec.Settings.MemoryMiB > h.drops[e.Drop]
		h.put(e.Drop, e.Spec.Settings.MemoryMiB)
		l.dropOf(e.Drop).generation = e.Spec.Generation
		if larger {
			l.capacity(h)
		}
	case events.DropDismissed:
		h.take(e.Drop)
		d := l.dropOf(e.Drop)
		d.gives(id, now)
	case events.BindingAdmitted:
		h.bindings[e.Binding] = e.Spec.ReservationKiB()
		if b := l.bindings[e.Binding]; b != nil {
			b.heldBy = b.heldBy.with(id)
		}
		h.reserved += e.Spec.ReservationKiB()
		l.capacity(h)
	case events.BindingDismissed:
		h.reserved -= h.bindings[e.Binding]
		delete(h.bindings, e.Binding)
		if b := l.bindings[e.Binding]; b != nil {
			b.heldBy = b.heldBy.without(id)
		}
	}
}

// writtenOff: the host holds nothing any more, as if it had given all up.
func (l *Ledger) writtenOff(h *host, now time.Duration) {
	if !h.lost {
		h.lost, h.lostAt = true, now
	}
	for id := range h.drops {
		d := l.dropOf(id)
		d.leaves(h.id, now)
		d.gives(h.id, now)
	}
	for id := range h.bindings {
		if b := l.bindings[id]; b != nil {
			b.heldBy = b.heldBy.without(h.id)
		}
	}
	clear(h.drops)
	clear(h.sizes)
	clear(h.bindings)
	h.reserved = 0
}

func (h *host) put(id events.DropID, size int) {
	h.take(id)
	h.drops[id] = size
	h.sizes[size]++
	h.reserved += events.SleepingDropKiB
}

func (h *host) take(id events.DropID) {
	size, known := h.drops[id]
	if !known {
		return
	}
	delete(h.drops, id)
	if h.sizes[size]--; h.sizes[size] == 0 {
		delete(h.sizes, size)
	}
	h.reserved -= events.SleepingDropKiB
}

func (h *host) largest() int {
	largest := 0
	for size := range h.sizes {
		largest = max(largest, size)
	}
	return largest
}

func (l *Ledger) capacity(h *host) {
	if wanted := h.reserved + int64(h.largest())*1024; wanted > h.offered {
		l.violate("capacity", "host %s offers %d KiB and has admitted what needs %d", h.id, h.offered, wanted)
	}
}

func (l *Ledger) dropOf(id events.DropID) *drop {
	d := l.drops[id]
	if d == nil {
		d = &drop{}
		l.drops[id] = d
	}
	return d
}

// gives: a host gives the DROP up.
func (d *drop) gives(host events.HostID, now time.Duration) {
	d.dismissed = append(slices.DeleteFunc(d.dismissed, func(old dismissal) bool { return old.host == host }), dismissal{host, now})
	d.heldBy = d.heldBy.without(host)
}

// dismissedBy gives when a host gave the DROP up, if it is not back there.
func (d *drop) dismissedBy(on events.HostID) (at time.Duration, known bool) {
	for _, old := range d.dismissed {
		if old.host == on {
			return old.at, true
		}
	}
	return 0, false
}

// leaves: the DROP's host is lost, or gives it up.
func (d *drop) leaves(host events.HostID, now time.Duration) {
	if d.host == host && d.from == "" {
		d.from, d.away = host, now
	}
}

func (l *Ledger) drop(id events.DropID, event events.Event, now time.Duration) {
	d := l.dropOf(id)
	switch e := event.(type) {
	case events.DropRequested:
		d.environment = e.Environment
		env := l.environmentOf(e.Environment)
		if i, there := slices.BinarySearch(env.drops, id); !there {
			env.drops = slices.Insert(env.drops, i, id)
		}
	case events.DropPlaced:
		if d.host != "" {
			l.violate("placement", "DROP %s is placed on host %s while it is on host %s", id, e.Host, d.host)
		}
		if d.placed {
			l.moves++
		}
		d.host, d.ready, d.placed = e.Host, 0, true
	case events.DropDisplaced:
		d.leaves(e.Host, now)
		d.host, d.ready = "", 0
	case events.DropReady:
		if e.Host != d.host {
			l.violate("placement", "DROP %s is ready on host %s and is placed on %q", id, e.Host, d.host)
		}
		d.ready = e.Generation
		d.everReady = d.everReady.with(e.Host)
		l.environmentOf(d.environment).missing = 0
		if d.from != "" && d.from != e.Host {
			l.moved = append(l.moved, Move{id, d.environment, d.from, e.Host, now, now - d.away})
		}
		d.from = ""
	case events.DropRetirementRequested:
		d.retiring = true
		env := l.environmentOf(d.environment)
		if i, there := slices.BinarySearch(env.drops, id); there {
			env.drops = slices.Delete(env.drops, i, i+1)
		}
	case events.DropRetired:
		d.retired, d.host = true, ""
	}
}

func (l *Ledger) binding(id events.BindingID, event events.Event) {
	switch e := event.(type) {
	case events.BindingRequested:
		l.bindings[id] = &binding{spec: e.Spec}
	case events.BindingPlaced:
		if spec := l.bindings[id].spec; spec.Environment != "" {
			env := l.environmentOf(spec.Environment)
			env.services = env.services.with(spec.Kind, e.Host)
		}
	case events.BindingProvisioned:
		if b := l.bindings[id]; b.provisioned {
			l.violate("effect", "binding %s is provided a second time", id)
		} else {
			b.provisioned = true
		}
	case events.BindingFailed: // whatever it was before, it is to be provided anew
		l.bindings[id].provisioned = false
	case events.BindingRetired:
		if l.bindings[id].retired {
			l.violate("effect", "binding %s is retired a second time", id)
		}
		l.bindings[id].retired = true
	}
}

func (l *Ledger) environmentOf(id events.EnvironmentID) *environment {
	e := l.environments[id]
	if e == nil {
		e = &environment{}
		l.environments[id] = e
	}
	return e
}

func (l *Ledger) environment(id events.EnvironmentID, event events.Event) {
	env := l.environmentOf(id)
	switch e := event.(type) {
	case events.EnvironmentCreated:
		env.settings = e.Settings
	case events.EnvironmentSettingsChanged:
		env.settings = e.Settings
	case events.CodeDeployed:
		env.deployed = true
	case events.EnvironmentDeletionRequested, events.EnvironmentDeleted:
		env.deleting = true
	}
}

func (l *Ledger) other(envelope events.Envelope, event events.Event) {
	switch e := event.(type) {
	case events.SiteCreated:
		l.sites[e.Site] = created
	case events.SiteDeletionRequested:
		for id := range l.environments {
			if id.Site() == e.Site {
				l.environments[id].deleting = true
			}
		}
	case events.SiteDeleted:
		l.sites[e.Site] = deleted
	case events.NameClaimed:
		if old, held := l.names[e.Name]; held {
			l.violate("names", "%s is claimed by %s while %s holds it", e.Name, e.By, old.by)
		}
		l.names[e.Name] = claim{e.By, !strings.HasPrefix(envelope.Meta.Principal, "policy/")}
	case events.NameReleased:
		delete(l.names, e.Name)
	case events.WorkflowStarted:
		l.workflows[e.Workflow] = e
	case events.WorkflowSucceeded:
		delete(l.workflows, e.Workflow)
	case events.WorkflowFailed:
		delete(l.workflows, e.Workflow)
	}
}

// Held lists the DROPs that a host holds, in order.
func (l *Ledger) Held(on events.HostID) []events.DropID {
	h := l.hosts[on]
	if h == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(h.drops))
}

// EnvironmentOf gives the environment of a DROP.
func (l *Ledger) EnvironmentOf(id events.DropID) events.EnvironmentID {
	return l.dropOf(id).environment
}

// HostOf gives the host of a DROP, as its own stream says.
func (l *Ledger) HostOf(id events.DropID) events.HostID { return l.dropOf(id).host }

// IsLost says whether a host is lost, and since when.
func (l *Ledger) IsLost(id events.HostID) (at time.Duration, lost bool) {
	h := l.hosts[id]
	if h == nil || !h.lost {
		return 0, false
	}
	return h.lostAt, true
}

// Services gives the hosts that an environment's services are on.
func (l *Ledger) Services(id events.EnvironmentID) Services {
	if env := l.environments[id]; env != nil {
		return env.services
	}
	return nil
}

// DataLost says whether the host of an environment's database or files is lost:
// nobody else could serve it then, and a DROP beside its data stays where it is.
func (l *Ledger) DataLost(id events.EnvironmentID) bool {
	for _, kind := range [...]events.BindingKind{events.DBServer, events.FileServer} {
		if h := l.hosts[l.Services(id).Of(kind)]; h != nil && h.lost {
			return true
		}
	}
	return false
}

// Placed says whether an environment has a DROP that is ready on a host that
// lives.
func (l *Ledger) Placed(id events.EnvironmentID) bool {
	env := l.environments[id]
	if env == nil {
		return false
	}
	for _, drop := range env.drops {
		if d := l.drops[drop]; d.host != "" && d.ready > 0 && !l.hosts[d.host].lost {
			return true
		}
	}
	return false
}

// Moved lists the DROPs that were placed again and got ready.
func (l *Ledger) Moved() []Move { return l.moved }

// Moves is how often a DROP was placed again.
func (l *Ledger) Moves() int { return l.moves }

// DropsWanted is how many DROPs an environment shall have; none while it is not
// there.
func (l *Ledger) DropsWanted(id events.EnvironmentID) int {
	env := l.environments[id]
	if env == nil || !env.deployed || env.deleting {
		return 0
	}
	return env.settings.Drops
}

// Unplaceable says whether no host that lives has room for another DROP of an
// environment.
func (l *Ledger) Unplaceable(id events.EnvironmentID) bool {
	env := l.environments[id]
	for _, h := range l.hosts {
		largest := max(h.largest(), env.settings.MemoryMiB)
		if !h.lost && h.reserved+events.SleepingDropKiB+int64(largest)*1024 <= h.offered {
			return false
		}
	}
	return true
}
