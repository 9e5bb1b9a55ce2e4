package inventory

import "pantheon/events"

func (s State) applyBinding(at when, event events.Event) State {
	switch e := event.(type) {
	case events.BindingRequested:
		return s.addBinding(at, e)
	case events.BindingPlaced:
		return s.changeBinding(at, e.Binding, "", func(changed *Binding) {
			changed.Host = e.Host
			changed.status(Preparing, "", false)
		})
	case events.BindingProvisioned:
		return s.changeBinding(at, e.Binding, e.Host, func(changed *Binding) {
			changed.status(Ready, "", false)
			if e.Code != nil {
				changed.Commit = e.Code.Commit
			}
		})
	case events.BindingFailed:
		return s.changeBinding(at, e.Binding, e.Host, func(changed *Binding) { changed.status(Failed, e.Reason, e.Final) })
	case events.BindingLost:
		return s.changeBinding(at, e.Binding, e.Host, func(changed *Binding) {
			changed.status(Lost, "its host is gone for good, and the data with it", true)
		})
	case events.BindingRetirementRequested:
		return s.changeBinding(at, e.Binding, "", func(changed *Binding) { changed.Status = Deleting })
	case events.BindingRetired:
		return s.deleteBinding(e.Binding)
	default: // unknown events are skipped
	}
	return s
}

func (s State) addBinding(at when, e events.BindingRequested) State {
	s.bindings = s.bindings.Set(s.edit, e.Binding, &Binding{
		ID: e.Binding, Kind: e.Spec.Kind, Site: e.Spec.Site, Environment: e.Spec.Environment,
		MemoryMiB: e.Spec.MemoryMiB, Credential: e.Spec.Credential,
		Status: Requested, Changed: at.meta.Time, Created: at.meta.Time,
	})
	if e.Spec.Environment == "" {
		s.sites = change(s.sites, s.edit, e.Spec.Site, func(changed *Site) {
			changed.Bindings = added(changed.Bindings, e.Binding)
		})
		return s
	}
	return s.changeEnvironment(e.Spec.Environment, func(changed *Environment) {
		changed.Bindings = added(changed.Bindings, e.Binding)
	})
}

// status follows the newest event, unless the binding is on its way out.
func (b *Binding) status(status Status, reason string, final bool) {
	if b.Status != Deleting {
		b.Status = status
	}
	b.Reason, b.Final = reason, final
}

// changeBinding changes a binding; with a host named it must still be there.
func (s State) changeBinding(at when, id events.BindingID, of events.HostID, with func(*Binding)) State {
	old, known := s.bindings.Get(id)
	if !known || of != "" && old.Host != of {
		return s
	}
	changed := *old
	with(&changed)
	changed.Changed = at.meta.Time
	s.bindings = s.bindings.Set(s.edit, id, &changed)
	return s
}

func (s State) deleteBinding(id events.BindingID) State {
	old, known := s.bindings.Get(id)
	if !known {
		return s
	}
	s.bindings = s.bindings.Delete(s.edit, id)
	if old.Environment == "" {
		s.sites = change(s.sites, s.edit, old.Site, func(changed *Site) {
			changed.Bindings = without(changed.Bindings, id)
		})
		return s
	}
	return s.changeEnvironment(old.Environment, func(changed *Environment) {
		changed.Bindings = without(changed.Bindings, id)
	})
}
