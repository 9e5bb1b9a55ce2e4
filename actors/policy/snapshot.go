package policy

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// Version names the form of a snapshot and the rules of Apply. It changes with
// either, and a snapshot of another version is not restored: the log is folded
// again instead.
const Version = 8

// Snapshot encodes the fold. What was planned is not part of it.
func (s *State) Snapshot() ([]byte, error) { return json.Marshal(s, json.Deterministic(true)) }

// Restore decodes what Snapshot gave. Every site is looked at once, because
// what was planned before is not in it.
func Restore(snapshot []byte) (*State, error) {
	s := New()
	if err := json.Unmarshal(snapshot, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("cannot restore the policies' state: %w", err)
	}
	for id, h := range s.Hosts {
		s.index.update(id, h)
	}
	for id, of := range s.Sites {
		s.dirty[id] = true
		for _, d := range of.Drops {
			if d.Moving {
				s.moving[d.ID] = true
			}
		}
	}
	s.unrest = true
	return s, nil
}
