package check

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/projections/routing"
	"pantheon/projections/zone"
)

// appServer is the service that an environment's DROPs are.
const appServer = "appserver"

// EntryAddress is where visitors reach the cell that Names judges.
const EntryAddress = "192.0.2.80"

// Names folds the zone beside the routing table, and after every commit that
// moves something compares the names it concerns: a web name has the entry's
// address exactly while a route for it exists; the names of services and hosts
// have the addresses of the machines that the log says.
type Names struct {
	violate Violate
	hide    func(events.Envelope) (events.Envelope, bool)
	domain  string
	of      sample
	entry   []netip.Addr
	routes  routing.State
	zones   *zone.State

	sites    map[events.SiteID]*siteNames
	claims   map[string]events.EnvironmentID
	drops    map[events.DropID]placement
	placed   map[events.EnvironmentID]map[events.DropID]events.HostID
	services map[service]map[held]bool
	hosts    map[events.HostID]*hostNames
	touched  touched
	position events.Position
}

// siteNames is what the web names of a site are made of.
type siteNames struct {
	name         string
	environments map[events.EnvironmentName]bool
}

type hostNames struct {
	name      string
	addresses []netip.Addr
}

type placement struct {
	environment events.EnvironmentID
	host        events.HostID
}

// service is one kind of binding of an environment, or of all of a site.
type service struct {
	owner string
	kind  events.BindingKind
}

// held is a binding at a host.
type held struct {
	binding events.BindingID
	host    events.HostID
}

// touched is what a commit concerns.
type touched struct {
	texts    map[string]bool
	services map[events.EnvironmentID]map[string]bool
	hosts    map[events.HostID]bool
}

// NewNames begins with an empty log. hide changes what the zone sees of it,
// or hides it; nil hides nothing. One site in so many is followed.
func NewNames(violate Violate, domain string, oneIn int, hide func(events.Envelope) (events.Envelope, bool)) *Names {
	return &Names{
		violate: violate, hide: hide, domain: domain, of: sample{oneIn, map[events.DropID]bool{}}, entry: []netip.Addr{netip.MustParseAddr(EntryAddress)},
		routes: routing.Empty(domain).Edit(),
		zones:  zone.Empty(zone.Options{Domain: domain, Settings: events.ZoneSettings{Entry: []string{EntryAddress}}}).Edit(),
		sites:  map[events.SiteID]*siteNames{}, claims: map[string]events.EnvironmentID{}, drops: map[events.DropID]placement{},
		placed:   map[events.EnvironmentID]map[events.DropID]events.HostID{},
		services: map[service]map[held]bool{}, hosts: map[events.HostID]*hostNames{},
		touched: touched{map[string]bool{}, map[events.EnvironmentID]map[string]bool{}, map[events.HostID]bool{}},
	}
}

// Past folds a commit from before the simulation.
func (n *Names) Past(envelope events.Envelope) {
	n.fold(envelope)
	n.touched.clear()
}

// Commit folds a commit and looks at the names that it concerns.
func (n *Names) Commit(envelope events.Envelope) {
	n.fold(envelope)
	n.compare()
	n.touched.clear()
}

// Final looks at every name.
func (n *Names) Final() {
	for id, s := range n.sites {
		for name := range s.environments {
			n.touch(events.EnvironmentOf(id, name))
		}
	}
	for text := range n.claims {
		n.touched.texts[text] = true
	}
	for id := range n.hosts {
		n.touched.hosts[id] = true
	}
	n.compare()
	n.touched.clear()
	z := n.zones.Named(events.ZoneName(n.domain))
	webs := 0
	for node := range z.Nodes() {
		if node.RRset(typeA) != nil {
			webs++
		}
	}
	if own := len(z.Settings().NameServers); webs != n.routes.Len()+own {
		n.violate("zone", "%d names have addresses, %d of them are name servers, the routing table has %d", webs, own, n.routes.Len())
	}
}

