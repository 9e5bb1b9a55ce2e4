package host

import (
	"cmp"

	"github.com/benbjohnson/immutable"

	"pantheon/events"
)

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.HostRegistered:
		s.Registered = e
	case events.HostAddressesChanged:
		s.Addresses = e.Addresses
	case events.HostEndpointChanged:
		s.Endpoint = e.Endpoint
	case events.HostRolesChanged:
		s.Roles = e.Roles
	case events.HostSoftwareChanged:
		s.Protocol, s.PHP = e.Protocol, e.PHP
	case events.HostDrainRequested:
		s.Draining = true
	case events.HostDrainEnded:
		s.Draining = false
	case events.HostRemoved:
		s.Removed = true
	case events.HostWrittenOff:
		s.Removed, s.ReservedKiB = true, 0
		s.drops, s.bindings, s.sizes = nil, nil, nil
	case events.HostLost:
		s.Lost, s.LostReason = true, e.Reason
	case events.HostReturned:
		s.Lost, s.LostReason = false, ""
	case events.DropAdmitted:
		s = s.without(e.Drop).with(e.Drop, e.Spec)
	case events.DropSpecChanged:
		s = s.without(e.Drop).with(e.Drop, e.Spec)
	case events.DropDismissed:
		s = s.without(e.Drop)
	case events.BindingAdmitted:
		s = s.withoutBinding(e.Binding)
		if s.bindings == nil {
			s.bindings = immutable.NewMap[events.BindingID, events.BindingSpec](textHasher[events.BindingID]{})
		}
		s.bindings = s.bindings.Set(e.Binding, e.Spec)
		s.ReservedKiB += e.Spec.ReservationKiB()
	case events.BindingDismissed:
		s = s.withoutBinding(e.Binding)
	}
	return s
}

func (s State) with(id events.DropID, spec events.DropSpec) State {
	if s.drops == nil {
		s.drops = immutable.NewMap[events.DropID, admitted](textHasher[events.DropID]{})
	}
	size := spec.Settings.MemoryMiB
	s.drops = s.drops.Set(id, admitted{spec.Environment, spec.Generation, size})
	s.ReservedKiB += events.SleepingDropKiB
	return s.count(size, 1)
}

func (s State) without(id events.DropID) State {
	drop, known := s.drop(id)
	if !known {
		return s
	}
	if s.drops = s.drops.Delete(id); s.drops.Len() == 0 {
		s.drops = nil
	}
	s.ReservedKiB -= events.SleepingDropKiB
	return s.count(drop.MemoryMiB, -1)
}

func (s State) withoutBinding(id events.BindingID) State {
	spec, known := s.binding(id)
	if !known {
		return s
	}
	if s.bindings = s.bindings.Delete(id); s.bindings.Len() == 0 {
		s.bindings = nil
	}
	s.ReservedKiB -= spec.ReservationKiB()
	return s
}

// count changes how many DROPs have a memory limit of size MiB.
func (s State) count(size, change int) State {
	if s.sizes == nil {
		s.sizes = immutable.NewSortedMap[int, int](ascending{})
	}
	n, _ := s.sizes.Get(size)
	if n += change; n > 0 {
		s.sizes = s.sizes.Set(size, n)
		return s
	}
	if s.sizes = s.sizes.Delete(size); s.sizes.Len() == 0 {
		s.sizes = nil
	}
	return s
}

// textHasher is FNV-1a: the same on every run and machine, unlike a seeded
// hash, so that a simulation repeats. Identifiers are minted by the platform,
// so nobody outside can make them collide.
type textHasher[K ~string] struct{}

func (textHasher[K]) Hash(key K) uint32 {
	hash := uint32(2166136261)
	for i := range len(key) {
		hash = (hash ^ uint32(key[i])) * 16777619
	}
	return hash
}

func (textHasher[K]) Equal(a, b K) bool { return a == b }

type ascending struct{}

func (ascending) Compare(a, b int) int { return cmp.Compare(a, b) }
