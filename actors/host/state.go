package host

import (
	"github.com/benbjohnson/immutable"

	"pantheon/events"
)

// State is what a host's stream says; the zero value is a host that never was.
type State struct {
	Registered events.HostRegistered // as of the newest registration
	Addresses  []string              // as reported last, sorted; never changed in place
	Endpoint   string                // of its mesh, host:port
	Roles      []events.HostRole     // as taken last, sorted; nil for all of them
	Protocol   int                   // as reported last; 0 where it never was
	PHP        []string              // likewise, sorted; nil where it never was
	Lost       bool
	LostReason string
	Draining   bool
	Removed    bool
	// ReservedKiB is what everything admitted costs while nothing is awake.
	ReservedKiB int64

	drops    *immutable.Map[events.DropID, admitted] // nil while empty, as all below
	bindings *immutable.Map[events.BindingID, events.BindingSpec]
	// sizes counts the admitted DROPs of each memory limit, in MiB.
	sizes *immutable.SortedMap[int, int]
}

// admitted is what has to be known of an admitted DROP.
type admitted struct {
	Environment events.EnvironmentID
	Generation  int
	MemoryMiB   int
}

func (s State) exists() bool { return s.Registered.Host != "" }

// Drops is how many DROPs are admitted.
func (s State) Drops() int { return length(s.drops) }

// Bindings is how many bindings are admitted.
func (s State) Bindings() int { return length(s.bindings) }

// LargestDropMiB is the greatest memory limit of an admitted DROP.
func (s State) LargestDropMiB() int {
	if s.sizes == nil {
		return 0
	}
	sizes := s.sizes.Iterator()
	sizes.Last()
	size, _, _ := sizes.Next()
	return size
}

func (s State) drop(id events.DropID) (admitted, bool) {
	if s.drops == nil {
		return admitted{}, false
	}
	return s.drops.Get(id)
}

func (s State) binding(id events.BindingID) (events.BindingSpec, bool) {
	if s.bindings == nil {
		return events.BindingSpec{}, false
	}
	return s.bindings.Get(id)
}

func length[K, V any](m *immutable.Map[K, V]) int {
	if m == nil {
		return 0
	}
	return m.Len()
}
