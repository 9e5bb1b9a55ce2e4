package api

import (
	"cmp"
	"context"
	"iter"
	"net/http"

	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

func listHosts(c *call) (reply, error) {
	hosts := []Host{}
	for _, host := range c.view.state.Hosts() {
		hosts = append(hosts, hostRecord(host))
	}
	hosts, err := page(c.request.URL.Query(), hosts, func(h Host) string { return string(h.ID) })
	return reply{body: hosts}, err
}

// showHost takes an id or a host's name.
func showHost(c *call) (reply, error) {
	name := c.request.PathValue("host")
	host, known := c.view.state.FindHost(name)
	if !known {
		return reply{}, problem.New(problem.NotFound, "cannot find host %.60q", name).WithHint("pantheon host list")
	}
	return reply{body: hostRecord(host)}, nil
}

// hostOf finds the host that the path names, by id or name.
func (c *call) hostOf() (*inventory.Host, error) {
	name := c.request.PathValue("host")
	found, known := c.view.state.FindHost(name)
	if !known {
		return nil, problem.New(problem.NotFound, "cannot find host %.60q", name).WithHint("pantheon host list")
	}
	return &found, nil
}

// commandHost sends a host one command and answers with its record.
func (c *call) commandHost(command host.Command) (reply, error) {
	found, err := c.hostOf()
	if err != nil {
		return reply{}, err
	}
	if err := c.do(found.ID.Stream(), command); err != nil {
		return reply{}, err
	}
	return showHost(c)
}

func drainHost(c *call) (reply, error) { return c.commandHost(host.Drain{}) }

func undrainHost(c *call) (reply, error) { return c.commandHost(host.EndDrain{}) }

// removeHost takes a machine that holds nothing out of the cell. The last one
// stays: there would be nobody to ask.
func removeHost(c *call) (reply, error) {
	found, err := c.hostOf()
	if err != nil {
		return reply{}, err
	}
	if len(c.view.state.Hosts()) == 1 {
		return reply{}, problem.New(problem.Conflict, "cannot remove host %s: it is the only one of the cell", found.Name)
	}
	return reply{status: http.StatusNoContent}, c.do(found.ID.Stream(), host.Remove{})
}

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
			return reply{}, problem.New(problem.NotFound, "cannot find host %.60q", asked.To).WithHint("pantheon host list")
		case to.Draining || to.Status == inventory.Lost:
			return reply{}, problem.New(problem.Conflict, "cannot move a DROP to host %s: it takes none now", to.Name).WithHint("pantheon host list")
		}
		move.To = to.ID
	}
	id := events.DropID(c.request.PathValue("drop"))
	if _, known := c.view.state.Drop(id); !known {
		return showDrop(c)
	}
	if err := c.do(id.Stream(), move); err != nil {
		return reply{}, err
	}
	return showDrop(c)
}

// explainDrop ranks the hosts for a DROP.
func explainDrop(c *call) (reply, error) {
	id := events.DropID(c.request.PathValue("drop"))
	placed, known := c.view.state.Drop(id)
	if !known {
		return showDrop(c)
	}
	if c.server.options.Placement == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot explain placements: this node does not run the policies")
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	ranked, err := c.server.options.Placement.Explain(ctx, id)
	if err != nil {
		return reply{}, err
	}
	candidates := make([]Candidate, len(ranked))
	for i, r := range ranked {
		candidates[i] = Candidate{
			Host: r.Host, HostName: r.Name, Zone: r.Zone, Holds: r.Host == placed.Host, Refused: r.Refused,
			Siblings: r.Siblings, ZoneSiblings: r.ZoneSiblings, Near: r.Near, RoomMiB: r.RoomMiB,
		}
	}
	return reply{body: candidates}, nil
}

// listDrops gives the DROPs of the sites that the caller may see, of one site
// with ?site=, in the order of the sites' names.
func listDrops(c *call) (reply, error) {
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
					if passed && !yield(c.view.dropRecord(drop)) {
						return
					}
					passed = passed || drop.ID == start
				}
			}
		}
	})
	return reply{body: drops}, err
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
	return reply{body: c.view.dropRecord(drop)}, nil
}

// listBindings is listDrops for bindings.
func listBindings(c *call) (reply, error) {
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
				if passed && !yield(c.view.bindingRecord(binding)) {
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
