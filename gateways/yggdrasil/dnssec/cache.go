package dnssec

import (
	"bytes"
	"hash/maphash"
	"iter"
	"math/bits"
	"sync/atomic"

	"pantheon/projections/zone"
)

// cache is a table of signatures with a fixed number of places. Owner and type
// choose a set of waysOfSet places. Readers take no lock; writers that meet may
// overwrite one another, which costs a signature.
type cache struct {
	seed  maphash.Seed
	mask  uint64
	slots []atomic.Pointer[signature]
}

// signature is the RRSIG set of an RRset. All but lastUsed is immutable.
type signature struct {
	hash   uint64
	keys   *keyset
	owner  []byte
	source *zone.RRset // what is signed
	window int64
	rrsig  zone.RRset
	// lastUsedUnix says how hot the name is. It is stored once a second at most.
	lastUsedUnix atomic.Int64
}

func newCache(signatures int) *cache {
	sets := uint64(1) << bits.Len(uint(max(signatures/waysOfSet, 1)-1))
	return &cache{seed: maphash.MakeSeed(), mask: sets - 1, slots: make([]atomic.Pointer[signature], sets*waysOfSet)}
}

func (c *cache) hash(owner []byte, rrtype uint16) uint64 {
	return maphash.Bytes(c.seed, owner) ^ uint64(rrtype)*0x9e3779b97f4a7c15 // 2⁶⁴/φ spreads the types
}

func (c *cache) set(hash uint64) []atomic.Pointer[signature] {
	first := (hash & c.mask) * waysOfSet
	return c.slots[first : first+waysOfSet]
}

// get gives the signature of exactly these records by exactly these keys, for
// the window or the one after it; nil where there is none.
func (c *cache) get(hash uint64, keys []zone.Key, owner []byte, set *zone.RRset, window int64) *signature {
	places := c.set(hash)
	for i := range places {
		s := places[i].Load()
		if s != nil && s.hash == hash && s.keys.of(keys) && (s.window == window || s.window == window+1) &&
			bytes.Equal(s.owner, owner) && sameRecords(s.source, set) {
			return s
		}
	}
	return nil
}

// put takes the place of what the same owner and type had in this zone, else
// an empty one, else that of the longest unused.
func (c *cache) put(s *signature) {
	places := c.set(s.hash)
	chosen, oldest := 0, int64(1<<63-1)
	for i := range places {
		old := places[i].Load()
		if old != nil && old.hash == s.hash && old.source.Type == s.source.Type && bytes.Equal(old.owner, s.owner) && bytes.Equal(old.keys.apex, s.keys.apex) {
			chosen = i
			break
		}
		used := int64(-1 << 63)
		if old != nil {
			used = old.lastUsedUnix.Load()
		}
		if used < oldest {
			chosen, oldest = i, used
		}
	}
	places[chosen].Store(s)
}

// all gives every signature that is there.
func (c *cache) all() iter.Seq[*signature] {
	return func(yield func(*signature) bool) {
		for i := range c.slots {
			if s := c.slots[i].Load(); s != nil && !yield(s) {
				return
			}
		}
	}
}

func (s *signature) use(unix int64) {
	if s.lastUsedUnix.Load() != unix {
		s.lastUsedUnix.Store(unix)
	}
}

func sameRecords(a, b *zone.RRset) bool {
	if a == b {
		return true
	}
	if a.Type != b.Type || a.TTL != b.TTL || len(a.Data) != len(b.Data) {
		return false
	}
	for i := range a.Data {
		if !bytes.Equal(a.Data[i], b.Data[i]) {
			return false
		}
	}
	return true
}
