package zone

import (
	"iter"
)

// Save gives the view's records; each is valid until the next.
func (s *State) Save() iter.Seq2[[]byte, error] { return func(func([]byte, error) bool) {} }

// Load fills an empty view, which brings the options, from records of Save.
func (s *State) Load(records iter.Seq2[[]byte, error]) (*State, error) { return s, nil }
