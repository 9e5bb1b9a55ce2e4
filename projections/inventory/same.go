package inventory

import (
	"maps"
	"slices"

	"pantheon/projections/pmap"
)

// SavesAs says whether two states save the same records; same compares two
// records by what they say. Between states that began as one it costs what has
// changed in either since.
func (s State) SavesAs(other State, same func(a, b any) bool) bool {
	return sameRecords(s.sites, other.sites, same) && sameRecords(s.environments, other.environments, same) &&
		sameRecords(s.drops, other.drops, same) && sameRecords(s.bindings, other.bindings, same) &&
		s.sameHosts(other, same) && sameRecords(s.removed, other.removed, same) && sameRecords(s.names, other.names, same) &&
		sameRecords(s.workflows, other.workflows, same) && sameList(s.started, other.started) && sameList(s.graves, other.graves) &&
		s.sameAccounts(other, same) && sameRecords(s.tokens, other.tokens, same) &&
		sameRecords(s.upstreams, other.upstreams, same) && sameList(s.forgetting, other.forgetting)
}

func sameRecords[K ~string, T any](a, b pmap.Map[K, *T], same func(a, b any) bool) bool {
	for range a.Changes(b, func(x, y *T) bool { return x == y || same(x, y) }) {
		return false
	}
	return true
}

func (s State) sameHosts(other State, same func(a, b any) bool) bool {
	alike := func(a, b *hostEntry) bool {
		return a == b || same(&a.Host, &b.Host) && a.admittedDrops.CountChanges(b.admittedDrops, equal[int]) == 0 &&
			a.admittedBindings.CountChanges(b.admittedBindings, equal[kibibyte]) == 0
	}
	return s.hosts.CountChanges(other.hosts, alike) == 0
}

// sameAccounts looks at the tokens too, which readers are not shown.
func (s State) sameAccounts(other State, same func(a, b any) bool) bool {
	alike := func(a, b *Account) bool { return a == b || same(a, b) && slices.Equal(a.Tokens, b.Tokens) }
	return s.accounts.CountChanges(other.accounts, alike) == 0
}

// sameList compares what is few, whatever the shape of the trees.
func sameList[T comparable](a, b pmap.Sorted[T]) bool {
	return a.Len() == b.Len() && maps.Equal(maps.Collect(a.From("")), maps.Collect(b.From("")))
}
