package inventory

import "pantheon/events"

func (s State) applyHost(at when, event events.Event) State {
	switch e := event.(type) {
	case events.HostRegistered:
		return s.registerHost(at, e)
	case events.HostLost:
		return s.changeHost(e.Host, func(h *hostEntry) {
			h.Status, h.Reason, h.Changed = Lost, e.Reason, at.meta.Time
		})
	case events.HostReturned:
		return s.changeHost(e.Host, func(h *hostEntry) {
			h.Status, h.Reason, h.Changed = Ready, "", at.meta.Time
		})
	case events.HostAddressesChanged:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Addresses = e.Addresses })
	case events.HostEndpointChanged:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Endpoint = e.Endpoint })
	case events.HostRolesChanged:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Roles = e.Roles })
	case events.HostSoftwareChanged:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Protocol, h.PHP = e.Protocol, e.PHP })
	case events.HostDrainRequested:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Draining, h.Changed = true, at.meta.Time })
	case events.HostDrainEnded:
		return s.changeHost(e.Host, func(h *hostEntry) { h.Draining, h.Changed = false, at.meta.Time })
	case events.HostRemoved:
		return s.removeHost(e.Host)
	case events.HostWrittenOff: // its DROPs and bindings tell what became of them
		return s.removeHost(e.Host)
	case events.DropAdmitted:
		s = s.changeHost(e.Host, func(h *hostEntry) {
			h.admittedDrops = h.admittedDrops.Set(s.edit, e.Drop, e.Spec.Settings.MemoryMiB)
		})
		return s.dropMemory(e.Drop, e.Spec.Settings.MemoryMiB)
	case events.DropSpecChanged:
		s = s.changeHost(e.Host, func(h *hostEntry) {
			h.admittedDrops = h.admittedDrops.Set(s.edit, e.Drop, e.Spec.Settings.MemoryMiB)
		})
		return s.dropMemory(e.Drop, e.Spec.Settings.MemoryMiB)
	case events.DropDismissed:
		return s.changeHost(e.Host, func(h *hostEntry) { h.admittedDrops = h.admittedDrops.Delete(s.edit, e.Drop) })
	case events.BindingAdmitted:
		return s.changeHost(e.Host, func(h *hostEntry) {
			h.reserve(h.admittedBindings.At(e.Binding), kibibyte(e.Spec.ReservationKiB()))
			h.admittedBindings = h.admittedBindings.Set(s.edit, e.Binding, kibibyte(e.Spec.ReservationKiB()))
		})
	case events.BindingDismissed:
		return s.changeHost(e.Host, func(h *hostEntry) {
			h.reserve(h.admittedBindings.At(e.Binding), 0)
			h.admittedBindings = h.admittedBindings.Delete(s.edit, e.Binding)
		})
	default: // orders change nothing by themselves; unknown events are skipped
	}
	return s
}

func (h *hostEntry) reserve(before, after kibibyte) { h.bindingsKiB += after - before }

func (s State) changeHost(id events.HostID, with func(*hostEntry)) State {
	s.hosts = change(s.hosts, s.edit, id, with)
	return s
}

func (s State) registerHost(at when, e events.HostRegistered) State {
	entry := hostEntry{Host: Host{ID: e.Host, Created: at.meta.Time}}
	if old, known := s.hosts.Get(e.Host); known {
		entry = *old
		s.hostNames = s.hostNames.Delete(s.edit, hostKey(&old.Host))
	}
	entry.Name, entry.Zone, entry.Cores, entry.MemoryMiB = e.Name, e.Zone, e.Cores, e.MemoryMiB
	entry.Isolated, entry.Version = e.Isolated, e.Version
	if entry.Status != Lost { // that ends when its lease is renewed
		entry.Status, entry.Reason, entry.Changed = Ready, "", at.meta.Time
	}
	s.hosts = s.hosts.Set(s.edit, e.Host, &entry)
	s.hostNames = s.hostNames.Set(s.edit, hostKey(&entry.Host), e.Host)
	return s
}

func (s State) removeHost(id events.HostID) State {
	old, known := s.hosts.Get(id)
	if !known {
		return s
	}
	s.removed = s.removed.Set(s.edit, id, &RemovedHost{id, old.Name})
	s.hosts = s.hosts.Delete(s.edit, id)
	s.hostNames = s.hostNames.Delete(s.edit, hostKey(&old.Host))
	return s
}

func hostKey(h *Host) string { return h.Name + " " + string(h.ID) }

// dropMemory follows the spec's memory in the DROP's record and in the sum of
// the awake.
func (s State) dropMemory(id events.DropID, memory int) State {
	old, known := s.drops.Get(id)
	if !known || old.MemoryMiB == memory {
		return s
	}
	changed := *old
	changed.MemoryMiB = memory
	s.drops = s.drops.Set(s.edit, id, &changed)
	return s.countAwake(changed.Host, old, &changed)
}

// record gives the host as readers see it.
func (h *hostEntry) record() Host {
	host := h.Host
	host.Drops, host.Bindings = h.admittedDrops.Len(), h.admittedBindings.Len()
	reserved := h.bindingsKiB + kibibyte(host.Drops)*events.SleepingDropKiB
	host.ReservedMiB = int((reserved + 1023) / 1024)
	host.FreeMiB = max(0, host.MemoryMiB-host.ReservedMiB-host.AwakeMiB)
	return host
}
