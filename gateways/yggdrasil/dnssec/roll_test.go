package dnssec

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/projections/zone"
)

// keys are keys of a zone in these states, numbered from 1.
func keys(t *testing.T, states ...events.ZoneKeyState) []zone.Key {
	t.Helper()
	_, key := rfc6605Key(t)
	var all []zone.Key
	for i, state := range states {
		k := key
		k.Tag, k.State, k.Public = uint16(i+1), state, append(slices.Clone(key.Public[:63]), byte(i))
		k.Introduced, k.Retired = at, at
		all = append(all, k)
	}
	return all
}

// TestPlan goes through a key's life row by row: what is due, when, and what
// the operator is told.
func TestPlan(t *testing.T) {
	apex := wire(t, "example.net.")
	rolling := keys(t, events.KeyActive, events.KeyPublished)
	both := [][]byte{DS(apex, rolling[0]), DS(apex, rolling[1])}
	ready := at.Add(keySetTTL + propagation)
	day := 24 * time.Hour
	for _, c := range []struct {
		about    string
		keys     []zone.Key
		now      time.Time
		parent   parentView
		unsigned bool
		act      act
		tag      uint16
		again    time.Time
		waits    string
	}{
		{about: "no key yet", act: introduce},
		{about: "a first key", keys: keys(t, events.KeyPublished), now: at, act: activate, tag: 1},
		{about: "settled", keys: keys(t, events.KeyActive), now: at},
		{about: "caches have the old key set", keys: rolling, now: ready.Add(-1), again: ready, waits: "at the earliest"},
		{about: "no resolver answers", keys: rolling, now: ready, again: ready.Add(parentPause), waits: "no resolver"},
		{about: "the parent has only the old DS", keys: rolling, now: ready, parent: parentView{known: true, ds: both[:1], ttl: day},
			again: ready.Add(parentPause), waits: "put it at the registrar"},
		{about: "caches have the old DS set", keys: rolling, now: ready, parent: parentView{known: true, ds: both, ttl: day, since: ready},
			again: ready.Add(day), waits: "every cache has its DS"},
		{about: "every cache has both", keys: rolling, now: ready.Add(day), parent: parentView{known: true, ds: both, ttl: day, since: ready}, act: activate, tag: 2},
		{about: "the parent's TTL is absurd", keys: rolling, now: ready.Add(maxDSTTL), parent: parentView{known: true, ds: both, ttl: 1000 * day, since: ready}, act: activate, tag: 2},
		{about: "an insecure delegation", keys: rolling, now: ready, parent: parentView{known: true}, act: activate, tag: 2},
		{about: "a successor is active", keys: keys(t, events.KeyActive, events.KeyActive), now: at, act: retire, tag: 1},
		{about: "caches hold what it signed", keys: keys(t, events.KeyRetired, events.KeyActive), now: at.Add(removeAfter - 1), again: at.Add(removeAfter), waits: "caches"},
		{about: "an active key is gone and no other came", keys: keys(t, events.KeyRetired), now: at, act: unsign},
		{about: "to be unsigned, never signed", unsigned: true},
		{about: "to be unsigned, nobody can be asked", keys: rolling[:1], now: at, unsigned: true, again: at.Add(parentPause), waits: "--now"},
		{about: "to be unsigned, the parent has a DS", keys: rolling, now: at, unsigned: true, parent: parentView{known: true, ds: both[:1], ttl: day},
			again: at.Add(parentPause), waits: "at the registrar"},
		{about: "to be unsigned, caches have a DS", keys: rolling[:1], now: at.Add(day - 1), unsigned: true, parent: parentView{known: true, since: at},
			again: at.Add(day), waits: "when no cache has"},
		{about: "to be unsigned, nobody validates", keys: rolling[:1], now: at.Add(day), unsigned: true, parent: parentView{known: true, since: at}, act: unsign},
		{about: "to be unsigned, not active yet", keys: keys(t, events.KeyPublished), now: at, unsigned: true, act: unsign},
		{about: "nobody needs it", keys: keys(t, events.KeyRetired, events.KeyActive), now: at.Add(removeAfter), act: remove, tag: 1},
	} {
		got := Timings{}.complete().plan(subject{apex, c.keys, c.unsigned, c.parent}, c.now)
		if got.act != c.act || got.key.Tag != c.tag || !got.again.Equal(c.again) || !strings.Contains(got.waits, c.waits) || (got.waits == "") != (c.waits == "") {
			t.Errorf("%s: %+v", c.about, got)
		}
	}
}

// TestHasDS: another digest of the same key counts, another key of the same
// tag does not where the digest is ours.
func TestHasDS(t *testing.T) {
	apex := wire(t, "example.net.")
	pair := keys(t, events.KeyActive, events.KeyPublished)
	pair[1].Tag = pair[0].Tag
	want := DS(apex, pair[0])
	other384 := append(slices.Clone(want[:3]), append([]byte{4}, make([]byte, 48)...)...)
	for _, c := range []struct {
		at   [][]byte
		want bool
	}{
		{nil, false}, {[][]byte{want}, true}, {[][]byte{other384}, true}, {[][]byte{DS(apex, pair[1])}, false}, {[][]byte{{1}}, false},
	} {
		if got := hasDS(c.at, want); got != c.want {
			t.Errorf("%x: %v", c.at, got)
		}
	}
}
