package audit

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"pantheon/events"
)

// LeafBytes is the size of a leaf.
const LeafBytes = 8 + 32

// Leaf is what the tree holds of one commit.
type Leaf struct {
	Position events.Position
	Commit   events.Hash
}

// Bytes gives the leaf as it is hashed and stored.
func (l Leaf) Bytes() [LeafBytes]byte {
	var b [LeafBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(l.Position))
	copy(b[8:], l.Commit[:])
	return b
}

// ParseLeaf is the inverse of Bytes.
func ParseLeaf(b [LeafBytes]byte) Leaf {
	return Leaf{events.Position(binary.BigEndian.Uint64(b[:])), events.Hash(b[8:])}
}

// Hash gives the leaf's hash (RFC 6962 §2.1).
func (l Leaf) Hash() tlog.Hash {
	b := l.Bytes()
	return tlog.RecordHash(b[:])
}

// tileHeight is the height of a tile's subtree.
const (
	tileHeight = 8
	TileLeaves = 1 << tileHeight
)

// TileHash gives the root of a complete tile; leaves is used up.
func TileHash(leaves []Leaf) tlog.Hash {
	hashes := make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		hashes[i] = leaf.Hash()
	}
	return join(hashes)
}

// join gives the root over 2^n hashes, which it overwrites.
func join(hashes []tlog.Hash) tlog.Hash {
	for len(hashes) > 1 {
		for i := range len(hashes) / 2 {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = hashes[:len(hashes)/2]
	}
	return hashes[0]
}

// State is the tree over a log. The zero value is that of an empty one.
type State struct {
	size int64
	last events.Position
	// edge are the complete subtrees that the tree is made of, the largest first:
	// one for each bit of size.
	edge []tlog.Hash
	// tiles are the roots of complete tiles, in chunks of chunkTiles. A chunk that
	// a State shows is never changed.
	tiles [][]tlog.Hash
}

// chunkTiles bounds what is copied when a tile is added.
const chunkTiles = 256

// Size gives the number of leaves, Last the position of the newest.
func (s State) Size() int64           { return s.size }
func (s State) Last() events.Position { return s.last }

// Apply folds one commit.
func (s State) Apply(e events.Envelope) State { return s.Add(Leaf{e.Position, e.Hash}) }

// Add is Apply for a leaf.
func (s State) Add(leaf Leaf) State {
	return s.put(leaf.Hash(), 0, leaf.Position)
}

// AddTile adds TileLeaves leaves at once, by the hash of their tile. The state
// must hold complete tiles only.
func (s State) AddTile(hash tlog.Hash, last events.Position) State {
	if s.size%TileLeaves != 0 {
		panic(fmt.Sprintf("internal error: a tile on top of %d leaves", s.size))
	}
	return s.put(hash, tileHeight, last)
}

// put adds a complete subtree of 2^level leaves.
func (s State) put(hash tlog.Hash, level int, last events.Position) State {
	before := s.size >> level
	s.size += 1 << level
	s.last = last
	s.edge = slices.Clone(s.edge)
	for ; before&1 == 1; before >>= 1 {
		if level == tileHeight {
			s.tiles = withTile(s.tiles, hash)
		}
		hash = tlog.NodeHash(s.edge[len(s.edge)-1], hash)
		s.edge = s.edge[:len(s.edge)-1]
		level++
	}
	if level == tileHeight {
		s.tiles = withTile(s.tiles, hash)
	}
	s.edge = append(s.edge, hash)
	return s
}

func withTile(tiles [][]tlog.Hash, hash tlog.Hash) [][]tlog.Hash {
	tiles = slices.Clone(tiles)
	n := len(tiles)
	if n == 0 || len(tiles[n-1]) == chunkTiles {
		return append(tiles, []tlog.Hash{hash})
	}
	tiles[n-1] = append(slices.Clip(tiles[n-1]), hash)
	return tiles
}

func (s State) tile(n int64) tlog.Hash { return s.tiles[n/chunkTiles][n%chunkTiles] }

// Root gives the hash of the whole tree.
func (s State) Root() tlog.Hash {
	if s.size == 0 {
		root, _ := tlog.TreeHash(0, nil) // reads nothing
		return root
	}
	root := s.edge[len(s.edge)-1]
	for i := len(s.edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(s.edge[i], root)
	}
	return root
}

// Leaves gives the leaves from an index on; it is how a State reads what is
// kept beside it.
type Leaves func(first int64, count int) ([]Leaf, error)

// hashes reads the hash of any complete subtree.
func (s State) hashes(leaves Leaves) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		all := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			var err error
			if all[i], err = s.subtree(index, leaves); err != nil {
				return nil, err
			}
		}
		return all, nil
	})
}

func (s State) subtree(index int64, leaves Leaves) (tlog.Hash, error) {
	level, n := tlog.SplitStoredHashIndex(index)
	if (n+1)<<level > s.size {
		return tlog.Hash{}, fmt.Errorf("the tree has %d leaves: there is no subtree %d of level %d", s.size, n, level)
	}
	if level < tileHeight {
		some, err := leaves(n<<level, 1<<level)
		if err != nil {
			return tlog.Hash{}, err
		}
		return TileHash(some), nil
	}
	width := int64(1) << (level - tileHeight)
	roots := make([]tlog.Hash, width)
	for i := range roots {
		roots[i] = s.tile(n*width + int64(i))
	}
	return join(roots), nil
}

// RootAt gives the root as it was when the tree had size leaves.
func (s State) RootAt(size int64, leaves Leaves) (tlog.Hash, error) {
	if size < 0 || size > s.size {
		return tlog.Hash{}, fmt.Errorf("the tree has %d leaves", s.size)
	}
	return tlog.TreeHash(size, s.hashes(leaves))
}
