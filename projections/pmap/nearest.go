package pmap

import "slices"

// Floor gives the last entry whose key is not above key, Ceil the first whose
// key is not below it. Neither allocates.
func (s Sorted[V]) Floor(key string) (string, V, bool) {
	if s.root != nil {
		if leaf, i := s.root.floor(key); leaf != nil {
			return leaf.keys[i], leaf.values[i], true
		}
	}
	var none V
	return "", none, false
}

func (n *branch[V]) floor(key string) (*branch[V], int) {
	i, found := slices.BinarySearch(n.keys, key)
	if n.children == nil {
		if found {
			return n, i
		}
		if i == 0 {
			return nil, 0
		}
		return n, i - 1
	}
	if !found {
		i--
	}
	// A child's lower bound may be below its first key: then the entry is the
	// last of the child before it.
	for ; i >= 0; i-- {
		if leaf, at := n.children[i].floor(key); leaf != nil {
			return leaf, at
		}
	}
	return nil, 0
}

// Ceil: see Floor.
func (s Sorted[V]) Ceil(key string) (string, V, bool) {
	if s.root != nil {
		if leaf, i := s.root.ceil(key); leaf != nil {
			return leaf.keys[i], leaf.values[i], true
		}
	}
	var none V
	return "", none, false
}

func (n *branch[V]) ceil(key string) (*branch[V], int) {
	if n.children == nil {
		i, _ := slices.BinarySearch(n.keys, key)
		if i == len(n.keys) {
			return nil, 0
		}
		return n, i
	}
	for i := n.child(key); i < len(n.children); i++ {
		if leaf, at := n.children[i].ceil(key); leaf != nil {
			return leaf, at
		}
	}
	return nil, 0
}
