package pmap

import (
	"iter"
	"slices"
	"strings"
)

// Sorted is a persistent map in the order of its keys; the zero value is
// empty.
//
// It is a B-tree whose nodes split when full and vanish when empty. Nodes that
// have become small are not merged: a tree that shrinks and stays small costs
// memory until its nodes are gone, and never more depth than it once had.
type Sorted[V any] struct {
	root *branch[V]
	size int
}

// branch is a node: with children it holds in keys[i] a lower bound of
// children[i], without them the keys themselves and their values.
type branch[V any] struct {
	edit     *Edit
	keys     []string
	values   []V
	children []*branch[V]
}

// Collect gives the map of count entries, which come in order, each key once: a
// fraction of what it costs to set them one by one.
func Collect[V any](edit *Edit, count int, entries iter.Seq2[string, V]) Sorted[V] {
	var level []*branch[V]
	var last *branch[V]
	for key, value := range entries {
		if last == nil || len(last.keys) == collectedBranch {
			room := min(collectedBranch, count-len(level)*collectedBranch)
			last = &branch[V]{edit: edit, keys: make([]string, 0, room), values: make([]V, 0, room)}
			level = append(level, last)
		}
		last.keys, last.values = append(last.keys, key), append(last.values, value)
	}
	for len(level) > 1 {
		var above []*branch[V]
		for some := range slices.Chunk(level, collectedBranch) {
			n := &branch[V]{edit: edit, children: slices.Clone(some), keys: make([]string, len(some))}
			for i, child := range some {
				n.keys[i] = child.keys[0]
			}
			above = append(above, n)
		}
		level = above
	}
	if len(level) == 0 {
		return Sorted[V]{}
	}
	return Sorted[V]{level[0], count}
}

// Len gives the number of entries.
func (s Sorted[V]) Len() int { return s.size }

// Get finds a key's value.
func (s Sorted[V]) Get(key string) (V, bool) {
	n := s.root
	for n != nil && n.children != nil {
		n = n.children[n.child(key)]
	}
	if n != nil {
		if i, found := slices.BinarySearch(n.keys, key); found {
			return n.values[i], true
		}
	}
	var none V
	return none, false
}

// child gives the index of the child whose range holds the key.
func (n *branch[V]) child(key string) int {
	i, found := slices.BinarySearch(n.keys, key)
	if found || i == 0 {
		return i
	}
	return i - 1
}

// Set gives the map with the key's value replaced or added.
func (s Sorted[V]) Set(edit *Edit, key string, value V) Sorted[V] {
	if s.root == nil {
		s.root = &branch[V]{edit: edit}
	}
	root, added := s.root.set(edit, key, value)
	if right := root.split(edit); right != nil {
		root = &branch[V]{edit: edit, keys: []string{root.keys[0], right.keys[0]}, children: []*branch[V]{root, right}}
	}
	s.root = root
	if added {
		s.size++
	}
	return s
}

func (n *branch[V]) own(edit *Edit) *branch[V] {
	if edit != nil && n.edit == edit {
		return n
	}
	return &branch[V]{edit, slices.Clone(n.keys), slices.Clone(n.values), slices.Clone(n.children)}
}

func (n *branch[V]) set(edit *Edit, key string, value V) (_ *branch[V], added bool) {
	n = n.own(edit)
	if n.children == nil {
		i, found := slices.BinarySearch(n.keys, key)
		if found {
			n.values[i] = value
			return n, false
		}
		n.keys, n.values = slices.Insert(n.keys, i, key), slices.Insert(n.values, i, value)
		return n, true
	}
	i := n.child(key)
	child, added := n.children[i].set(edit, key, value)
	n.children[i], n.keys[i] = child, min(n.keys[i], key)
	if right := child.split(edit); right != nil {
		n.children, n.keys = slices.Insert(n.children, i+1, right), slices.Insert(n.keys, i+1, right.keys[0])
	}
	return n, added
}

// split moves the upper half of a full node, which the caller owns, to a new
// one on its right; nil when there is room.
func (n *branch[V]) split(edit *Edit) *branch[V] {
	if len(n.keys) <= maxBranch {
		return nil
	}
	// Keys often arrive in order (positions, times): then the left node stays
	// nearly full.
	half := len(n.keys) * 3 / 4
	right := &branch[V]{edit: edit, keys: slices.Clone(n.keys[half:])}
	clear(n.keys[half:])
	n.keys = n.keys[:half]
	if n.children != nil {
		right.children = slices.Clone(n.children[half:])
		clear(n.children[half:])
		n.children = n.children[:half]
		return right
	}
	right.values = slices.Clone(n.values[half:])
	clear(n.values[half:])
	n.values = n.values[:half]
	return right
}

// Delete gives the map without the key.
func (s Sorted[V]) Delete(edit *Edit, key string) Sorted[V] {
	if _, known := s.Get(key); !known {
		return s
	}
	s.size--
	s.root = s.root.delete(edit, key)
	for len(s.root.children) == 1 {
		s.root = s.root.children[0]
	}
	if len(s.root.keys) == 0 {
		s.root = nil
	}
	return s
}

// delete gives the node without the key, which is there.
func (n *branch[V]) delete(edit *Edit, key string) *branch[V] {
	n = n.own(edit)
	if n.children == nil {
		i, _ := slices.BinarySearch(n.keys, key)
		n.keys, n.values = slices.Delete(n.keys, i, i+1), slices.Delete(n.values, i, i+1)
		return n
	}
	i := n.child(key)
	n.children[i] = n.children[i].delete(edit, key)
	if len(n.children[i].keys) == 0 {
		n.children, n.keys = slices.Delete(n.children, i, i+1), slices.Delete(n.keys, i, i+1)
	}
	return n
}

// From gives the entries whose keys are from or above, in order.
func (s Sorted[V]) From(from string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if s.root != nil {
			s.root.ascend(from, yield)
		}
	}
}

func (n *branch[V]) ascend(from string, yield func(string, V) bool) bool {
	i, _ := slices.BinarySearch(n.keys, from)
	if n.children == nil {
		for ; i < len(n.keys); i++ {
			if !yield(n.keys[i], n.values[i]) {
				return false
			}
		}
		return true
	}
	for i = n.child(from); i < len(n.children); i++ {
		if !n.children[i].ascend(from, yield) {
			return false
		}
	}
	return true
}

// Prefix gives the entries whose keys begin with the prefix, in order.
func (s Sorted[V]) Prefix(prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for key, value := range s.From(prefix) {
			if !strings.HasPrefix(key, prefix) || !yield(key, value) {
				return
			}
		}
	}
}

// Before gives the entries whose keys are below before, in falling order; an
// empty before gives all.
func (s Sorted[V]) Before(before string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if s.root != nil {
			s.root.descend(before, yield)
		}
	}
}

func (n *branch[V]) descend(before string, yield func(string, V) bool) bool {
	end := len(n.keys)
	if before != "" {
		end, _ = slices.BinarySearch(n.keys, before)
	}
	if n.children == nil {
		for i := end - 1; i >= 0; i-- {
			if !yield(n.keys[i], n.values[i]) {
				return false
			}
		}
		return true
	}
	// The child at end begins at or above before, those left of it may reach
	// beyond: each child bounds itself.
	for i := end - 1; i >= 0; i-- {
		if !n.children[i].descend(before, yield) {
			return false
		}
	}
	return true
}
