package zone

import (
	"strings"

	"github.com/miekg/dns"

	"pantheon/events"
)

// appServer is the service that an environment's DROPs are.
const appServer = "appserver"

// entryServer stands in settings for where visitors reach sites.
const entryServer = "entry"

// servers are the services that environments have names for.
var servers = [...]string{
	appServer, string(events.CodeServer), string(events.DBServer), string(events.FileServer), string(events.CacheServer), string(events.IndexServer),
}

// baseOf gives what the platform says at a name of a zone, from the facts
// alone: it is the same however they came about.
func (s *State) baseOf(z *Zone, name string) []*RRset { return s.baseOfText(z, name, textName(name)) }

// baseOfText is baseOf for one who has the name's text too.
func (s *State) baseOfText(z *Zone, name, text string) []*RRset {
	if name == z.apex {
		sets := s.apexSets(z)
		if z.role != events.ZoneInternal && s.claimed(name) {
			sets = joined(sets, s.entry)
		}
		return joined(sets, s.serverSets(z, text))
	}
	if below := s.under(z, name); below != nil {
		if below.apex == name { // a delegation from one zone of the cell to another
			return joined(delegation(below), s.serverSets(below, text))
		}
		return s.serverSets(below, text) // glue
	}
	sets := s.serverSets(z, text)
	switch {
	case z.role == events.ZoneInternal:
		return joined(sets, s.internalSets(z, name, text))
	case len(sets) == 0 && (s.claimed(name) || z.role == events.ZonePlatform && s.isWebName(text)):
		return s.entry // shared by all of them
	case len(sets) == 0 && z.role == events.ZonePlatform:
		return s.entryPort(z, name, text)
	}
	return sets
}

// entryPort is the SRV record of a web name: _<service>._tcp.<web name>. In
// other zones a name may lead elsewhere by the operator's will, and has none.
func (s *State) entryPort(z *Zone, name, text string) []*RRset {
	service, rest, _ := strings.Cut(text, "._tcp.")
	if len(s.entry) == 0 || !strings.HasPrefix(service, "_") || !s.isWebName(rest) {
		return nil
	}
	var data [][]byte
	for _, port := range z.effective.Services {
		if port.Server == entryServer && port.Service == service[1:] {
			data = append(data, srv(port.Port, parentOf(parentOf(name))))
		}
	}
	if data == nil {
		return nil
	}
	return []*RRset{newSet(dns.TypeSRV, z.effective.TTLSeconds, data...)}
}

// parentOf gives a name without its first label.
func parentOf(name string) string { return name[1+int(name[0]):] }

// under gives the zone right below another one at or above a name; nil where
// the name is in none.
func (s *State) under(z *Zone, name string) *Zone {
	var highest *Zone
	depth := depthOf(name)
	for i := 0; i < len(name)-len(z.apex); i += 1 + int(name[i]) {
		if s.depths.has(depth) {
			if below, found := s.zones.Get(name[i:]); found {
				highest = below
			}
		}
		depth--
	}
	return highest
}

func delegation(z *Zone) []*RRset {
	if set := setOf(z.names.At(z.apex).answered(), dns.TypeNS); set != nil {
		return []*RRset{set}
	}
	return nil
}

// serverNames lists the name servers that the settings of a zone have.
func serverNames(z *Zone) []string {
	var names []string
	for _, server := range z.effective.NameServers {
		if name, ok := wireName(server.Name); ok {
			names = append(names, name)
		}
	}
	return names
}

// apexSets are the platform's SOA, NS and CAA records.
func (s *State) apexSets(z *Zone) []*RRset {
	var names, caa [][]byte
	for _, name := range serverNames(z) {
		names = append(names, []byte(name))
	}
	for _, text := range z.effective.CAA {
		if _, data, ok := rdata(events.ZoneRecord{Type: "CAA", Data: text}); ok {
			caa = append(caa, data)
		}
	}
	sets := []*RRset{newSet(dns.TypeSOA, delegationTTL, z.SOA(z.serial))}
	if names != nil {
		sets = withSet(sets, newSet(dns.TypeNS, delegationTTL, names...))
	}
	if caa != nil {
		sets = append(sets, newSet(dns.TypeCAA, delegationTTL, caa...))
	}
	return sets
}

