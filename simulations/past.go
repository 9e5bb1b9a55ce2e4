package simulations

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/runtime/agent/desired"
)

// Past is the history of a real cell that a world goes on from: its log up to
// a position, and what follows from that. It is read once and not changed by
// runs, so several can begin with it.
type Past struct {
	commits  []events.Envelope // positions from 1 without a gap
	position events.Position   // of the last one, in the cell's own log
	end      time.Time         // when that was written
	now      inventory.State
	hosts    []pastHost
	sites    []pastSite
}

// pastHost is a machine as the log knows it.
type pastHost struct {
	registered events.HostRegistered
	lost       bool
	removed    bool
	revision   events.Revision // of its stream
	desired    desired.State
}

// pastSite is an environment that serves.
type pastSite struct {
	env      *inventory.Environment
	perHour  float64 // requests, as far as the log tells
	measured bool
}

// Moment is where a past ends. The zero value is the end of the log.
type Moment struct {
	Position events.Position // the last one to be read; 0 for no bound
	Time     time.Time       // no commit after it is read; zero for no bound
}

func (m Moment) includes(e events.Envelope) bool {
	return (m.Position == 0 || e.Position <= m.Position) && (m.Time.IsZero() || !e.Meta.Time.After(m.Time))
}

// ReadPast reads a cell's log up to a moment. What a simulation cannot go on
// from is an error of one line: no hosts, events of a newer version, a moment
// that the log has not reached.
func ReadPast(log iter.Seq2[events.Envelope, error], until Moment) (*Past, error) {
	p := &Past{now: inventory.State{}.Edit()}
	var positions []events.Position
	use := newUsage()
	for envelope, err := range log {
		if err != nil {
			return nil, err
		}
		if !until.includes(envelope) {
			break
		}
		if len(p.commits) == MaxPastCommits {
			return nil, problem.New(problem.Invalid, "cannot start from this log: it has more than %d commits", MaxPastCommits)
		}
		if err := known(envelope); err != nil {
			return nil, err
		}
		positions = append(positions, envelope.Position)
		envelope.Meta.Cause = renumbered(positions, envelope.Meta.Cause)
		envelope.Position = events.Position(len(positions))
		p.commits = append(p.commits, envelope)
		p.now = p.now.Apply(envelope)
		use.apply(envelope)
	}
	if len(p.commits) == 0 {
		return nil, problem.New(problem.Invalid, "cannot start from this log: it has no commit up to there")
	}
	last := p.commits[len(p.commits)-1]
	p.position, p.end = positions[len(positions)-1], last.Meta.Time
	if p.position < until.Position {
		return nil, problem.New(problem.Invalid, "cannot start at position %d: the log ends at %d", until.Position, p.position)
	}
	if err := p.findHosts(); err != nil {
		return nil, err
	}
	return p, p.findSites(use)
}

// known refuses what a decider would refuse to go on from.
func known(envelope events.Envelope) error {
	for _, event := range envelope.Events {
		if unknown, isUnknown := event.(events.Unknown); isUnknown {
			return problem.New(problem.Invalid, "cannot start from this log: position %d holds %s version %d, of a newer version of the platform",
				envelope.Position, unknown.Name, unknown.Version).WithHint("simulate with the version that wrote the log")
		}
	}
	return nil
}

// renumbered gives the place of a position among those that were read; a log's
// positions may have gaps.
func renumbered(positions []events.Position, of events.Position) events.Position {
	i, found := slices.BinarySearch(positions, of)
	if of == 0 || !found {
		return 0
	}
	return events.Position(i + 1)
}

func (p *Past) findHosts() error {
	at := map[events.HostID]int{}
	for _, envelope := range p.commits {
		if envelope.Stream.Kind != events.KindHost {
			continue
		}
		id := events.HostID(envelope.Stream.ID)
		i, there := at[id]
		if !there {
			i = len(p.hosts)
			at[id] = i
			p.hosts = append(p.hosts, pastHost{desired: desired.New()})
		}
		p.hosts[i].revision = envelope.Revision
		for _, event := range envelope.Events {
			p.hosts[i].apply(event)
		}
	}
	p.hosts = slices.DeleteFunc(p.hosts, func(h pastHost) bool { return h.registered.Host == "" || h.removed })
	slices.SortStableFunc(p.hosts, func(a, b pastHost) int { return compareText(a.registered.Name, b.registered.Name) })
	if len(p.hosts) == 0 || len(p.hosts) > MaxHosts {
		return problem.New(problem.Invalid, "cannot start from this log: it has %d hosts, between 1 and %d are possible", len(p.hosts), MaxHosts)
	}
	return nil
}

