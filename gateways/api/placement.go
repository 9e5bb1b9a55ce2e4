package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// explainDrop ranks the hosts for a DROP.
func explainDrop(c *call) (reply, error) {
	id := events.DropID(c.request.PathValue("drop"))
	placed, known := c.view.state.Drop(id)
	if !known {
		return showDrop(c)
	}
	if c.server.options.Placement == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot explain placements: this node does not run the policies")
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	ranked, err := c.server.options.Placement.Explain(ctx, id)
	if err != nil {
		return reply{}, err
	}
	candidates := []Candidate{}
	for _, r := range ranked {
		if _, present := c.view.state.Host(r.Host); !present {
			continue // it was removed
		}
		candidates = append(candidates, Candidate{
			Host: r.Host, HostName: r.Name, Zone: r.Zone, Holds: r.Host == placed.Host, Refused: r.Refused,
			Siblings: r.Siblings, ZoneSiblings: r.ZoneSiblings, Near: r.Near, RoomMiB: r.RoomMiB, Rebalancing: r.Rebalancing,
		})
	}
	return reply{body: candidates}, nil
}

// dropRecord is the record of a DROP, with why no host takes it where it waits
// for one: that is in no event.
func (c *call) dropRecord(d *inventory.Drop) Drop {
	record := c.view.dropRecord(d)
	if d.Status == inventory.Requested && !c.moment.past && c.server.options.Placement != nil {
		record.Unplaced = c.unplaced(d.ID)
	}
	return record
}

// unplaced asks the policies, for the first maxExplainedDrops of an answer.
// Where they do not answer there is no reason, and nobody waits for it twice.
func (c *call) unplaced(id events.DropID) string {
	if c.explained == maxExplainedDrops {
		return ""
	}
	c.explained++
	ctx, cancel := context.WithTimeout(c.request.Context(), explainTimeout)
	defer cancel()
	ranked, err := c.server.options.Placement.Explain(ctx, id)
	if err != nil {
		c.explained = maxExplainedDrops
		return ""
	}
	if ranked == nil {
		return "" // the policies have not heard of it yet
	}
	ranked = slices.DeleteFunc(ranked, func(r policy.Candidate) bool {
		h, present := c.view.state.Host(r.Host)
		return !present || !hasRole(h, events.RoleHost)
	})
	return whyUnplaced(ranked, c.who.operator)
}

// whyUnplaced says why none of the hosts takes a DROP; nothing while one may.
// What machines there are and what they offer is the operator's business.
func whyUnplaced(hosts []policy.Candidate, operator bool) string {
	for _, h := range hosts {
		if h.Refused == "" {
			return ""
		}
	}
	switch {
	case !operator:
		return "no host can take it now"
	case len(hosts) == 0:
		return "no host can take it: the cell has none"
	}
	var reasons []string
	for _, h := range hosts[:min(len(hosts), maxNamedHosts)] {
		reasons = append(reasons, refusal(h))
	}
	text := "no host can take it: " + strings.Join(reasons, "; ")
	if more := len(hosts) - maxNamedHosts; more > 0 {
		text += fmt.Sprintf("; and %d more hosts", more)
	}
	return text
}

// refusal says of one host why it does not take a DROP. The words of its actor
// name the DROP first, which the reader knows.
func refusal(h policy.Candidate) string {
	_, reason, found := strings.Cut(h.Refused, ": ")
	if found && strings.HasPrefix(h.Refused, "cannot admit DROP ") {
		return reason
	}
	return h.Name + ": " + h.Refused
}
