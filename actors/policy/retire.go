package policy

import (
	"cmp"
	"fmt"
	"slices"

	"pantheon/actors/drop"
	"pantheon/events"
)

// retireBeyond has one of the DROPs retired where there are more than are to be
// kept. The key counts the environment's retirements: until one is known, no other
// is asked for, whichever DROP is the best to go by then.
func (p *planner) retireBeyond(env *environmentState, drops []*dropState, kept int) {
	if len(drops) <= max(kept, 0) {
		return
	}
	id, there := env.Created.Environment, 0
	for _, d := range p.site.Drops {
		if d.Environment == id && !d.Retiring {
			there++
		}
	}
	spare := p.spare(drops)
	p.want("placement", fmt.Sprintf("retire/%s/%d", id, env.Requested-there), spare.ID.Stream(), drop.RequestRetirement{})
}

// spare gives the DROP whose retirement leaves the environment's others spread
// best: over hosts that live, over zones, and beside the site's data. Of equal ones
// it is the newest. The only one that is ready stays, if there is another.
func (p *planner) spare(drops []*dropState) *dropState {
	ready := map[events.EnvironmentID]int{}
	for _, d := range p.site.Drops {
		if !d.Retiring && p.ready(d) {
			ready[d.Environment]++
		}
	}
	return slices.MinFunc(drops, func(a, b *dropState) int {
		return cmp.Or(
			cmp.Compare(boolean(p.ready(a) && ready[a.Environment] == 1), boolean(p.ready(b) && ready[b.Environment] == 1)),
			p.ease(a).compare(p.ease(b)),
			cmp.Compare(slices.Index(p.site.Drops, b), slices.Index(p.site.Drops, a)),
		)
	})
}

// ease is how little an environment loses with a DROP.
type ease struct {
	nowhere                bool // no host that lives has it
	siblings, zoneSiblings int
	near                   bool
}

func (p *planner) ease(d *dropState) ease {
	h := p.Hosts[d.Admitted]
	if h == nil || h.Lost {
		return ease{nowhere: true}
	}
	n := p.neighbours(d)
	return ease{siblings: n.siblings[d.Admitted], zoneSiblings: n.zones[h.Zone], near: n.near[d.Admitted]}
}

// compare orders DROPs, the one that is missed least first.
func (e ease) compare(other ease) int {
	return cmp.Or(
		cmp.Compare(boolean(other.nowhere), boolean(e.nowhere)),
		cmp.Compare(other.siblings, e.siblings),
		cmp.Compare(other.zoneSiblings, e.zoneSiblings),
		cmp.Compare(boolean(e.near), boolean(other.near)),
	)
}
