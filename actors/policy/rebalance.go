package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"pantheon/actors/drop"
	"pantheon/events"
)

const (
	// rebalanceSites are looked at in one go: a millisecond at most. In the largest
	// cell a round over all of them takes an hour, unless many are better off
	// elsewhere: then every look finds one.
	rebalanceSites = 256
	// rebalanceMisfits are hosts that may be too full for a DROP before it stays
	// where it is.
	rebalanceMisfits = 8
	// rebalanceReason begins the reason of such a move: by it one is told from that
	// of an operator.
	rebalanceReason = "rebalancing: "
)

// gain is what a move is for, the most pressing first. Each makes something
// smaller that no later one makes larger: pairs of an environment's DROPs on one
// host, pairs in one zone, DROPs away from their site, and the load of the fullest.
// So moves come to an end.
type gain int

const (
	overHosts gain = iota
	overZones
	nearer
	roomier
	noGain
)

// gained compares where a DROP is with where it could be. More room is a gain from
// a quarter on: what is left then is less than a move back would need.
func gained(from, to Candidate) gain {
	kind := noGain
	switch {
	case to.Siblings != from.Siblings:
		if to.Siblings < from.Siblings {
			kind = overHosts
		}
	case to.ZoneSiblings != from.ZoneSiblings:
		if to.ZoneSiblings < from.ZoneSiblings {
			kind = overZones
		}
	case to.Near != from.Near:
		if to.Near {
			kind = nearer
		}
	case 4*to.RoomMiB >= 5*from.RoomMiB:
		kind = roomier
	}
	return kind
}

// move is one DROP's way to a better host.
type move struct {
	drop     *dropState
	from, to Candidate
	gain     gain
}

// compare orders moves, the one to be made first. A DROP that sleeps costs nothing
// to move.
func (m move) compare(other move) int {
	return cmp.Or(
		cmp.Compare(m.gain, other.gain),
		cmp.Compare(boolean(m.from.Near && !m.to.Near), boolean(other.from.Near && !other.to.Near)),
		cmp.Compare(boolean(m.drop.Awake), boolean(other.drop.Awake)),
		cmp.Compare(m.from.RoomMiB, other.from.RoomMiB),
		cmp.Compare(m.drop.ID, other.drop.ID),
	)
}

func (m move) reason() string {
	switch m.gain {
	case overHosts:
		return fmt.Sprintf("host %s has %d other DROPs of the environment, host %s %d", m.from.Name, m.from.Siblings, m.to.Name, m.to.Siblings)
	case overZones:
		return fmt.Sprintf("zone %q has %d other DROPs of the environment, zone %q %d", m.from.Zone, m.from.ZoneSiblings, m.to.Zone, m.to.ZoneSiblings)
	case nearer:
		return fmt.Sprintf("host %s holds a part of the site", m.to.Name)
	case roomier:
		return fmt.Sprintf("host %s has %d MiB for each thing it holds, host %s %d MiB", m.to.Name, m.to.RoomMiB, m.from.Name, m.from.RoomMiB)
	case noGain:
	}
	return ""
}

// Unbalanced says whether Rebalance is to be asked: something has changed since it
// last found all as it should be.
func (s *State) Unbalanced() bool { return len(s.Hosts) > 1 && (s.unrest || len(s.round) > 0) }

// MatrixAt is the position of the newest change of what hosts there are.
func (s *State) MatrixAt() events.Position { return s.HostsAt }

// Rebalance is rule 10: it gives the move of one DROP, if one is better off
// elsewhere and nothing else goes on. It looks at some sites of a round over all.
func (s *State) Rebalance() (Intent, bool) {
	if s.disturbed() != "" {
		s.unrest, s.round = false, nil // what disturbs will end with an event
		return Intent{}, false
	}
	if len(s.round) == 0 {
		s.unrest, s.round = false, slices.Sorted(maps.Keys(s.Sites))
	}
	n := min(len(s.round), rebalanceSites)
	var first move
	var of events.SiteID
	for _, id := range s.round[:n] {
		p := &planner{State: s, id: id, site: s.Sites[id]}
		for _, d := range p.site.Drops {
			if m, found := p.move(d); found && (first.drop == nil || m.compare(first) < 0) {
				first, of = m, id
			}
		}
	}
	s.round = s.round[n:]
	if first.drop == nil {
		return Intent{}, false
	}
	s.unrest = true // until the log says that it moves
	return Intent{
		Key: "rebalance/" + first.drop.key(), Policy: "rebalancing", To: first.drop.ID.Stream(), Site: of,
		Cause:   max(s.Sites[of].Last, s.HostsAt),
		Command: drop.RequestMove{To: first.to.Host, Reason: rebalanceReason + first.reason()},
	}, true
}

