package yggdrasil

import (
	"bytes"
	"slices"

	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// resolve answers the question from the zone: RFC 1034 §4.3.2, with RFC 4592's
// wildcards, and RFC 8020's empty non-terminals.
func (r *responder) resolve() wire.Rcode {
	r.header.AA = true
	r.category, r.limited = limitedAnswer, r.query.Name()
	name := r.query.Name()
	for hop := 0; ; hop++ {
		next, rcode := r.step(name, hop)
		if next == nil || hop == MaxChain-1 || r.truncated || !wire.IsBelow(next, r.zone.Apex()) {
			r.prove()
			return rcode
		}
		name = next
	}
}

// step answers for one name of a chain; next is where the chain goes on.
func (r *responder) step(name []byte, hop int) (next []byte, rcode wire.Rcode) {
	m := r.zone.Lookup(name)
	switch {
	case m.Cut != nil && (r.query.Type != wire.TypeDS || m.Node != m.Cut):
		r.refer(m.Cut, hop)
		return nil, wire.NoError
	case m.Node != nil:
		return r.exact(name, name, m.Node, hop), wire.NoError
	}
	encloser := name[m.Encloser:]
	if above := r.zone.At(encloser); above != nil {
		if set := above.RRset(wire.TypeDNAME); set != nil {
			return r.dname(name, encloser, set, hop)
		}
	}
	wildcard := r.wildcardOf(encloser)
	if m.Wildcard != nil {
		r.limited = wildcard
		return r.exact(name, wildcard, m.Wildcard, hop), wire.NoError
	}
	r.category, r.limited = limitedNoName, r.zone.Apex()
	r.negative()
	if r.signed { // RFC 4035 §3.1.3.2
		r.deny(name)
		r.deny(wildcard)
	}
	return nil, wire.NXDomain
}

// exact answers from a node, whose name is the owner: the name itself, or the
// wildcard that stands for it.
func (r *responder) exact(name, owner []byte, node *zone.Node, hop int) (next []byte) {
	wildcard := len(owner) != len(name) || !bytes.Equal(owner, name)
	set := r.setOf(node, owner, r.query.Type)
	if set == nil && r.query.Type != wire.TypeCNAME && r.query.Type != wire.TypeANY {
		if set = node.RRset(wire.TypeCNAME); set != nil {
			if slices.Contains(r.chain[:hop], node) {
				return nil // a loop: the client has all of it
			}
			r.chain[hop] = node
			next = lower(&r.targets[hop&1], set.Data[0])
		}
	}
	if set == nil {
		r.noData(name, owner, wildcard)
		return nil
	}
	if !r.add(wire.Answer, name, owner, set, set.TTL, true) {
		r.truncated = true
		return nil
	}
	if wildcard && r.signed { // RFC 4035 §3.1.3.3
		r.deny(name)
	}
	if next == nil {
		r.additional(set)
	}
	r.alone = next == nil && hop == 0 && !wildcard && !refersOn(r.query.Type)
	return next
}

// refersOn names the types whose answers depend on more than the name's own
// records: on other names, or on keys and neighbours.
func refersOn(rrtype uint16) bool {
	switch rrtype {
	case wire.TypeNS, wire.TypeMX, wire.TypeSRV, wire.TypeANY, wire.TypeSOA:
		return true
	}
	return isSecurity(rrtype)
}

// setOf gives the records of a type, those of DNSSEC included.
func (r *responder) setOf(node *zone.Node, owner []byte, rrtype uint16) *zone.RRset {
	signer := r.server.options.Signer
	switch {
	case rrtype == wire.TypeANY: // RFC 8482 §4.1: one set of those there are
		if sets := node.RRsets(); len(sets) > 0 {
			return sets[0]
		}
		return nil
	case signer == nil || !isSecurity(rrtype) || node.Empty():
		return node.RRset(rrtype)
	}
	dnskey, cds, cdnskey := signer.Keys(r.zone)
	if dnskey == nil {
		return node.RRset(rrtype)
	}
	apex := bytes.Equal(owner, r.zone.Apex())
	switch {
	case rrtype == wire.TypeNSEC:
		return r.nsec(node)
	case rrtype == wire.TypeRRSIG: // as for ANY: one of them
		return signer.Sign(r.zone, owner, node.RRsets()[0])
	case apex && rrtype == wire.TypeDNSKEY:
		return dnskey
	case apex && rrtype == wire.TypeCDS:
		return cds
	case apex && rrtype == wire.TypeCDNSKEY:
		return cdnskey
	}
	return nil
}

// isSecurity names the types that are made, not folded.
func isSecurity(rrtype uint16) bool {
	switch rrtype {
	case wire.TypeRRSIG, wire.TypeNSEC, wire.TypeDNSKEY, wire.TypeCDS, wire.TypeCDNSKEY:
		return true
	}
	return false
}

// lower copies a name in lower case.
func lower(buffer *[wire.MaxNameBytes]byte, name []byte) []byte {
	return buffer[:wire.CopyLower(buffer[:], name)]
}

// noData says that the name exists, but not this type (RFC 2308 §2.2).
func (r *responder) noData(name, owner []byte, wildcard bool) {
	r.category, r.limited = limitedNoData, r.zone.Apex()
	r.negative()
	if !r.signed {
		return
	}
	r.deny(owner) // the node's own NSEC; an empty one's neighbour
	if wildcard { // RFC 4035 §3.1.3.4
		r.deny(name)
	}
}

// negative adds the SOA whose TTL says how long the denial holds (RFC 2308 §3).
func (r *responder) negative() {
	apex := r.zone.Apex()
	soa := r.zone.Top().RRset(wire.TypeSOA)
	if soa == nil {
		return
	}
	if !r.add(wire.Authority, apex, apex, soa, negativeTTL(soa), true) {
		r.truncated = true
	}
}

// negativeTTL is the lesser of the SOA's own TTL and its MINIMUM field; of NSEC
// records as well (RFC 9077 §3).
func negativeTTL(soa *zone.RRset) uint32 {
	data := soa.Data[0]
	return min(soa.TTL, uint32(data[len(data)-4])<<24|uint32(data[len(data)-3])<<16|uint32(data[len(data)-2])<<8|uint32(data[len(data)-1]))
}

// add writes a set with its signatures, all of it or nothing. owner is the name
// that was signed, name the one to write: they differ under a wildcard.
func (r *responder) add(section wire.Section, name, owner []byte, set *zone.RRset, ttl uint32, sign bool) bool {
	if r.truncated {
		return false
	}
	mark := r.builder.Mark()
	for _, data := range set.Data {
		if !r.builder.Record(section, name, set.Type, ttl, data) {
			r.builder.Rollback(mark)
			return false
		}
	}
	if !sign || !r.signed || set.Type == wire.TypeRRSIG {
		return true
	}
	signatures := r.server.options.Signer.Sign(r.zone, owner, set)
	if signatures == nil {
		return true
	}
	for _, data := range signatures.Data {
		if !r.builder.Record(section, name, wire.TypeRRSIG, ttl, data) {
			r.builder.Rollback(mark)
			return false
		}
	}
	return true
}

// refer sends the client to the servers of a delegated zone.
func (r *responder) refer(cut *zone.Node, hop int) {
	if hop == 0 {
		r.header.AA = false
		r.category, r.limited = limitedReferral, cut.Name()
	}
	servers := cut.RRset(wire.TypeNS)
	if !r.add(wire.Authority, cut.Name(), nil, servers, servers.TTL, false) {
		r.truncated = true
		return
	}
	if r.signed { // RFC 4035 §3.1.4
		if ds := cut.RRset(wire.TypeDS); ds != nil {
			if !r.add(wire.Authority, cut.Name(), cut.Name(), ds, ds.TTL, true) {
				r.truncated = true
			}
		} else {
			r.deny(cut.Name())
		}
	}
	r.prove()
	for _, data := range servers.Data { // needed, else nobody gets there (RFC 9471)
		if name := lower(&r.glue, data); wire.IsBelow(name, cut.Name()) && !r.addresses(name) {
			r.truncated = true
		}
	}
	for _, data := range servers.Data {
		if name := lower(&r.glue, data); wire.IsBelow(name, r.zone.Apex()) && !wire.IsBelow(name, cut.Name()) {
			r.addresses(name)
		}
	}
}

// addresses adds those of a name in the zone, also of one below a cut; false if
// there is no room.
func (r *responder) addresses(name []byte) bool {
	m := r.zone.Lookup(name)
	if m.Node == nil || m.Node.Empty() {
		return true
	}
	for _, rrtype := range [...]uint16{wire.TypeA, wire.TypeAAAA} {
		set := m.Node.RRset(rrtype)
		if set != nil && !r.add(wire.Additional, name, name, set, set.TTL, m.Cut == nil) {
			return false
		}
	}
	return true
}

// additional adds the addresses of names in the answer, where there is room
// (RFC 1034 §4.3.2 step 6).
func (r *responder) additional(set *zone.RRset) {
	skip := 0
	switch set.Type {
	case wire.TypeNS:
	case wire.TypeMX:
		skip = 2
	case wire.TypeSRV:
		skip = 6
	default:
		return
	}
	r.prove()
	for _, data := range set.Data {
		if len(data) <= skip {
			continue
		}
		if name := lower(&r.glue, data[skip:]); wire.IsBelow(name, r.zone.Apex()) {
			r.addresses(name)
		}
	}
}

// dname answers for a name below a DNAME (RFC 6672 §3.2) with it and the CNAME
// that it makes.
func (r *responder) dname(name, owner []byte, set *zone.RRset, hop int) (next []byte, rcode wire.Rcode) {
	if !r.add(wire.Answer, owner, owner, set, set.TTL, true) {
		r.truncated = true
		return nil, wire.NoError
	}
	prefix, target := name[:len(name)-len(owner)], lower(&r.glue, set.Data[0])
	if len(prefix)+len(target) > wire.MaxNameBytes {
		return nil, wire.YXDomain
	}
	r.chain[hop] = nil
	next = append(append(r.targets[hop&1][:0], prefix...), target...)
	if !r.builder.Record(wire.Answer, name, wire.TypeCNAME, set.TTL, next) {
		r.truncated = true
		return nil, wire.NoError
	}
	if r.query.Type == wire.TypeCNAME {
		return nil, wire.NoError
	}
	return next, wire.NoError
}
