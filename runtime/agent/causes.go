package agent

import (
	"sync"

	"pantheon/events"
	"pantheon/runtime/agent/desired"
)

// causes remembers which commits of the host's stream the agent acts on, so
// that every fact it reports names what led to it.
//
// A fact's cause is the newest commit that said what the DROP or binding shall
// be; of what an operator ordered, the order. A visitor's request is in no log:
// a DROP that it wakes is there because of its spec, and DropAwoke says what
// woke it.
type causes struct {
	mu sync.Mutex
	of map[events.StreamID]cause
}

// cause holds positions of the host's stream; 0 is none.
type cause struct{ spec, order events.Position }

// note takes what one commit of the host's stream has changed.
func (c *causes) note(change desired.Change, position events.Position) {
	stream := change.Drop.Stream()
	switch {
	case change.Binding != "":
		stream = change.Binding.Stream()
	case change.Order != nil:
		stream = change.Order.Drop.Stream()
	case change.Drop == "":
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[events.StreamID]cause{}
	}
	known := c.of[stream]
	if change.Order != nil {
		known.order = position
	} else {
		known.spec = position
	}
	c.of[stream] = known
}

// cause gives the position that led to a fact about a DROP or binding.
func (c *causes) cause(stream events.StreamID, fact events.Event) events.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.of[stream]
	ordered := false
	switch f := fact.(type) {
	case events.DropAwoke:
		ordered = f.Trigger == "operator"
	case events.DropSlept:
		ordered = f.Trigger == "operator"
	}
	if ordered && known.order > 0 {
		return known.order
	}
	return known.spec
}

// forget ends what is known of a DROP or binding that is gone.
func (c *causes) forget(stream events.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, stream)
}
