package simulations

import (
	"fmt"
	"time"

	"pantheon/actors"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/machine"
)

// Seams are where a test breaks the cell on purpose, to see that the checkers
// notice. The zero value breaks nothing.
type Seams struct {
	// Decide wraps every actor's decider.
	Decide func(actors.Decide) actors.Decide
	// Intent replaces an intent of the policies; none means that it is lost.
	Intent func(w *World, intent policy.Intent) []policy.Intent
	// Drop stands for machine.Step.
	Drop func(machine.State, machine.Input, time.Time) (machine.State, []machine.Effect)
	// Route changes what routers see of the log, or hides it.
	Route func(events.Envelope) (events.Envelope, bool)
	// Zone changes what the zone sees of the log, or hides it.
	Zone func(events.Envelope) (events.Envelope, bool)
	// View changes what the inventory sees of the log, or hides it.
	View func(events.Envelope) (events.Envelope, bool)
	// Unfenced machines serve although their lease is over.
	Unfenced bool
	// Overcommit: agents wake whatever the memory says.
	Overcommit bool
	// Unreported: agents take facts for reported that were not sent.
	Unreported bool
	// Renamed: a command that is sent again gets another id.
	Renamed bool
	// CalmAfter is until when a test breaks something that the World does not
	// know of: before it nothing is promised to be within its bound.
	CalmAfter time.Duration
	// Denied: an append whose end is unclear is answered as a refusal.
	Denied bool
}

func (s *Seams) decide(production actors.Decide) actors.Decide {
	if s.Decide == nil {
		return production
	}
	return s.Decide(production)
}

func (s *Seams) intent(w *World, intent policy.Intent) []policy.Intent {
	if s.Intent == nil {
		return []policy.Intent{intent}
	}
	return s.Intent(w, intent)
}

func (s *Seams) drop(state machine.State, in machine.Input, now time.Time) (machine.State, []machine.Effect) {
	if s.Drop == nil {
		return machine.Step(state, in, now)
	}
	return s.Drop(state, in, now)
}

func (s *Seams) route(envelope events.Envelope) (events.Envelope, bool) {
	if s.Route == nil {
		return envelope, true
	}
	return s.Route(envelope)
}

func (s *Seams) view(envelope events.Envelope) (events.Envelope, bool) {
	if s.View == nil {
		return envelope, true
	}
	return s.View(envelope)
}

// wish gives the command id of an attempt.
func (s *Seams) wish(w *wish) events.CommandID {
	if s.Renamed && w.attempts > 1 {
		return events.CommandID(fmt.Sprintf("%s:%d", w.id, w.attempts))
	}
	return w.id
}

// answer gives what the sender of a command is told.
func (s *Seams) answer(err error) error {
	if s.Denied && problem.KindOf(err) == problem.Unavailable {
		return problem.New(problem.Conflict, "%v", err)
	}
	return err
}
