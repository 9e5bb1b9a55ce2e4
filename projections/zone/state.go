package zone

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Version of the fold and of its saved form; raise it when either changes, and
// the view is rebuilt from the log.
const Version = 5

// Options are what the zones are made of beside the log. What changes during a
// cell's life (addresses, name servers) should come through the log instead,
// as the settings of a zone: only then does its change raise a serial.
type Options struct {
	// Domain is the platform's: <env>-<site>.<domain>. Required.
	Domain string
	// Internal is the zone of the names of services and hosts. Default:
	// "internal." and the domain.
	Internal string
	// Settings of the platform's zone, where the log has none.
	Settings events.ZoneSettings
	// Together does tasks that do not touch what another one of them changes, and
	// returns when all are done: on several cores, if it can. A start uses it. Nil
	// does them one after the other.
	Together func(tasks ...func())
}

// ViewName gives a name for the view, under which no other options' snapshot
// lies. It is fit for a file name.
func (o Options) ViewName() string {
	said := struct {
		Domain, Internal string
		Settings         events.ZoneSettings
	}{o.Domain, o.Internal, o.Settings}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", fmt.Sprint(said)))
	return "zone-" + o.Domain + "-" + hex.EncodeToString(sum[:4])
}

// State is every zone the cell is authoritative for. It is immutable, unless
// Edit gave it. It implements projections.State of *State.
type State struct {
	options Options
	edit    *pmap.Edit

	zones  pmap.Map[string, *Zone] // by apex
	apexes pmap.Sorted[*Zone]      // by key of the apex
	depths depths                  // of all apexes, and of some that are gone

	// What the log says of names outside the zones' own streams.
	sites        pmap.Map[events.SiteID, *site]
	siteNames    pmap.Map[string, events.SiteID]
	environments pmap.Map[events.EnvironmentID, *environment]
	hosts        pmap.Map[events.HostID, *host]
	claims       pmap.Sorted[claim] // custom host names, by key

	entry    []*RRset        // addresses of every web name
	position events.Position // of the newest commit
}

// site is what names need of a site.
type site struct {
	ID           events.SiteID          `json:"id"`
	Name         string                 `json:"name"`
	Environments []events.EnvironmentID `json:"environments"`   // that have names
	Codes        []bound                `json:"codes,omitzero"` // the newest last
}

type environment struct {
	ID     events.EnvironmentID `json:"id"`
	Claims []string             `json:"claims,omitzero"` // custom host names, sorted
	Drops  []placed             `json:"drops,omitzero"`  // sorted by id
	// Bindings are sorted by kind, the newest of a kind last. Two hosts may hold
	// one for a moment, until one of them is told to give it up.
	Bindings []bound `json:"bindings,omitzero"`
}

// claim is a custom host name.
type claim struct {
	text string
	env  events.EnvironmentID
}

// placed is a DROP that has a host.
type placed struct {
	Drop events.DropID `json:"drop"`
	Host events.HostID `json:"host"`
}

// bound is a binding that a host holds.
type bound struct {
	Kind    events.BindingKind `json:"kind"`
	Binding events.BindingID   `json:"binding"`
	Host    events.HostID      `json:"host"`
}

type host struct {
	ID        events.HostID `json:"id"`
	Name      string        `json:"name"` // text, empty where the host's is none
	Addresses []string      `json:"addresses,omitzero"`
	sets      []*RRset      // of Addresses
}

// firstEnvironments have names from the site's creation on.
var firstEnvironments = [...]events.EnvironmentName{"dev", "test", "live"}

// Empty gives the view of an empty log: the platform's two zones with serial 0,
// which the first commit ends.
func Empty(options Options) *State {
	options.Domain = strings.ToLower(strings.Trim(options.Domain, "."))
	options.Internal = strings.ToLower(strings.Trim(cmp.Or(options.Internal, "internal."+options.Domain), "."))
	s := &State{options: options}
	f := s.begin()
	for _, fixed := range []struct {
		name string
		role events.ZoneRole
	}{{options.Domain, events.ZonePlatform}, {options.Internal, events.ZoneInternal}} {
		if apex, ok := wireName(fixed.name); ok {
			f.addZone(apex, fixed.role, events.ZoneSettings{})
		}
	}
	return f.end(0, time.Time{})
}

// Find gives the zone whose apex is the longest at or above the name; nil
// where the cell has none.
func (s *State) Find(name []byte) *Zone {
	depth := depthOf(wireString(name))
	for i := 0; i < len(name); i += 1 + int(name[i]) {
		if s.depths.has(depth) {
			if zone, found := s.zones.Get(wireString(name[i:])); found {
				return zone
			}
		}
		if name[i] == 0 {
			break
		}
		depth--
	}
	return nil
}

// depths is a set of numbers of labels: where no zone's apex has as many as a
// name, none needs to be looked for.
type depths [2]uint64

func (d *depths) has(depth int) bool { return d[depth>>6&1]&(1<<(depth&63)) != 0 }
func (d *depths) add(depth int)      { d[depth>>6&1] |= 1 << (depth & 63) }

// depthOf counts the labels of a name, the root not among them.
func depthOf(name string) int {
	depth := 0
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		depth++
	}
	return depth
}

// Zone gives the zone with this apex; nil where the cell has none.
func (s *State) Zone(apex []byte) *Zone { return s.zones.At(wireString(apex)) }