func (h *pastHost) apply(event events.Event) {
	switch e := event.(type) {
	case events.HostRegistered:
		h.registered = e
	case events.HostLost:
		h.lost = true
	case events.HostReturned:
		h.lost = false
	case events.HostRemoved, events.HostWrittenOff: // neither comes back
		h.removed = true
	default:
		h.desired.Apply(event)
	}
}

func (p *Past) findSites(use *usage) error {
	for site := range p.now.Sites("") {
		for _, env := range p.now.Environments(site.ID) {
			if env.Status != inventory.Serving {
				continue
			}
			perHour, measured := use.perHour(env, p.end)
			p.sites = append(p.sites, pastSite{env, perHour, measured})
		}
	}
	if len(p.sites) > MaxSites {
		return problem.New(problem.Invalid, "cannot start from this log: it has %d environments that serve, up to %d are possible", len(p.sites), MaxSites)
	}
	return nil
}

// String says what was read.
func (p *Past) String() string {
	lost := 0
	for _, h := range p.hosts {
		if h.lost {
			lost++
		}
	}
	text := fmt.Sprintf("the cell at position %d, %s: %s, %s in service", p.position, p.end.UTC().Format(time.DateTime), count(len(p.hosts), "host"), count(len(p.sites), "environment"))
	if lost > 0 {
		text += fmt.Sprintf(" (%d of the hosts are lost)", lost)
	}
	return text
}

// hostNames lists the machines by the names that scenarios use.
func (p *Past) hostNames() []string {
	names := make([]string, len(p.hosts))
	for i, h := range p.hosts {
		names[i] = h.registered.Name
	}
	return names
}

// newSite makes an environment of the log one that has visitors.
func (s pastSite) newSite(n int) *site {
	name := fmt.Sprintf("%s.%s", s.env.SiteName, s.env.Name)
	return &site{
		n: n, id: s.env.Site, name: name, hostName: fmt.Sprintf("%s-%s.%s", s.env.Name, s.env.SiteName, domain),
		env: s.env.ID, asked: true, flash: 1,
	}
}

// newPastHost makes a machine of the log, with what is on its disk and what
// runs.
func newPastHost(w *World, n int, at endpoint, past *pastHost) *host {
	m := newHost(w, n, at, past.registered.Host, past.registered.MemoryMiB)
	m.registered = past.registered
	m.revision = past.revision
	if past.lost {
		m.gone, m.believed, m.renewing = true, false, false
		return m
	}
	for id, spec := range past.desired.Bindings {
		known, there := w.options.Past.now.Binding(id)
		m.bindings[id] = bindingMarker{spec: spec, reported: there && known.Status == inventory.Ready && known.Host == m.id}
	}
	for id, spec := range past.desired.Drops {
		known, there := w.options.Past.now.Drop(id)
		if !there || known.Host != m.id || known.Generation == 0 {
			continue
		}
		m.drops[id] = dropMarker{known.Generation, true}
		if known.Status == inventory.Awake {
			m.runs(&process{host: m, drop: id, generation: known.Generation, memoryMiB: spec.Settings.MemoryMiB,
				idleAfter: time.Duration(spec.Settings.IdleAfterSeconds) * time.Second, workers: max(spec.Settings.Workers, 1), ownData: m.hasDataOf(spec)})
		}
	}
	return m
}

// remember fills the log with the past, and the checkers' book.
func (l *cellLog) remember(p *Past) {
	tips := map[events.StreamID]events.Tip{}
	l.memory = memory.New()
	l.memory.Grow(len(p.commits) + 1024)
	for _, past := range p.commits {
		tip, err := l.memory.Append(context.Background(), tips[past.Stream], past.Commit)
		if err != nil {
			l.violate("codec", "the log refuses position %d of the past: %v", past.Position, err)
			return
		}
		tips[past.Stream] = tip
	}
	l.all = l.memory.Commits()
	for _, envelope := range l.all {
		l.ledger.Past(envelope, l.since(envelope.Meta.Time))
		l.zone.Past(envelope)
		l.history.Past(envelope.Stream, envelope.Revision)
		l.placements.Past(envelope)
	}
	l.trace.step(l.now, "past", l.all[len(l.all)-1].Hash.String(), "", int64(p.position))
}
