package actors

import "pantheon/events"

// Evolve folds one event into a state.
type Evolve func(state any, event events.Event) any

// Seams are where a simulator breaks every actor on purpose, to see what the
// shell makes of it. The zero value breaks nothing.
type Seams struct {
	Decide func(Decide) Decide
	Evolve func(Evolve) Evolve
}

func (s Seams) wrap(row behaviour) behaviour {
	if s.Decide != nil {
		row.decide = s.Decide(row.decide)
	}
	if s.Evolve != nil {
		row.evolve, row.replay = s.Evolve(row.evolve), nil
	}
	return row
}
