package yggdrasil

import (
	"bytes"
	"slices"
	"unsafe"

	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// nsecSlot remembers an NSEC record: it holds as long as the zone has the same
// two neighbours.
type nsecSlot struct {
	node, next *zone.Node
	ttl        uint32
	keys       *zone.RRset // at the apex, whose types change with them
	set        *zone.RRset
}

// deny asks for the NSEC record at or before a name: at a name that exists it
// proves which types are there, at any other one that there is no such name.
// The records are written by prove, each once: sections have an order, and the
// chain may go on.
func (r *responder) deny(name []byte) {
	node := r.zone.Before(name)
	if node == nil || r.denied == maxDenials || slices.Contains(r.denials[:r.denied], node) {
		return
	}
	r.denials[r.denied] = node
	r.denied++
}

// prove writes what deny has gathered.
func (r *responder) prove() {
	for _, node := range r.denials[:r.denied] {
		set := r.nsec(node)
		if !r.add(wire.Authority, node.Name(), node.Name(), set, set.TTL, true) {
			r.truncated = true
		}
	}
	r.denied = 0
}

// wildcardOf gives the wildcard below a name.
func (r *responder) wildcardOf(encloser []byte) []byte {
	return append(append(r.wild[:0], 1, '*'), encloser...)
}

// nsec gives the NSEC record of a node.
func (r *responder) nsec(node *zone.Node) *zone.RRset {
	next := r.zone.After(node)
	apexNode := r.zone.Top()
	ttl := negativeTTL(apexNode.RRset(wire.TypeSOA))
	signer := r.server.options.Signer
	var keys *zone.RRset
	if node == apexNode {
		keys, _, _ = signer.Keys(r.zone)
	}
	slot := &r.nsecs[uintptr(unsafe.Pointer(node))/unsafe.Sizeof(zone.Node{})%uintptr(len(r.nsecs))]
	if slot.node != node || slot.next != next || slot.ttl != ttl || slot.keys != keys {
		*slot = nsecSlot{node, next, ttl, keys, makeNSEC(r.zone, signer, node, next, ttl)}
	}
	return slot.set
}

// makeNSEC makes the NSEC record of a node (RFC 4034 §4.1). At a delegation only
// what is the parent's counts (RFC 4035 §2.3).
func makeNSEC(z *zone.Zone, signer Signer, node, next *zone.Node, ttl uint32) *zone.RRset {
	apex := bytes.Equal(node.Name(), z.Apex())
	cut := !apex && node.RRset(wire.TypeNS) != nil
	var present [64]uint16
	types := present[:0]
	for _, set := range node.RRsets() {
		if !cut || set.Type == wire.TypeNS || set.Type == wire.TypeDS {
			types = append(types, set.Type)
		}
	}
	types = append(types, wire.TypeRRSIG, wire.TypeNSEC)
	if apex {
		_, cds, cdnskey := signer.Keys(z)
		types = append(types, wire.TypeDNSKEY)
		if cds != nil {
			types = append(types, wire.TypeCDS)
		}
		if cdnskey != nil {
			types = append(types, wire.TypeCDNSKEY)
		}
	}
	slices.Sort(types)
	data := wire.AppendBitmap(append([]byte(nil), next.Name()...), types)
	return &zone.RRset{Type: wire.TypeNSEC, TTL: ttl, Data: [][]byte{data}}
}
