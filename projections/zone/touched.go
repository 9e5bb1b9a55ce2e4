package zone

import "unsafe"

// Touched gives the names whose own records differ between s and a later state,
// as long as visit wants more. It returns false where visit did not, and where
// something differs that no list of names tells: which zones there are, how they
// are cut and signed. What is answered from the records of one name alone,
// signatures included, stays the same for a name that is not given. Between two
// states of one history it costs what changed.
func (s *State) Touched(later *State, visit func(name []byte) bool) bool {
	for c := range s.zones.Changes(later.zones, func(a, b *Zone) bool { return a == b }) {
		if c.Before == nil || c.After == nil || !c.Before.alike(c.After) {
			return false
		}
		for n := range c.Before.names.Changes(c.After.names, func(a, b *Node) bool { return a == b }) {
			if !visit(wireBytes(n.Key)) {
				return false
			}
		}
	}
	return true
}

// alike says whether two states of a zone differ in names, serial and timers at
// most. A list of keys is never changed in place.
func (z *Zone) alike(other *Zone) bool {
	return z.cuts == other.cuts && z.role == other.role && z.unsigned == other.unsigned &&
		len(z.keys) == len(other.keys) && unsafe.SliceData(z.keys) == unsafe.SliceData(other.keys)
}
