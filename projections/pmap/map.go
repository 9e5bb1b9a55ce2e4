package pmap

import (
	"iter"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// Edit is the right to change in place what was made under it. Only its
// identity counts.
type Edit struct{ _ byte }

// Map is a persistent map; the zero value is empty.
type Map[K ~string, V any] struct {
	root *node[K, V]
	size int
}

type entry[K ~string, V any] struct {
	key   K
	value V
}

// node is one level of the trie. Bit i of leafBits says that an entry with
// slot i stands in leaves, bit i of nodeBits that there is a deeper node; both
// slices are packed in slot order. Below maxDepth all hash bits are used up,
// and leaves is a plain list.
type node[K ~string, V any] struct {
	edit     *Edit
	leafBits uint32
	nodeBits uint32
	leaves   []entry[K, V]
	nodes    []*node[K, V]
}

func slot(hash uint64, depth uint) uint32 {
	return 1 << (hash >> (depth * bitsPerLevel) & (1<<bitsPerLevel - 1))
}

func packed(set, bit uint32) int { return bits.OnesCount32(set & (bit - 1)) }

// Len gives the number of entries.
func (m Map[K, V]) Len() int { return m.size }

// Get finds a key's value.
func (m Map[K, V]) Get(key K) (V, bool) {
	hash := xxh3.HashString(string(key))
	n := m.root
	for depth := uint(0); n != nil; depth++ {
		if depth == maxDepth {
			if i := n.find(key); i >= 0 {
				return n.leaves[i].value, true
			}
			break
		}
		bit := slot(hash, depth)
		if n.leafBits&bit != 0 {
			if e := &n.leaves[packed(n.leafBits, bit)]; e.key == key {
				return e.value, true
			}
			break
		}
		if n.nodeBits&bit == 0 {
			break
		}
		n = n.nodes[packed(n.nodeBits, bit)]
	}
	var none V
	return none, false
}

// At gives a key's value, or the zero value.
func (m Map[K, V]) At(key K) V {
	value, _ := m.Get(key)
	return value
}

// GetAll finds at most MaxTogether keys at once: values[i] becomes that of keys[i],
// or the zero value. One after the other, their ways through memory take as long
// as all waits for it together; here the waits overlap, since each step is made
// for all keys before the next.
func (m Map[K, V]) GetAll(keys []K, values []V) {
	var hashes [MaxTogether]uint64
	var at [MaxTogether]*node[K, V]
	var found [MaxTogether]*entry[K, V]
	for i, key := range keys {
		hashes[i], at[i] = xxh3.HashString(string(key)), m.root
	}
	for depth, going := uint(0), true; going && depth < maxDepth; depth++ {
		going = descend(hashes[:len(keys)], at[:len(keys)], found[:len(keys)], depth)
	}
	var none V
	for i, e := range found[:len(keys)] {
		if values[i] = none; e != nil {
			values[i] = e.value
		}
	}
	for i, key := range keys {
		switch e := found[i]; {
		case at[i] != nil: // below the last level
			values[i] = m.At(key)
		case e != nil && e.key != key:
			values[i] = none
		}
	}
}

// descend goes one level down from each node, to the next one or to an entry;
// false where none leads on.
func descend[K ~string, V any](hashes []uint64, at []*node[K, V], found []*entry[K, V], depth uint) bool {
	deeper := uint32(0)
	for _, n := range at {
		if n != nil {
			deeper |= n.nodeBits // so that all are on their way before one is needed
		}
	}
	for i, n := range at {
		if n == nil {
			continue
		}
		bit := slot(hashes[i], depth)
		at[i] = nil
		switch {
		case n.nodeBits&bit != 0:
			at[i] = n.nodes[packed(n.nodeBits, bit)]
		case n.leafBits&bit != 0:
			found[i] = &n.leaves[packed(n.leafBits, bit)]
		}
	}
	return deeper != 0
}

// Set gives the map with the key's value replaced or added.
func (m Map[K, V]) Set(edit *Edit, key K, value V) Map[K, V] {
	if m.root == nil {
		m.root = &node[K, V]{edit: edit}
	}
	root, added := m.root.set(edit, xxh3.HashString(string(key)), 0, entry[K, V]{key, value})
	if added {
		m.size++
	}
	m.root = root
	return m
}

// Delete gives the map without the key.
func (m Map[K, V]) Delete(edit *Edit, key K) Map[K, V] {
	if _, known := m.Get(key); !known {
		return m
	}
	m.size--
	m.root = m.root.delete(edit, xxh3.HashString(string(key)), 0, key)
	return m
}

// All gives every entry in hash order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.root != nil {
			m.root.all(yield)
		}
	}
}

