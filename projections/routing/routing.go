// Package routing is the view that Styx routes by: host name → environment and
// the DROPs that can serve it.
//
// Events enter through State.Apply, which is pure. The state is persistent: a
// State shown to readers never changes, and one event costs O(log n), so Styx
// looks hosts up in a snapshot behind an atomic pointer without a lock. Lookup
// allocates nothing.
//
// # What a host name is
//
// Every environment has the platform's name <environment>-<site name>.<domain>;
// dev, test and live have theirs from the site's creation on, before they are
// initialised. An environment may further hold names of the space "host",
// claimed by its stream (custom domains). A platform's name wins over a claim
// of the same text.
//
// # What a DROP in a route is
//
// One that its host has reported ready since it was placed there, whether
// asleep or awake: its host's agent wakes it. A route forgets DROPs that were
// displaced or retired. Those of a lost host, until it returns, are a last resort
// for requests to an environment that has no other: a host may be cut off from
// the control machines alone, and it knows itself whether it may still serve
// (runtime/agent).
package routing

import (
	"cmp"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Version of the fold and of its saved form; raise it when either changes, and
// the view is rebuilt from the log.
const Version = 2

// RouteState says what Styx may do with a request.
type RouteState string

// The states of a route.
const (
	NotInitialized RouteState = "not_initialized" // a name without an environment behind it yet
	Serving        RouteState = "serving"
	Deleting       RouteState = "deleting"
)

// Route is where one host name leads. It is immutable and shared.
type Route struct {
	Host        string               `json:"host"` // as looked up: lower case, no port
	Site        events.SiteID        `json:"site"`
	SiteName    string               `json:"site_name"`
	Environment events.EnvironmentID `json:"environment"`
	Framework   events.Framework     `json:"framework"`
	State       RouteState           `json:"state"`
	// PlatformHost: the name is the platform's own, not a custom domain.
	PlatformHost bool `json:"platform_host"`
	// Settings of the environment; nil while it is not created.
	Settings *events.EnvironmentSettings `json:"settings"`
	Drops    []Drop                      `json:"drops"` // sorted by id
	// LastResort are DROPs of lost hosts, sorted by id.
	LastResort []Drop `json:"last_resort,omitzero"`
}

// Targets are the DROPs to try.
func (r *Route) Targets() []Drop {
	if len(r.Drops) == 0 {
		return r.LastResort
	}
	return r.Drops
}

// Drop is a candidate to serve a request.
type Drop struct {
	Drop events.DropID `json:"drop"`
	Host events.HostID `json:"host"`
}

// State is the whole view; begin with Empty.
type State struct {
	domain       string
	edit         *pmap.Edit
	sites        pmap.Map[events.SiteID, *site]
	environments pmap.Map[events.EnvironmentID, *environment]
	drops        pmap.Map[events.DropID, *drop]
	hosts        pmap.Map[events.HostID, *host]
	names        pmap.Map[string, *name]
	turn         uint64 // counts changes of names
}

// site is what a route says of its site, for names without an environment.
type site struct {
	ID        events.SiteID    `json:"id"`
	Name      string           `json:"name"`
	Framework events.Framework `json:"framework"`
	Deleting  bool             `json:"deleting,omitzero"`
	// Environments holds dev, test, live and every branch environment.
	Environments []events.EnvironmentID `json:"environments"`
}

type environment struct {
	ID          events.EnvironmentID        `json:"id"`
	Framework   events.Framework            `json:"framework"`
	Settings    *events.EnvironmentSettings `json:"settings,omitzero"`
	Initialized bool                        `json:"initialized,omitzero"`
	Deleting    bool                        `json:"deleting,omitzero"`
	Claims      []string                    `json:"claims,omitzero"` // custom host names, sorted
	drops       []Drop                      // that serve; built from the drops
	doubtful    []Drop                      // likewise, of lost hosts
}

type drop struct {
	ID          events.DropID        `json:"id"`
	Environment events.EnvironmentID `json:"environment"`
	Host        events.HostID        `json:"host,omitzero"`
	Ready       bool                 `json:"ready,omitzero"`
}

type host struct {
	id    events.HostID
	lost  bool
	drops pmap.Map[events.DropID, struct{}]
}

// name is who stands behind a host name. The platform's owner wins.
type name struct {
	platform events.EnvironmentID
	claim    events.EnvironmentID
	route    *Route
}

// Empty gives the view of an empty log for a platform whose names end in
// domain.
func Empty(domain string) State { return State{domain: strings.ToLower(strings.Trim(domain, "."))} }

// Edit gives a state that Apply may change in place: only the newest one may
// be used from here on, until Seal.
func (s State) Edit() State {
	s.edit = &pmap.Edit{}
	return s
}

// Seal gives a state for readers: no later Apply changes it.
func (s State) Seal() State {
	s.edit = nil
	return s
}

// Turn is another number whenever a name may lead elsewhere: what Lookup gave
// holds as long as it stays. It counts from where the fold began.
func (s State) Turn() uint64 { return s.turn }

// Len gives the number of host names.
func (s State) Len() int { return s.names.Len() }

// Lookup finds the route of a Host header or :authority: with or without a
// port or a final dot, in any case.
func (s State) Lookup(hostport string) (*Route, bool) {
	text, ok := hostName(hostport)
	if !ok {
		return nil, false
	}
	if !isLower(text) {
		return s.lookupFolded(text)
	}
	n, known := s.names.Get(text)
	if !known {
		return nil, false
	}
	return n.route, true
}

// Routes gives the route of each host name of an environment, the platform's
// first.
func (s State) Routes(id events.EnvironmentID) []*Route {
	e, known := s.environments.Get(id)
	if !known {
		return nil
	}
	var routes []*Route
	for _, text := range s.namesOf(e) {
		if n, known := s.names.Get(text); known && n.route != nil && n.route.Environment == id {
			routes = append(routes, n.route)
		}
	}
	return routes
}

// PlatformHost gives the platform's host name of an environment.
func (s State) PlatformHost(env events.EnvironmentName, siteName string) string {
	return string(env) + "-" + siteName + "." + s.domain
}

// namesOf lists the host names of an environment.
func (s State) namesOf(e *environment) []string {
	var names []string
	if owner, known := s.sites.Get(e.ID.Site()); known {
		names = append(names, s.PlatformHost(e.ID.Name(), owner.Name))
	}
	return append(names, e.Claims...)
}

// refresh builds the routes of an environment again, after it or its drops
// changed.
func (s State) refresh(e *environment) State {
	s.environments = s.environments.Set(s.edit, e.ID, e)
	s.turn++
	for _, text := range s.namesOf(e) {
		if n, known := s.names.Get(text); known {
			s.names = s.names.Set(s.edit, text, s.withRoute(text, n.platform, n.claim))
		}
	}
	return s
}

// own sets who stands behind a host name; with nobody it is forgotten.
func (s State) own(text string, platform, claim events.EnvironmentID) State {
	s.turn++
	if platform == "" && claim == "" {
		s.names = s.names.Delete(s.edit, text)
		return s
	}
	s.names = s.names.Set(s.edit, text, s.withRoute(text, platform, claim))
	return s
}

func (s State) withRoute(text string, platform, claim events.EnvironmentID) *name {
	id := cmp.Or(platform, claim)
	owner := s.sites.At(id.Site())
	e, known := s.environments.Get(id)
	if owner == nil || !known {
		return &name{platform: platform, claim: claim}
	}
	route := &Route{
		Host: text, Site: owner.ID, SiteName: owner.Name, Environment: id, Framework: owner.Framework,
		State: NotInitialized, PlatformHost: platform != "", Settings: e.Settings, Drops: e.drops, LastResort: e.doubtful,
	}
	if e.Framework != "" {
		route.Framework = e.Framework
	}
	switch {
	case owner.Deleting || e.Deleting:
		route.State = Deleting
	case e.Initialized:
		route.State = Serving
	}
	return &name{platform, claim, route}
}

func compareDrops(a, b Drop) int { return strings.Compare(string(a.Drop), string(b.Drop)) }

// serve puts a DROP into its environment's routes or takes it out of them.
func (s State) serve(d *drop) State {
	e, known := s.environments.Get(d.Environment)
	if !known {
		return s
	}
	ready, lost := d.Ready && d.Host != "", s.hosts.At(d.Host).isLost()
	drops, changed := listed(e.drops, d, ready && !lost)
	doubtful, changedToo := listed(e.doubtful, d, ready && lost)
	if !changed && !changedToo {
		return s
	}
	next := *e
	next.drops, next.doubtful = drops, doubtful
	return s.refresh(&next)
}

// listed gives a list with the DROP in it or not, and whether that is another.
func listed(list []Drop, d *drop, in bool) (next []Drop, changed bool) {
	i, found := slices.BinarySearchFunc(list, Drop{Drop: d.ID}, compareDrops)
	if !in && !found || in && found && list[i].Host == d.Host {
		return list, false
	}
	next = slices.Clone(list)
	if found {
		next = slices.Delete(next, i, i+1)
	}
	if in {
		next = slices.Insert(next, i, Drop{d.ID, d.Host})
	}
	return next, true
}

func (h *host) isLost() bool { return h != nil && h.lost }
