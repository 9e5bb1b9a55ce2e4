package yggdrasil

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"time"

	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// memory keeps answers that were given, less the question and OPT, for the time
// in which they would be made the same again. It belongs to one worker. What it
// does not have is made from the zone.
//
// An answer with the records of one name alone, and their signatures, holds until
// that name changes: see memories. Of every other one (a chain, a wildcard, what
// is not there, addresses beside it) the entry names the commit that changed its
// zone last, and holds until there is another.
//
// An entry is found by name, type, and whether the answer is signed: the case of
// the question, cookies and the client's buffer do not matter to it. Answers
// that had to leave out something for want of room are not kept.
type memory struct {
	mask  uint64 // of sets
	room  int    // octets of an entry
	tick  uint32 // counts what was kept
	slots []memorySlot
	// entries are memoryHeader octets, then the name, what the rate limiter
	// counts by if that is another name, and the records. One array without
	// pointers: the collector passes it by, the kernel backs what was used.
	entries []byte
}

type memorySlot struct {
	hash uint32 // 0: empty
	used uint32 // tick of its last use
}

// memoryWays is how many entries a name may lie in.
const memoryWays = 4

// Offsets of an entry's fields.
const (
	memoryPosition = 0  // of the commit that changed the zone last
	memoryExpires  = 8  // Unix nanoseconds
	memoryType     = 16 // of the question
	memoryBody     = 18 // octets of records
	memoryCounts   = 20 // of the sections, one octet each
	memoryRcode    = 23
	memoryCategory = 24
	memoryName     = 25 // octets of the name
	memoryLimited  = 26 // octets of the name to count by, 0 for the question's
	memoryFlags    = 27
	memoryEpoch    = 28 // in which it was made
	memoryHeader   = 32
)

// Flags of an entry.
const (
	memoryAA    = 1 << iota
	memoryAlone // it has the records of one name
)

// newMemory makes room for a number of entries, a power of two.
func newMemory(entries, room int) *memory {
	return &memory{
		mask: uint64(entries/memoryWays - 1), room: room,
		slots: make([]memorySlot, entries), entries: make([]byte, entries*room),
	}
}

// memoryEntries divides the entries of all workers among them.
func memoryEntries(all, most, workers int) int {
	share := memoryWays
	for share*2 <= min(most, all/workers) {
		share *= 2
	}
	return share
}

// place gives a hash of a question, and the slot at which its set begins.
func (m *memory) place(nameHash uint64, rrtype uint16) (hash uint32, first int) {
	h := nameHash ^ uint64(rrtype)*0x9e3779b97f4a7c15
	return uint32(h>>32) | 1, int(h&m.mask) * memoryWays
}

// find gives the entry of a question; nil for none.
func (m *memory) find(hash uint32, first int, name []byte, rrtype uint16) []byte {
	for i := first; i < first+memoryWays; i++ {
		if m.slots[i].hash != hash {
			continue
		}
		e := m.entries[i*m.room : (i+1)*m.room]
		if binary.LittleEndian.Uint16(e[memoryType:]) == rrtype && int(e[memoryName]) == len(name) &&
			bytes.Equal(e[memoryHeader:memoryHeader+len(name)], name) {
			m.slots[i].used = m.tick
			return e
		}
	}
	return nil
}

// likely gives the entry that find will look at, from the slots alone; nil for
// none.
func (m *memory) likely(hash uint32, first int) []byte {
	for i := first; i < first+memoryWays; i++ {
		if m.slots[i].hash == hash {
			return m.entries[i*m.room : (i+1)*m.room]
		}
	}
	return nil
}

// choose gives the entry to write a question's answer to: its old one, else an
// empty one, else the one that was used longest ago.
func (m *memory) choose(hash uint32, first int, name []byte, rrtype uint16) []byte {
	m.tick++
	if e := m.find(hash, first, name, rrtype); e != nil {
		return e
	}
	victim, age := first, uint32(0)
	for i := first; i < first+memoryWays; i++ {
		if m.slots[i].hash == 0 {
			victim = i
			break
		}
		if unused := m.tick - m.slots[i].used; unused > age {
			victim, age = i, unused
		}
	}
	m.slots[victim] = memorySlot{hash, m.tick}
	return m.entries[victim*m.room : (victim+1)*m.room]
}

// memories of a worker: signed answers are several times as large.
//
// They follow the zones: each new state that the worker sees begins an epoch, and
// the names that it changed are noted by their hash. Two names may share a note,
// which ends an answer too early at worst. The state seen last stays in memory as
// long as nobody asks.
type memories struct {
	plain, signed *memory
	seed          maphash.Seed
	seen          *zone.State
	epoch         uint32
	since         uint32 // the epoch before which nothing holds
	changed       []uint32
	hash          uint64 // of the name that is asked for
	recalled      uint64 // answers given from them
}

func newMemories(workers int) *memories {
	return &memories{
		plain:   newMemory(memoryEntries(plainEntriesAll, plainEntries, workers), plainEntryBytes),
		signed:  newMemory(memoryEntries(signedEntriesAll, signedEntries, workers), signedEntryBytes),
		seed:    maphash.MakeSeed(),
		changed: make([]uint32, changedNames),
	}
}

