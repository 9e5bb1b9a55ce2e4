package keeper

import (
	"context"
	"crypto/sha256"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/projections/audit"
)

// hashing is a group of commits on its way through a hasher.
type hashing struct {
	data    []byte
	lengths []int
	leaves  []audit.Leaf // positions, then hashes too
	err     error        // after the leaves
	done    chan struct{}
}

func (h *hashing) add(entry eventlog.Entry) {
	h.data, h.lengths = append(h.data, entry.Wire...), append(h.lengths, len(entry.Wire))
	h.leaves = append(h.leaves, audit.Leaf{Position: entry.Position})
}

func (h *hashing) full() bool { return len(h.leaves) == hashCommits || len(h.data) >= hashBytes }

func (h *hashing) hash() {
	defer close(h.done)
	rest := h.data
	for i, length := range h.lengths {
		h.leaves[i].Commit = sha256.Sum256(rest[:length])
		rest = rest[length:]
	}
}

// readLeaves gives the leaves of a log in order, hashed on all cores.
func readLeaves(ctx context.Context, log eventlog.EntryReader, after events.Position, add func(audit.Leaf) error) error {
	ctx, cancel := context.WithCancel(ctx)
	groups := make(chan *hashing, hashersUnderWay)
	defer func() {
		cancel()
		for range groups { // until the reading has ended
		}
	}()
	go readGroups(ctx, log, after, groups)
	for group := range groups {
		<-group.done
		for _, leaf := range group.leaves {
			if err := add(leaf); err != nil {
				return err
			}
		}
		if group.err != nil {
			return group.err
		}
	}
	return ctx.Err()
}

func readGroups(ctx context.Context, log eventlog.EntryReader, after events.Position, groups chan<- *hashing) {
	defer close(groups)
	send := func(group *hashing) bool {
		select {
		case groups <- group:
			go group.hash()
			return true
		case <-ctx.Done():
			return false
		}
	}
	current := &hashing{done: make(chan struct{})}
	for entry, err := range log.Entries(ctx, after) {
		if err != nil {
			current.err = err
			break
		}
		if current.add(entry); current.full() {
			if !send(current) {
				return
			}
			current = &hashing{done: make(chan struct{}), data: make([]byte, 0, len(current.data)+len(current.data)/8),
				lengths: make([]int, 0, hashCommits), leaves: make([]audit.Leaf, 0, hashCommits)}
		}
	}
	if len(current.leaves) > 0 || current.err != nil {
		send(current)
	}
}