// Named is Zone by text.
func (s *State) Named(name events.ZoneName) *Zone {
	apex, _ := wireName(string(name))
	return s.zones.At(apex)
}

// All gives every zone in canonical order of the apexes.
func (s *State) All() iter.Seq[*Zone] {
	return func(yield func(*Zone) bool) {
		for _, zone := range s.apexes.From("") {
			if !yield(zone) {
				return
			}
		}
	}
}

// Len gives the number of zones.
func (s *State) Len() int { return s.zones.Len() }

// Edit gives a state that Apply may change in place: only the newest one may
// be used from here on, until Seal.
func (s *State) Edit() *State {
	copied := *s
	copied.edit = &pmap.Edit{}
	return &copied
}

// Seal gives a state for readers: no later Apply changes it.
func (s *State) Seal() *State {
	copied := *s
	copied.edit = nil
	return &copied
}

// parent gives the zone that encloses an apex.
func (s *State) parent(apex string) *Zone {
	if apex[0] == 0 {
		return nil
	}
	return s.Find(wireBytes(apex[1+int(apex[0]):]))
}

// key gives the key of a whole name.
func fullKey(name string) string {
	var buffer [maxKeyBytes]byte
	return string(appendKey(buffer[:0], wireBytes(name)[:len(name)-1]))
}

// platform gives the platform's own zone.
func (s *State) platform() *Zone { return s.Named(events.ZoneName(s.options.Domain)) }

// effective fills in what a zone's settings leave open.
func (s *State) effective(z *Zone) events.ZoneSettings {
	e, p := z.settings, s.options.Settings
	if platform := s.platform(); platform != nil {
		p = Overlay(platform.settings, p)
	}
	e = Overlay(e, inherited(p, z.role))
	if len(e.NameServers) == 0 {
		e.NameServers = []events.NameServer{{Name: "ns1." + s.options.Domain, Addresses: p.Entry}}
	}
	ttl, negative := int64(defaultTTL), int64(defaultNegativeTTL)
	if z.role == events.ZoneInternal {
		ttl, negative = defaultInternalTTL, defaultInternalNegativeTTL
	}
	e.Primary = cmp.Or(e.Primary, e.NameServers[0].Name)
	e.Hostmaster = cmp.Or(e.Hostmaster, "hostmaster@"+s.options.Domain)
	e.TTLSeconds, e.NegativeTTLSeconds = cmp.Or(e.TTLSeconds, ttl), cmp.Or(e.NegativeTTLSeconds, negative)
	e.RefreshSeconds, e.RetrySeconds = cmp.Or(e.RefreshSeconds, defaultRefresh), cmp.Or(e.RetrySeconds, defaultRetry)
	e.ExpireSeconds = cmp.Or(e.ExpireSeconds, defaultExpire)
	return e
}

// inherited is what a zone takes over from the platform's: no CAA records, and
// TTLs of the internal zone are its own.
func inherited(p events.ZoneSettings, role events.ZoneRole) events.ZoneSettings {
	if role == events.ZoneInternal {
		p.TTLSeconds, p.NegativeTTLSeconds = 0, 0
	}
	if role != events.ZonePlatform {
		p.CAA = nil
	}
	return p
}

// Overlay gives the settings with what they leave open taken from below.
func Overlay(above, below events.ZoneSettings) events.ZoneSettings {
	return events.ZoneSettings{
		Primary: cmp.Or(above.Primary, below.Primary), Hostmaster: cmp.Or(above.Hostmaster, below.Hostmaster),
		NameServers: either(above.NameServers, below.NameServers), Entry: either(above.Entry, below.Entry),
		CAA: either(above.CAA, below.CAA), Services: either(above.Services, below.Services),
		TTLSeconds:         cmp.Or(above.TTLSeconds, below.TTLSeconds),
		NegativeTTLSeconds: cmp.Or(above.NegativeTTLSeconds, below.NegativeTTLSeconds),
		RefreshSeconds:     cmp.Or(above.RefreshSeconds, below.RefreshSeconds),
		RetrySeconds:       cmp.Or(above.RetrySeconds, below.RetrySeconds),
		ExpireSeconds:      cmp.Or(above.ExpireSeconds, below.ExpireSeconds),
	}
}

func either[T any](above, below []T) []T {
	if len(above) > 0 {
		return above
	}
	return below
}

// hostsOf lists the hosts behind a service of an environment, sorted.
func (s *State) hostsOf(id events.EnvironmentID, server string) []events.HostID {
	if e, known := s.environments.Get(id); known {
		return s.hostsFor(e, server)
	}
	return nil
}

func (s *State) hostsFor(e *environment, server string) []events.HostID {
	var list []events.HostID
	switch server {
	case appServer:
		for _, d := range e.Drops {
			list = append(list, d.Host)
		}
		slices.Sort(list)
		return slices.Compact(list)
	case string(events.CodeServer):
		if owner := s.sites.At(e.ID.Site()); owner != nil && len(owner.Codes) > 0 {
			list = append(list, owner.Codes[len(owner.Codes)-1].Host)
		}
	default:
		for _, b := range slices.Backward(e.Bindings) {
			if string(b.Kind) == server {
				return append(list, b.Host)
			}
		}
	}
	return list
}
