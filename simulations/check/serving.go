package check

import (
	"time"

	"pantheon/events"
)

type refused struct {
	to  events.StreamID
	id  events.CommandID
	err error
}

// Refused books that a command, sent once, was refused for good: it has no
// effect, then or later.
func (l *Ledger) Refused(to events.StreamID, id events.CommandID, err error) {
	l.refused = append(l.refused, refused{to, id, err})
	l.noEffect(l.refused[len(l.refused)-1])
}

func (l *Ledger) noEffect(r refused) {
	if _, there := l.commands[commandKey(r.to, r.id)]; there {
		l.violate("refused", "command %s was refused (%v), yet its effect is in %s", r.id, r.err, r.to)
	}
}

// Booked is a DROP's page of the book, for who looks at it often; it stays the
// same.
type Booked struct {
	id   events.DropID
	drop *drop
}

// Book gives a DROP's page.
func (l *Ledger) Book(id events.DropID) Booked { return Booked{id, l.dropOf(id)} }

// Served books that a host lets a request into a DROP. A host that is out of
// touch with the cell may do so where it has the DROP's data, until nobody else
// could: it does not hear that it has to give the DROP up.
func (l *Ledger) Served(on events.HostID, of Booked, now time.Duration, outOfTouch bool) {
	d := of.drop
	if d.heldBy.has(on) {
		return
	}
	if outOfTouch {
		if len(d.heldBy) > 0 {
			l.violate("serving", "host %s serves DROP %s, which another host holds", on, of.id)
		}
		return
	}
	if since, known := d.dismissedBy(on); !known || now-since > l.bounds.Serve {
		l.violate("serving", "host %s serves DROP %s, which it does not hold (%s ago it did)", on, of.id, now-since)
	}
}

// Routed books that a router that has been connected since some time sends a
// request to a DROP on a host, because its view said so at an instant.
func (l *Ledger) Routed(of Booked, to events.HostID, now, connected time.Duration) {
	d := of.drop
	if !d.everReady.has(to) {
		l.violate("routing", "a route names DROP %s on host %s, which never reported it ready", of.id, to)
		return
	}
	h := l.hosts[to]
	bound := now - l.bounds.Route
	switch {
	case connected > bound:
	case h != nil && h.lost && h.lostAt < bound:
		l.violate("routing", "a route names host %s, which was lost %s ago", to, now-h.lostAt)
	case h != nil && !d.heldBy.has(to) && d.host != to:
		if at, _ := d.dismissedBy(to); at < bound-l.bounds.Serve {
			l.violate("routing", "a route names DROP %s on host %s, which gave it up", of.id, to)
		}
	}
}

// Awake books what a host has awake, in KiB.
func (l *Ledger) Awake(on events.HostID, count int, kib int64, _ time.Duration) {
	h := l.hosts[on]
	if h == nil || count < 2 {
		return
	}
	// What it has admitted after these woke is set aside by the next wake.
	slack := int64(len(h.bindings)+len(h.drops))*events.IdleBindingKiB + 1024
	if kib > h.offered-h.reserved+slack {
		l.violate("memory", "host %s has %d DROPs awake that may use %d KiB, it has %d for them", on, count, kib, h.offered-h.reserved)
	}
}

// Ordered books that a host carries out an order of its stream.
func (l *Ledger) Ordered(on events.HostID, at events.Revision, event int) {
	key := order{on, at, event}
	if _, twice := l.orders[key]; twice {
		l.violate("effect", "host %s carries out the order at revision %d a second time", on, at)
	}
	l.orders[key] = struct{}{}
}

// Unready books that a request found no ready DROP. calm is since when nothing
// has been failing: an environment with traffic then has one within a bound,
// where the host of its data lives.
func (l *Ledger) Unready(id events.EnvironmentID, now, calm time.Duration) {
	env := l.environments[id]
	if env == nil || l.DropsWanted(id) == 0 || l.DataLost(id) {
		return
	}
	if env.missing == 0 {
		env.missing = now
	}
	if waited := now - max(env.missing, calm); waited > l.bounds.Ready && !l.Unplaceable(id) {
		l.violate("ready", "environment %s has had visitors and no ready DROP for %s, while nothing failed", id, waited)
	}
}
