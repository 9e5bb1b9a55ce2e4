package environment

import (
	"reflect"
	"regexp"
	"slices"

	"pantheon/events"
	"pantheon/events/problem"
)

// MaxMessageBytes bounds what a deployment says about itself.
const MaxMessageBytes = 1024

// commitPattern is a git object id in full: SHA-1 or SHA-256.
var commitPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, creating := command.(Create); creating {
		return create(s, c)
	}
	id := s.Created.Environment
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the environment").WithHint("pantheon env list")
	}
	switch command.(type) {
	case RequestDeletion:
		if s.Deleting {
			return nil, nil
		}
		return []events.Event{events.EnvironmentDeletionRequested{Environment: id}}, nil
	case Delete:
		return remove(s)
	case Create, ChangeSettings, Deploy, RotateSeed: // above and below
	}
	if s.Deleting {
		return nil, problem.New(problem.Conflict, "cannot change environment %s: it is being deleted", id)
	}
	switch c := command.(type) {
	case ChangeSettings:
		return changeSettings(s, c)
	case Deploy:
		return deploy(s, c)
	case RotateSeed:
		return []events.Event{events.SeedRotated{Environment: id, Generation: s.Seed + 1}}, nil
	case Create, RequestDeletion, Delete: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: an environment has no such command", command)
}

func create(s State, c Create) ([]events.Event, error) {
	created := events.EnvironmentCreated(c)
	created.Settings = own(c.Settings)
	if s.exists() {
		if !s.Deleting && reflect.DeepEqual(s.Created, created) {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot create environment %s: it exists already", c.Environment)
	}
	if _, err := events.ParseEnvironmentID(string(c.Environment)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot create the environment")
	}
	if _, err := events.ParseSiteName(c.SiteName); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot create environment %s", c.Environment)
	}
	switch {
	case !c.Framework.Known():
		return nil, problem.New(problem.Invalid, "cannot create environment %s: framework %.40q is not known", c.Environment, c.Framework)
	case c.UID < events.FirstUID || c.UID == noUID:
		return nil, problem.New(problem.Invalid, "cannot create environment %s: user id %d is outside %d to %d", c.Environment, c.UID, events.FirstUID, uint32(noUID-1))
	}
	if err := check(c.Settings); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot create environment %s", c.Environment)
	}
	return []events.Event{created}, nil
}

// noUID means "no change" to setuid(2), so nobody can have it.
const noUID = 1<<32 - 1

func changeSettings(s State, c ChangeSettings) ([]events.Event, error) {
	settings := own(c.Change.Apply(s.Settings))
	if reflect.DeepEqual(s.Settings, settings) {
		return nil, nil
	}
	if err := check(settings); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot change the settings of %s.%s", s.Created.SiteName, s.Created.Environment.Name())
	}
	return []events.Event{events.EnvironmentSettingsChanged{Environment: s.Created.Environment, Settings: settings}}, nil
}

// own copies what the settings share with their sender, and gives an empty
// list its one form.
func own(settings events.EnvironmentSettings) events.EnvironmentSettings {
	settings.ProtectedWebPaths = slices.Clone(settings.ProtectedWebPaths)
	if len(settings.ProtectedWebPaths) == 0 {
		settings.ProtectedWebPaths = nil
	}
	return settings
}

func deploy(s State, c Deploy) ([]events.Event, error) {
	if !commitPattern.MatchString(c.Commit) {
		return nil, problem.New(problem.Invalid, "cannot deploy commit %.80q: it is no full git object id", c.Commit)
	}
	if err := events.CheckText("the message", c.Message, MaxMessageBytes); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot deploy commit %s", c.Commit)
	}
	if s.Commit == c.Commit && !c.Force {
		return nil, nil
	}
	return []events.Event{events.CodeDeployed{
		Environment: s.Created.Environment, Commit: c.Commit, Message: c.Message, Deployment: s.Deployment + 1,
	}}, nil
}

func remove(s State) ([]events.Event, error) {
	switch {
	case s.Deleted:
		return nil, nil
	case s.Deleting:
		return []events.Event{events.EnvironmentDeleted{Environment: s.Created.Environment}}, nil
	}
	return nil, problem.New(problem.Conflict, "cannot delete environment %s: its deletion was not requested", s.Created.Environment)
}
