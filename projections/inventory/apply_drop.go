package inventory

import "pantheon/events"

func (s State) applyDrop(at when, event events.Event) State {
	switch e := event.(type) {
	case events.DropRequested:
		s.drops = s.drops.Set(s.edit, e.Drop, &Drop{
			ID: e.Drop, Environment: e.Environment, MemoryMiB: e.MemoryMiB,
			Status: Requested, Changed: at.meta.Time, Created: at.meta.Time,
		})
		return s.changeEnvironment(e.Environment, func(changed *Environment) { changed.Drops = added(changed.Drops, e.Drop) })
	case events.DropPlaced:
		return s.changeDrop(at, e.Drop, "", func(changed *Drop) {
			changed.Host, changed.Status, changed.Reason, changed.Generation, changed.Attempt = e.Host, Preparing, "", 0, 0
		})
	case events.DropDisplaced:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) {
			changed.Host, changed.Status, changed.Reason, changed.Generation, changed.Moving = "", Requested, e.Reason, 0, false
		})
	case events.DropMoveRequested:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) { changed.Moving = true })
	case events.DropRetirementRequested:
		return s.changeDrop(at, e.Drop, "", func(changed *Drop) { changed.Status = Deleting })
	case events.DropRetired:
		s = s.deleteDrop(e.Drop)
		return s.changeEnvironment(e.Environment, func(changed *Environment) { changed.Drops = without(changed.Drops, e.Drop) })
	default:
		return s.applyDropFact(at, event)
	}
}

// applyDropFact takes what a host saw.
func (s State) applyDropFact(at when, event events.Event) State {
	switch e := event.(type) {
	case events.DropReady:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) {
			changed.Generation = e.Generation
			if changed.Status == Preparing || changed.Status == Failed {
				changed.status(Ready, "")
				changed.Attempt = 0
			}
		})
	case events.DropPrepareFailed:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) {
			changed.status(Failed, e.Reason)
			changed.Attempt++
		})
	case events.DropAwoke:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) {
			changed.status(Awake, e.Trigger)
			changed.Attempt = 0
		})
	case events.DropSlept:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) { changed.status(Asleep, e.Trigger) })
	case events.DropCrashed:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) { changed.status(Crashed, e.Reason) })
	case events.DropStartFailed:
		return s.changeDrop(at, e.Drop, e.Host, func(changed *Drop) {
			changed.status(Failed, e.Reason)
			changed.Attempt = e.Attempt
		})
	default: // unknown events are skipped
	}
	return s
}

// status follows a fact, unless the DROP is on its way out.
func (d *Drop) status(status Status, reason string) {
	if d.Status != Deleting {
		d.Status = status
	}
	d.Reason = reason
}

// changeDrop changes a DROP and keeps the counts of its hosts. With a host
// named, the DROP must still be there.
func (s State) changeDrop(at when, id events.DropID, of events.HostID, with func(*Drop)) State {
	old, known := s.drops.Get(id)
	if !known || of != "" && old.Host != of {
		return s
	}
	changed := *old
	with(&changed)
	changed.Changed = at.meta.Time
	s.drops = s.drops.Set(s.edit, id, &changed)
	if old.Host != changed.Host {
		s = s.unplace(old)
		s.hosts = change(s.hosts, s.edit, changed.Host, func(h *hostEntry) { h.placed = h.placed.Set(s.edit, id, struct{}{}) })
	}
	before, after := old, &changed
	if old.Host != changed.Host {
		before = &Drop{}
	}
	return s.countAwake(changed.Host, before, after)
}

// unplace takes a DROP from the host that it was on.
func (s State) unplace(d *Drop) State {
	s.hosts = change(s.hosts, s.edit, d.Host, func(h *hostEntry) { h.placed = h.placed.Delete(s.edit, d.ID) })
	return s.countAwake(d.Host, d, &Drop{})
}

// countAwake moves a host's sums from what a DROP was to what it is.
func (s State) countAwake(host events.HostID, before, after *Drop) State {
	memory, count := 0, 0
	if before.Status == Awake {
		memory, count = -before.MemoryMiB, -1
	}
	if after.Status == Awake {
		memory, count = memory+after.MemoryMiB, count+1
	}
	if memory == 0 && count == 0 {
		return s
	}
	s.hosts = change(s.hosts, s.edit, host, func(h *hostEntry) {
		h.AwakeMiB += memory
		h.Awake += count
	})
	return s
}

func (s State) deleteDrop(id events.DropID) State {
	old, known := s.drops.Get(id)
	if !known {
		return s
	}
	s = s.unplace(old)
	s.drops = s.drops.Delete(s.edit, id)
	return s
}
