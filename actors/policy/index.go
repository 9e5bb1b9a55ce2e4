package policy

import (
	"cmp"
	"slices"

	"pantheon/events"
)

// lotProbes is how often a thing looks for the nearest host on the circle on
// which its lot is drawn. With one look, a host after a wide gap would be drawn
// by far too many; with eight, the shares differ by about a quarter, which is
// less than a class of room.
const lotProbes = 8

// draw is what a thing brings to the drawing of lots: some places on a circle of
// 2⁶⁴. A host is at one place, always the same, and its lot is how far it is
// behind the nearest of the thing's. So the best of many hosts is found without
// looking at them, and one that comes or goes changes the choice of few things.
type draw [lotProbes]uint64

func drawOf(subject string) (d draw) {
	at := circle(subject)
	for i := range d {
		d[i] = mixed(at + uint64(i)*0x9e3779b97f4a7c15)
	}
	return d
}

func (d draw) lot(point uint64) uint64 {
	lot := point - d[0]
	for _, probe := range d[1:] {
		lot = min(lot, point-probe)
	}
	return lot
}

// circle gives the place of a name: FNV-1a, and the end of MurmurHash3, since few
// bytes differ.
func circle(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mixed(h)
}

func mixed(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hostIndex finds the best of all hosts that are open, but for those that a
// choice has its own reasons for or against: by zone, then by class of room, then
// by lot. It is part of a State's fold and is derived from it anew by Restore.
type hostIndex map[string]*zoneIndex

// zoneIndex are the classes of room in a zone, the most room first. None is empty.
type zoneIndex struct{ classes []roomHosts }

// roomHosts are hosts of about as much room, in the order of the circle.
type roomHosts struct {
	class int
	hosts []placedHost
}

type placedHost struct {
	point uint64
	id    events.HostID
}

func (h placedHost) compare(other placedHost) int {
	return cmp.Or(cmp.Compare(h.point, other.point), cmp.Compare(h.id, other.id))
}

// entry is where the index has a host; the zero value where it does not.
type entry struct {
	open  bool
	zone  string
	class int
}

// update notes that a host may have changed.
func (x hostIndex) update(id events.HostID, h *hostState) {
	now := entry{}
	if h.closed() == "" {
		now = entry{true, h.Zone, roomClass(h.room())}
	}
	if now == h.indexed {
		return
	}
	at := placedHost{circle(string(id)), id}
	if h.indexed.open {
		x.remove(h.indexed, at)
	}
	if now.open {
		x.add(now, at)
	}
	h.indexed = now
}

func (x hostIndex) add(to entry, h placedHost) {
	zone := x[to.zone]
	if zone == nil {
		zone = &zoneIndex{}
		x[to.zone] = zone
	}
	i, found := zone.find(to.class)
	if !found {
		zone.classes = slices.Insert(zone.classes, i, roomHosts{class: to.class})
	}
	hosts := &zone.classes[i].hosts
	at, _ := slices.BinarySearchFunc(*hosts, h, placedHost.compare)
	*hosts = slices.Insert(*hosts, at, h)
}

func (x hostIndex) remove(from entry, h placedHost) {
	zone := x[from.zone]
	i, _ := zone.find(from.class)
	hosts := &zone.classes[i].hosts
	at, _ := slices.BinarySearchFunc(*hosts, h, placedHost.compare)
	if *hosts = slices.Delete(*hosts, at, at+1); len(*hosts) > 0 {
		return
	}
	if zone.classes = slices.Delete(zone.classes, i, i+1); len(zone.classes) == 0 {
		delete(x, from.zone)
	}
}

func (z *zoneIndex) find(class int) (at int, found bool) {
	return slices.BinarySearchFunc(z.classes, class, func(r roomHosts, class int) int { return cmp.Compare(class, r.class) })
}

// mostRoom is the class of the host that has most; false where there is none.
func (x hostIndex) mostRoom() (class int, any bool) {
	for _, zone := range x { // in any order
		if most := zone.classes[0].class; !any || most > class {
			class, any = most, true
		}
	}
	return class, any
}

// best gives the host that comes first by zone siblings, room and lot, of those
// that are not passed over. It takes as many steps as there are zones, and a
// search in one or two of them.
func (x hostIndex) best(siblings map[string]int, from draw, pass func(events.HostID) bool) (best events.HostID, found bool) {
	var of struct{ siblings, class int }
	var lot uint64
	for name, zone := range x { // in any order: no two hosts are equal
		in := siblings[name]
		if found && (in > of.siblings || in == of.siblings && zone.classes[0].class < of.class) {
			continue
		}
		for _, hosts := range zone.classes {
			if found && in == of.siblings && hosts.class < of.class {
				break
			}
			next, distance, any := hosts.nearest(from, pass)
			if !any {
				continue
			}
			if !found || in < of.siblings || hosts.class > of.class || distance < lot || distance == lot && next < best {
				best, found, lot = next, true, distance
				of.siblings, of.class = in, hosts.class
			}
			break
		}
	}
	return best, found
}

// nearest gives the host with the smallest lot.
func (r roomHosts) nearest(from draw, pass func(events.HostID) bool) (id events.HostID, lot uint64, found bool) {
	for _, probe := range from {
		at, _ := slices.BinarySearchFunc(r.hosts, probe, func(h placedHost, probe uint64) int { return cmp.Compare(h.point, probe) })
		looked := 0
		for looked < len(r.hosts) && pass(r.hosts[(at+looked)%len(r.hosts)].id) {
			looked++
		}
		if looked == len(r.hosts) {
			return "", 0, false
		}
		next := r.hosts[(at+looked)%len(r.hosts)]
		if distance := next.point - probe; !found || distance < lot || distance == lot && next.id < id {
			id, lot, found = next.id, distance, true
		}
	}
	return id, lot, found
}