// serverSets are the addresses of a name server, for glue.
func (s *State) serverSets(z *Zone, text string) []*RRset {
	var sets []*RRset
	for _, server := range z.effective.NameServers {
		if strings.EqualFold(strings.TrimSuffix(server.Name, "."), text) {
			sets = joined(sets, addressSets(server.Addresses, delegationTTL))
		}
	}
	return sets
}

func (s *State) claimed(name string) bool {
	var buffer [maxKeyBytes]byte
	_, found := s.claims.Get(wireString(appendKey(buffer[:0], wireBytes(name)[:len(name)-1])))
	return found
}

// isWebName says whether a text is <environment>-<site name>.<domain>. Both
// may have dashes, so each is tried.
func (s *State) isWebName(text string) bool {
	label, domain, _ := strings.Cut(text, ".")
	if domain != s.options.Domain {
		return false
	}
	for i := range min(len(label), events.MaxEnvironmentNameBytes+1) {
		if label[i] != '-' {
			continue
		}
		if id, found := s.siteNames.Get(label[i+1:]); found {
			if _, known := s.environments.Get(events.EnvironmentOf(id, events.EnvironmentName(label[:i]))); known {
				return true
			}
		}
	}
	return false
}

// internalSets are the records of a host's name, and of a service's:
// [_<service>._tcp.]<server>.<environment>.<site>.
func (s *State) internalSets(z *Zone, name, text string) []*RRset {
	relative := strings.TrimSuffix(text, "."+s.options.Internal)
	labels := strings.Split(relative, ".")
	if n := len(labels); n == 3 || n == 5 && labels[1] == "_tcp" && strings.HasPrefix(labels[0], "_") {
		server := labels[n-3]
		id := events.EnvironmentID(labels[n-2] + "." + labels[n-1])
		if hosts := s.hostsOf(id, server); len(hosts) > 0 {
			if n == 3 {
				return s.addressesOf(hosts)
			}
			return s.servicePort(z, server, labels[0][1:], name)
		}
	}
	if _, err := events.ParseSiteID(labels[len(labels)-1]); err == nil {
		return nil // no host's name
	}
	var sets []*RRset
	for _, h := range s.hosts.All() { // a cell has some dozens
		if h.Name == relative {
			sets = joined(sets, h.sets)
		}
	}
	return sets
}

func (s *State) servicePort(z *Zone, server, service, name string) []*RRset {
	target := parentOf(parentOf(name))
	var data [][]byte
	for _, port := range z.effective.Services {
		if port.Server == server && port.Service == service {
			data = append(data, srv(port.Port, target))
		}
	}
	if data == nil || z.names.At(target) == nil {
		return nil // a host without an address has no services
	}
	return []*RRset{newSet(dns.TypeSRV, z.effective.TTLSeconds, data...)}
}

func (s *State) addressesOf(hosts []events.HostID) []*RRset {
	var sets []*RRset
	for i, id := range hosts {
		h, known := s.hosts.Get(id)
		switch {
		case !known:
		case i == 0:
			sets = h.sets // shared by all its services
		default:
			sets = joined(sets, h.sets)
		}
	}
	return sets
}

// webNames and serviceNames list the texts at which an environment may have
// records.
func (s *State) webNames(owner *site, e *environment) []string {
	name := string(e.ID.Name()) + "-" + owner.Name + "." + s.options.Domain
	return append(append([]string{name}, e.Claims...), serviceTexts(s.platform(), entryServer, name)...)
}

// serviceTexts lists the texts of a server's SRV records.
func serviceTexts(z *Zone, server, name string) []string {
	var names []string
	if z != nil {
		for _, port := range z.effective.Services {
			if port.Server == server {
				names = append(names, "_"+port.Service+"._tcp."+name)
			}
		}
	}
	return names
}

func (s *State) serviceNames(id events.EnvironmentID, server string) []string {
	name := server + "." + string(id) + "." + s.options.Internal
	// The name comes before its SRV records, which look at it.
	return append([]string{name}, serviceTexts(s.Named(events.ZoneName(s.options.Internal)), server, name)...)
}
