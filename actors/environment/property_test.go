package environment_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/environment"
	"pantheon/events"
)

func TestProperties(t *testing.T) {
	actortest.Machine[environment.State, environment.Command]{
		Actor:   actor,
		Command: func(t *rapid.T, _ environment.State) environment.Command { return command(t) },
		Again: func(c environment.Command) bool {
			deploy, _ := c.(environment.Deploy)
			_, rotates := c.(environment.RotateSeed)
			return deploy.Force || rotates
		},
		Check: check,
	}.Properties(t)
}

func command(t *rapid.T) environment.Command {
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1:
		return environment.Create{
			Environment: events.EnvironmentID(actor.Stream.ID), SiteName: "hello", Framework: events.PHP,
			UID: rapid.SampledFrom([]uint32{events.FirstUID, 1000}).Draw(t, "uid"), Settings: settings(t),
		}
	case 2, 3:
		return environment.ChangeSettings{Change: change(t)}
	case 4, 5, 6:
		return environment.Deploy{
			Commit: strings.Repeat(rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, "commit"), 40),
			Force:  rapid.Bool().Draw(t, "force"),
		}
	case 7:
		return environment.RotateSeed{}
	case 8:
		if rapid.Bool().Draw(t, "really") {
			return environment.RequestDeletion{}
		}
		return environment.RotateSeed{}
	default:
		return environment.Delete{}
	}
}

// change is of some settings; each of them may be wrong.
func change(t *rapid.T) environment.SettingsChange {
	var c environment.SettingsChange
	whole := settings(t)
	if rapid.Bool().Draw(t, "changes workers") {
		c.Workers = &whole.Workers
	}
	if rapid.Bool().Draw(t, "changes paths") {
		c.ProtectedWebPaths = &whole.ProtectedWebPaths
	}
	return c
}

func settings(t *rapid.T) events.EnvironmentSettings {
	s := environment.DefaultSettings("dev")
	s.Workers = rapid.IntRange(0, 66).Draw(t, "workers")
	s.ProtectedWebPaths = rapid.SampledFrom([][]string{nil, {}, {"/private/"}, {"private"}}).Draw(t, "paths")
	return s
}

func check(before environment.State, command environment.Command, decided []events.Event, after environment.State) error {
	switch {
	case before.Created.Environment != "" && !reflect.DeepEqual(before.Created, after.Created):
		return errors.New("invariant 1: what an environment is has changed")
	case after.Created.Environment != "" && after.Created.UID < events.FirstUID:
		return errors.New("invariant 1: a user id of the system")
	case after.Created.Environment != "" && (after.Settings.Workers < 1 || after.Settings.Workers > environment.MaxWorkers):
		return errors.New("invariant 2: settings out of bounds")
	case after.Deployment < before.Deployment || after.Deployment > before.Deployment+1 || after.Seed < before.Seed || after.Seed > before.Seed+1:
		return errors.New("invariant 3: a count is not one more")
	case before.Deleted && len(decided) > 0, before.Deleting && len(decided) > 0 && !after.Deleted, after.Deleted && !before.Deleting:
		return errors.New("invariant 5: the end is out of order")
	}
	deploy, deploys := command.(environment.Deploy)
	if deploys && deploy.Commit == before.Commit && !deploy.Force && len(decided) > 0 {
		return errors.New("invariant 4: deployed again without force")
	}
	return nil
}

func TestDefaultSettingsAreValid(t *testing.T) {
	for _, name := range []events.EnvironmentName{"dev", "test", "live", "feature"} {
		create := environment.Create{
			Environment: events.EnvironmentOf("01990000-0000-7000-8000-000000000001", name), SiteName: "hello",
			Framework: events.PHP, UID: events.FirstUID, Settings: environment.DefaultSettings(name),
		}
		if _, err := environment.Decide(environment.State{}, create); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if dev, live := environment.DefaultSettings("dev"), environment.DefaultSettings("live"); dev.IdleAfterSeconds != 3600 || live.IdleAfterSeconds != 43200 {
		t.Errorf("idle after %d and %d s", dev.IdleAfterSeconds, live.IdleAfterSeconds)
	}
}
