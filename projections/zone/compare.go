package zone

import (
	"iter"

	"pantheon/projections/pmap"
)

// NameChange is one name of a zone whose records differ between two states;
// Before or After is nil where the name has none.
type NameChange struct {
	Name          []byte // in wire form
	Before, After *Node
}

// Changes gives the names whose records differ between s and a later state.
// Between two states of one history it costs what changed; between others,
// what they hold, and a name that has the same records may be given too.
func (s *State) Changes(later *State) iter.Seq[NameChange] {
	return func(yield func(NameChange) bool) {
		for c := range s.zones.Changes(later.zones, func(a, b *Zone) bool { return a == b }) {
			for n := range c.Before.allNames().Changes(c.After.allNames(), func(a, b *Node) bool { return a == b }) {
				if !yield(NameChange{[]byte(n.Key), n.Before, n.After}) {
					return
				}
			}
		}
	}
}

// Differences counts the names that differ: what it costs to keep both states.
func (s *State) Differences(later *State) int {
	count := 0
	for range s.Changes(later) {
		count++
	}
	return count
}

func (z *Zone) allNames() pmap.Map[string, *Node] {
	if z == nil {
		return pmap.Map[string, *Node]{}
	}
	return z.names
}
