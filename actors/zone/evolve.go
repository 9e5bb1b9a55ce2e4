package zone

import (
	"maps"
	"time"

	"github.com/benbjohnson/immutable"

	"pantheon/events"
)

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.ZoneAdded:
		return State{Zone: e.Zone, Role: e.Role, Settings: e.Settings, Keys: s.Keys}
	case events.ZoneConfigured:
		s.Settings = e.Settings
	case events.ZoneRemoved:
		keys := maps.Clone(s.Keys)
		for id, key := range keys { // their ids are not used again
			key.State = removed
			keys[id] = key
		}
		return State{Keys: keys}
	case events.RecordsAdded:
		for _, r := range e.Records {
			set, _ := s.owner(r.Name).set(r.Type)
			s = s.withOwner(r.Name, s.owner(r.Name).with(set.with(r)))
		}
	case events.RecordsRemoved:
		for _, r := range e.Records {
			set, _ := s.owner(r.Name).set(r.Type)
			s = s.withOwner(r.Name, s.owner(r.Name).with(set.without(r.Data)))
		}
	case events.ChallengePresented:
		s.Challenges = with(s.Challenges, Challenge{e.Name, e.Value}, e.Expires)
	case events.ChallengeCleared:
		s.Challenges = without(s.Challenges, Challenge{e.Name, e.Value})
	case events.SecondaryAdded:
		s.Secondaries = with(s.Secondaries, e.Address, e)
	case events.SecondaryRemoved:
		s.Secondaries = without(s.Secondaries, e.Address)
	case events.ZoneKeyIntroduced:
		s.Keys = with(s.Keys, e.Key, Key{e, events.KeyPublished, e.At})
	case events.ZoneKeyActivated:
		s = s.withKey(e.Key, events.KeyActive, e.At)
	case events.ZoneKeyRetired:
		s = s.withKey(e.Key, events.KeyRetired, e.At)
	case events.ZoneKeyRemoved:
		s = s.withKey(e.Key, removed, e.At)
	case events.ZoneResigned:
		s.Resigned = e.At
	case events.ZoneSigningDecided:
		s.Unsigned = !e.Signed
	}
	return s
}

func (s State) withOwner(name string, o owner) State {
	s.Records += o.records() - s.owner(name).records()
	switch {
	case len(o) > 0 && s.owners == nil:
		s.owners = immutable.NewMap[string, owner](nil).Set(name, o)
	case len(o) > 0:
		s.owners = s.owners.Set(name, o)
	case s.owners != nil:
		if s.owners = s.owners.Delete(name); s.owners.Len() == 0 {
			s.owners = nil
		}
	}
	return s
}

func (s State) withKey(id events.ZoneKeyID, state events.ZoneKeyState, at time.Time) State {
	s.Keys = with(s.Keys, id, Key{s.Keys[id].Introduced, state, at})
	return s
}

// with is a copy of the map in which key has value.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[K]V, 1)
	}
	m[key] = value
	return m
}

// without is a copy of the map that lacks the key; nil where it was alone.
func without[K comparable, V any](m map[K]V, key K) map[K]V {
	if _, known := m[key]; !known {
		return m
	}
	if len(m) == 1 {
		return nil
	}
	m = maps.Clone(m)
	delete(m, key)
	return m
}
