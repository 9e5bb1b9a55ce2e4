package api

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"pantheon/actors/drop"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// moveDrop asks for another DROP in the place of one, on the host that "to"
// names or on any other.
func moveDrop(c *call) (reply, error) {
	var asked struct {
		To     string `json:"to,omitzero"`
		Reason string `json:"reason,omitzero"`
	}
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	move := drop.RequestMove{Reason: cmp.Or(asked.Reason, "the operator wants it elsewhere")}
	if asked.To != "" {
		to, known := c.view.state.FindHost(asked.To)
		switch {
		case !known:
			return reply{}, unknownHost(asked.To)
		case !hasRole(to, events.RoleHost):
			return reply{}, problem.New(problem.Invalid, "cannot move a DROP to machine %s: it runs none, as it has no role host", to.Name).WithHint("pantheon host list")
		case to.Draining || to.Status == inventory.Lost:
			return reply{}, problem.New(problem.Conflict, "cannot move a DROP to host %s: it takes none now", to.Name).WithHint("pantheon host list")
		}
		move.To = to.ID
	}
	id := events.DropID(c.request.PathValue("drop"))
	switch known, there := c.view.state.Drop(id); {
	case !there:
		return showDrop(c)
	case move.To != "" && known.Host == move.To:
		return reply{}, problem.New(problem.Conflict, "cannot move DROP %s to host %s: it is there", id, c.view.hostName(move.To)).
			WithHint("pantheon placement explain %s ranks the others", id)
	}
	if err := c.do(id.Stream(), move); err != nil {
		return reply{}, err
	}
	return showDrop(c)
}

// listDrops gives the DROPs of the sites that the caller may see, in the order
// of the sites' names: of one site with ?site=, those on one host with ?host=,
// those in one state with ?state=.
func listDrops(c *call) (reply, error) {
	wanted, err := c.dropFilter()
	if err != nil {
		return reply{}, err
	}
	start := events.DropID(c.request.URL.Query().Get("start"))
	var startSite events.SiteID
	if start != "" {
		drop, known := c.view.state.Drop(start)
		if !known {
			return reply{}, startIsGone()
		}
		startSite = drop.Environment.Site()
	}
	sites, err := c.listedSites(startSite)
	if err != nil {
		return reply{}, err
	}
	drops, err := collect(c.request.URL.Query(), func(yield func(Drop) bool) {
		passed := start == ""
		for site := range sites {
			for _, name := range site.Environments {
				for _, drop := range c.view.state.Drops(events.EnvironmentOf(site.ID, name)) {
					if passed && wanted(drop) && !yield(c.dropRecord(drop)) {
						return
					}
					passed = passed || drop.ID == start
				}
			}
		}
	})
	return reply{body: drops}, err
}

// dropFilter reads what the query asks for.
func (c *call) dropFilter() (wanted func(*inventory.Drop) bool, err error) {
	query := c.request.URL.Query()
	name, state := query.Get("host"), inventory.Status(query.Get("state"))
	host, known := c.view.state.FindHost(name)
	if name != "" && !known {
		return nil, unknownHost(name)
	}
	states := []inventory.Status{
		inventory.Requested, inventory.Preparing, inventory.Ready, inventory.Awake, inventory.Asleep,
		inventory.Crashed, inventory.Failed, inventory.Deleting,
	}
	if state != "" && !slices.Contains(states, state) {
		return nil, problem.New(problem.Invalid, "cannot list DROPs in state %.40q: there is none", state).WithHint("states are %s", joinedStates(states))
	}
	return func(d *inventory.Drop) bool {
		return (name == "" || d.Host == host.ID) && (state == "" || d.Status == state)
	}, nil
}

func joinedStates(states []inventory.Status) string {
	texts := make([]string, len(states))
	for i, state := range states {
		texts[i] = string(state)
	}
	return strings.Join(texts, ", ")
}

func showDrop(c *call) (reply, error) {
	id := c.request.PathValue("drop")
	drop, known := c.view.state.Drop(events.DropID(id))
	if known {
		site, exists := c.view.state.Site(drop.Environment.Site())
		known = c.who.operator || exists && site.Owner == c.who.account
	}
	if !known {
		return reply{}, problem.New(problem.NotFound, "cannot find DROP %.40q", id).WithHint("pantheon drop list")
	}
	return reply{body: c.dropRecord(drop)}, nil
}

// listBindings is listDrops for bindings; those of one host with ?host=.
func listBindings(c *call) (reply, error) {
	on := c.request.URL.Query().Get("host")
	host, known := c.view.state.FindHost(on)
	if on != "" && !known {
		return reply{}, unknownHost(on)
	}
	start := events.BindingID(c.request.URL.Query().Get("start"))
	var startSite events.SiteID
	if start != "" {
		binding, known := c.view.state.Binding(start)
		if !known {
			return reply{}, startIsGone()
		}
		startSite = binding.Site
	}
	sites, err := c.listedSites(startSite)
	if err != nil {
		return reply{}, err
	}
	bindings, err := collect(c.request.URL.Query(), func(yield func(Binding) bool) {
		passed := start == ""
		for site := range sites {
			for _, binding := range c.view.state.SiteBindings(site.ID) {
				if passed && (on == "" || binding.Host == host.ID) && !yield(c.view.bindingRecord(binding)) {
					return
				}
				passed = passed || binding.ID == start
			}
		}
	})
	return reply{body: bindings}, err
}

// listedSites gives the sites whose things are listed, from the one that a
// page goes on in.
func (c *call) listedSites(from events.SiteID) (iter.Seq[*inventory.Site], error) {
	only, err := c.queriedSite()
	if err != nil {
		return nil, err
	}
	if only == "" {
		first, err := c.startSite(from)
		return c.view.sitesFrom(c.who, first), err
	}
	return func(yield func(*inventory.Site) bool) {
		if site, known := c.view.state.Site(only); known {
			yield(site)
		}
	}, nil
}

// queriedSite gives the site that ?site= names, none without one. Lists hold
// only what the caller may see, whatever it asks for.
func (c *call) queriedSite() (events.SiteID, error) {
	name := c.request.URL.Query().Get("site")
	if name == "" {
		return "", nil
	}
	facts, known := c.view.site(name)
	if !known || (!c.who.operator && facts.owner != c.who.account) {
		return "", problem.New(problem.NotFound, "cannot find site %.60q", name).WithHint("pantheon site list")
	}
	return facts.id, nil
}
