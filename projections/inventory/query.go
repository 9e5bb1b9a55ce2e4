package inventory

import (
	"cmp"
	"iter"
	"slices"

	"pantheon/events"
)

// firstEnvironments exist as names from the site's creation on.
var firstEnvironments = [...]events.EnvironmentName{"dev", "test", "live"}

// Site finds a site by its id.
func (s State) Site(id events.SiteID) (*Site, bool) { return s.sites.Get(id) }

// SiteByName finds a site by its machine name.
func (s State) SiteByName(name string) (*Site, bool) {
	id, known := s.siteNames.Get(name)
	if !known {
		return nil, false
	}
	return s.sites.Get(id)
}

// FindSite takes an id or a machine name.
func (s State) FindSite(idOrName string) (*Site, bool) {
	if site, known := s.sites.Get(events.SiteID(idOrName)); known {
		return site, true
	}
	return s.SiteByName(idOrName)
}

// SiteCount is the number of sites.
func (s State) SiteCount() int { return s.sites.Len() }

// Sites gives the sites in the order of their names, those behind the name
// after; an empty name begins at the first. Stop reading for a page.
func (s State) Sites(after string) iter.Seq[*Site] {
	return func(yield func(*Site) bool) {
		for name, id := range s.siteNames.From(after) {
			if name != after && !yield(s.sites.At(id)) {
				return
			}
		}
	}
}

// SitesOf gives an account's sites in the order of their names, those behind
// the name after.
func (s State) SitesOf(owner events.AccountID, after string) iter.Seq[*Site] {
	return func(yield func(*Site) bool) {
		end := string(owner) + "!" // the character after the space
		from := string(owner) + " " + after
		for key, id := range s.owned.From(from) {
			if key >= end || key != from && !yield(s.sites.At(id)) {
				return
			}
		}
	}
}

// Environment finds an environment. Dev, test and live of a site are there as
// names, not initialised, before they have a stream.
func (s State) Environment(id events.EnvironmentID) (*Environment, bool) {
	if environment, known := s.environments.Get(id); known {
		return environment, true
	}
	site, known := s.sites.Get(id.Site())
	if !known || !slices.Contains(firstEnvironments[:], id.Name()) {
		return nil, false
	}
	return &Environment{
		ID: id, Site: site.ID, Name: id.Name(), SiteName: site.Name, Framework: site.Framework, Status: NotInitialized,
	}, true
}

// Environments gives a site's environments: dev, test and live, then the
// others in the order of their names.
func (s State) Environments(id events.SiteID) []*Environment {
	site, known := s.sites.Get(id)
	if !known {
		return nil
	}
	names := slices.Clone(firstEnvironments[:])
	others := slices.DeleteFunc(slices.Clone(site.Environments), func(name events.EnvironmentName) bool {
		return slices.Contains(names, name)
	})
	slices.Sort(others)
	var list []*Environment
	for _, name := range append(names, others...) {
		if environment, known := s.Environment(events.EnvironmentOf(id, name)); known {
			list = append(list, environment)
		}
	}
	return list
}

// Drop finds a DROP.
func (s State) Drop(id events.DropID) (*Drop, bool) { return s.drops.Get(id) }

// Drops gives an environment's DROPs, oldest first.
func (s State) Drops(id events.EnvironmentID) []*Drop {
	environment, known := s.environments.Get(id)
	if !known {
		return nil
	}
	list := make([]*Drop, 0, len(environment.Drops))
	for _, id := range environment.Drops {
		if drop, known := s.drops.Get(id); known {
			list = append(list, drop)
		}
	}
	return list
}

