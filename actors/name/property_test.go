package name_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/name"
	"pantheon/events"
)

func TestProperties(t *testing.T) {
	holders := rapid.SampledFrom([]string{"site/01990000-0000-7000-8000-000000000001", "site/01990000-0000-7000-8000-000000000002", "nobody", ""})
	actortest.Machine[name.State, name.Command]{
		Actor: actor,
		Command: func(t *rapid.T, _ name.State) name.Command {
			by := holders.Draw(t, "by")
			if rapid.Bool().Draw(t, "claim") {
				return name.Claim{Name: "site:hello", By: by}
			}
			return name.Release{Name: "site:hello", By: by}
		},
		Check: func(before name.State, command name.Command, _ []events.Event, after name.State) error {
			release, releases := command.(name.Release)
			switch {
			case before.By != "" && after.By != "" && before.By != after.By:
				return errors.New("invariant 1: the name went from one holder to another")
			case before.By != "" && after.By == "" && (!releases || release.By != before.By):
				return errors.New("invariant 2: somebody else gave the name back")
			}
			return nil
		},
	}.Properties(t)
}
