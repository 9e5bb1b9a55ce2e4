package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Prefixes that share a limit: whoever can forge one address can forge its
// neighbours.
const (
	IPv4PrefixBits = 24
	IPv6PrefixBits = 56
)

const (
	// ways of a set; four entries share a cache line with four others.
	ways = 4
	// tick is the resolution of time in an entry: 40 bits of it are 127 days,
	// then an idle entry may look busy once.
	tick     = 10 * time.Microsecond
	timeBits = 40
	timeMask = 1<<timeBits - 1
	// tagged entries differ from empty ones.
	tagged = 1 << 63
)

// Table is the memory of the answers given.
type Table struct {
	entries  []atomic.Uint64
	seed     maphash.Seed
	interval int64 // ticks between two answers at the limit
	burst    int64 // ticks that answers may come early
	start    time.Time
}

// New makes a table with a number of entries, of 8 octets each, for a rate of
// equal answers a second and a burst of them at once.
func New(entries, rate, burst int) *Table {
	sets := 1
	for sets*ways < entries {
		sets *= 2
	}
	interval := max(1, int64(time.Second/tick)/int64(rate))
	return &Table{
		entries: make([]atomic.Uint64, sets*ways), seed: maphash.MakeSeed(),
		interval: interval, burst: interval * int64(burst-1), start: time.Now(),
	}
}

// Key names the answers that are equal: a network, a category and a name.
func (t *Table) Key(client netip.Addr, category uint8, name []byte) uint64 {
	var buffer [8 + 1 + 255]byte
	if client.Is4() || client.Is4In6() {
		address := client.As4()
		copy(buffer[:], address[:IPv4PrefixBits/8])
	} else {
		address := client.As16()
		copy(buffer[:], address[:IPv6PrefixBits/8])
		buffer[7] = 6
	}
	buffer[8] = category
	n := copy(buffer[9:], name)
	return maphash.Bytes(t.seed, buffer[:9+n])
}

// Allow counts an answer at a time and says whether it may be given. An entry
// holds the time until which the answers given so far use up the rate (the
// generic cell rate algorithm).
func (t *Table) Allow(key uint64, at time.Time) bool {
	now := int64(at.Sub(t.start)/tick) & timeMask
	tag := key>>timeBits<<timeBits | tagged
	set := int(key&(uint64(len(t.entries)/ways)-1)) * ways
	for range ways { // another goroutine was faster: at most a few times
		entry, old := t.choose(set, tag, now)
		used := now
		if old>>timeBits == tag>>timeBits {
			if until := int64(old & timeMask); ahead(until, now) > 0 {
				used = until
			}
		}
		if ahead(used, now) > t.burst {
			return false
		}
		fresh := tag | uint64(used+t.interval)&timeMask
		if entry.CompareAndSwap(old, fresh) {
			return true
		}
	}
	return true
}

// choose gives the entry of a tag, or the one to be given up for it.
func (t *Table) choose(set int, tag uint64, now int64) (*atomic.Uint64, uint64) {
	var quietest *atomic.Uint64
	var content uint64
	least := int64(timeMask)
	for i := range ways {
		entry := &t.entries[set+i]
		value := entry.Load()
		if value>>timeBits == tag>>timeBits {
			return entry, value
		}
		busy := int64(-timeMask)
		if value != 0 {
			busy = ahead(int64(value&timeMask), now)
		}
		if busy < least {
			quietest, content, least = entry, value, busy
		}
	}
	return quietest, content
}

// ahead is how far a time lies after another one, modulo the 40 bits.
func ahead(until, now int64) int64 {
	d := (until - now) & timeMask
	if d > timeMask/2 {
		d -= timeMask + 1
	}
	return d
}
