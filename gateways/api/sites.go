package api

import (
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// siteFacts is what access rules and handlers need of a site.
type siteFacts struct {
	id    events.SiteID
	name  string
	owner events.AccountID
}

// showSiteName answers whether a name is taken. Names are unique over the
// cell, so this cannot be kept from other tenants; everything else is.
func showSiteName(c *call) (reply, error) {
	name := c.request.PathValue("name")
	facts, known := c.view.site(name)
	if !known || facts.name != name {
		return reply{}, problem.New(problem.NotFound, "cannot find a site named %.60q", name)
	}
	return reply{body: SiteName{ID: facts.id, Name: facts.name}}, nil
}

func showSite(c *call) (reply, error) {
	if site, known := c.view.state.Site(c.site.id); known {
		return reply{body: c.view.siteRecord(site)}, nil
	}
	return reply{body: c.server.pending.record(c.site)}, nil
}

// listSites gives the sites the caller may see: its own, or all of them.
func listSites(c *call) (reply, error) {
	sites, err := c.sitePage(c.who)
	return reply{body: sites}, err
}

// sitePage gives a page of the sites that one may see, in the order of their
// names.
func (c *call) sitePage(who principal) ([]Site, error) {
	query := c.request.URL.Query()
	first, err := c.startSite(events.SiteID(query.Get("start")))
	if err != nil {
		return nil, err
	}
	return collect(query, func(yield func(Site) bool) {
		for site := range c.view.sitesFrom(who, first) {
			if site != first && !yield(c.view.siteRecord(site)) {
				return
			}
		}
	})
}

// startSite gives the site a page goes on from, nil for the first page.
func (c *call) startSite(id events.SiteID) (*inventory.Site, error) {
	if id == "" {
		return nil, nil
	}
	site, known := c.view.state.Site(id)
	if !known {
		return nil, startIsGone()
	}
	return site, nil
}

func listSiteMemberships(c *call) (reply, error) {
	sites, err := c.sitePage(principal{account: c.account})
	if err != nil {
		return reply{}, err
	}
	memberships := make([]Membership, len(sites))
	for i, site := range sites {
		memberships[i] = Membership{ID: site.ID, Role: "owner", Site: site}
	}
	return reply{body: memberships}, nil
}

// listSiteUsers gives the team. A site's team is its owner in this version.
func listSiteUsers(c *call) (reply, error) {
	user, known := c.view.account(c.site.owner)
	members := []SiteMember{}
	if known && c.request.URL.Query().Get("start") == "" {
		members = append(members, SiteMember{ID: user.ID, Role: "owner", User: user})
	}
	return reply{body: members}, nil
}

// listAuthorizations says which workflows the caller may start here. Whoever
// reaches this route may start all that there are.
func listAuthorizations(*call) (reply, error) {
	var all []Authorization
	for _, workflow := range siteWorkflows() {
		all = append(all, Authorization{ID: string(workflow.kind), Authorized: true, Description: workflow.description})
	}
	return reply{body: all}, nil
}

func listSiteBindings(c *call) (reply, error) {
	bindings := make(map[events.BindingID]Binding)
	for _, binding := range c.view.state.SiteBindings(c.site.id) {
		bindings[binding.ID] = c.view.bindingRecord(binding)
	}
	return reply{body: bindings}, nil
}
