// Package zone is the view that the name server answers from: every zone of the
// cell, compiled.
package zone

import (
	"iter"
	"net/netip"

	"pantheon/events"
)

// Version of the fold and of its saved form; raise it when either changes, and
// the view is rebuilt from the log.
const Version = 1

// Options are what the zones are made of beside the log.
type Options struct {
	// Domain is the platform's: <env>-<site>.<domain>. Required.
	Domain string
	// Internal is the zone of the names of services and hosts. Default:
	// "internal." and the domain.
	Internal string
	// Entry addresses are where visitors reach the cell.
	Entry []netip.Addr
}

// State is every zone the cell is authoritative for. It is immutable, unless
// Edit gave it. It implements projections.State of *State.
type State struct {
	options Options
}

// Empty gives the view of an empty log.
func Empty(options Options) *State { return &State{options: options} }

// Find gives the zone whose apex is the longest at or above the name; nil
// where the cell has none.
func (s *State) Find(name []byte) *Zone { return nil }

// Zone gives the zone with this apex; nil where the cell has none.
func (s *State) Zone(apex []byte) *Zone { return nil }

// All gives every zone in canonical order of the apexes.
func (s *State) All() iter.Seq[*Zone] { return func(func(*Zone) bool) {} }

// Apply folds one commit.
func (s *State) Apply(envelope events.Envelope) *State { return s }

// Edit gives a state that Apply may change in place: only the newest one may
// be used from here on, until Seal.
func (s *State) Edit() *State { copied := *s; return &copied }

// Seal gives a state for readers: no later Apply changes it.
func (s *State) Seal() *State { return s }

// Save gives the view's records; each is valid until the next.
func (s *State) Save() iter.Seq2[[]byte, error] { return func(func([]byte, error) bool) {} }

// Load fills an empty view, which brings the options, from records of Save.
func (s *State) Load(records iter.Seq2[[]byte, error]) (*State, error) { return s, nil }
