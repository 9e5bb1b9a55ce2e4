package api

import (
	"net/http"
	"slices"
	"time"

	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// HostHealth is how this node sees a machine right now; none of it is in the
// log.
type HostHealth struct {
	Connected bool          // this node reaches it
	RoundTrip time.Duration // of the last ping; 0 where there was none
	// Load1 is how many processes ran or wanted to, over the last minute
	// (proc_loadavg(5)); 0 where it is not known, and AwakeDrops with it.
	Load1      float64
	AwakeDrops int
	Boot       string // of the platform's process there, another one after each start
}

// health gives the live figures of every machine; none about the past.
func (c *call) health() map[events.HostID]HostHealth {
	if c.server.options.Health == nil || c.moment.past {
		return nil
	}
	return c.server.options.Health()
}

func hostRecord(h inventory.Host, health map[events.HostID]HostHealth) Host {
	state := string(h.Status)
	if h.Draining && h.Status == inventory.Ready {
		state = "draining"
	}
	record := Host{
		ID: h.ID, Name: h.Name, Zone: h.Zone, State: state, Reason: h.Reason, Since: h.Changed,
		Roles: rolesOf(h), Addresses: h.Addresses, Endpoint: h.Endpoint, Isolated: h.Isolated,
		Protocol: h.Protocol, PHP: h.PHP,
		Cores: h.Cores, MemoryMiB: h.MemoryMiB, ReservedMiB: h.ReservedMiB, AwakeMiB: h.AwakeMiB, FreeMiB: h.FreeMiB,
		Drops: h.Drops, Awake: h.Awake, Bindings: h.Bindings, Version: h.Version,
	}
	if live, known := health[h.ID]; known {
		record.Live = &HostLive{Connected: live.Connected, Boot: live.Boot}
		if live.Connected && live.RoundTrip > 0 {
			took := float64(live.RoundTrip) / float64(time.Millisecond)
			record.Live.RoundTripMS = &took
		}
		if live.Connected && live.Load1 > 0 {
			record.Live.Load1, record.Live.AwakeDrops = &live.Load1, &live.AwakeDrops
		}
	}
	return record
}

// rolesOf gives what a machine takes part in; one that never said takes part in
// everything.
func rolesOf(h inventory.Host) []events.HostRole {
	if len(h.Roles) == 0 {
		return everyRole()
	}
	return h.Roles
}

func everyRole() []events.HostRole {
	return []events.HostRole{events.RoleControl, events.RoleDNS, events.RoleEntry, events.RoleHost}
}

func hasRole(h inventory.Host, role events.HostRole) bool { return slices.Contains(rolesOf(h), role) }

func listHosts(c *call) (reply, error) {
	hosts, health := []Host{}, c.health()
	for _, host := range c.view.state.Hosts() {
		hosts = append(hosts, hostRecord(host, health))
	}
	hosts, err := page(c.request.URL.Query(), hosts, func(h Host) string { return string(h.ID) })
	return reply{body: hosts}, err
}

// showHost takes an id or a host's name, also the id of a machine that was
// removed.
func showHost(c *call) (reply, error) {
	name := c.request.PathValue("host")
	if found, known := c.view.state.FindHost(name); known {
		return reply{body: hostRecord(found, c.health())}, nil
	}
	if id := events.HostID(name); c.view.state.Removed(id) {
		return c.showRemoved(id)
	}
	return reply{}, unknownHost(name)
}

func unknownHost(name string) error {
	return problem.New(problem.NotFound, "cannot find host %.60q", name).WithHint("pantheon host list")
}

// showRemoved says what a machine was that is no longer of the cell.
func (c *call) showRemoved(id events.HostID) (reply, error) {
	var state host.State
	record := Host{ID: id, State: "removed"}
	for envelope, err := range c.server.options.Log.Stream(c.request.Context(), id.Stream(), 0) {
		if err != nil {
			return reply{}, problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		for _, event := range envelope.Events {
			state = host.Evolve(state, event)
		}
		record.Since = envelope.Meta.Time
	}
	was := state.Registered
	record.Name, record.Zone, record.Cores, record.MemoryMiB = was.Name, was.Zone, was.Cores, was.MemoryMiB
	record.Isolated, record.Version = was.Isolated, was.Version
	return reply{body: record}, nil
}

// hostOf finds the host that the path names, by id or name.
func (c *call) hostOf() (*inventory.Host, error) {
	name := c.request.PathValue("host")
	found, known := c.view.state.FindHost(name)
	if !known {
		return nil, unknownHost(name)
	}
	return &found, nil
}

// commandHost sends a host one command and answers with its record.
func (c *call) commandHost(command host.Command) (reply, error) {
	found, err := c.hostOf()
	if err != nil {
		return reply{}, err
	}
	if err := c.do(found.ID.Stream(), command); err != nil {
		return reply{}, err
	}
	return showHost(c)
}

func drainHost(c *call) (reply, error) { return c.commandHost(host.Drain{}) }

func undrainHost(c *call) (reply, error) { return c.commandHost(host.EndDrain{}) }

// restartHost has the platform of a machine begin anew.
func restartHost(c *call) (reply, error) {
	found, err := c.hostOf()
	if err != nil {
		return reply{}, err
	}
	if c.server.options.Restart == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot restart host %s from here", found.Name)
	}
	answer := Restarting{Boot: c.health()[found.ID].Boot}
	if err := c.server.options.Restart(c.request.Context(), found.ID); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted, body: answer}, nil
}

// removeHost takes a machine that holds nothing out of the cell, with ?lost=true
// also one that is gone for good with what it holds.
func removeHost(c *call) (reply, error) {
	found, err := c.hostOf()
	if err != nil {
		return reply{}, err
	}
	if err := c.removable(found); err != nil {
		return reply{}, err
	}
	var command host.Command = host.Remove{}
	if c.request.URL.Query().Get("lost") == "true" {
		command = host.WriteOff{}
	}
	return reply{status: http.StatusNoContent}, c.do(found.ID.Stream(), command)
}

// removable keeps what the cell cannot do without. The host's actor sees to
// DROPs and bindings.
func (c *call) removable(leaving *inventory.Host) error {
	hosts := c.view.state.Hosts()
	if len(hosts) == 1 {
		return problem.New(problem.Conflict, "cannot remove host %s: it is the only one of the cell", leaving.Name).
			WithHint("pantheon host token create lets another one join first; pantheon down ends the platform here")
	}
	isOtherControl := func(h inventory.Host) bool {
		return h.ID != leaving.ID && hasRole(h, events.RoleControl) && h.Status != inventory.Lost
	}
	if hasRole(*leaving, events.RoleControl) && !slices.ContainsFunc(hosts, isOtherControl) {
		return problem.New(problem.Conflict, "cannot remove host %s: it is the last control machine, and the log would be nowhere", leaving.Name).
			WithHint("pantheon host token create --roles control lets another one join first")
	}
	facts, err := c.cellFacts()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(facts.Replicas, func(r LogReplica) bool { return r.Host == leaving.ID }) {
		return nil
	}
	holds := problem.New(problem.Conflict, "cannot remove host %s: it holds the log", leaving.Name)
	if len(facts.Replicas) == 1 {
		return holds.WithHint("pantheon cluster grow, then pantheon cluster shrink on a machine that stays, move the log there")
	}
	return holds.WithHint("pantheon cluster shrink on a machine that stays has it hold the log alone; grow spreads it again")
}
