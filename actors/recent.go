package actors

import (
	"slices"

	"pantheon/events"
)

// recentCommands remembers where the last RecentCommands commands of a stream
// went. It is a fold of the stream, so a restart does not forget. The zero
// value is empty.
type recentCommands struct {
	ring []recentCommand // in the order they were carried out, oldest at next
	next int
	// index finds a command in the ring; nil while there are a few.
	index map[events.CommandID]int
}

type recentCommand struct {
	id  events.CommandID
	tip events.Tip
}

// fewCommands are looked through one by one: most actors that are loaded have
// had no more.
const fewCommands = 32

func (r *recentCommands) find(id events.CommandID) (events.Tip, bool) {
	if r.index != nil {
		i, found := r.index[id]
		if !found {
			return events.Tip{}, false
		}
		return r.ring[i].tip, true
	}
	for i := range r.ring {
		if r.ring[i].id == id {
			return r.ring[i].tip, true
		}
	}
	return events.Tip{}, false
}

// grow makes room for as many more.
func (r *recentCommands) grow(commands int) {
	r.ring = slices.Grow(r.ring, min(commands, RecentCommands-len(r.ring)))
}

func (r *recentCommands) add(id events.CommandID, tip events.Tip) {
	if id == "" {
		return
	}
	if _, known := r.find(id); known {
		return
	}
	at := len(r.ring)
	if at < RecentCommands {
		r.ring = append(r.ring, recentCommand{id, tip})
	} else {
		at = r.next
		delete(r.index, r.ring[at].id)
		r.ring[at] = recentCommand{id, tip}
		r.next = (at + 1) % RecentCommands
	}
	switch {
	case r.index != nil:
		r.index[id] = at
	case len(r.ring) > fewCommands:
		r.index = make(map[events.CommandID]int, 2*fewCommands)
		for i := range r.ring {
			r.index[r.ring[i].id] = i
		}
	}
}
