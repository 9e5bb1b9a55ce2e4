package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// CellFacts are what the log does not say about its cell.
type CellFacts struct {
	ID string
	// Replicas of the log; one while it is on one machine.
	Replicas []LogReplica
	// MostReplicas is how many machines may hold it.
	MostReplicas int
}

// LogReplica is a machine that holds the log.
type LogReplica struct {
	Host    events.HostID
	Leader  bool // commits go through it
	Current bool // it is there and has all of it, as far as the leader knows
}

// showCell says what the cell is made of, and what its log can bear.
func showCell(c *call) (reply, error) {
	facts, err := c.cellFacts()
	if err != nil {
		return reply{}, err
	}
	cell := Cell{ID: facts.ID, Domain: c.server.options.Domain, Machines: make(map[events.HostRole][]CellMachine), Log: []CellReplica{}}
	for _, role := range everyRole() {
		cell.Machines[role] = machinesOf(c.view.state, role)
	}
	for _, replica := range facts.Replicas {
		cell.Log = append(cell.Log, CellReplica{
			Host: replica.Host, HostName: c.view.hostName(replica.Host), Leader: replica.Leader, Current: replica.Current,
		})
	}
	cell.Spare, cell.Text = bearing(cell.Log, len(cell.Machines[events.RoleControl]), facts.MostReplicas)
	return reply{body: cell}, nil
}

// cellFacts asks the node. One that is told nothing of other machines has the
// log itself: of a cell of one machine that is this one.
func (c *call) cellFacts() (CellFacts, error) {
	if c.server.options.Cell == nil {
		if hosts := c.view.state.Hosts(); len(hosts) == 1 {
			return CellFacts{Replicas: []LogReplica{{Host: hosts[0].ID, Leader: true, Current: true}}}, nil
		}
		return CellFacts{}, nil
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	return c.server.options.Cell(ctx)
}

// growCell begins to spread the log over all control machines.
func growCell(c *call) (reply, error) { return moveLog(c, "grow", c.server.options.Grow) }

// shrinkCell takes the log back to the machine that is asked, or to so many as
// ?machines= says.
func shrinkCell(c *call) (reply, error) {
	machines := 1
	if text := c.request.URL.Query().Get("machines"); text != "" {
		var err error
		if machines, err = strconv.Atoi(text); err != nil {
			return reply{}, problem.New(problem.Invalid, "cannot shrink to %.40q machines: that is no number", text)
		}
	}
	shrink := c.server.options.Shrink
	if shrink == nil {
		return moveLog(c, "shrink", nil)
	}
	return moveLog(c, "shrink", func(ctx context.Context) error { return shrink(ctx, machines) })
}

func moveLog(c *call, what string, move func(context.Context) error) (reply, error) {
	if move == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot %s: this platform is alone", what).
			WithHint("pantheon up --cluster ADDRESS makes it reachable for other machines")
	}
	if err := move(c.request.Context()); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted, body: struct{}{}}, nil
}

func machinesOf(state inventory.State, role events.HostRole) []CellMachine {
	machines := []CellMachine{}
	for _, h := range state.Hosts() {
		if hasRole(h, role) {
			machines = append(machines, CellMachine{Host: h.ID, HostName: h.Name, State: hostRecord(h, nil).State})
		}
	}
	return machines
}

// bearing says how many more of the machines that hold the log may be lost
// before commands stop, below zero where they have stopped, and what that
// means. A majority of the replicas commits.
func bearing(replicas []CellReplica, control, most int) (spare *int, text string) {
	if len(replicas) == 0 {
		return nil, "which machines hold the log is not known here"
	}
	current, majority := 0, len(replicas)/2+1
	for _, replica := range replicas {
		if replica.Current {
			current++
		}
	}
	left := current - majority
	switch {
	case left < 0:
		text = fmt.Sprintf("commands have stopped: %d of %d machines with the log are there, %d must be", current, len(replicas), majority)
	case len(replicas) == 1:
		text = fmt.Sprintf("1 of 1: losing %s stops commands, and DROPs away from their data, until it is back", replicas[0].name()) + spreading(control, most)
	case left == 0:
		text = fmt.Sprintf("%d of %d: losing one of %s stops commands until one more is back", current, len(replicas), currentNames(replicas))
	default:
		text = fmt.Sprintf("%d of %d: losing %d of them stops no command, losing %d does", current, len(replicas), left, left+1)
	}
	return &left, text
}

// spreading says how a log on one of several control machines gets onto more.
func spreading(control, most int) string {
	const grow = "pantheon cluster grow spreads it"
	how := grow
	switch {
	case control < 2:
		return ""
	case control == 2:
		how = "with a third, " + grow
	case control > most:
		how = fmt.Sprintf("%d are the most that may, and when pantheon host remove has left so many, %s", most, grow)
	case control%2 == 0:
		how = "with one more or one less, " + grow
	}
	return fmt.Sprintf("; of %d control machines one holds the log (R1): %s", control, how)
}

func (r CellReplica) name() string {
	if r.HostName != "" {
		return r.HostName
	}
	return string(r.Host)
}

func currentNames(replicas []CellReplica) string {
	var names []string
	for _, replica := range replicas {
		if replica.Current {
			names = append(names, replica.name())
		}
	}
	return strings.Join(names, ", ")
}
