package api

import (
	"net"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// Routing gives the newest snapshot of the routing table; a *projections.View
// is one, and a *projections.History also answers for the past.
type Routing interface {
	Load() (routing.State, events.Position)
}

// Route is where the router sends requests for one host name.
type Route struct {
	Host     string                 `json:"host"`
	Type     string                 `json:"type"` // platform or custom
	Site     events.SiteID          `json:"site_id"`
	SiteName string                 `json:"site_name"`
	Name     events.EnvironmentName `json:"environment"`
	State    routing.RouteState     `json:"state"` // not_initialized, serving or deleting
	// Answer is what a visitor gets: "site", "404" while nothing is deployed,
	// "503" while it is deleted or no DROP could serve.
	Answer string      `json:"answer"`
	Drops  []RouteDrop `json:"drops"`
}

// RouteDrop is a DROP that can serve the host name's requests.
type RouteDrop struct {
	ID       events.DropID `json:"id"`
	Host     events.HostID `json:"host"`
	HostName string        `json:"host_name"`
}

func (v view) routeRecord(r *routing.Route) Route {
	record := Route{
		Host: r.Host, Type: "custom", Site: r.Site, SiteName: r.SiteName, Name: r.Environment.Name(), State: r.State,
		Answer: "503", Drops: []RouteDrop{},
	}
	if r.PlatformHost {
		record.Type = "platform"
	}
	for _, d := range r.Drops {
		record.Drops = append(record.Drops, RouteDrop{d.Drop, d.Host, v.hostName(d.Host)})
	}
	switch {
	case r.State == routing.NotInitialized:
		record.Answer = "404"
	case r.State == routing.Serving && len(r.Drops) > 0:
		record.Answer = "site"
	}
	return record
}

func (c *call) routing() (routing.State, error) {
	if c.server.options.Routing == nil {
		return routing.State{}, problem.New(problem.Unsupported, "cannot show routes: this node has no router")
	}
	return now(c, c.server.options.Routing)
}

// listRoutes gives the routes of the sites that the caller may see, of one
// with ?site=, in the order of the sites' names.
func listRoutes(c *call) (reply, error) {
	table, err := c.routing()
	if err != nil {
		return reply{}, err
	}
	start := c.request.URL.Query().Get("start")
	var startSite events.SiteID
	if start != "" {
		route, known := table.Lookup(start)
		if !known {
			return reply{}, startIsGone()
		}
		startSite = route.Site
	}
	sites, err := c.listedSites(startSite)
	if err != nil {
		return reply{}, err
	}
	records, err := collect(c.request.URL.Query(), func(yield func(Route) bool) {
		passed := start == ""
		for site := range sites {
			for _, name := range environmentNames(site) {
				for _, route := range table.Routes(events.EnvironmentOf(site.ID, name)) {
					if passed && !yield(c.view.routeRecord(route)) {
						return
					}
					passed = passed || route.Host == start
				}
			}
		}
	})
	return reply{body: records}, err
}

// environmentNames gives dev, test and live, which have host names before they
// are initialised, and then the site's others.
func environmentNames(site *inventory.Site) []events.EnvironmentName {
	names := []events.EnvironmentName{"dev", "test", "live"}
	for _, name := range site.Environments {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// showRoute answers as the router would for a host name, with or without a
// port.
func showRoute(c *call) (reply, error) {
	table, err := c.routing()
	if err != nil {
		return reply{}, err
	}
	name := c.request.PathValue("host")
	route, known := table.Lookup(name)
	if known && !c.who.operator {
		site, exists := c.view.state.Site(route.Site)
		known = exists && site.Owner == c.who.account
	}
	if !known || route == nil {
		host, _, err := net.SplitHostPort(name)
		if err != nil {
			host = name
		}
		return reply{}, problem.New(problem.NotFound, "cannot find a route for host name %.253q: a visitor gets 404", strings.ToLower(host)).
			WithHint("pantheon route list")
	}
	return reply{body: c.view.routeRecord(route)}, nil
}
