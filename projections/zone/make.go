package zone

import (
	"iter"
	"slices"
	"strings"

	"pantheon/projections/pmap"
)

// loaded is what a zone owes to the facts of a saved state.
type loaded struct {
	nodes []*Node // made, and not in the order of the zone yet
	// changed: some may not be what they were made as.
	changed bool
	// web and services: the names of sites, or those of services, are still to
	// be made here.
	web, services bool
}

// together does all tasks.
func (o Options) together(tasks []func()) {
	if o.Together != nil {
		o.Together(tasks...)
		return
	}
	for _, task := range tasks {
		task()
	}
}

// makeAll makes the names that fill has left for later, of which there may be
// a million: those of sites and those of services at the same time, because they
// are in different zones. Each side changes one zone and reads what nobody
// changes meanwhile; what is elsewhere is made afterwards.
func (f *fold) makeAll() {
	var shared []*Zone
	var elsewhere []string
	var sides []func()
	for apex, made := range f.loaded {
		z := f.zones.At(apex)
		switch {
		case made.services && !f.isAlone(z):
			shared = append(shared, z)
		case made.services:
			sides = append(sides, func() { f.makeServices(z, true) })
		case made.web:
			sides = append(sides, func() { elsewhere = f.makeWebNames(z) })
		}
	}
	f.options.together(sides)
	f.refreshText(elsewhere...)
	for _, z := range shared {
		f.makeServices(z, false)
	}
}

// isAlone says that nobody but the platform speaks of names in a zone.
func (f *fold) isAlone(z *Zone) bool {
	for _, other := range f.apexes.Prefix(fullKey(z.apex)) {
		if other.apex != z.apex {
			return false
		}
	}
	return !slices.ContainsFunc(serverNames(z), func(server string) bool { return hasSuffix(server, z.apex) })
}

// makeWebNames makes the names of sites in the platform's zone, and gives those
// that are not in it.
func (f *fold) makeWebNames(z *Zone) (elsewhere []string) {
	for _, owner := range f.sites.All() {
		for _, id := range owner.Environments {
			for _, text := range f.webNames(owner, f.environments.At(id)) {
				name, ok := wireName(text)
				switch {
				case !ok:
				case name == z.apex || f.Find(wireBytes(name)) != z:
					elsewhere = append(elsewhere, text)
				case z.names.At(name) == nil:
					f.make(z, name, text)
				default:
					f.refresh(z, name)
				}
			}
		}
	}
	return elsewhere
}

// makeServices is refreshAllServices for a saved state, in which there may be a
// million names of services. Where nobody else speaks of names in the zone (alone),
// they are what baseOf says of them, without a look at all that it looks at.
func (f *fold) makeServices(z *Zone, alone bool) {
	z = f.own(z)
	vacant := z.isVacant(serviceDepth)
	for id, e := range f.environments.All() {
		above, made := child(strings.ToLower(string(id.Name())), child(strings.ToLower(string(id.Site())), z.apex)), 0
		for _, server := range servers {
			hosts := f.hostsFor(e, server)
			if len(hosts) == 0 {
				continue // it has no names, and had none
			}
			name := child(server, above)
			if base := f.addressesOf(hosts); alone && len(base) > 0 && (vacant || z.names.At(name) == nil) {
				f.insert(z, name, base)
				made++
				continue
			}
			f.refreshText(f.serviceNames(id, server)...)
		}
		if made > 0 {
			z.countRightBelow(f.edit, above, made)
		}
		for _, server := range servers {
			if alone && hasPorts(z, server) && len(f.hostsFor(e, server)) > 0 {
				f.refreshText(f.serviceNames(id, server)[1:]...)
			}
		}
	}
}

// serviceDepth is how many labels a service's name has below the apex:
// <server>.<environment>.<site>.
const serviceDepth = 3

// isVacant says that no name has so many labels below the apex.
func (z *Zone) isVacant(depth int) bool {
	for name := range z.names.All() {
		if depthOf(name) == depthOf(z.apex)+depth {
			return false
		}
	}
	return true
}

// keyed is a node with its place in the order of its zone.
type keyed struct {
	key  string
	node *Node
}

// sortAll puts the names that were made into the order of their zones.
func (f *fold) sortAll() {
	var zones []func()
	for apex, made := range f.loaded {
		if len(made.nodes) > 0 {
			z := f.own(f.zones.At(apex))
			zones = append(zones, func() { z.sort(f.edit, made, f.options) })
		}
	}
	f.options.together(zones)
}

// sort puts names that are held already into the order, at once: their way
// there one by one is a third of the time that loading takes.
func (z *Zone) sort(edit *pmap.Edit, made *loaded, options Options) {
	before := make([]keyed, 0, z.order.Len())
	for key, node := range z.order.From("") {
		before = append(before, keyed{key, node})
	}
	parts := [][]keyed{before}
	count := len(before)
	var sorting []func()
	for some := range slices.Chunk(made.nodes, max(minSortedNodes, len(made.nodes)/2+1)) {
		part := make([]keyed, 0, len(some))
		for _, node := range some {
			if !made.changed || z.names.At(node.name) == node { // else it is in order
				part = append(part, keyed{node: node})
			}
		}
		count += len(part)
		parts = append(parts, part)
		sorting = append(sorting, func() {
			for i := range part {
				part[i].key = relativeKey(z, part[i].node.name)
			}
			slices.SortFunc(part, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
		})
	}
	options.together(sorting)
	z.order = pmap.Collect(edit, count, merged(parts))
}

// merged gives what sorted lists hold, in order.
func merged(parts [][]keyed) iter.Seq2[string, *Node] {
	return func(yield func(string, *Node) bool) {
		for {
			least := -1
			for i, part := range parts {
				if len(part) > 0 && (least < 0 || part[0].key < parts[least][0].key) {
					least = i
				}
			}
			if least < 0 || !yield(parts[least][0].key, parts[least][0].node) {
				return
			}
			parts[least] = parts[least][1:]
		}
	}
}
