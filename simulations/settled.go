package simulations

import (
	"cmp"
	"fmt"
	"time"

	"pantheon/events"
	"pantheon/simulations/check"
)

// unsettled says what is not yet as it was asked for; empty where everything
// is.
func (w *World) unsettled() string {
	if w.operators.open > 0 {
		return fmt.Sprintf("%d commands have no definite answer", w.operators.open)
	}
	for _, n := range w.nodes {
		if at, runs := n.policiesAt(); runs && at != w.log.head() {
			return fmt.Sprintf("the policies on %s are at position %d of %d", w.names[n.port], at, w.log.head())
		}
	}
	for _, s := range w.routers {
		if s.down {
			return w.names[s.port] + " is down"
		}
		if at := s.routes.position(); at != w.log.head() {
			return fmt.Sprintf("%s is at position %d of %d", w.names[s.port], at, w.log.head())
		}
	}
	if reason := w.ledger.Unsettled(); reason != "" {
		return reason
	}
	for _, m := range w.hosts {
		if m.gone {
			continue
		}
		if _, lost := w.ledger.IsLost(m.id); lost {
			return w.names[m.port] + " is believed lost"
		}
		if reason := m.unsettled(); reason != "" {
			return fmt.Sprintf("%s: %s", w.names[m.port], reason)
		}
	}
	return ""
}

// unsettled compares what the machine has with what its stream says.
func (m *host) unsettled() string {
	a := m.agent
	switch {
	case a == nil || !a.ready:
		return "its agent is not ready"
	case m.fenced():
		return "its lease is over"
	case len(a.facts) > 0 || a.sending:
		return "facts wait to be reported"
	case len(a.waiting)+len(a.busy) > 0:
		return "objects wait to be reconciled"
	}
	return cmp.Or(a.unsettledDrops(), a.unsettledBindings())
}

func (a *agent) unsettledDrops() string {
	return cmp.Or(
		check.First(a.desired.Drops, func(id events.DropID, spec events.DropSpec) string {
			if marker := a.drops[id]; (marker.generation != spec.Generation || !marker.reported) && a.mounts(spec) {
				return fmt.Sprintf("DROP %s is prepared for generation %d, wanted is %d", id, marker.generation, spec.Generation)
			}
			return ""
		}),
		check.First(a.drops, func(id events.DropID, _ dropMarker) string {
			if _, wanted := a.desired.Drops[id]; !wanted {
				return fmt.Sprintf("DROP %s is still there", id)
			}
			return ""
		}))
}

func (a *agent) unsettledBindings() string {
	return cmp.Or(
		check.First(a.desired.Bindings, func(id events.BindingID, _ events.BindingSpec) string {
			if !a.bindings[id].reported {
				return fmt.Sprintf("binding %s is not provided", id)
			}
			return ""
		}),
		check.First(a.desired.Dismissed, func(id events.BindingID, _ events.BindingSpec) string {
			return fmt.Sprintf("binding %s is not removed", id)
		}))
}

// watchLosses looks at every routing table when the time is over within which
// it has to forget a host that is lost.
func (l *cellLog) watchLosses(envelope events.Envelope) {
	for _, event := range envelope.Events {
		if lost, is := event.(events.HostLost); is {
			held := l.ledger.Held(lost.Host)
			for _, s := range l.routers {
				l.after(RouteBound, func() { s.forgets(lost.Host, held, envelope.Position, l.now-RouteBound) })
			}
		}
	}
}

// forgets checks that the table of a router names none of the DROPs that a host
// held when it was lost, unless that has returned.
func (s *styx) forgets(on events.HostID, held []events.DropID, position events.Position, at time.Duration) {
	f := s.routes.follower
	since, lost := s.ledger.IsLost(on)
	switch {
	case s.down || !lost || since != at || f.connected() > at:
		return
	case f.due && f.cursor < position: // as long as the network takes
		s.at(f.reading, func() { s.forgets(on, held, position, at) })
		return
	case s.routes.position() < position:
		s.violate("routing", "%s has not heard within %s that host %s was lost", s.names[s.port], RouteBound, on)
		return
	}
	for _, id := range held {
		for _, route := range s.routes.now().Routes(s.ledger.EnvironmentOf(id)) {
			for _, target := range route.Drops {
				if target.Host == on {
					s.violate("routing", "%s names DROP %s on host %s, which was lost %s ago", s.names[s.port], target.Drop, on, s.now-at)
				}
			}
		}
	}
}

// starved says whether the site's requests may fail although all is well: its
// environment has no DROP, none for want of memory, or its data is on a machine
// that is gone for good.
func (w *World) starved(s *site) bool {
	return w.ledger.DropsWanted(s.env) == 0 || w.ledger.Unplaceable(s.env) || w.ledger.DataLost(s.env)
}
