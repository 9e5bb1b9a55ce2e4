// Package inventory is the view that the API and the command line read: what
// there is, in which state, and what is being done about it.
//
// Events enter through State.Apply, which is pure. The state is persistent:
// what a reader holds never changes, and one event costs O(log n). Every query
// is answered from an index; none looks through everything. Records are
// shared and immutable: nobody changes what a query gave.
//
// # Where status comes from
//
// Intentions say what shall be (DropPlaced), facts say what is (DropAwoke). A
// DROP's and a binding's status is that of the newest of them; a fact of a host
// that no longer holds the thing says nothing. Times are those of the commits.
//
// # Personal texts
//
// They stand here as in the log: sealed. Whoever shows one opens it.
//
// # What is forgotten
//
// A site leaves the lists when it is deleted, an environment, DROP or binding
// when it ends. Workflows stay: the newest ones of each site, also of sites
// that are gone, for as long as limits.go says.
package inventory

import (
	"slices"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Version of the fold and of its saved form; raise it when either changes, and
// the view is rebuilt from the log.
const Version = 7

// State is the whole view; the zero value is that of an empty log.
type State struct {
	edit         *pmap.Edit
	sites        pmap.Map[events.SiteID, *Site]
	siteNames    pmap.Sorted[events.SiteID]
	owned        pmap.Sorted[events.SiteID] // owner, space, site name
	environments pmap.Map[events.EnvironmentID, *Environment]
	drops        pmap.Map[events.DropID, *Drop]
	bindings     pmap.Map[events.BindingID, *Binding]
	hosts        pmap.Map[events.HostID, *hostEntry]
	hostNames    pmap.Sorted[events.HostID] // name, space, id
	workflows    pmap.Map[events.WorkflowID, *Workflow]
	bySite       pmap.Map[events.SiteID, *siteWorkflows]
	started      pmap.Sorted[events.WorkflowID] // by position of the start
	graves       pmap.Sorted[events.SiteID]     // by position of the deletion
	accounts     pmap.Map[events.AccountID, *Account]
	accountNames pmap.Sorted[events.AccountID] // name, space, id
	tokens       pmap.Map[string, *Token]      // by hash
	upstreams    pmap.Map[events.UpstreamID, *Upstream]
	upstreamKeys pmap.Sorted[events.UpstreamID] // name, space, id
	names        pmap.Map[events.NameID, *Name]
	forgetting   pmap.Sorted[events.Owner] // by "<kind>/<id>"
	removed      pmap.Map[events.HostID, *RemovedHost]
}

// hostEntry is a host and what it holds, with what each costs.
type hostEntry struct {
	Host
	admittedDrops    pmap.Map[events.DropID, int]         // MiB when awake
	admittedBindings pmap.Map[events.BindingID, kibibyte] // reserved for good
	placed           pmap.Map[events.DropID, struct{}]    // DROPs whose stream says so
	bindingsKiB      kibibyte                             // sum of admittedBindings
}

type kibibyte int64

// siteWorkflows lists a site's workflows, newest first.
type siteWorkflows struct {
	ids []events.WorkflowID
}

// Edit gives a state that Apply may change in place: only the newest one may
// be used from here on, until Seal.
func (s State) Edit() State {
	s.edit = &pmap.Edit{}
	return s
}

// Seal gives a state for readers: no later Apply changes it.
func (s State) Seal() State {
	s.edit = nil
	return s
}

// Apply folds one commit.
func (s State) Apply(envelope events.Envelope) State {
	at := when{envelope.Position, envelope.Meta}
	for _, event := range envelope.Events {
		switch envelope.Stream.Kind {
		case events.KindSite:
			s = s.applySite(at, event)
		case events.KindEnvironment:
			s = s.applyEnvironment(at, event)
		case events.KindDrop:
			s = s.applyDrop(at, event)
		case events.KindHost:
			s = s.applyHost(at, event)
		case events.KindBinding:
			s = s.applyBinding(at, event)
		case events.KindWorkflow:
			s = s.applyWorkflow(at, event)
		case events.KindAccount:
			s = s.applyAccount(at, event)
		case events.KindName:
			s = s.applyName(at, event)
		case events.KindZone:
			// The zone view shows these.
		}
	}
	return s
}

// when is what an event's commit says beside the event.
type when struct {
	position events.Position
	meta     events.Meta
}

// change replaces the value of a known key by a changed copy.
func change[K ~string, V any](m pmap.Map[K, *V], edit *pmap.Edit, key K, with func(*V)) pmap.Map[K, *V] {
	old, known := m.Get(key)
	if !known {
		return m
	}
	changed := *old
	with(&changed)
	return m.Set(edit, key, &changed)
}

// added and without give a changed copy of a shared list.
func added[T comparable](list []T, item T) []T {
	if slices.Contains(list, item) {
		return list
	}
	grown := make([]T, 0, len(list)+1)
	return append(append(grown, list...), item)
}

func without[T comparable](list []T, item T) []T {
	i := slices.Index(list, item)
	if i < 0 {
		return list
	}
	return slices.Delete(slices.Clone(list), i, i+1)
}
