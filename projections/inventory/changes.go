package inventory

import (
	"iter"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Change is one object that differs between two states: a record before and
// after, nil where it is not there.
type Change struct {
	Kind          string // site, environment, drop, binding, host, workflow, account, token, upstream or name
	ID            string
	Before, After any // *Site, *Environment …, as the queries give them
}

// Changes gives the objects that differ between s and a later state, kind by
// kind. Between two states of one history it costs what changed; between
// others, what they hold, and a record that says the same may be given too.
func (s State) Changes(later State) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		_ = changed(yield, "account", s.accounts, later.accounts) &&
			changed(yield, "token", s.tokens, later.tokens) &&
			changed(yield, "upstream", s.upstreams, later.upstreams) &&
			changed(yield, "site", s.sites, later.sites) &&
			changed(yield, "environment", s.environments, later.environments) &&
			changed(yield, "drop", s.drops, later.drops) &&
			changed(yield, "binding", s.bindings, later.bindings) &&
			changedHosts(yield, s.hosts, later.hosts) &&
			changed(yield, "workflow", s.workflows, later.workflows) &&
			changed(yield, "name", s.names, later.names)
	}
}

func same[T any](a, b *T) bool { return a == b }

func equal[T comparable](a, b T) bool { return a == b }

func changed[K ~string, T any](yield func(Change) bool, kind string, before, after pmap.Map[K, *T]) bool {
	for c := range before.Changes(after, same[T]) {
		change := Change{Kind: kind, ID: string(c.Key)}
		if c.Had {
			change.Before = c.Before
		}
		if c.Has {
			change.After = c.After
		}
		if !yield(change) {
			return false
		}
	}
	return true
}

// changedHosts gives hosts as readers see them, with their sums.
func changedHosts[K ~string](yield func(Change) bool, before, after pmap.Map[K, *hostEntry]) bool {
	for c := range before.Changes(after, same[hostEntry]) {
		change := Change{Kind: "host", ID: string(c.Key)}
		if c.Had {
			record := c.Before.record()
			change.Before = &record
		}
		if c.Has {
			record := c.After.record()
			change.After = &record
		}
		if !yield(change) {
			return false
		}
	}
	return true
}

// Differences counts the records that differ: what it costs to keep both.
func (s State) Differences(later State) int {
	count := s.bySite.CountChanges(later.bySite, same[siteWorkflows])
	for change := range s.Changes(later) {
		count++
		if change.Kind != "host" {
			continue
		}
		before, after := s.hosts.At(events.HostID(change.ID)), later.hosts.At(events.HostID(change.ID))
		if before == nil {
			before = &hostEntry{}
		}
		if after == nil {
			after = &hostEntry{}
		}
		count += before.admittedDrops.CountChanges(after.admittedDrops, equal[int]) +
			before.admittedBindings.CountChanges(after.admittedBindings, equal[kibibyte]) +
			before.placed.CountChanges(after.placed, equal[struct{}])
	}
	return count
}