func (t *touched) clear() {
	clear(t.texts)
	clear(t.services)
	clear(t.hosts)
}

func (n *Names) fold(envelope events.Envelope) {
	switch envelope.Stream.Kind {
	case events.KindWorkflow, events.KindAccount:
		return // neither view knows these
	case events.KindBinding:
		if !slices.ContainsFunc(envelope.Events, func(event events.Event) bool { _, lost := event.(events.BindingLost); return lost }) {
			return
		}
	case events.KindSite, events.KindEnvironment, events.KindDrop, events.KindHost, events.KindName, events.KindZone:
	}
	envelope, some := n.of.part(envelope)
	if !some {
		return
	}
	n.position = envelope.Position
	n.routes = n.routes.Apply(envelope)
	if n.hide != nil {
		seen, passes := n.hide(envelope)
		if passes {
			n.zones = n.zones.Apply(seen)
		}
	} else {
		n.zones = n.zones.Apply(envelope)
	}
	for _, event := range envelope.Events {
		switch envelope.Stream.Kind {
		case events.KindSite, events.KindEnvironment, events.KindName:
			n.foldSite(event)
		case events.KindDrop:
			n.foldDrop(event)
		case events.KindHost:
			n.foldHost(event)
		case events.KindBinding:
			n.foldBinding(event)
		case events.KindWorkflow, events.KindAccount, events.KindZone:
		}
	}
}

func (n *Names) foldSite(event events.Event) {
	switch e := event.(type) {
	case events.SiteCreated:
		n.sites[e.Site] = &siteNames{strings.ToLower(e.Name), map[events.EnvironmentName]bool{"dev": true, "test": true, "live": true}}
		n.touchSite(e.Site)
	case events.SiteDeleted:
		n.touchSite(e.Site)
		for text, env := range n.claims {
			if env.Site() == e.Site {
				n.touched.texts[text] = true
				delete(n.claims, text)
			}
		}
		delete(n.sites, e.Site)
	case events.EnvironmentCreated:
		if s := n.sites[e.Environment.Site()]; s != nil {
			s.environments[e.Environment.Name()] = true
		}
		n.touch(e.Environment)
	case events.EnvironmentDeleted:
		n.touch(e.Environment)
		if name := e.Environment.Name(); name != "dev" && name != "test" && name != "live" && n.there(e.Environment) {
			delete(n.sites[e.Environment.Site()].environments, name)
		}
	case events.NameClaimed:
		if kind, id, _ := strings.Cut(e.By, "/"); e.Name.Space() == events.SpaceHost && kind == string(events.KindEnvironment) {
			n.touched.texts[e.Name.Name()] = true
			if n.there(events.EnvironmentID(id)) {
				n.claims[e.Name.Name()] = events.EnvironmentID(id)
			}
		}
	case events.NameReleased:
		if e.Name.Space() == events.SpaceHost {
			n.touched.texts[e.Name.Name()] = true
			delete(n.claims, e.Name.Name())
		}
	}
}

func (n *Names) touchSite(id events.SiteID) {
	if s := n.sites[id]; s != nil {
		for name := range s.environments {
			n.touch(events.EnvironmentOf(id, name))
		}
	}
}

// touch has all names of an environment looked at.
func (n *Names) touch(id events.EnvironmentID) {
	if s := n.sites[id.Site()]; s != nil {
		n.touched.texts[string(id.Name())+"-"+s.name+"."+n.domain] = true
	}
	for _, server := range []events.BindingKind{appServer, events.CodeServer, events.DBServer, events.FileServer, events.CacheServer, events.IndexServer} {
		n.touchService(id, string(server))
	}
}

func (n *Names) touchService(id events.EnvironmentID, server string) {
	if n.touched.services[id] == nil {
		n.touched.services[id] = map[string]bool{}
	}
	n.touched.services[id][server] = true
}

func (n *Names) there(id events.EnvironmentID) bool {
	s := n.sites[id.Site()]
	return s != nil && s.environments[id.Name()]
}

