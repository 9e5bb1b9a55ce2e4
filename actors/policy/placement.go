package policy

import (
	"cmp"
	"math"
	"slices"

	"pantheon/actors/host"
	"pantheon/events"
)

// Candidate is a host as a placement sees it.
type Candidate struct {
	Host events.HostID
	Name string
	Zone string
	// Refused says why it cannot be chosen; empty where it can.
	Refused string
	// Wanted: an operator asked for this host.
	Wanted bool
	// Siblings and ZoneSiblings are how many of the environment's other DROPs
	// are on the host, and in its zone.
	Siblings, ZoneSiblings int
	// Near: it holds a part of the site, such as the database.
	Near bool
	// RoomMiB is the memory it offers for each thing it would then hold.
	RoomMiB int
	// Rebalancing says where rebalancing would move the DROP, or does.
	Rebalancing string
	lot         uint64 // among hosts of about as much room
}

// roomClass is one for rooms that differ by less than a fifth.
func roomClass(roomMiB int) int { return int(4 * math.Log2(float64(max(roomMiB, 1)))) }

// compare orders candidates, the best first. Spreading comes before being near:
// the second DROP of an environment is there for when a machine dies. Of hosts
// with about as much room any is as good: if many things at once all went to the
// one that has most, they would wait for one another. No two hosts are equal.
func (c Candidate) compare(other Candidate) int {
	return cmp.Or(
		cmp.Compare(boolean(c.Refused != ""), boolean(other.Refused != "")),
		cmp.Compare(boolean(other.Wanted), boolean(c.Wanted)),
		cmp.Compare(c.Siblings, other.Siblings),
		cmp.Compare(c.ZoneSiblings, other.ZoneSiblings),
		cmp.Compare(boolean(other.Near), boolean(c.Near)),
		cmp.Compare(roomClass(other.RoomMiB), roomClass(c.RoomMiB)),
		cmp.Compare(c.lot, other.lot),
		cmp.Compare(c.Host, other.Host),
	)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// choose gives the best host for a DROP, or where d is nil for a binding: of those
// that have something to do with the site, and of all others the first one.
func (p *planner) choose(d *dropState, refused map[events.HostID]string) (events.HostID, bool) {
	neighbours := p.neighbours(d)
	neighbours.draw = p.draw(d)
	known := neighbours.hosts()
	best, found := p.index.best(neighbours.zones, neighbours.draw, func(id events.HostID) bool {
		_, no := refused[id]
		return no || slices.Contains(known, id) || p.Hosts[id].lacks(neighbours.php)
	})
	var first Candidate
	if found {
		first = neighbours.candidate(best, p.Hosts[best])
	}
	for _, id := range known {
		h := p.Hosts[id]
		if _, no := refused[id]; no || h == nil || h.closed() != "" || h.lacks(neighbours.php) {
			continue
		}
		if c := neighbours.candidate(id, h); first.Host == "" || c.compare(first) < 0 {
			first = c
		}
	}
	return first.Host, first.Host != ""
}

// ChooseAgain gives a placement the host that is best now: many may have been
// admitted since it was planned, all of them where most room was then.
func (s *State) ChooseAgain(intent Intent) Intent {
	of := s.Sites[intent.Site]
	if intent.Placement == "" || of == nil {
		return intent
	}
	var d *dropState
	if admit, is := intent.Command.(host.AdmitDrop); is {
		if _, _, d = s.dropOf(admit.Drop); d == nil || d.Admitted != "" {
			return intent
		}
	}
	subject := intent.Gap()
	chosen, found := (&planner{State: s, id: intent.Site, site: of}).choose(d, s.refusals[subject])
	if found {
		intent.Key, intent.To, intent.Placement = subject+placementSuffix(chosen), chosen.Stream(), chosen
	}
	return intent
}

// neighbourhood is what a placement looks at beside the hosts themselves.
type neighbourhood struct {
	near     map[events.HostID]bool
	siblings map[events.HostID]int
	zones    map[string]int
	wanted   events.HostID
	php      string // the version that the host has to have; empty for any
	draw     draw   // where lots count
}

// draw is that of a DROP, or for all bindings of a site that of the site.
func (p *planner) draw(d *dropState) draw {
	if d == nil {
		return drawOf(string(p.id))
	}
	return drawOf(d.key())
}

func (p *planner) neighbours(d *dropState) neighbourhood {
	n := neighbourhood{near: map[events.HostID]bool{}, siblings: map[events.HostID]int{}, zones: map[string]int{}}
	for _, b := range p.site.Bindings {
		n.near[b.Admitted] = true
	}
	if d == nil {
		return n
	}
	n.php = p.php(d)
	for _, sibling := range p.site.Drops {
		if sibling == d || sibling.Environment != d.Environment || sibling.Admitted == "" || sibling.Retiring {
			continue
		}
		n.siblings[sibling.Admitted]++
		n.zones[p.Hosts[sibling.Admitted].Zone]++
		if sibling.MovingTo != "" {
			n.wanted = sibling.MovingTo
		}
	}
	return n
}

// hosts are those that the placement does not see as it sees all others.
func (n neighbourhood) hosts() []events.HostID {
	known := make([]events.HostID, 0, 1+len(n.near)+len(n.siblings))
	if n.wanted != "" {
		known = append(known, n.wanted)
	}
	for id := range n.near {
		known = append(known, id)
	}
	for id := range n.siblings {
		known = append(known, id)
	}
	return known
}

func (n neighbourhood) candidate(id events.HostID, h *hostState) Candidate {
	refused := h.closed()
	if refused == "" && h.lacks(n.php) {
		refused = "it has no PHP " + n.php
	}
	return Candidate{
		Host: id, Name: h.Name, Zone: h.Zone, Refused: refused, Wanted: id == n.wanted,
		Siblings: n.siblings[id], ZoneSiblings: n.zones[h.Zone], Near: n.near[id], RoomMiB: h.room(), lot: n.draw.lot(circle(string(id))),
	}
}

// closed says why nothing can be placed on the host; empty where it can.
func (h *hostState) closed() string {
	switch {
	case h.Closed:
		return "it has no role as a host"
	case h.MemoryMiB == 0:
		return "it offers no memory"
	case h.Lost:
		return "it is lost"
	case h.Draining:
		return "it is being drained"
	}
	return ""
}

// room is the memory a host offers for each thing it would then hold.
func (h *hostState) room() int { return h.MemoryMiB / (1 + len(h.Drops) + h.Bindings) }

// Explain ranks the hosts for a DROP as a placement would that is decided now,
// the best first; nil for a DROP that is not known. What the hosts themselves
// would refuse for want of room is known only when they are asked.
func (s *State) Explain(id events.DropID) []Candidate {
	siteID, of, d := s.dropOf(id)
	if d == nil {
		return nil
	}
	p := &planner{State: s, id: siteID, site: of}
	neighbours := p.neighbours(d)
	neighbours.draw = p.draw(d)
	refused := s.refusals["admit/"+d.key()]
	better, rebalancing := p.rebalancing(d)
	all := make([]Candidate, 0, len(s.Hosts))
	for host, h := range s.Hosts {
		c := neighbours.candidate(host, h)
		if c.Refused == "" {
			c.Refused = refused[host]
		}
		if host == better {
			c.Rebalancing = rebalancing
		}
		all = append(all, c)
	}
	slices.SortFunc(all, Candidate.compare)
	return all
}
