package zone

import (
	"encoding/base64"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

func introduceKey(s State, c IntroduceKey) ([]events.Event, error) {
	introduced := events.ZoneKeyIntroduced{
		Zone: s.Zone, Key: c.Key, Role: c.Role, Algorithm: c.Algorithm, Tag: c.Tag, Public: c.Public, At: c.At.Round(0).UTC(),
	}
	if key, known := s.Keys[c.Key]; known {
		if key.Introduced == introduced && key.State != removed {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot introduce key %s: it was introduced before", c.Key)
	}
	if _, err := events.ParseZoneKeyID(string(c.Key)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot introduce the key")
	}
	public, err := base64.StdEncoding.DecodeString(c.Public)
	switch {
	case !c.Role.Known():
		return nil, problem.New(problem.Invalid, "cannot introduce key %s: its role %.20q is none of ksk, zsk and csk", c.Key, c.Role)
	case err != nil || len(public) == 0 || len(c.Public) > MaxPublicKeyBytes:
		return nil, problem.New(problem.Invalid, "cannot introduce key %s: its public half is no base64 of at most %d bytes", c.Key, MaxPublicKeyBytes)
	case c.Algorithm < 1 || c.Algorithm > 255 || c.Tag < 0 || c.Tag > 65535 || c.At.IsZero():
		return nil, problem.New(problem.Invalid, "cannot introduce key %s: algorithm %d, tag %d, at %s", c.Key, c.Algorithm, c.Tag, c.At)
	}
	if s.Unsigned {
		return nil, problem.New(problem.Conflict, "cannot introduce a key: zone %s shall not be signed", s.Zone).WithHint("pantheon dns zone sign %s", s.Zone)
	}
	live := 0
	for _, key := range s.Keys {
		if key.State == removed {
			continue
		}
		live++
		if key.Introduced.Tag == c.Tag && key.Introduced.Algorithm == c.Algorithm {
			return nil, problem.New(problem.Conflict, "cannot introduce key %s: key %s has the tag %d too, and validators would try both", c.Key, key.Introduced.Key, c.Tag).
				WithHint("make another key")
		}
	}
	if live >= MaxKeys {
		return nil, problem.New(problem.Conflict, "cannot introduce a key: zone %s has %d", s.Zone, live).WithHint("remove retired ones first")
	}
	return []events.Event{introduced}, nil
}

// key finds a key that a command is about.
func (s State) key(id events.ZoneKeyID, at time.Time, what string) (Key, error) {
	key, known := s.Keys[id]
	switch {
	case !known:
		return Key{}, problem.New(problem.NotFound, "cannot %s key %.40q: zone %s has no such key", what, id, s.Zone).WithHint("pantheon dns key list %s", s.Zone)
	case at.IsZero():
		return Key{}, problem.New(problem.Invalid, "cannot %s key %s: the command has no time", what, id)
	}
	return key, nil
}

func activateKey(s State, c ActivateKey) ([]events.Event, error) {
	key, err := s.key(c.Key, c.At, "activate")
	switch {
	case err != nil:
		return nil, err
	case key.State == events.KeyActive:
		return nil, nil
	case key.State != events.KeyPublished:
		return nil, problem.New(problem.Conflict, "cannot activate key %s: it is %s", c.Key, key.State)
	}
	return []events.Event{events.ZoneKeyActivated{Zone: s.Zone, Key: c.Key, At: c.At.Round(0).UTC()}}, nil
}

func retireKey(s State, c RetireKey) ([]events.Event, error) {
	key, err := s.key(c.Key, c.At, "retire")
	switch {
	case err != nil:
		return nil, err
	case key.State == events.KeyRetired:
		return nil, nil
	case key.State != events.KeyActive:
		return nil, problem.New(problem.Conflict, "cannot retire key %s: it is %s", c.Key, key.State)
	case !c.Unsigned && !s.signedWithout(c.Key):
		return nil, problem.New(problem.Conflict, "cannot retire key %s: zone %s would be left half signed", c.Key, s.Zone).
			WithHint("activate its successor first")
	}
	return []events.Event{events.ZoneKeyRetired{Zone: s.Zone, Key: c.Key, At: c.At.Round(0).UTC()}}, nil
}

// signedWithout says whether the other active keys sign the whole zone.
func (s State) signedWithout(id events.ZoneKeyID) bool {
	var keySet, rest bool
	for other, key := range s.Keys {
		if other == id || key.State != events.KeyActive {
			continue
		}
		keySet = keySet || key.Introduced.Role != events.ZoneSigning
		rest = rest || key.Introduced.Role != events.KeySigning
	}
	return keySet && rest
}

func removeKey(s State, c RemoveKey) ([]events.Event, error) {
	key, err := s.key(c.Key, c.At, "remove")
	switch {
	case err != nil:
		return nil, err
	case key.State == removed:
		return nil, nil
	case key.State == events.KeyActive:
		return nil, problem.New(problem.Conflict, "cannot remove key %s: it signs", c.Key).WithHint("retire it first")
	}
	return []events.Event{events.ZoneKeyRemoved{Zone: s.Zone, Key: c.Key, At: c.At.Round(0).UTC()}}, nil
}

func resign(s State, c Resign) ([]events.Event, error) {
	switch {
	case c.At.IsZero():
		return nil, problem.New(problem.Invalid, "cannot sign zone %s again: the command has no time", s.Zone)
	case !c.At.After(s.Resigned):
		return nil, nil
	case !s.signedWithout(""):
		return nil, problem.New(problem.Conflict, "cannot sign zone %s again: it has no active keys", s.Zone).WithHint("pantheon dns key list %s", s.Zone)
	}
	return []events.Event{events.ZoneResigned{Zone: s.Zone, At: c.At.Round(0).UTC()}}, nil
}

func decideSigning(s State, c DecideSigning) ([]events.Event, error) {
	switch {
	case c.At.IsZero():
		return nil, problem.New(problem.Invalid, "cannot decide about the signing of zone %s: the command has no time", s.Zone)
	case c.Signed != s.Unsigned:
		return nil, nil
	}
	return []events.Event{events.ZoneSigningDecided{Zone: s.Zone, Signed: c.Signed, At: c.At.Round(0).UTC()}}, nil
}
