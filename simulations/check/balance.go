package check

import "pantheon/events"

// balance is the book of the moves that the policies make for the sake of balance,
// since anything else has changed that they go by.
type balance struct {
	moves int
	left  map[events.EnvironmentID]map[events.HostID]bool
	back  map[events.EnvironmentID]int // moves to a host that one has left
}

// maxReturns of an environment are what two copies of the policies may bring about
// that do not know of one another's newest move.
const maxReturns = 2

// rebalanced: moves come to an end, and do not undo each other.
func (l *Ledger) rebalanced(envelope events.Envelope, event events.Event) {
	switch e := event.(type) {
	case events.DropMoveRequested:
		if envelope.Meta.Principal == "policy/rebalancing" {
			l.balances(e)
			return
		}
	case events.HostRegistered, events.HostRolesChanged, events.HostSoftwareChanged, events.HostLost, events.HostReturned, events.HostDrainRequested, events.HostDrainEnded,
		events.HostRemoved, events.BindingAdmitted, events.BindingDismissed, events.EnvironmentSettingsChanged, events.WorkflowStarted, events.SiteDeleted:
	default:
		return
	}
	l.balance = balance{}
}

func (l *Ledger) balances(e events.DropMoveRequested) {
	b := &l.balance
	if b.left == nil {
		*b = balance{left: map[events.EnvironmentID]map[events.HostID]bool{}, back: map[events.EnvironmentID]int{}}
	}
	if b.left[e.Environment] == nil {
		b.left[e.Environment] = map[events.HostID]bool{}
	}
	if b.left[e.Environment][e.To] {
		b.back[e.Environment]++
	}
	b.left[e.Environment][e.Host] = true
	l.rebalancings++
	switch b.moves++; {
	case b.moves > len(l.drops):
		l.violate("balance", "%d DROPs were moved for the sake of balance, of %d there ever were, and nothing else has changed", b.moves, len(l.drops))
	case b.back[e.Environment] > maxReturns:
		l.violate("balance", "a DROP of %s moves to host %s for the sake of balance; %d times one came back to where one had left", e.Environment, e.To, b.back[e.Environment])
	}
}

// Rebalancings gives how many moves the policies have made for the sake of balance.
func (l *Ledger) Rebalancings() int { return l.rebalancings }
