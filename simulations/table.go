package simulations

import (
	"pantheon/events"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// table is a view as its readers at one place have it: a fold of our own, or
// that of another level.
type table[S any] struct {
	follower *follower
	own      S
	other    View[S] // nil at the first level
}

func (t *table[S]) now() *S {
	if t.other != nil {
		return t.other.Snapshot()
	}
	return &t.own
}

// position is how far the view holds the log.
func (t *table[S]) position() events.Position {
	if t.other != nil {
		return t.other.Position()
	}
	return t.follower.cursor
}

// newRoutes makes the routing table of a router.
func newRoutes(w *World, at endpoint) *table[routing.State] {
	t := &table[routing.State]{own: routing.Empty(domain).Edit()}
	apply := func(envelope events.Envelope) {
		if seen, passes := w.seams.route(envelope); passes {
			t.own = t.own.Apply(seen)
		}
	}
	if w.options.Level != nil {
		t.other, apply = w.options.Level.Routes(domain)
	}
	from := events.Position(0)
	if f := w.options.founded; f != nil {
		t.own, from = f.routes.Edit(), f.base().Position
	}
	t.follower = w.log.follow(at, from, apply, nil)
	return t
}

// newInventory makes the inventory that operators look things up in.
func newInventory(w *World) *table[inventory.State] {
	t := &table[inventory.State]{own: inventory.State{}.Edit()}
	apply := func(envelope events.Envelope) {
		if seen, passes := w.seams.view(envelope); passes {
			t.own = t.own.Apply(seen)
		}
	}
	if w.options.Level != nil {
		t.other, apply = w.options.Level.Inventory()
	}
	from := events.Position(0)
	if f := w.options.founded; f != nil {
		t.own, from = f.inventory.Edit(), f.base().Position
	}
	t.follower = w.log.follow(logEndpoint, from, apply, nil)
	return t
}
