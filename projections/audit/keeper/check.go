package keeper

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/projections/audit"
)

// Check compares a log with signed heads, commit by commit in order of their
// positions.
type Check struct {
	state audit.State // of whole tiles
	under []tile      // being hashed, in order
	leafs []audit.Leaf
	heads []audit.Head // of those to come
	good  audit.Head   // the last one that was right

	// expected gives what stood there, where that is known; differs is the first
	// leaf that is another one.
	expected func(index int64) (audit.Leaf, bool)
	differs  *difference
}

// tile is a complete tile under way through a hasher.
type tile struct {
	hash chan tlog.Hash
	last events.Position
}

// difference is a leaf that is not what it was.
type difference struct {
	index    int64
	was, now audit.Leaf
}

// NewCheck compares with heads, which need not be in order. expected may be
// nil.
func NewCheck(heads []audit.Head, expected func(index int64) (audit.Leaf, bool)) *Check {
	c := &Check{expected: expected}
	c.AddHeads(heads)
	return c
}

// AddHeads adds heads to those that are compared with what is to come.
func (c *Check) AddHeads(heads []audit.Head) {
	for _, head := range heads {
		if head.Size > c.size() {
			c.heads = append(c.heads, head)
		}
	}
	slices.SortStableFunc(c.heads, func(a, b audit.Head) int { return cmp.Compare(a.Size, b.Size) })
}

// Add takes the next commit; an *eventlog.BrokenError where a head shows that
// the log was changed.
func (c *Check) Add(leaf audit.Leaf) error {
	if c.expected != nil {
		c.compare(leaf)
	}
	c.leafs = append(c.leafs, leaf)
	if len(c.leafs) < audit.TileLeaves {
		return nil
	}
	return c.flush()
}

// compare notes the first difference to what is expected.
func (c *Check) compare(leaf audit.Leaf) {
	index := c.size()
	was, known := c.expected(index)
	if !known {
		c.expected = nil
		return
	}
	if was != leaf {
		c.differs, c.expected = &difference{index, was, leaf}, nil
	}
}

// size is that of the tree with all that was added.
func (c *Check) size() int64 {
	return c.state.Size() + int64(len(c.under))*audit.TileLeaves + int64(len(c.leafs))
}

// flush gives a complete tile to a hasher, unless a head is of a size within
// it.
func (c *Check) flush() error {
	if len(c.heads) > 0 && c.heads[0].Size <= c.size() {
		return c.compareHeads()
	}
	if len(c.under) == tilesUnderWay {
		c.settle(1)
	}
	leaves, next := c.leafs, tile{make(chan tlog.Hash, 1), c.leafs[len(c.leafs)-1].Position}
	go func() { next.hash <- audit.TileHash(leaves) }()
	c.under, c.leafs = append(c.under, next), make([]audit.Leaf, 0, audit.TileLeaves)
	return nil
}

// settle takes n tiles into the state.
func (c *Check) settle(n int) {
	for _, t := range c.under[:n] {
		c.state = c.state.AddTile(<-t.hash, t.last)
	}
	c.under = slices.Delete(c.under, 0, n)
}

// compareHeads puts the leaves into the tree one by one and looks at every head
// on the way. A tile that is not complete stays what it is.
func (c *Check) compareHeads() error {
	c.settle(len(c.under))
	state := c.state
	if err := c.compareHead(state); err != nil {
		return err
	}
	for _, leaf := range c.leafs {
		state = state.Add(leaf)
		if err := c.compareHead(state); err != nil {
			return err
		}
	}
	if len(c.leafs) == audit.TileLeaves {
		c.state, c.leafs = state, c.leafs[:0]
	}
	return nil
}

// compareHead looks at the heads of the state's size.
func (c *Check) compareHead(state audit.State) error {
	for len(c.heads) > 0 && c.heads[0].Size <= state.Size() {
		head := c.heads[0]
		if head.Size == state.Size() && (head.Root != state.Root() || head.Position != state.Last()) {
			return c.changed(head)
		}
		c.good, c.heads = head, c.heads[1:]
	}
	return nil
}

// changed says what a head that does not fit means.
func (c *Check) changed(head audit.Head) error {
	signed := fmt.Sprintf("the head of %d commits that was signed at %s", head.Size, head.Time.UTC().Format(time.RFC3339))
	d := c.differs
	if d == nil || d.index >= head.Size {
		return &eventlog.BrokenError{Position: c.good.Position + 1, Reason: fmt.Sprintf(
			"a commit between here and position %d was changed, removed or added: %s does not fit", head.Position, signed)}
	}
	reason := "it is not the commit that stood there"
	switch {
	case d.now.Position > d.was.Position:
		return &eventlog.BrokenError{Position: d.was.Position, Reason: fmt.Sprintf("the commit was removed, position %d follows: %s does not fit", d.now.Position, signed)}
	case d.now.Position < d.was.Position:
		reason = "the commit was added"
	}
	return &eventlog.BrokenError{Position: d.now.Position, Reason: reason + ": " + signed + " does not fit"}
}

// Finish ends the log and gives its tree.
func (c *Check) Finish() (audit.State, error) {
	if err := c.compareHeads(); err != nil {
		return audit.State{}, err
	}
	state := c.state
	for _, leaf := range c.leafs {
		state = state.Add(leaf)
	}
	if len(c.heads) > 0 {
		head := c.heads[len(c.heads)-1]
		if c.differs != nil {
			return audit.State{}, c.changed(c.heads[0])
		}
		return audit.State{}, &eventlog.BrokenError{Position: state.Last() + 1, Reason: fmt.Sprintf(
			"the log ends here with %d commits, but a head of %d, up to position %d, was signed at %s",
			state.Size(), head.Size, head.Position, head.Time.UTC().Format(time.RFC3339))}
	}
	return state, nil
}
