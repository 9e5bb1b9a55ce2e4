package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/projections/inventory"
)

// What the loss of a host does to an environment that has something on it.
const (
	effectNone  = "none"  // it is served on
	effectMoves = "moves" // it is served again when its DROP has been placed elsewhere
	effectDown  = "down"  // it is not served until the host is back
	effectGone  = "gone"  // the host is gone for good, with what it had
)

// holding is what one host has of an environment.
type holding struct {
	host  inventory.Host
	kinds []events.BindingKind // sorted
	drops int
}

func (h *holding) has(kind events.BindingKind) bool { return slices.Contains(h.kinds, kind) }

// losses says, for each host that holds something of an environment, what its
// loss would do: as the placement of DROPs decides, from what the inventory
// knows.
func losses(state inventory.State, id events.EnvironmentID) []Loss {
	e, known := state.Environment(id)
	if !known || !e.Initialized() {
		return nil
	}
	holdings, drops := holdingsOf(state, id)
	all := gone(state, e)
	for _, h := range holdings {
		loss := Loss{
			Host: h.host.ID, HostName: h.host.Name, Lost: h.host.Status == inventory.Lost,
			Services: h.kinds, Drops: h.drops, AllDrops: drops,
		}
		var consequence string
		loss.Effect, consequence = h.effect(state, e, holdings)
		loss.Text = h.words(drops) + ": " + consequence
		all = append(all, loss)
	}
	return all
}

// gone says what was lost with hosts that are no more.
func gone(state inventory.State, e *inventory.Environment) []Loss {
	all := []Loss{}
	for _, b := range state.SiteBindings(e.ID.Site()) {
		if b.Status != inventory.Lost || b.Environment != "" && b.Environment != e.ID {
			continue
		}
		i := slices.IndexFunc(all, func(l Loss) bool { return l.Host == b.Host })
		if i < 0 {
			i = len(all)
			all = append(all, Loss{Host: b.Host, HostName: state.RemovedName(b.Host), Effect: effectGone})
		}
		all[i].Services = append(all[i].Services, b.Kind)
	}
	for i := range all {
		slices.Sort(all[i].Services)
		all[i].Text = (&holding{kinds: all[i].Services}).words(0) + ": gone for good with this host; pantheon env renew " +
			e.SiteName + "." + string(e.ID.Name()) + " puts empty ones in their place"
	}
	return all
}

// holdingsOf gives what hosts have of an environment, in the order of their
// names, and how many DROPs they have together. What is on its way out does not
// count.
func holdingsOf(state inventory.State, id events.EnvironmentID) (holdings []*holding, drops int) {
	at := func(id events.HostID) *holding {
		i := slices.IndexFunc(holdings, func(h *holding) bool { return h.host.ID == id })
		if i >= 0 {
			return holdings[i]
		}
		host, _ := state.Host(id)
		holdings = append(holdings, &holding{host: host})
		return holdings[len(holdings)-1]
	}
	for _, b := range state.SiteBindings(id.Site()) {
		if b.Host != "" && b.Status != inventory.Deleting && b.Status != inventory.Lost && (b.Environment == "" || b.Environment == id) {
			h := at(b.Host)
			h.kinds = append(h.kinds, b.Kind)
		}
	}
	for _, d := range state.Drops(id) {
		if d.Host != "" && d.Status != inventory.Deleting {
			at(d.Host).drops++
			drops++
		}
	}
	for _, h := range holdings {
		slices.Sort(h.kinds)
	}
	slices.SortFunc(holdings, func(a, b *holding) int {
		return cmp.Or(strings.Compare(a.host.Name, b.host.Name), strings.Compare(string(a.host.ID), string(b.host.ID)))
	})
	return holdings, drops
}

// effect says what the host's loss does, for programs and for people.
func (h *holding) effect(state inventory.State, e *inventory.Environment, holdings []*holding) (effect, consequence string) {
	const down = "the environment is down until it is back"
	switch {
	case h.has(events.DBServer) || h.has(events.FileServer):
		return effectDown, down
	case h.has(events.CodeServer) && e.Settings.Connection == events.ConnectionSFTP:
		return effectDown, down // its writable code is there alone
	case h.drops == 0:
		effect = effectNone
	case servesElsewhere(state, e.ID, h.host.ID):
		effect, consequence = effectNone, "the others serve on"
	case h.has(events.CodeServer):
		return effectDown, down + ": its release may be nowhere else"
	case !canMove(state, e, h.host.ID):
		return effectDown, down + ": no other host can take it"
	default:
		effect, consequence = effectMoves, "placed elsewhere within seconds"
	}
	if h.has(events.CodeServer) {
		consequence = joined(", and ", consequence, "nothing can be deployed until it is back")
	}
	return effect, cmp.Or(consequence, "the environment does without until it is back")
}

func joined(by string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), by)
}

// servesElsewhere says whether a DROP on another host would serve a request.
func servesElsewhere(state inventory.State, id events.EnvironmentID, lost events.HostID) bool {
	return slices.ContainsFunc(state.Drops(id), func(d *inventory.Drop) bool {
		host, _ := state.Host(d.Host)
		return d.Host != lost && host.Status == inventory.Ready &&
			slices.Contains([]inventory.Status{inventory.Ready, inventory.Awake, inventory.Asleep, inventory.Crashed}, d.Status)
	})
}

// canMove says whether a host is there that takes DROPs and offers as much
// memory as this one needs. Its actor may know of a larger DROP and still
// refuse.
func canMove(state inventory.State, e *inventory.Environment, lost events.HostID) bool {
	return slices.ContainsFunc(state.Hosts(), func(h inventory.Host) bool {
		return h.ID != lost && h.Status == inventory.Ready && !h.Draining && hasRole(h, events.RoleHost) &&
			h.ReservedMiB+e.Settings.MemoryMiB <= h.MemoryMiB
	})
}

// words name what the host has: "database, files and one of 2 DROPs".
func (h *holding) words(drops int) string {
	var parts []string
	for _, kind := range h.kinds {
		parts = append(parts, ServiceName(kind))
	}
	switch {
	case h.drops == 0:
	case h.drops == 1 && drops == 1:
		parts = append(parts, "its only DROP")
	case h.drops == drops:
		parts = append(parts, fmt.Sprintf("all %d DROPs", drops))
	case h.drops == 1:
		parts = append(parts, fmt.Sprintf("one of %d DROPs", drops))
	default:
		parts = append(parts, fmt.Sprintf("%d of %d DROPs", h.drops, drops))
	}
	if last := len(parts) - 1; last > 0 {
		return strings.Join(parts[:last], ", ") + " and " + parts[last]
	}
	return strings.Join(parts, "")
}

// ServiceName is what people call a kind of binding.
func ServiceName(kind events.BindingKind) string {
	names := map[events.BindingKind]string{
		events.CodeServer: "code", events.DBServer: "database", events.FileServer: "files",
		events.CacheServer: "cache", events.IndexServer: "search index",
	}
	return cmp.Or(names[kind], string(kind))
}