// DropsOn gives the DROPs that are placed on a host, sorted by id.
func (s State) DropsOn(id events.HostID) []*Drop {
	entry, known := s.hosts.Get(id)
	if !known {
		return nil
	}
	list := make([]*Drop, 0, entry.placed.Len())
	for id := range entry.placed.All() {
		if drop, known := s.drops.Get(id); known {
			list = append(list, drop)
		}
	}
	slices.SortFunc(list, func(a, b *Drop) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// AllDrops gives every DROP of the cell in hash order.
func (s State) AllDrops() iter.Seq[*Drop] {
	return func(yield func(*Drop) bool) {
		for _, drop := range s.drops.All() {
			if !yield(drop) {
				return
			}
		}
	}
}

// DropCount is the number of DROPs.
func (s State) DropCount() int { return s.drops.Len() }

// Removed says that a machine was taken out of the cell.
func (s State) Removed(id events.HostID) bool {
	_, removed := s.removed.Get(id)
	return removed
}

// RemovedCount is how many machines were taken out of the cell.
func (s State) RemovedCount() int { return s.removed.Len() }

// RemovedName is the name that a machine had; empty where it is of the cell, or
// never was.
func (s State) RemovedName(id events.HostID) string {
	if removed, known := s.removed.Get(id); known {
		return removed.Name
	}
	return ""
}

// Admitted finds a DROP of an environment that a host has admitted.
func (s State) Admitted(host events.HostID, environment events.EnvironmentID) (events.DropID, bool) {
	entry, known := s.hosts.Get(host)
	if !known {
		return "", false
	}
	for _, drop := range s.Drops(environment) {
		if _, admitted := entry.admittedDrops.Get(drop.ID); admitted {
			return drop.ID, true
		}
	}
	return "", false
}

// HasAdmitted says whether a host has admitted a DROP or binding.
func (s State) HasAdmitted(host events.HostID, stream events.StreamID) bool {
	entry, known := s.hosts.Get(host)
	if !known {
		return false
	}
	_, drop := entry.admittedDrops.Get(events.DropID(stream.ID))
	_, binding := entry.admittedBindings.Get(events.BindingID(stream.ID))
	return drop && stream.Kind == events.KindDrop || binding && stream.Kind == events.KindBinding
}

// HoldsOf says whether a host has admitted a DROP or binding of a site.
func (s State) HoldsOf(host events.HostID, site events.SiteID) bool {
	entry, known := s.hosts.Get(host)
	if !known {
		return false
	}
	for _, bound := range s.SiteBindings(site) {
		if _, admitted := entry.admittedBindings.Get(bound.ID); admitted {
			return true
		}
	}
	for _, environment := range s.Environments(site) {
		if _, admitted := s.Admitted(host, environment.ID); admitted {
			return true
		}
	}
	return false
}

// Host finds a host.
func (s State) Host(id events.HostID) (Host, bool) {
	entry, known := s.hosts.Get(id)
	if !known {
		return Host{}, false
	}
	return entry.record(), true
}

// HostByName finds a host by its name; of two with the same name, one.
func (s State) HostByName(name string) (Host, bool) {
	for _, id := range s.hostNames.Prefix(name + " ") {
		return s.Host(id)
	}
	return Host{}, false
}

// FindHost takes an id or a name.
func (s State) FindHost(idOrName string) (Host, bool) {
	if host, known := s.Host(events.HostID(idOrName)); known {
		return host, true
	}
	return s.HostByName(idOrName)
}

// Hosts gives all hosts in the order of their names.
func (s State) Hosts() []Host {
	list := make([]Host, 0, s.hosts.Len())
	for _, id := range s.hostNames.From("") {
		if host, known := s.Host(id); known {
			list = append(list, host)
		}
	}
	return list
}

// Binding finds a binding.
func (s State) Binding(id events.BindingID) (*Binding, bool) { return s.bindings.Get(id) }

// Bindings gives an environment's bindings, oldest first.
func (s State) Bindings(id events.EnvironmentID) []*Binding {
	environment, known := s.environments.Get(id)
	if !known {
		return nil
	}
	return s.bindingsOf(environment.Bindings)
}

// SiteBindings gives the bindings of a site: its code server, then those of
// each environment.
func (s State) SiteBindings(id events.SiteID) []*Binding {
	site, known := s.sites.Get(id)
	if !known {
		return nil
	}
	list := s.bindingsOf(site.Bindings)
	for _, name := range site.Environments {
		list = append(list, s.Bindings(events.EnvironmentOf(id, name))...)
	}
	return list
}

func (s State) bindingsOf(ids []events.BindingID) []*Binding {
	list := make([]*Binding, 0, len(ids))
	for _, id := range ids {
		if binding, known := s.bindings.Get(id); known {
			list = append(list, binding)
		}
	}
	return list
}

// Workflow finds a workflow.
func (s State) Workflow(id events.WorkflowID) (*Workflow, bool) { return s.workflows.Get(id) }

// SiteWorkflows gives a site's workflows, newest first; also those of a site
// that is gone.
func (s State) SiteWorkflows(id events.SiteID) []*Workflow {
	entry, known := s.bySite.Get(id)
	if !known {
		return nil
	}
	list := make([]*Workflow, 0, len(entry.ids))
	for _, id := range entry.ids {
		list = append(list, s.workflows.At(id))
	}
	return list
}

// Workflows gives the cell's workflows that started before a position, newest
// first; position 0 begins at the newest. Stop reading for a page.
func (s State) Workflows(before events.Position) iter.Seq[*Workflow] {
	return func(yield func(*Workflow) bool) {
		key := ""
		if before > 0 {
			key = positionKey(before)
		}
		for _, id := range s.started.Before(key) {
			if !yield(s.workflows.At(id)) {
				return
			}
		}
	}
}

// Account finds an account.
func (s State) Account(id events.AccountID) (*Account, bool) { return s.accounts.Get(id) }

// Accounts gives all accounts in the order of their names as they stand in the
// log: sealed ones have a stable order, which is none for people.
func (s State) Accounts() iter.Seq[*Account] {
	return func(yield func(*Account) bool) {
		for _, id := range s.accountNames.From("") {
			if !yield(s.accounts.At(id)) {
				return
			}
		}
	}
}

// TokenByHash finds a machine token that was not revoked by the SHA-256 of its
// text, in hexadecimal. The caller checks Expires.
func (s State) TokenByHash(hash string) (*Token, bool) { return s.tokens.Get(hash) }

// Tokens gives an account's machine tokens, oldest first.
func (s State) Tokens(id events.AccountID) []*Token {
	account, known := s.accounts.Get(id)
	if !known {
		return nil
	}
	list := make([]*Token, 0, len(account.Tokens))
	for _, hash := range account.Tokens {
		list = append(list, s.tokens.At(hash))
	}
	return list
}

// Upstream finds an upstream by its id.
func (s State) Upstream(id events.UpstreamID) (*Upstream, bool) { return s.upstreams.Get(id) }

// UpstreamByName finds an account's upstream by its machine name.
func (s State) UpstreamByName(account events.AccountID, name string) (*Upstream, bool) {
	for _, id := range s.upstreamKeys.Prefix(name + " ") {
		if upstream := s.upstreams.At(id); upstream.Account == account {
			return upstream, true
		}
	}
	return nil, false
}

// Upstreams gives the upstreams of all accounts in the order of their names.
func (s State) Upstreams() iter.Seq[*Upstream] {
	return func(yield func(*Upstream) bool) {
		for _, id := range s.upstreamKeys.From("") {
			if !yield(s.upstreams.At(id)) {
				return
			}
		}
	}
}

// Forgetting gives whose key is to be destroyed, as far as nobody has reported
// that it is.
func (s State) Forgetting() iter.Seq[events.Owner] {
	return func(yield func(events.Owner) bool) {
		for _, owner := range s.forgetting.From("") {
			if !yield(owner) {
				return
			}
		}
	}
}

// Name finds the holder of a unique name.
func (s State) Name(id events.NameID) (*Name, bool) { return s.names.Get(id) }
