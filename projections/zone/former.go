package zone

import (
	"bytes"
	"slices"
	"time"

	"github.com/miekg/dns"

	"pantheon/projections/pmap"
)

// Former is a zone as it was at an older serial.
type Former struct {
	// Zone has the names and records of then, and the serial; its keys are the
	// newer zone's.
	Zone *Zone
	// At is when the commit that its serial comes from was decided.
	At time.Time
	// Changed are the names whose records differ, or differed for a while.
	Changed [][]byte
}

// Former goes back to a serial by the journal; false where that does not reach
// so far.
func (z *Zone) Former(serial uint32) (Former, bool) {
	steps, known := z.Changes(serial)
	if !known || serial == z.serial {
		return Former{Zone: z, At: z.changed}, known
	}
	list := slices.Collect(steps)
	former := Former{At: list[0].FromAt}
	names := make(map[string][]Record)
	var order []string
	at := func(r Record) string {
		name := wireString(r.Name)
		if _, known := names[name]; !known {
			names[name] = recordsOf(z.names.At(name))
			order = append(order, name)
		}
		return name
	}
	for _, step := range slices.Backward(list) {
		for _, r := range step.Added {
			name := at(r)
			names[name] = slices.DeleteFunc(names[name], func(o Record) bool { return o.Type == r.Type && bytes.Equal(o.Data, r.Data) })
		}
		for _, r := range step.Removed {
			name := at(r)
			names[name] = append(names[name], r)
		}
	}
	copied, edit := *z, &pmap.Edit{}
	copied.edit, copied.serial, copied.changed = nil, serial, former.At
	for _, name := range order {
		copied.answer(edit, name, setsOf(names[name], z.names.At(name)))
		former.Changed = append(former.Changed, wireBytes(name))
	}
	apex := copied.names.At(z.apex)
	soa := apex.RRset(dns.TypeSOA)
	copied.answer(edit, z.apex, withSet(apex.sets, newSet(dns.TypeSOA, int64(soa.TTL), z.SOA(serial))))
	former.Zone = &copied
	return former, true
}

// Since is Former by a state of the zone that somebody kept, or made again from
// the log: it costs what the two hold where they are not of one history. False
// where more differs than records and timers, so that the whole zone is told.
func (z *Zone) Since(older *Zone) (Former, bool) {
	if older.role != z.role || older.apex != z.apex || !slices.EqualFunc(older.keys, z.keys, func(a, b Key) bool {
		return a.ID == b.ID && a.State == b.State && a.Role == b.Role && bytes.Equal(a.Public, b.Public)
	}) {
		return Former{}, false
	}
	former := Former{Zone: older, At: older.changed}
	equal := func(a, b *Node) bool { return a == b || sameSets(a.answered(), b.answered()) }
	for c := range older.names.Changes(z.names, equal) {
		former.Changed = append(former.Changed, wireBytes(c.Key))
	}
	return former, true
}

// recordsOf lists what a node answers.
func recordsOf(n *Node) []Record {
	var list []Record
	for _, set := range n.answered() {
		for _, data := range set.Data {
			list = append(list, Record{Type: set.Type, TTL: set.TTL, Data: data})
		}
	}
	return list
}

// setsOf makes sets of records; those that a node has too are the node's.
func setsOf(records []Record, now *Node) []*RRset {
	var sets []*RRset
	for _, r := range records {
		sets = withSet(sets, setOf(sets, r.Type).with(r.Type, int64(r.TTL), r.Data))
	}
	for i, set := range sets {
		if same := setOf(now.answered(), set.Type); same != nil && sameSet(same, set) {
			sets[i] = same
		}
	}
	return sets
}

// answer sets what is answered at a name.
func (z *Zone) answer(edit *pmap.Edit, name string, sets []*RRset) {
	if len(sets) == 0 {
		z.hold(edit, name, nil)
		return
	}
	z.hold(edit, name, &Node{sets: sets})
}

// Below gives the names that have records below a name, in canonical order.
func (z *Zone) Below(name []byte) func(func(*Node) bool) {
	return func(yield func(*Node) bool) {
		key := relativeKey(z, string(name))
		for at, node := range z.order.From(key) {
			if len(at) < len(key) || at[:len(key)] != key {
				return
			}
			if len(at) > len(key) && !yield(node) {
				return
			}
		}
	}
}
