package routing

import "pantheon/projections/pmap"

// SavesAs says whether two states save the same records; same compares two
// records by what they say. Between states that began as one it costs what has
// changed in either since.
func (s State) SavesAs(other State, same func(a, b any) bool) bool {
	return s.domain == other.domain && sameRecords(s.sites, other.sites, same) && sameRecords(s.environments, other.environments, same) &&
		sameRecords(s.drops, other.drops, same) && s.losesAs(other) && other.losesAs(s)
}

func sameRecords[K ~string, T any](a, b pmap.Map[K, *T], same func(a, b any) bool) bool {
	for range a.Changes(b, func(x, y *T) bool { return x == y || same(x, y) }) {
		return false
	}
	return true
}

// losesAs says whether the hosts that are lost are lost in another state too.
func (s State) losesAs(other State) bool {
	for id, h := range s.hosts.All() {
		if h.lost && !other.hosts.At(id).isLost() {
			return false
		}
	}
	return true
}