func (n *Names) foldDrop(event events.Event) {
	switch e := event.(type) {
	case events.DropPlaced:
		n.place(e.Drop, placement{e.Environment, e.Host})
	case events.DropDisplaced:
		n.place(e.Drop, placement{environment: e.Environment})
	case events.DropRetired:
		n.place(e.Drop, placement{environment: n.drops[e.Drop].environment})
	case events.DropReady:
		n.touchService(n.drops[e.Drop].environment, appServer)
	}
}

func (n *Names) place(id events.DropID, at placement) {
	env := at.environment
	switch {
	case at.host == "":
		delete(n.placed[env], id)
		delete(n.drops, id)
	default:
		if n.placed[env] == nil {
			n.placed[env] = map[events.DropID]events.HostID{}
		}
		n.placed[env][id] = at.host
		n.drops[id] = at
	}
	n.touchService(env, appServer)
}

func (n *Names) foldHost(event events.Event) {
	switch e := event.(type) {
	case events.HostRegistered:
		n.hostOf(e.Host).name = strings.ToLower(e.Name)
	case events.HostAddressesChanged:
		n.hostOf(e.Host).addresses = parsed(e.Addresses)
		n.touchAll(e.Host)
	case events.HostRemoved:
		n.touchAll(e.Host)
		*n.hostOf(e.Host) = hostNames{name: n.hosts[e.Host].name}
	case events.HostWrittenOff:
		n.touchAll(e.Host)
		*n.hostOf(e.Host) = hostNames{name: n.hosts[e.Host].name}
	case events.BindingAdmitted:
		n.bind(e.Spec, e.Binding, e.Host, true)
	case events.BindingDismissed:
		n.bind(e.Spec, e.Binding, e.Host, false)
	}
}

func (n *Names) foldBinding(event events.Event) {
	if e, lost := event.(events.BindingLost); lost {
		n.bind(events.BindingSpec{Kind: e.Kind, Site: e.Site, Environment: e.Environment}, e.Binding, e.Host, false)
	}
}

func parsed(texts []string) (list []netip.Addr) {
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			list = append(list, address.Unmap())
		}
	}
	return list
}

func (n *Names) hostOf(id events.HostID) *hostNames {
	if n.hosts[id] == nil {
		n.hosts[id] = &hostNames{}
	}
	n.touched.hosts[id] = true
	return n.hosts[id]
}

// touchAll is for a machine that has moved: whatever is on it.
func (n *Names) touchAll(id events.HostID) {
	for _, at := range n.drops {
		if at.host == id {
			n.touchService(at.environment, appServer)
		}
	}
	for of, holders := range n.services {
		for holder := range holders {
			if holder.host == id {
				n.touchKind(of)
			}
		}
	}
}

func (n *Names) bind(spec events.BindingSpec, id events.BindingID, on events.HostID, holds bool) {
	of := service{string(spec.Environment), spec.Kind}
	if spec.Kind == events.CodeServer {
		of.owner = string(spec.Site)
	}
	switch {
	case !holds:
		delete(n.services[of], held{id, on})
	case n.services[of] == nil:
		n.services[of] = map[held]bool{{id, on}: true}
	default:
		n.services[of][held{id, on}] = true
	}
	n.touchKind(of)
}

func (n *Names) touchKind(of service) {
	if of.kind != events.CodeServer {
		n.touchService(events.EnvironmentID(of.owner), string(of.kind))
		return
	}
	if s := n.sites[events.SiteID(of.owner)]; s != nil {
		for name := range s.environments {
			n.touchService(events.EnvironmentOf(events.SiteID(of.owner), name), string(of.kind))
		}
	}
}

// compare looks at what was touched, in order, so that the first violation is
// the same in every run.
func (n *Names) compare() {
	for text := range sorted(n.touched.texts) {
		n.compareWeb(text)
	}
	for id := range sorted(n.touched.services) {
		for server := range sorted(n.touched.services[id]) {
			n.compareService(id, server)
		}
	}
	for id := range sorted(n.touched.hosts) {
		n.compareHost(n.hosts[id].name)
	}
}

