package yggdrasil

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// content is a zone with the records of DNSSEC as of a moment: what a secondary
// has that transferred it then. Signatures are the same for all of a window, so
// that content follows from the serial as long as the window lasts.
type content struct {
	zone   *zone.Zone
	signer Signer // nil: the zone is not signed
	at     time.Time
}

func contentOf(z *zone.Zone, signer Signer, at time.Time) content {
	if !isSigned(z, signer) {
		signer = nil
	}
	return content{z, signer, at}
}

// sets gives all sets of a node but signatures, and whether it is signed: glue
// and delegations are not (RFC 4035 §2.2).
func (c content) sets(node *zone.Node) iter.Seq2[*zone.RRset, bool] {
	return func(yield func(*zone.RRset, bool) bool) {
		cut := c.zone.Lookup(node.Name()).Cut
		for _, set := range node.RRsets() {
			if !yield(set, c.signer != nil && (cut == nil || cut == node && set.Type == wire.TypeDS)) {
				return
			}
		}
		if c.signer == nil || cut != nil && cut != node {
			return
		}
		ttl := negativeTTL(c.zone.Top().RRset(wire.TypeSOA))
		if !yield(makeNSEC(c.zone, c.signer, node, c.zone.After(node), ttl), true) || len(node.Name()) != len(c.zone.Apex()) {
			return
		}
		dnskey, cds, cdnskey := c.signer.Keys(c.zone)
		for _, set := range []*zone.RRset{dnskey, cds, cdnskey} {
			if set != nil && !yield(set, true) {
				return
			}
		}
	}
}

// signatures of a set that sets says is signed; nil for none.
func (c content) signatures(owner []byte, set *zone.RRset) *zone.RRset {
	return c.signer.SignAt(c.zone, owner, set, c.at)
}

// condensed gives what leads a secondary from an older serial to the newest one
// in a single step (RFC 1995 §5 lets a server condense steps); false where
// signatures have been made anew since, or where so much has changed that the
// whole zone is as short.
func condensed(z *zone.Zone, former zone.Former, signer Signer, from uint32, at time.Time) (iter.Seq[record], bool) {
	if isSigned(z, signer) && signer.Window(z, former.At) != signer.Window(z, at) {
		return nil, false
	}
	d := difference{older: contentOf(former.Zone, signer, at), newer: contentOf(z, signer, at), seen: map[string]bool{}}
	d.touch(z.Apex()) // the SOA's signature
	for _, name := range former.Changed {
		d.touch(name)
		if isCut(former.Zone, name) == isCut(z, name) {
			continue
		}
		for _, version := range []*zone.Zone{former.Zone, z} { // glue that becomes more, or the other way round
			for node := range version.Below(name) {
				d.touch(node.Name())
			}
		}
	}
	if len(d.owners) > maxCondensedNames {
		return nil, false
	}
	for _, owner := range d.owners {
		d.compare(owner)
	}
	return func(yield func(record) bool) {
		newest, list := soaOf(z, z.Serial()), slices.Concat([]record{soaOf(former.Zone, from)}, d.removed, []record{soaOf(z, z.Serial())}, d.added)
		for _, r := range slices.Concat([]record{newest}, list, []record{newest}) {
			if !yield(r) {
				return
			}
		}
	}, true
}

func isCut(z *zone.Zone, name []byte) bool {
	m := z.Lookup(name)
	return m.Node != nil && m.Cut == m.Node
}

// difference of two contents of a zone.
type difference struct {
	older, newer   content
	owners         [][]byte
	seen           map[string]bool
	removed, added []record
}

// touch notes a name that may differ, and the ones before it, whose NSEC
// records lead to other names then.
func (d *difference) touch(name []byte) {
	for _, owner := range [][]byte{name, d.older.zone.Before(name).Name(), d.newer.zone.Before(name).Name()} {
		if !d.seen[string(owner)] {
			d.seen[string(owner)] = true
			d.owners = append(d.owners, owner)
		}
	}
}

// compare lists what a name lost and won.
func (d *difference) compare(owner []byte) {
	older, newer := d.older.held(owner), d.newer.held(owner)
	d.removed = d.older.less(owner, older, newer, d.removed)
	d.added = d.newer.less(owner, newer, older, d.added)
}

// heldSet is a set at a name.
type heldSet struct {
	set    *zone.RRset
	signed bool
}

func (c content) held(owner []byte) (list []heldSet) {
	node := c.zone.Lookup(owner).Node
	if node == nil || node.Empty() {
		return nil
	}
	for set, signed := range c.sets(node) {
		list = append(list, heldSet{set, signed})
	}
	return list
}

// less adds to a list the records of a name that are not among the others. The
// SOA record itself is not: it leads from step to step.
func (c content) less(owner []byte, sets, others []heldSet, to []record) []record {
	for _, one := range sets {
		var other heldSet
		for _, candidate := range others {
			if candidate.set.Type == one.set.Type {
				other = candidate
			}
		}
		same := other.set != nil && other.set.TTL == one.set.TTL
		equal := same && slices.EqualFunc(other.set.Data, one.set.Data, bytes.Equal)
		for _, data := range one.set.Data {
			kept := equal || same && slices.ContainsFunc(other.set.Data, func(o []byte) bool { return bytes.Equal(o, data) })
			if !kept && one.set.Type != wire.TypeSOA {
				to = append(to, record{owner, one.set, data})
			}
		}
		if !one.signed || equal && other.signed {
			continue
		}
		if signatures := c.signatures(owner, one.set); signatures != nil {
			for _, data := range signatures.Data {
				to = append(to, record{owner, signatures, data})
			}
		}
	}
	return to
}

// former makes a zone of then again, from the log; false where that takes too
// long, is done for somebody else, or where no position has had that serial.
func (s *Server) former(z *zone.Zone, serial uint32) (zone.Former, bool) {
	select {
	case s.remaking <- struct{}{}:
		defer func() { <-s.remaking }()
	default:
		return zone.Former{}, false
	}
	if s.options.Past == nil {
		return zone.Former{}, false
	}
	// A serial is its position's low half, but for rare exceptions that are
	// noticed below.
	position := z.Position()&^0xffff_ffff | events.Position(serial)
	if position > z.Position() {
		if position>>32 == 0 {
			return zone.Former{}, false
		}
		position -= 1 << 32
	}
	ctx, cancel := context.WithTimeout(context.Background(), remakeTimeout)
	defer cancel()
	state, err := s.options.Past(ctx, position)
	if err != nil {
		s.options.Logger.Warn("cannot tell a secondary what changed: it gets the whole zone", "zone", z.Name(), "serial", serial, "error", err)
		return zone.Former{}, false
	}
	older := state.Named(z.Name())
	if older == nil || older.Serial() != serial {
		return zone.Former{}, false
	}
	return z.Since(older)
}
