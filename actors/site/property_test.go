package site_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/site"
	"pantheon/events"
)

func TestProperties(t *testing.T) {
	create := func(t *rapid.T) site.Command {
		return site.Create{
			Site: events.SiteID(actor.Stream.ID), Name: rapid.SampledFrom([]string{"hello", "other", "No"}).Draw(t, "name"),
			Framework: events.PHP, Source: events.CodeSource{Location: "/code"},
		}
	}
	actortest.Machine[site.State, site.Command]{
		Actor: actor,
		Command: func(t *rapid.T, _ site.State) site.Command {
			return rapid.OneOf(rapid.Custom(create), rapid.SampledFrom([]site.Command{
				site.Activate{}, site.RequestDeletion{}, site.Delete{},
			})).Draw(t, "command")
		},
		Check: check,
	}.Properties(t)
}

func check(before site.State, command site.Command, decided []events.Event, after site.State) error {
	switch {
	case after.Phase < before.Phase:
		return errors.New("a site went back in its life")
	case before.Phase != site.Nothing && after.Created != before.Created:
		return errors.New("invariant 2: what a site is has changed")
	case after.Phase == site.Deleted && before.Phase < site.Deleting:
		return errors.New("invariant 3: deleted without a request")
	case before.Phase == site.Deleted && len(decided) > 0:
		return errors.New("invariant 4: something follows Deleted")
	}
	_, deletes := command.(site.Delete)
	if before.Phase == site.Deleting && len(decided) > 0 && !deletes {
		return errors.New("invariant 4: something but Deleted follows the request")
	}
	return nil
}