// disturbed says what has to end before anything is moved for the sake of balance;
// empty where nothing goes on.
func (s *State) disturbed() string {
	var reasons []string
	for _, h := range s.Hosts {
		switch {
		case h.Closed || h.Gone:
		case h.Lost:
			reasons = append(reasons, "host "+h.Name+" is lost")
		case h.Draining:
			reasons = append(reasons, "host "+h.Name+" is being drained")
		}
	}
	switch {
	case len(reasons) > 0:
		return slices.Min(reasons)
	case len(s.moving) > 0:
		return "another DROP is on its way"
	case len(s.Unplaced)+len(s.Strays) > 0:
		return "a placement goes on"
	}
	return ""
}

// move gives the DROP's move to a better host; false where it is well where it is,
// an operator has moved it there, or its environment is not as it shall be.
func (p *planner) move(d *dropState) (move, bool) {
	on := p.Hosts[d.Admitted]
	if d.Chosen || on == nil || on.closed() != "" || !p.atRest(d.Environment) {
		return move{}, false
	}
	neighbours := p.neighbours(d)
	m := move{drop: d, from: neighbours.candidate(d.Admitted, on)}
	m.from.RoomMiB = on.MemoryMiB / max(len(on.Drops)+on.Bindings, 1) // it is there already
	if !p.mayGain(m.from, neighbours) {
		return move{}, false
	}
	full := map[events.HostID]string{}
	for range rebalanceMisfits {
		to, found := p.choose(d, full)
		if !found || to == d.Admitted {
			return move{}, false
		}
		m.to = neighbours.candidate(to, p.Hosts[to])
		if m.gain = gained(m.from, m.to); m.gain == noGain || p.losesData(m) {
			return move{}, false
		}
		if p.fits(to, d.Spec.Settings.MemoryMiB) {
			return m, p.rolledOut(d.Environment)
		}
		full[to] = "it is full"
	}
	return move{}, false
}

// mayGain says whether a better host is possible, without a search for it. Nearly
// every DROP of a balanced cell is passed over by it.
func (p *planner) mayGain(from Candidate, n neighbourhood) bool {
	if from.Siblings > 0 || from.ZoneSiblings > 0 && len(p.index) > 1 {
		return true
	}
	for id := range n.near {
		if h := p.Hosts[id]; id != from.Host && h != nil && h.closed() == "" && n.siblings[id] == 0 {
			return true
		}
	}
	most, any := p.index.mostRoom()
	return any && !from.Near && most >= roomClass(from.RoomMiB*5/4)
}

// atRest says whether nothing goes on in the environment: what is to serve it
// serves.
func (p *planner) atRest(id events.EnvironmentID) bool {
	env := p.site.environment(id)
	if env == nil || p.leaving(id) || env.Commit == "" || !p.served(id) || len(p.site.Workflows) > 0 {
		return false
	}
	there := 0
	for _, d := range p.site.Drops {
		if d.Environment != id {
			continue
		}
		if d.Retiring || d.Moving || !p.ready(d) || d.Ready < d.Spec.Generation {
			return false
		}
		there++
	}
	return there == env.Settings.Drops
}

// rolledOut says whether the environment's DROPs are what they shall be: one that
// its host has no room to make so would find none elsewhere either.
func (p *planner) rolledOut(id events.EnvironmentID) bool {
	return !slices.ContainsFunc(p.site.Drops, func(d *dropState) bool {
		spec, complete := p.spec(d)
		return d.Environment == id && !(complete && sameSpec(spec, d.Spec))
	})
}

// losesData says whether the move leaves no DROP beside the environment's data,
// where one was.
func (p *planner) losesData(m move) bool {
	if !m.drop.hasDataOn(m.from.Host) || m.drop.hasDataOn(m.to.Host) {
		return false
	}
	return !slices.ContainsFunc(p.site.Drops, func(d *dropState) bool {
		return d != m.drop && d.Environment == m.drop.Environment && d.hasDataOn(d.Admitted)
	})
}

// fits says whether a host would admit one more DROP: rule (A) of actors/host.
// Without that, a DROP that it refuses would move to the second best host, and from
// there again.
func (s *State) fits(on events.HostID, memoryMiB int) bool {
	h := s.Hosts[on]
	for id := range h.Drops {
		if _, _, d := s.dropOf(id); d != nil {
			memoryMiB = max(memoryMiB, d.Spec.Settings.MemoryMiB)
		}
	}
	reserved := h.BindingsKiB + int64(len(h.Drops)+1)*events.SleepingDropKiB
	return reserved+int64(memoryMiB)*1024 <= int64(h.MemoryMiB)*1024
}

// rebalancing says of a host what rebalancing would have to do with it, for a
// DROP that is explained.
func (p *planner) rebalancing(d *dropState) (on events.HostID, what string) {
	switch {
	case d.Moving:
		return d.MovingTo, "another DROP takes its place here"
	case d.Chosen:
		return d.Admitted, "it stays where an operator's move has brought it"
	}
	m, found := p.move(d)
	if !found {
		return "", ""
	}
	what = "it would move here: " + m.reason()
	if why := p.disturbed(); why != "" {
		what += "; not while " + why
	}
	return m.to.Host, what
}
