package dnssec

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/projections/zone"
)

// The life of a zone's key, and a roll-over (double DS, RFC 6781 §4.1.2 and
// §4.1.3 for a key that signs everything):
//
//	            DNSKEY   signs keys  signs data  CDS    parent's DS
//	published   yes      yes         no          yes    to be added
//	active      yes      yes         yes         yes    there
//	retired     yes      yes         no          no     to be removed
//	removed
//
// A first key becomes active at once: nobody knows it yet. A later one becomes
// active, and the one before retires right after, when every validator can
// follow: the key set that has it has reached all caches, and so has the
// parent's DS set with its DS, or the parent has no DS at all. A retired key is
// removed when no cache holds what it signed.
//
// A zone that shall not be signed any more goes on being signed and says in CDS
// and CDNSKEY that the parent shall take its DS records away. When those have
// left all caches, nobody validates, and the keys retire and are removed at once.

// Timings of roll-overs. Zero values are those of limits.go, which fit the
// caches of the world.
type Timings struct {
	// KeySetTTL is that of the Signer's options, Propagation what a new key set
	// needs to reach all secondaries.
	KeySetTTL, Propagation time.Duration
	// RemoveAfter is how long a retired key stays.
	RemoveAfter time.Duration
	// ParentPause is between two looks at the parent, MinDSTTL and MaxDSTTL are
	// bounds of what its DS set is taken to live in caches.
	ParentPause, MinDSTTL, MaxDSTTL time.Duration
}

func (t Timings) complete() Timings {
	return Timings{
		cmp.Or(t.KeySetTTL, keySetTTL), cmp.Or(t.Propagation, propagation), cmp.Or(t.RemoveAfter, removeAfter),
		cmp.Or(t.ParentPause, parentPause), cmp.Or(t.MinDSTTL, minDSTTL), cmp.Or(t.MaxDSTTL, maxDSTTL),
	}
}

// act is what is due for a zone's keys.
type act uint8

const (
	rest      act = iota // nothing is due
	introduce            // the zone's first key
	activate
	retire
	remove
	unsign // retire and remove all
)

// due is the outcome of plan.
type due struct {
	act act
	key zone.Key
	// again is when to look again, zero for when something changes.
	again time.Time
	// waits says what for, for people; empty where nothing is under way.
	waits string
}

// parentView is what the parent was seen to have.
type parentView struct {
	known bool     // it answered
	ds    [][]byte // rdata; none: the delegation is insecure, nobody validates
	ttl   time.Duration
	since time.Time // when it was first seen to have what is waited for
}

// subject is what plan looks at.
type subject struct {
	apex     []byte
	keys     []zone.Key
	unsigned bool // it shall not be signed
	parent   parentView
}

// plan says what is due for keys that have changed last when they say.
func (t Timings) plan(s subject, now time.Time) due {
	in := func(state events.ZoneKeyState) *zone.Key {
		i := slices.IndexFunc(s.keys, func(k zone.Key) bool { return k.State == state })
		if i < 0 {
			return nil
		}
		return &s.keys[i]
	}
	published, active, retired := in(events.KeyPublished), in(events.KeyActive), in(events.KeyRetired)
	before := predecessor(s.keys)
	switch {
	case len(s.keys) == 0 && s.unsigned:
		return due{}
	case len(s.keys) == 0:
		return due{act: introduce}
	case s.unsigned && active == nil, active == nil && published == nil:
		return due{act: unsign} // it is unsigned already
	case s.unsigned:
		return t.planUnsigning(s, now)
	case before != nil:
		return due{act: retire, key: *before}
	case published != nil && active == nil:
		return due{act: activate, key: *published}
	case published != nil:
		return t.planActivation(s, *published, now)
	case retired != nil:
		until := retired.Retired.Add(t.RemoveAfter)
		if now.Before(until) {
			return due{again: until, waits: fmt.Sprintf("key %d is kept until %s, for caches that hold its signatures", retired.Tag, stamp(until))}
		}
		return due{act: remove, key: *retired}
	}
	return due{}
}

// planUnsigning waits until no cache has a DS record of the zone.
func (t Timings) planUnsigning(s subject, now time.Time) due {
	again := now.Add(t.ParentPause)
	switch {
	case !s.parent.known:
		return due{again: again, waits: "no resolver says whether the parent has DS records still; pantheon dns zone unsign --now waits for nobody"}
	case len(s.parent.ds) > 0:
		return due{again: again, waits: "the parent has DS records still: take them away at the registrar; parents that read CDS do it themselves"}
	}
	if until := s.parent.since.Add(t.dsLife(s.parent)); now.Before(until) {
		return due{again: until, waits: fmt.Sprintf("the zone is signed until %s, when no cache has its DS records", stamp(until))}
	}
	return due{act: unsign}
}

// dsLife is how long caches may have a DS set that the parent gave.
func (t Timings) dsLife(parent parentView) time.Duration {
	return min(max(parent.ttl, t.MinDSTTL), t.MaxDSTTL)
}

// predecessor gives the key that has a successor which signs all that it
// signs; nil for none.
func predecessor(keys []zone.Key) *zone.Key {
	var first *zone.Key
	active := 0
	for i := range keys {
		key := &keys[i]
		if key.State != events.KeyActive || key.Role != events.CommonSigning {
			continue
		}
		if active++; first == nil || key.Activated.Before(first.Activated) {
			first = key
		}
	}
	if active < 2 {
		return nil
	}
	return first
}

func (t Timings) planActivation(s subject, key zone.Key, now time.Time) due {
	until := key.Introduced.Add(t.KeySetTTL + t.Propagation)
	if now.Before(until) {
		return due{again: until, waits: fmt.Sprintf("key %d is in use from %s at the earliest, when every cache has it; put its DS at the registrar meanwhile", key.Tag, stamp(until))}
	}
	again := now.Add(t.ParentPause)
	if !s.parent.known {
		return due{again: again, waits: fmt.Sprintf("key %d waits: no resolver says which DS records the parent has", key.Tag)}
	}
	if len(s.parent.ds) == 0 {
		return due{act: activate, key: key} // insecure: whatever signs is as good
	}
	if !hasDS(s.parent.ds, DS(s.apex, key)) {
		return due{again: again, waits: fmt.Sprintf("key %d waits for its DS at the parent: put it at the registrar (pantheon dns ds)", key.Tag)}
	}
	if until = s.parent.since.Add(t.dsLife(s.parent)); now.Before(until) {
		return due{again: until, waits: fmt.Sprintf("key %d is in use from %s on, when every cache has its DS", key.Tag, stamp(until))}
	}
	return due{act: activate, key: key}
}

// hasDS compares all but the digest's type: the parent may have made another
// digest from a CDNSKEY, then tag and algorithm must do.
func hasDS(at [][]byte, want []byte) bool {
	return slices.ContainsFunc(at, func(rdata []byte) bool {
		if len(rdata) < 4 || !bytes.Equal(rdata[:3], want[:3]) {
			return false
		}
		return rdata[3] != want[3] || bytes.Equal(rdata, want)
	})
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