func (n *node[K, V]) all(yield func(K, V) bool) bool {
	for i := range n.leaves {
		if !yield(n.leaves[i].key, n.leaves[i].value) {
			return false
		}
	}
	for _, child := range n.nodes {
		if !child.all(yield) {
			return false
		}
	}
	return true
}

func (n *node[K, V]) find(key K) int {
	return slices.IndexFunc(n.leaves, func(e entry[K, V]) bool { return e.key == key })
}

// own gives the node itself where the edit may change it, else a copy.
func (n *node[K, V]) own(edit *Edit) *node[K, V] {
	if edit != nil && n.edit == edit {
		return n
	}
	return &node[K, V]{edit, n.leafBits, n.nodeBits, slices.Clone(n.leaves), slices.Clone(n.nodes)}
}

func (n *node[K, V]) set(edit *Edit, hash uint64, depth uint, e entry[K, V]) (_ *node[K, V], added bool) {
	n = n.own(edit)
	if depth == maxDepth {
		if i := n.find(e.key); i >= 0 {
			n.leaves[i] = e
			return n, false
		}
		n.leaves = append(n.leaves, e)
		return n, true
	}
	bit := slot(hash, depth)
	i, j := packed(n.leafBits, bit), packed(n.nodeBits, bit)
	switch {
	case n.nodeBits&bit != 0:
		n.nodes[j], added = n.nodes[j].set(edit, hash, depth+1, e)
		return n, added
	case n.leafBits&bit == 0:
		n.leaves = insert(n.leaves, i, e)
		n.leafBits |= bit
		return n, true
	case n.leaves[i].key == e.key:
		n.leaves[i] = e
		return n, false
	}
	// Two keys share the slot: both move one level down.
	old := n.leaves[i]
	child := &node[K, V]{edit: edit}
	child, _ = child.set(edit, xxh3.HashString(string(old.key)), depth+1, old)
	child, _ = child.set(edit, hash, depth+1, e)
	n.leaves = slices.Delete(n.leaves, i, i+1)
	n.leafBits &^= bit
	n.nodes = insert(n.nodes, j, child)
	n.nodeBits |= bit
	return n, true
}

// insert grows by one when it must: nodes are many and small, and room that
// append would leave is most of the memory.
func insert[T any](list []T, i int, item T) []T {
	if len(list) < cap(list) {
		return slices.Insert(list, i, item)
	}
	grown := make([]T, len(list)+1)
	copy(grown, list[:i])
	grown[i] = item
	copy(grown[i+1:], list[i:])
	return grown
}

// delete gives the node without the key, which is there; an empty node is nil
// only at the root's child, where the parent drops it.
func (n *node[K, V]) delete(edit *Edit, hash uint64, depth uint, key K) *node[K, V] {
	n = n.own(edit)
	if depth == maxDepth {
		i := n.find(key)
		n.leaves = slices.Delete(n.leaves, i, i+1)
		return n
	}
	bit := slot(hash, depth)
	if n.leafBits&bit != 0 {
		i := packed(n.leafBits, bit)
		n.leaves = slices.Delete(n.leaves, i, i+1)
		n.leafBits &^= bit
		return n
	}
	j := packed(n.nodeBits, bit)
	child := n.nodes[j].delete(edit, hash, depth+1, key)
	switch {
	case len(child.nodes) == 0 && len(child.leaves) == 1:
		// A lone entry moves back up, so that a trie does not remember what it
		// once held.
		n.nodes = slices.Delete(n.nodes, j, j+1)
		n.nodeBits &^= bit
		n.leaves = insert(n.leaves, packed(n.leafBits, bit), child.leaves[0])
		n.leafBits |= bit
	case len(child.nodes) == 0 && len(child.leaves) == 0:
		n.nodes = slices.Delete(n.nodes, j, j+1)
		n.nodeBits &^= bit
	default:
		n.nodes[j] = child
	}
	return n
}
