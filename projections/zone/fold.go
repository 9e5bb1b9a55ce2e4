package zone

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// fold is a state while a commit is applied to it: what it changes it may
// change in place, and it knows what each zone was before.
type fold struct {
	*State
	borrowed bool // the right to edit is this fold's own
	byStart  bool // a start of the platform decided the commit
	// loaded has the names that were made for a saved state and are not in the
	// order of their zone yet, with an entry for each zone; nil for a commit.
	loaded map[string]*loaded
	deltas map[string]*delta
}

// delta is what a commit did to one zone.
type delta struct {
	before map[string][]*RRset // answered at each name that was touched
	// opaque: the zone changed in a way that no list of records tells.
	opaque bool
}

// begin gives a fold over a copy of the state, or over the state itself where
// it may be changed in place.
func (s *State) begin() *fold {
	if s.edit != nil {
		return &fold{State: s}
	}
	copied := *s
	copied.edit = &pmap.Edit{}
	return &fold{State: &copied, borrowed: true}
}

// end raises the serials of the zones that changed, and gives the state.
func (f *fold) end(position events.Position, at time.Time) *State {
	for _, apex := range slices.Sorted(maps.Keys(f.deltas)) {
		if z, found := f.zones.Get(apex); found {
			f.close(z, f.deltas[apex], position, at)
		}
	}
	if f.borrowed {
		f.edit = nil
	}
	return f.State
}

