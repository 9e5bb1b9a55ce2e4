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
				site.Activate{}, site.RequestDeletion{}, site.Delete{}, site.Forget{}, site.ReportForgotten{},
			})).Draw(t, "command")
		},
		Check: check,
	}.Properties(t)
}

func check(before site.State, command site.Command, decided []events.Event, after site.State) error {
	switch {
	case after.Phase < before.Phase:
		return errors.New("a site went back in its life")
	case before.Phase != site.Nothing && after.Phase != site.Forgotten && after.Created != before.Created:
		return errors.New("invariant 2: what a site is has changed")
	case after.Phase == site.Deleted && before.Phase < site.Deleting:
		return errors.New("invariant 3: deleted without a request")
	case before.Phase == site.Deleted && len(decided) > 0 && after.Phase != site.Forgetting:
		return errors.New("invariant 4: something follows Deleted")
	case after.Phase == site.Forgotten && before.Phase < site.Forgetting:
		return errors.New("invariant 5: forgotten, and nobody asked for it")
	case after.Phase == site.Forgotten && after.Created.Label+after.Created.Source.Location != "":
		return errors.New("invariant 2: the state of a forgotten site holds personal texts")
	}
	_, deletes := command.(site.Delete)
	if before.Phase == site.Deleting && len(decided) > 0 && !deletes {
		return errors.New("invariant 4: something but Deleted follows the request")
	}
	return nil
}
