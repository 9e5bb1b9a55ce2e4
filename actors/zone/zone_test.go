package zone_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/zone"
	"pantheon/events"
)

var actor = actortest.Actor[zone.State, zone.Command]{
	Stream: events.ZoneName("example.org").Stream(),
	Decide: zone.Decide, Evolve: zone.Evolve,
	Commands: []zone.Command{
		zone.Add{}, zone.Configure{}, zone.Remove{}, zone.AddRecords{}, zone.SetRecords{}, zone.RemoveRecords{},
		zone.PresentChallenge{}, zone.ClearChallenge{}, zone.AddSecondary{}, zone.RemoveSecondary{},
		zone.IntroduceKey{}, zone.ActivateKey{}, zone.RetireKey{}, zone.RemoveKey{}, zone.Resign{}, zone.DecideSigning{},
	},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
