package zone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-json-experiment/json"

	"pantheon/events"
)

// A saved view is a sequence of records: one byte that says what it is, then a
// JSON object, or for what there are millions of, bytes as below. The
// platform's records are made again from the facts. An operator's name and a
// step of a journal belong to the zone before them.
const (
	recordPosition    = 'p'
	recordSite        = 's'
	recordEnvironment = 'e'
	recordHost        = 'h'
	recordZone        = 'z'
	recordNode        = 'n'
	recordChange      = 'j'
)

// savedZone is all of a zone that is neither a name nor a step of its journal.
type savedZone struct {
	Apex        string              `json:"apex"` // text
	Role        events.ZoneRole     `json:"role"`
	Settings    events.ZoneSettings `json:"settings"`
	Chosen      events.ZoneSettings `json:"chosen"`
	Serial      uint32              `json:"serial"`
	Position    events.Position     `json:"position"`
	Changed     time.Time           `json:"changed"`
	Records     int                 `json:"records"`
	Keys        []Key               `json:"keys"`
	Secondaries []Secondary         `json:"secondaries"`
	Challenges  []Challenge         `json:"challenges"`
	Unsigned    bool                `json:"unsigned"`
}

// Save gives the view's records; each is valid until the next.
func (s *State) Save() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w := &saver{yield: yield}
		w.json(recordPosition, s.position)
		for _, one := range s.sites.All() {
			w.json(recordSite, one)
		}
		for _, one := range s.environments.All() {
			w.json(recordEnvironment, one)
		}
		for _, one := range s.hosts.All() {
			w.json(recordHost, one)
		}
		for z := range s.All() {
			w.zone(z)
		}
	}
}

// saver makes records until its reader has enough.
type saver struct {
	yield func([]byte, error) bool
	left  bool
	data  []byte
}

func (w *saver) put(err error) {
	w.left = w.left || !w.yield(w.data, err) || err != nil
}

func (w *saver) json(what byte, value any) {
	if w.left {
		return
	}
	out := bytes.NewBuffer(append(w.data[:0], what))
	err := json.MarshalWrite(out, value)
	w.data = out.Bytes()
	w.put(err)
}

func (w *saver) zone(z *Zone) {
	w.json(recordZone, savedZone{
		string(z.Name()), z.role, z.settings, z.chosen, z.serial, z.position, z.changed, z.records, z.keys, z.secondaries, z.challenges, z.unsigned,
	})
	for _, node := range z.order.From("") {
		if w.left {
			return
		}
		if len(node.own()) == 0 {
			continue
		}
		w.data = appendBytes(append(w.data[:0], recordNode), wireBytes(node.name))
		w.data = binary.AppendUvarint(w.data, uint64(len(node.own())))
		for _, set := range node.own() {
			w.data = appendSet(w.data, set)
		}
		w.put(nil)
	}
	for key, change := range z.journal.From("") {
		if w.left {
			return
		}
		w.data = appendBytes(append(w.data[:0], recordChange), wireBytes(key))
		w.data = binary.BigEndian.AppendUint32(w.data, change.From)
		w.data = binary.BigEndian.AppendUint32(w.data, change.To)
		w.data = appendTime(appendTime(w.data, change.FromAt), change.At)
		w.data = appendRecords(appendRecords(w.data, change.Removed), change.Added)
		w.put(nil)
	}
}

func appendBytes(to, data []byte) []byte {
	return append(binary.AppendUvarint(to, uint64(len(data))), data...)
}

func appendTime(to []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(to, uint64(t.Unix())), uint32(t.Nanosecond()))
}

func appendSet(to []byte, set *RRset) []byte {
	to = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(to, set.Type), set.TTL)
	to = binary.AppendUvarint(to, uint64(len(set.Data)))
	for _, data := range set.Data {
		to = appendBytes(to, data)
	}
	return to
}

func appendRecords(to []byte, records []Record) []byte {
	to = binary.AppendUvarint(to, uint64(len(records)))
	for _, r := range records {
		to = appendBytes(to, r.Name)
		to = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(to, r.Type), r.TTL)
		to = appendBytes(to, r.Data)
	}
	return to
}

// errCut: a record ends before it should, or after.
var errCut = errors.New("it has another length than it says")

// reader takes a record apart; after the first piece that is not there it has
// failed. What it gives shares the record's memory.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

// count reads a number of things that have at least one byte each.
func (r *reader) count() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)) {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) bytes() []byte { return r.take(r.count()) }

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) time() time.Time { return time.Unix(int64(r.uint64()), int64(r.uint32())).UTC() }