// compareHost: machines that had one name one after the other share it.
func (n *Names) compareHost(name string) {
	var wanted []netip.Addr
	for id := range sorted(n.hosts) {
		if n.hosts[id].name == name {
			wanted = append(wanted, n.hosts[id].addresses...)
		}
	}
	n.expect(name+".internal."+n.domain, wanted)
}

// sorted gives the keys of a map in order; most have one.
func sorted[K ~string, V any](m map[K]V) iter.Seq[K] {
	if len(m) < 2 {
		return maps.Keys(m)
	}
	return slices.Values(slices.Sorted(maps.Keys(m)))
}

// compareWeb: a name leads to the entry while there is a route, and only then.
func (n *Names) compareWeb(text string) {
	var wanted []netip.Addr
	if _, routed := n.routes.Lookup(text); routed {
		wanted = n.entry
	}
	n.expect(text, wanted)
}

func (n *Names) compareService(id events.EnvironmentID, server string) {
	var wanted []netip.Addr
	switch kind := events.BindingKind(server); {
	case !n.there(id):
	case server == appServer:
		wanted = n.appServers(id)
	default:
		of := service{string(id), kind}
		if kind == events.CodeServer {
			of.owner = string(id.Site())
		}
		if len(n.services[of]) > 1 {
			return // one of them is being taken back
		}
		for holder := range n.services[of] {
			wanted = n.addressesOf(holder.host)
		}
	}
	n.expect(server+"."+string(id)+".internal."+n.domain, wanted)
}

// appServers gives the addresses of all that hold a DROP of an environment;
// every DROP of a route is at one of them.
func (n *Names) appServers(id events.EnvironmentID) (wanted []netip.Addr) {
	for drop := range sorted(n.placed[id]) {
		wanted = append(wanted, n.addressesOf(n.placed[id][drop])...)
	}
	for _, route := range n.routes.Routes(id) {
		for _, target := range route.Drops {
			if n.placed[id][target.Drop] != target.Host {
				n.violate("zone", "position %d: the route of %s names DROP %s on host %s, its placement is %q", n.position, route.Host, target.Drop, target.Host, n.placed[id][target.Drop])
			}
		}
	}
	return wanted
}

func (n *Names) addressesOf(id events.HostID) []netip.Addr {
	if h := n.hosts[id]; h != nil {
		return h.addresses
	}
	return nil
}

// The types of the records of addresses (RFC 1035 §3.2.2, RFC 3596 §2.1).
const (
	typeA    = 1
	typeAAAA = 28
)

// expect compares a name's addresses.
func (n *Names) expect(text string, wanted []netip.Addr) {
	name := wire(text)
	var got []netip.Addr
	if z := n.zones.Find(name); z != nil {
		if node := z.Lookup(name).Node; node != nil {
			for _, kind := range [...]uint16{typeA, typeAAAA} {
				if set := node.RRset(kind); set != nil {
					for _, data := range set.Data {
						address, _ := netip.AddrFromSlice(data)
						got = append(got, address)
					}
				}
			}
		}
	}
	if len(wanted) > 1 {
		wanted = slices.Clone(wanted)
		slices.SortFunc(wanted, netip.Addr.Compare)
		wanted = slices.Compact(wanted)
		slices.SortFunc(got, netip.Addr.Compare)
	}
	if !slices.Equal(got, wanted) {
		n.violate("zone", "position %d: %s has the addresses %s, it should have %s", n.position, text, fmt.Sprint(got), fmt.Sprint(wanted))
	}
}

// wire gives a name's wire form (RFC 1035 §3.1).
func wire(text string) []byte {
	name := make([]byte, 0, len(text)+2)
	for label := range strings.SplitSeq(strings.ToLower(text), ".") {
		name = append(append(name, byte(len(label))), label...)
	}
	return append(name, 0)
}
