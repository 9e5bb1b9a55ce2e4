package ratelimit

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var client = netip.MustParseAddr("192.0.2.1")

func TestRateAndBurst(t *testing.T) {
	table := New(1024, 100, 20)
	key := table.Key(client, 1, []byte("name"))
	allowed := func(at time.Duration, tries int) (n int) {
		for range tries {
			if table.Allow(key, table.start.Add(at)) {
				n++
			}
		}
		return n
	}
	if n := allowed(0, 1000); n != 20 {
		t.Errorf("%d answers at once, the burst is 20", n)
	}
	if n := allowed(100*time.Millisecond, 1000); n != 10 {
		t.Errorf("%d answers after 100 ms at 100 a second", n)
	}
	if n := allowed(time.Hour, 1000); n != 20 {
		t.Errorf("%d answers after an hour of silence, the burst is 20", n)
	}
}

// What is limited for one network, category or name is free for another.
func TestKeys(t *testing.T) {
	table := New(1024, 1, 1)
	key := table.Key(client, 1, []byte("name"))
	for _, same := range []string{"192.0.2.255", "::ffff:192.0.2.7"} {
		if table.Key(netip.MustParseAddr(same), 1, []byte("name")) != key {
			t.Errorf("%s is of the same network", same)
		}
	}
	for name, other := range map[string]uint64{
		"network":  table.Key(netip.MustParseAddr("192.0.3.1"), 1, []byte("name")),
		"family":   table.Key(netip.MustParseAddr("c000:200::"), 1, []byte("name")),
		"category": table.Key(client, 2, []byte("name")),
		"name":     table.Key(client, 1, []byte("nam")),
	} {
		if other == key {
			t.Errorf("another %s has the same key", name)
		}
	}
	six := table.Key(netip.MustParseAddr("2001:db8:0:1::1"), 1, nil)
	if six != table.Key(netip.MustParseAddr("2001:db8:0:ff::1"), 1, nil) || six == table.Key(netip.MustParseAddr("2001:db8:0:100::1"), 1, nil) {
		t.Error("IPv6 networks are /56")
	}
}

// A flood of a million networks neither grows the table nor frees the one that
// is over its limit, as long as others are quieter.
func TestFlood(t *testing.T) {
	table := New(4096, 10, 10)
	size := len(table.entries)
	hot := table.Key(client, 1, nil)
	refused, asked := 0, 0
	for i := range 1_000_000 {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], uint32(i)<<8)
		at := table.start.Add(time.Duration(i) * time.Microsecond)
		table.Allow(table.Key(netip.AddrFrom4(address), 1, nil), at)
		if i%100 == 0 { // 10,000 a second
			asked++
			if !table.Allow(hot, at) {
				refused++
			}
		}
	}
	if len(table.entries) != size {
		t.Errorf("the table has grown from %d to %d entries", size, len(table.entries))
	}
	if refused < asked*9/10 {
		t.Errorf("%d of %d answers to the hot network were refused", refused, asked)
	}
}

// Time goes on when the entries' 40 bits have wrapped.
func TestWrap(t *testing.T) {
	table := New(16, 10, 1)
	key := table.Key(client, 1, nil)
	before := table.start.Add(timeMask * tick)
	if !table.Allow(key, before) || table.Allow(key, before) {
		t.Error("the limit does not hold before the wrap")
	}
	if table.Allow(key, before.Add(50*time.Millisecond)) {
		t.Error("the limit does not hold over the wrap")
	}
	if !table.Allow(key, before.Add(150*time.Millisecond)) {
		t.Error("an answer is refused after the wrap")
	}
}

func BenchmarkAllow(b *testing.B) {
	table := New(1<<16, 50, 50)
	name := []byte("\x03www\x07example\x03com\x00")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		table.Allow(table.Key(client, 1, name), now)
	}
}
