package routing

import "iter"

// Change is one host name that leads elsewhere in a later state; Before or
// After is nil where the name leads nowhere.
type Change struct {
	Host          string
	Before, After *Route
}

// Changes gives the host names whose routes differ between s and a later
// state. Between two states of one history it costs what changed; between
// others, what they hold, and a route that says the same may be given too.
func (s State) Changes(later State) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for c := range s.names.Changes(later.names, func(a, b *name) bool { return a.shown() == b.shown() }) {
			before, after := c.Before.shown(), c.After.shown()
			if before != after && !yield(Change{c.Key, before, after}) {
				return
			}
		}
	}
}

func (n *name) shown() *Route {
	if n == nil {
		return nil
	}
	return n.route
}

// Differences counts the records that differ: what it costs to keep both.
func (s State) Differences(later State) int {
	return s.names.CountChanges(later.names, same[name]) + s.environments.CountChanges(later.environments, same[environment]) +
		s.drops.CountChanges(later.drops, same[drop]) + s.sites.CountChanges(later.sites, same[site])
}

func same[T any](a, b *T) bool { return a == b }