// close ends a commit's change of one zone.
func (f *fold) close(z *Zone, d *delta, position events.Position, at time.Time) {
	change := Change{From: z.serial, FromAt: z.changed}
	order := func(a, b string) int { return strings.Compare(relativeKey(z, a), relativeKey(z, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(d.before), order) {
		change.add(name, d.before[name], z.names.At(name).answered())
	}
	count := len(change.Removed) + len(change.Added)
	if count == 0 && !d.opaque {
		return
	}
	z = f.own(z)
	if position > 0 {
		z.serial = nextSerial(z.serial, uint64(position-z.position))
		z.position, z.changed = position, at
	}
	change.To, change.At = z.serial, at
	z.record(f.edit, change, d.opaque)
	apex := z.names.At(z.apex)
	f.put(z, z.apex, f.baseOf(z, z.apex), apex.own(), apex.proofs())
}

// relativeKey gives the key of a name of a zone.
func relativeKey(z *Zone, name string) string {
	var buffer [maxKeyBytes]byte
	return string(appendKey(buffer[:0], wireBytes(name)[:len(name)-len(z.apex)]))
}

// maxSerialStep is the most by which a serial may rise so that it counts as
// newer (RFC 1982 §3.1).
const maxSerialStep = 1<<31 - 1

// nextSerial gives the serial of a zone that changed: older plus the positions
// since the change before, which makes it the position's low 32 bits. Two
// exceptions keep it rising for every secondary, after which it stays apart
// from the position: a zone that slept for 2^31 commits or more rises by the
// most that RFC 1982 allows, and 0, which some servers take for "none", is
// skipped.
func nextSerial(older uint32, commits uint64) uint32 {
	step := uint32(min(commits, maxSerialStep))
	switch {
	case older+step != 0:
		return older + step
	case step == maxSerialStep:
		return older + step - 1
	}
	return 1
}

// add lists what the sets of a name lost and won. A set whose TTL changed is
// listed whole.
func (c *Change) add(name string, before, after []*RRset) {
	list := func(from, other []*RRset, to []Record) []Record {
		for _, set := range from {
			if set.Type == dns.TypeSOA {
				continue
			}
			counterpart := setOf(other, set.Type)
			for _, data := range set.Data {
				if counterpart != nil && counterpart.TTL == set.TTL && counterpart.has(data) {
					continue
				}
				to = append(to, Record{wireBytes(name), set.Type, set.TTL, data})
			}
		}
		return to
	}
	c.Removed = list(before, after, c.Removed)
	c.Added = list(after, before, c.Added)
}

// record puts a change into the journal, which forgets its oldest ones, and
// all of them where the change is opaque.
func (z *Zone) record(edit *pmap.Edit, change Change, opaque bool) {
	z.records += len(change.Added) - len(change.Removed)
	size := len(change.Added) + len(change.Removed)
	limit := min(maxJournalRecords, max(minJournalRecords, z.records))
	if opaque || size > limit {
		z.journal, z.journalRecords = pmap.Sorted[*Change]{}, 0
		return
	}
	z.journal = z.journal.Set(edit, string(binary.BigEndian.AppendUint64(nil, uint64(z.position))), &change)
	z.journalRecords += size
	for z.journal.Len() > maxJournalSteps || z.journalRecords > limit {
		key, oldest, _ := z.journal.Ceil("")
		z.journalRecords -= len(oldest.Added) + len(oldest.Removed)
		z.journal = z.journal.Delete(edit, key)
	}
}

// touch notes that a commit changes a zone, and gives its delta.
func (f *fold) touch(z *Zone) *delta {
	if f.deltas == nil {
		f.deltas = make(map[string]*delta)
	}
	d := f.deltas[z.apex]
	if d == nil {
		d = &delta{before: make(map[string][]*RRset)}
		f.deltas[z.apex] = d
	}
	return d
}

// own gives the zone as a value that this fold may change.
func (f *fold) own(z *Zone) *Zone {
	if z.edit == f.edit {
		return z
	}
	copied := *z
	copied.edit = f.edit
	f.hold(&copied)
	return &copied
}

// hold puts a zone into every index.
func (f *fold) hold(z *Zone) {
	f.zones = f.zones.Set(f.edit, z.apex, z)
	f.apexes = f.apexes.Set(f.edit, fullKey(z.apex), z)
	f.depths.add(depthOf(z.apex))
}

// refreshText brings a name up to date with the facts, in the zone it is in.
func (f *fold) refreshText(texts ...string) {
	for _, text := range texts {
		name, ok := wireName(text)
		if !ok {
			continue
		}
		z := f.Find(wireBytes(name))
		switch {
		case z == nil:
		case f.loaded != nil && z.names.At(name) == nil:
			f.make(z, name, text)
		default:
			f.refresh(z, name)
		}
	}
}

// make is refresh for a name of a saved state that is not there yet.
func (f *fold) make(z *Zone, name, text string) {
	base := f.baseOfText(z, name, text)
	if setOf(base, dns.TypeNS) != nil || hasStar(name) {
		f.refresh(z, name)
		return
	}
	if z = f.own(z); len(base) > 0 {
		f.insert(z, name, base)
		z.countBelow(f.edit, name, 1)
	}
}

// insert puts a name that is not there, with the platform's records alone, into a
// zone of the fold's own, but not into the order, nor where names are counted.
func (f *fold) insert(z *Zone, name string, base []*RRset) {
	node := &Node{name: name, sets: base}
	z.names = z.names.Set(f.edit, name, node)
	made := f.loaded[z.apex]
	made.nodes = append(made.nodes, node)
}

func hasPorts(z *Zone, server string) bool {
	return slices.ContainsFunc(z.effective.Services, func(port events.ServicePort) bool { return port.Server == server })
}

// refresh brings a name of a zone up to date with the facts.
func (f *fold) refresh(z *Zone, name string) {
	z = f.zones.At(z.apex) // as it is now
	node := z.names.At(name)
	f.set(z, name, f.baseOf(z, name), node.own(), node.proofs())
}

// set changes what a name of a zone is made of.
func (f *fold) set(z *Zone, name string, base, own, proofs []*RRset) {
	z = f.zones.At(z.apex)
	node := z.names.At(name)
	sets := compose(z.role, name == z.apex, base, own, proofs)
	if sameSets(node.base(), base) && sameSets(node.own(), own) && sameSets(node.proofs(), proofs) {
		return
	}
	if f.loaded == nil && !sameSets(node.answered(), sets) {
		d := f.touch(z)
		if _, known := d.before[name]; !known {
			d.before[name] = node.answered()
		}
	}
	delegation := setOf(node.answered(), dns.TypeNS)
	z = f.own(z)
	f.put(z, name, base, own, proofs)
	if name == z.apex && delegation != setOf(z.names.At(name).answered(), dns.TypeNS) {
		f.refreshDelegation(name)
	}
}

// refreshDelegation brings the NS records above a zone up to date, and the glue
// of its name servers and of those that it had.
func (f *fold) refreshDelegation(apex string, former ...string) {
	above := f.parent(apex)
	if above == nil {
		return
	}
	f.refresh(above, apex)
	if z, found := f.zones.Get(apex); found {
		for _, name := range append(serverNames(z), former...) {
			if hasSuffix(name, apex) && name != apex {
				f.refresh(above, name) // glue
			}
		}
	}
}

// put sets a node of a zone that the fold owns.
func (f *fold) put(z *Zone, name string, base, own, proofs []*RRset) {
	if made := f.loaded[z.apex]; made != nil {
		made.changed = made.changed || len(made.nodes) > 0
	}
	if len(base) == 0 && len(own) == 0 && len(proofs) == 0 {
		z.hold(f.edit, name, nil)
		return
	}
	node := &Node{name: name, sets: base}
	if len(own) > 0 || len(proofs) > 0 {
		both := &struct { // one allocation: there may be millions
			Node
			source
		}{Node{name: name, sets: compose(z.role, name == z.apex, base, own, proofs)}, source{base, own, proofs}}
		node = &both.Node
		node.source = &both.source
	}
	z.hold(f.edit, name, node)
}

// hold puts a node, nil for none, into every index of the zone.
func (z *Zone) hold(edit *pmap.Edit, name string, node *Node) {
	old := z.names.At(name)
	if old != nil {
		name = old.name // held already
	}
	switch {
	case node != nil:
		node.name = name
		z.names = z.names.Set(edit, name, node)
	case old != nil:
		z.names = z.names.Delete(edit, name)
	}
	if (old == nil) != (node == nil) && hasStar(name) {
		z.stars += count(node != nil) - count(old != nil)
	}
	had, has := len(old.answered()) > 0, len(node.answered()) > 0
	switch {
	case has:
		z.order = z.order.Set(edit, relativeKey(z, name), node)
	case had:
		z.order = z.order.Delete(edit, relativeKey(z, name))
	}
	if name == z.apex {
		z.top = node
		return
	}
	if had != has {
		z.countBelow(edit, name, count(has)-count(had))
	}
	if has && node.RRset(dns.TypeNS) != nil {
		z.cuts = z.cuts.Set(edit, name, node)
	} else if had {
		z.cuts = z.cuts.Delete(edit, name)
	}
}

// countBelow notes that a name has got records (1), or has none any more (-1),
// and that names above it exist because of it, or no longer do.
func (z *Zone) countBelow(edit *pmap.Edit, name string, by int) {
	if z.below.At(name) == 0 { // else it exists with records and without
		z.countRightBelow(edit, parentOf(name), by)
	}
}

// countRightBelow notes that more names right below a name exist, or one fewer
// (-1).
func (z *Zone) countRightBelow(edit *pmap.Edit, name string, by int) {
	for ; len(name) > len(z.apex); name = parentOf(name) {
		n := z.below.At(name) + by
		if n == 0 {
			z.below = z.below.Delete(edit, name)
		} else {
			z.below = z.below.Set(edit, name, n)
		}
		if n > max(by, 0) || len(z.names.At(name).answered()) > 0 {
			return // it exists without them too
		}
		by = max(-1, min(by, 1))
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// hasStar says whether a label of a name is "*" alone.
func hasStar(name string) bool {
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		if name[i] == 1 && name[i+1] == '*' {
			return true
		}
	}
	return false
}

func (s *RRset) has(data []byte) bool {
	_, found := slices.BinarySearchFunc(s.Data, data, bytes.Compare)
	return found
}
