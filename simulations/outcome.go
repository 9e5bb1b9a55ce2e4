package simulations

import (
	"fmt"
	"time"

	"pantheon/actors/name"
	"pantheon/events"
)

// Lease is how long a simulated host is believed alive without a sign of it: who
// plays a scenario on machines with another one keeps what is shorter shorter.
const Lease = lease

// Course says how something went that was wanted all the time.
type Course string

// The courses.
const (
	Always Course = "always"
	Paused Course = "not for a while"
	Ended  Course = "not at the end"
)

// Fate says what became of DROPs.
type Fate string

// The fates: a DROP that moves was taken from its host first, one that is
// replaced serves until the other is ready.
const (
	Stayed   Fate = "stayed"
	Moved    Fate = "moved"
	Replaced Fate = "were replaced"
	Both     Fate = "moved and were replaced"
)

// Outcome says what came of a scenario in classes that hold for a cell of any
// kind and size: what was simulated and what came of real machines compare by
// it.
type Outcome struct {
	// Broken is the rule of package check that was broken first; empty for none.
	Broken   string `json:"broken,omitzero"`
	Commands Course `json:"commands"` // were taken
	// Visitors were served, whose database and files were within reach; Bereft
	// are the others.
	Visitors Course `json:"visitors"`
	Bereft   Course `json:"bereft"`
	Hosts    Course `json:"hosts"` // kept their leases
	Drops    Fate   `json:"drops"`
}

func (o Outcome) String() string {
	kept := "every promise was kept"
	if o.Broken != "" {
		kept = "broken: " + o.Broken
	}
	return fmt.Sprintf("%s; commands were taken: %s; visitors were served: %s, without their data: %s; hosts were there: %s; DROPs %s",
		kept, o.Commands, o.Visitors, o.Bereft, o.Hosts, o.Drops)
}

// A few requests may fail by the chance of a moment, as a POST that was under way
// in the instant of a crash: fewAlways, and one of each fewOf. A host that is lost
// fails more for as long as its lease lasts.
const (
	fewAlways = 3
	fewOf     = 100_000
)

// Tally counts what was wanted and not had.
type Tally struct {
	Failed int64
	Had    int64 // beside them, where a few failures do not count; 0 where each does
	Open   bool  // still, at the end
}

// Course gives its class.
func (t Tally) Course() Course {
	switch {
	case t.Open:
		return Ended
	case t.Failed > t.few():
		return Paused
	}
	return Always
}

func (t Tally) few() int64 {
	if t.Had == 0 {
		return 0
	}
	return fewAlways + t.Had/fewOf
}

// Seen is what was seen of a cell while a scenario ran: what its log tells
// (Commit), and what those outside it count.
type Seen struct {
	Broken                     string
	Commands, Visitors, Bereft Tally

	lost      map[events.HostID]bool // false: it is back
	displaced map[events.DropID]bool
	asked     map[events.DropID]bool // to move, by somebody
	moved     int
	replaced  int
}

// Commit takes the next commit of the log.
func (s *Seen) Commit(envelope events.Envelope) {
	if s.lost == nil {
		s.lost, s.displaced, s.asked = map[events.HostID]bool{}, map[events.DropID]bool{}, map[events.DropID]bool{}
	}
	for _, event := range envelope.Events {
		switch e := event.(type) {
		case events.HostLost:
			s.lost[e.Host] = true
		case events.HostReturned:
			s.lost[e.Host] = false
		case events.DropDisplaced:
			s.displaced[e.Drop] = true
		case events.DropPlaced:
			if s.displaced[e.Drop] {
				s.moved++
			}
			delete(s.displaced, e.Drop)
		case events.DropMoveRequested:
			s.asked[e.Drop] = true
		case events.DropRetirementRequested:
			if !s.asked[e.Drop] {
				s.replaced++
			}
		}
	}
}

// Outcome gives the classes of what was seen.
func (s *Seen) Outcome() Outcome {
	hosts := Tally{Failed: int64(len(s.lost))}
	for _, lost := range s.lost {
		hosts.Open = hosts.Open || lost
	}
	o := Outcome{Broken: s.Broken, Commands: s.Commands.Course(), Visitors: s.Visitors.Course(), Bereft: s.Bereft.Course(), Hosts: hosts.Course(), Drops: Stayed}
	switch {
	case s.moved > 0 && s.replaced > 0:
		o.Drops = Both
	case s.moved > 0:
		o.Drops = Moved
	case s.replaced > 0:
		o.Drops = Replaced
	}
	return o
}

// seen is what the run has shown, from the end of the past on.
func (w *World) seen() *Seen {
	s := &Seen{
		Commands: Tally{Failed: w.stats.refusals, Open: w.operators.open > 0},
		Visitors: Tally{Failed: w.stats.unserved - w.stats.dataless, Had: w.stats.served}, // at the end a rule would be broken
		Bereft:   Tally{Failed: w.stats.dataless + w.stats.degraded},
	}
	if w.violation != nil {
		s.Broken = w.violation.Rule
	}
	for _, to := range w.sites {
		s.Bereft.Open = s.Bereft.Open || w.ledger.DataLost(to.env)
	}
	from := 0
	if w.options.Past != nil {
		from = len(w.options.Past.commits)
	}
	for _, envelope := range w.log.all[min(from, len(w.log.all)):] {
		s.Commit(envelope)
	}
	return s
}

// insist sends a command again and again that changes little: a name is claimed
// and released.
func (o *operators) insist(every time.Duration) {
	claim := events.UniqueName(events.SpaceHost, "www.insistent."+domain)
	by := o.sites[0].env.Stream().String()
	var next func(held bool)
	next = func(held bool) {
		if o.stop {
			return
		}
		var command any = name.Claim{Name: claim, By: by}
		if held {
			command = name.Release{Name: claim, By: by}
		}
		o.want(claim.Stream(), command, func(events.Receipt, error) { o.after(every, func() { next(!held) }) })
	}
	next(false)
}
