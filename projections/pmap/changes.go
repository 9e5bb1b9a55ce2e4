package pmap

import "iter"

// Change is one key whose value differs between two maps; Before or After is
// the zero value where the map has no such key.
type Change[K ~string, V any] struct {
	Key           K
	Before, After V
	Had, Has      bool // whether the key is in the older and in the newer map
}

// Changes gives the keys whose values differ between m and a later map, in
// hash order. What both share is skipped whole, so two states of one history
// cost what changed between them, not what they hold.
func (m Map[K, V]) Changes(later Map[K, V], equal func(a, b V) bool) iter.Seq[Change[K, V]] {
	return func(yield func(Change[K, V]) bool) {
		d := differ[K, V]{equal, yield}
		d.nodes(m.root, later.root, 0)
	}
}

// CountChanges counts what Changes gives.
func (m Map[K, V]) CountChanges(later Map[K, V], equal func(a, b V) bool) int {
	count := 0
	for range m.Changes(later, equal) {
		count++
	}
	return count
}

// differ walks two tries side by side; every method gives false when the
// reader has left.
type differ[K ~string, V any] struct {
	equal func(a, b V) bool
	yield func(Change[K, V]) bool
}

func (d differ[K, V]) nodes(a, b *node[K, V], depth uint) bool {
	switch {
	case a == b:
		return true
	case a == nil:
		return b.all(d.added)
	case b == nil:
		return a.all(d.removed)
	case depth == maxDepth:
		return d.scattered(a, b)
	}
	for bits := a.leafBits | a.nodeBits | b.leafBits | b.nodeBits; bits != 0; bits &= bits - 1 {
		if !d.slot(a, b, bits&-bits, depth) {
			return false
		}
	}
	return true
}

// slot compares one slot of two nodes.
func (d differ[K, V]) slot(a, b *node[K, V], bit uint32, depth uint) bool {
	switch {
	case a.nodeBits&b.nodeBits&bit != 0:
		return d.nodes(a.nodes[packed(a.nodeBits, bit)], b.nodes[packed(b.nodeBits, bit)], depth+1)
	case a.leafBits&b.leafBits&bit != 0:
		before, after := &a.leaves[packed(a.leafBits, bit)], &b.leaves[packed(b.leafBits, bit)]
		if before.key != after.key {
			return d.removed(before.key, before.value) && d.added(after.key, after.value)
		}
		return d.equal(before.value, after.value) ||
			d.yield(Change[K, V]{before.key, before.value, after.value, true, true})
	}
	return d.scattered(a.under(bit), b.under(bit))
}

// under gives what a node has in one slot: an entry, a deeper node, or nothing.
func (n *node[K, V]) under(bit uint32) *node[K, V] {
	part := &node[K, V]{}
	if n.leafBits&bit != 0 {
		i := packed(n.leafBits, bit)
		part.leaves = n.leaves[i : i+1]
	}
	if n.nodeBits&bit != 0 {
		i := packed(n.nodeBits, bit)
		part.nodes = n.nodes[i : i+1]
	}
	return part
}

// scattered compares what does not stand in the same shape: an entry and a
// deeper node, or the lists at the trie's bottom. One of the two is small.
func (d differ[K, V]) scattered(a, b *node[K, V]) bool {
	newer := make(map[K]V)
	b.all(func(key K, value V) bool { newer[key] = value; return true })
	more := a.all(func(key K, before V) bool {
		after, has := newer[key]
		if !has {
			return d.removed(key, before)
		}
		delete(newer, key)
		return d.equal(before, after) || d.yield(Change[K, V]{key, before, after, true, true})
	})
	return more && b.all(func(key K, after V) bool {
		_, isNew := newer[key]
		return !isNew || d.added(key, after)
	})
}

func (d differ[K, V]) added(key K, after V) bool {
	return d.yield(Change[K, V]{Key: key, After: after, Has: true})
}

func (d differ[K, V]) removed(key K, before V) bool {
	return d.yield(Change[K, V]{Key: key, Before: before, Had: true})
}