// sets reads a node's records. A name with one record, of which there may be
// millions, costs one allocation.
func (r *reader) sets() []*RRset {
	type single struct {
		set  RRset
		list [1]*RRset
		data [1][]byte
	}
	n := r.count()
	list := make([]*RRset, 0, max(n, 1)-1)
	for range n {
		one := &single{set: RRset{Type: r.uint16(), TTL: r.uint32()}}
		one.set.Data = one.data[:0]
		for range r.count() {
			one.set.Data = append(one.set.Data, r.bytes())
		}
		if n == 1 {
			one.list[0] = &one.set
			return one.list[:]
		}
		list = append(list, &one.set)
	}
	return list
}

func (r *reader) records() []Record {
	n := r.count()
	if n == 0 {
		return nil
	}
	list := make([]Record, n)
	for i := range list {
		list[i] = Record{r.bytes(), r.uint16(), r.uint32(), r.bytes()}
	}
	return list
}

// Load fills an empty view, which brings the options, from records of Save.
func (s *State) Load(records iter.Seq2[[]byte, error]) (*State, error) {
	l := &loader{fold: s.begin()}
	l.loaded = map[string]*loaded{}
	if err := l.read(records); err != nil {
		return nil, err
	}
	return l.end(), nil
}

// loader is a fold that is filled by records instead of events.
type loader struct {
	*fold
	zone *Zone // that the records belong to
}

func (l *loader) loadZone(one savedZone) error {
	apex, ok := wireName(one.Apex)
	if !ok || !one.Role.Known() {
		return fmt.Errorf("zone %.80q with role %.20q", one.Apex, one.Role)
	}
	z, found := l.zones.Get(apex)
	if found {
		z = l.own(z)
	} else {
		z = &Zone{apex: apex, role: one.Role, edit: l.edit}
		l.hold(z)
	}
	z.settings, z.chosen, z.serial, z.position, z.changed, z.records = one.Settings, one.Chosen, one.Serial, one.Position, one.Changed, one.Records
	z.keys, z.secondaries, z.challenges, z.unsigned = one.Keys, one.Secondaries, one.Challenges, one.Unsigned
	l.zone = z
	return nil
}

func (l *loader) loadNode(r *reader) error {
	name := r.bytes()
	sets := r.sets()
	if r.failed || len(r.rest) > 0 || len(sets) == 0 {
		return errCut
	}
	if l.zone == nil || !isName(name) || !hasSuffix(wireString(name), l.zone.apex) {
		return fmt.Errorf("the name %.80q is not in the zone", name)
	}
	l.put(l.zone, wireString(name), nil, sets, nil)
	return nil
}

func (l *loader) loadChange(r *reader) error {
	key := r.bytes()
	change := &Change{From: r.uint32(), To: r.uint32()}
	change.FromAt, change.At = r.time(), r.time()
	change.Removed, change.Added = r.records(), r.records()
	if r.failed || len(r.rest) > 0 || l.zone == nil {
		return errCut
	}
	l.zone.journal = l.zone.journal.Set(l.edit, string(key), change)
	l.zone.journalRecords += len(change.Removed) + len(change.Added)
	return nil
}

// end says what the platform says in the zones, and gives the state.
func (l *loader) end() *State {
	for _, apex := range l.apexList() {
		z := l.own(l.zones.At(apex))
		z.effective = l.effective(z)
		l.loaded[apex] = &loaded{}
	}
	if platform := l.platform(); platform != nil {
		l.setEntry(platform)
	}
	for _, h := range l.hostList() {
		l.weighHost(h)
	}
	for _, apex := range l.apexList() {
		z := l.zones.At(apex)
		l.refillOptions(z)
		l.fill(z, apex)
		for _, c := range z.challenges {
			name, _ := wireName(c.Name)
			node := z.names.At(name)
			l.set(z, name, node.base(), node.own(), proofsAt(z.challenges, c.Name))
		}
	}
	l.makeAll()
	l.sortAll()
	l.loaded = nil
	// Delegations may lead to zones that were filled after what is above them.
	for _, apex := range l.apexList() {
		l.refreshDelegation(apex)
	}
	l.deltas = nil
	if l.borrowed {
		l.edit = nil
	}
	return l.State
}

// refillOptions forgets what the options alone have said, where the log says
// something else.
func (l *loader) refillOptions(z *Zone) {
	var names []string
	for _, node := range z.order.From("") {
		if len(node.own()) == 0 {
			names = append(names, node.name)
		}
	}
	for _, name := range names {
		l.refresh(z, name)
	}
}

func (f *fold) apexList() []string {
	var list []string
	for z := range f.All() {
		list = append(list, z.apex)
	}
	return list
}

// isName says whether bytes are one whole name in wire form.
func isName(b []byte) bool {
	if len(b) > maxNameBytes {
		return false
	}
	for i := 0; i < len(b); i += 1 + int(b[i]) {
		if b[i] == 0 {
			return i == len(b)-1
		}
		if b[i] > maxLabelBytes {
			return false
		}
	}
	return false
}
