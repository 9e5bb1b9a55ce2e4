package yggdrasil

import (
	"hash/maphash"

	"pantheon/gateways/yggdrasil/batch"
	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// ahead is one query of a batch, read before those in front of it are answered.
type ahead struct {
	packet []byte
	cut    bool // the datagram was longer
	ready  bool // query and fault are those of the packet
	query  wire.Query
	fault  wire.Fault
	hashed bool
	hash   uint64 // of the name, as the worker's memories have it
}

// batches of zone.Fetch hold one of the socket's.
const _ = uint(zone.MaxFetched - batch.Size)

// lookAhead reads the queries of a batch, and then what their answers are made
// from. Of a hundred thousand names the next one is hardly ever in the
// processor's caches, and a query waits for the memory half of its time; the
// waits of a batch overlap here. Nothing is decided: what is answered is looked
// up again when it is that query's turn.
func (r *responder) lookAhead(list []ahead) {
	defer func() {
		if caught := recover(); caught != nil { // the query does it again, and is answered so
			r.panicked(caught)
			for i := range list {
				list[i].ready = false
			}
		}
	}()
	for i := range list {
		a := &list[i]
		a.hashed = false
		a.fault = a.query.Parse(a.packet)
		a.ready = true
	}
	if r.memories != nil {
		for i := range list {
			list[i].hashed, list[i].hash = true, maphash.Bytes(r.memories.seed, list[i].query.Name())
		}
	}
	r.fetch(list)
}

// fetch touches the entries of the answers that are remembered, and the records
// of the others.
func (r *responder) fetch(list []ahead) {
	var entries [batch.Size][]byte
	if r.memories != nil {
		read := uint32(0)
		for i := range list {
			m := r.memories.of(&list[i].query, r.server.options.Signer != nil)
			_, first := m.place(list[i].hash, list[i].query.Type)
			read += m.slots[first].hash
		}
		for i := range list {
			m := r.memories.of(&list[i].query, r.server.options.Signer != nil)
			entries[i] = m.likely(m.place(list[i].hash, list[i].query.Type))
		}
		for i := range list {
			if e := entries[i]; e != nil {
				read += uint32(e[0]) + uint32(e[cacheLine])
			}
		}
		r.read += read
	}
	var names [batch.Size][]byte
	var common *zone.Zone
	count := 0
	zones := r.server.options.Source.Zones()
	for i := range list {
		name := list[i].query.Name()
		if entries[i] != nil || len(name) == 0 {
			continue
		}
		z := zones.Find(name)
		if z == nil || common != nil && z != common {
			continue
		}
		common, names[count] = z, name
		count++
	}
	if count > 1 {
		r.read += common.Fetch(names[:count])
	}
}

// cacheLine octets come from memory at once.
const cacheLine = 64
