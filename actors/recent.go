package actors

import "pantheon/events"

// recentCommands remembers where the last RecentCommands commands of a stream
// went. It is a fold of the stream, so a restart does not forget. The zero
// value is empty.
type recentCommands struct {
	tips map[events.CommandID]events.Tip
	ring []events.CommandID // in the order they were carried out, oldest at next
	next int
}

func (r *recentCommands) find(id events.CommandID) (events.Tip, bool) {
	tip, found := r.tips[id]
	return tip, found
}

func (r *recentCommands) add(id events.CommandID, tip events.Tip) {
	if _, known := r.tips[id]; known || id == "" {
		return
	}
	if r.tips == nil {
		r.tips = map[events.CommandID]events.Tip{}
	}
	r.tips[id] = tip
	if len(r.ring) < RecentCommands {
		r.ring = append(r.ring, id)
		return
	}
	delete(r.tips, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % RecentCommands
}
