package site_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/site"
	"pantheon/events"
)

var actor = actortest.Actor[site.State, site.Command]{
	Stream: events.SiteID("01990000-0000-7000-8000-000000000001").Stream(),
	Decide: site.Decide, Evolve: site.Evolve,
	Commands: []site.Command{site.Create{}, site.Activate{}, site.RequestDeletion{}, site.Delete{}, site.Forget{}, site.ReportForgotten{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
