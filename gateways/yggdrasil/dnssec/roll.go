package dnssec

import (
	"bytes"
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

// act is what is due for a zone's keys.
type act uint8

const (
	rest      act = iota // nothing is due
	introduce            // the zone's first key
	activate
	retire
	remove
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
	since time.Time // when the new key's DS was seen first
}

// plan says what is due for keys that have changed last when they say.
func plan(apex []byte, keys []zone.Key, now time.Time, parent parentView) due {
	in := func(state events.ZoneKeyState) *zone.Key {
		i := slices.IndexFunc(keys, func(k zone.Key) bool { return k.State == state })
		if i < 0 {
			return nil
		}
		return &keys[i]
	}
	published, active, retired := in(events.KeyPublished), in(events.KeyActive), in(events.KeyRetired)
	before := predecessor(keys)
	switch {
	case before != nil:
		return due{act: retire, key: *before}
	case len(keys) == 0:
		return due{act: introduce}
	case published != nil && active == nil:
		return due{act: activate, key: *published}
	case published != nil:
		return planActivation(apex, *published, now, parent)
	case retired != nil:
		until := retired.Retired.Add(removeAfter)
		if now.Before(until) {
			return due{again: until, waits: fmt.Sprintf("key %d is kept until %s, for caches that hold its signatures", retired.Tag, stamp(until))}
		}
		return due{act: remove, key: *retired}
	}
	return due{}
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

func planActivation(apex []byte, key zone.Key, now time.Time, parent parentView) due {
	until := key.Introduced.Add(keySetTTLSeconds*time.Second + propagation)
	if now.Before(until) {
		return due{again: until, waits: fmt.Sprintf("key %d is in use from %s at the earliest, when every cache has it; put its DS at the registrar meanwhile", key.Tag, stamp(until))}
	}
	again := now.Add(parentPause)
	if !parent.known {
		return due{again: again, waits: fmt.Sprintf("key %d waits: no resolver says which DS records the parent has", key.Tag)}
	}
	if len(parent.ds) == 0 {
		return due{act: activate, key: key} // insecure: whatever signs is as good
	}
	if !hasDS(parent.ds, DS(apex, key)) {
		return due{again: again, waits: fmt.Sprintf("key %d waits for its DS at the parent: put it at the registrar (pantheon dns ds)", key.Tag)}
	}
	if until = parent.since.Add(min(parent.ttl, maxDSTTL)); now.Before(until) {
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