// of gives the memory that a query's answer is in most likely.
func (m *memories) of(q *wire.Query, signing bool) *memory {
	if signing && q.DO {
		return m.signed
	}
	return m.plain
}

// follow takes the state that a question is answered from.
func (m *memories) follow(zones *zone.State) {
	old := m.seen
	m.seen = zones
	if old == nil {
		return
	}
	if m.epoch++; m.epoch == 0 { // what was made in the first one would look new
		clear(m.plain.slots)
		clear(m.signed.slots)
		clear(m.changed)
		m.since = 0
	}
	names := 0
	if !old.Touched(zones, func(name []byte) bool {
		*m.note(maphash.Bytes(m.seed, name)) = m.epoch
		names++
		return names < maxChangedNames
	}) {
		m.since = m.epoch
	}
}

// note is the epoch in which a name has changed last, or another name.
func (m *memories) note(nameHash uint64) *uint32 { return &m.changed[nameHash>>32%changedNames] }

// holds says whether an entry of the name asked for is what would be made.
func (m *memories) holds(e []byte, z *zone.Zone, now time.Time) bool {
	if int64(binary.LittleEndian.Uint64(e[memoryExpires:])) < now.UnixNano() {
		return false
	}
	if e[memoryFlags]&memoryAlone == 0 {
		return binary.LittleEndian.Uint64(e[memoryPosition:]) == uint64(z.Position())
	}
	epoch := binary.LittleEndian.Uint32(e[memoryEpoch:])
	return epoch >= m.since && epoch >= *m.note(m.hash)
}

// memory gives the one that has answers like this; nil for none.
func (r *responder) memory() *memory {
	switch {
	case r.memories == nil || r.query.TSIG != nil || r.query.Type == wire.TypeDS:
		return nil // who may see the zone above decides which one tells of a DS
	case r.signed:
		return r.memories.signed
	}
	return r.memories.plain
}

// recall takes the answer from memory, if it is there, still holds and fits.
func (r *responder) recall(m *memory) (wire.Rcode, bool) {
	name := r.query.Name()
	if r.memories.seen != r.zones {
		r.memories.follow(r.zones)
	}
	if r.ahead != nil && r.ahead.hashed {
		r.memories.hash = r.ahead.hash
	} else {
		r.memories.hash = maphash.Bytes(r.memories.seed, name)
	}
	hash, first := m.place(r.memories.hash, r.query.Type)
	e := m.find(hash, first, name, r.query.Type)
	if e == nil || !r.memories.holds(e, r.zone, r.now) {
		return 0, false
	}
	at := memoryHeader + int(e[memoryName])
	limited := e[at : at+int(e[memoryLimited])]
	at += len(limited)
	body := e[at : at+int(binary.LittleEndian.Uint16(e[memoryBody:]))]
	if !r.builder.Restore(body, [3]uint8(e[memoryCounts:])) {
		return 0, false
	}
	r.memories.recalled++
	r.header.AA = e[memoryFlags]&memoryAA != 0
	r.category, r.limited = category(e[memoryCategory]), limited
	if len(limited) == 0 {
		r.limited = name
	}
	return wire.Rcode(e[memoryRcode]), true
}

// remember keeps the answer that has been made to what recall did not know.
func (r *responder) remember(m *memory, rcode wire.Rcode) {
	body, counts, complete := r.builder.Body()
	name, limited := r.query.Name(), r.limited
	if bytes.Equal(limited, name) {
		limited = nil
	}
	if !complete || r.truncated || memoryHeader+len(name)+len(limited)+len(body) > m.room {
		return
	}
	hash, first := m.place(r.memories.hash, r.query.Type)
	e := m.choose(hash, first, name, r.query.Type)
	expires := int64(math.MaxInt64)
	if r.signed {
		expires = r.now.Add(signedMemory).UnixNano()
	}
	binary.LittleEndian.PutUint64(e[memoryPosition:], uint64(r.zone.Position()))
	binary.LittleEndian.PutUint32(e[memoryEpoch:], r.memories.epoch)
	binary.LittleEndian.PutUint64(e[memoryExpires:], uint64(expires))
	binary.LittleEndian.PutUint16(e[memoryType:], r.query.Type)
	binary.LittleEndian.PutUint16(e[memoryBody:], uint16(len(body)))
	copy(e[memoryCounts:], counts[:])
	e[memoryRcode], e[memoryCategory] = byte(rcode), byte(r.category)
	e[memoryName], e[memoryLimited], e[memoryFlags] = byte(len(name)), byte(len(limited)), 0
	if r.header.AA {
		e[memoryFlags] |= memoryAA
	}
	if r.alone {
		e[memoryFlags] |= memoryAlone
	}
	rest := e[memoryHeader:]
	rest = rest[copy(rest, name):]
	rest = rest[copy(rest, limited):]
	copy(rest, body)
}

// signedMemory is how long a signed answer is kept: signatures are made anew
// long before they end, and a key's private half may come and go.
const signedMemory = time.Second
