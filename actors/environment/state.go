package environment

import "pantheon/events"

// State is what an environment's stream says; the zero value is one that
// never was.
type State struct {
	Created    events.EnvironmentCreated // as it began
	Settings   events.EnvironmentSettings
	Commit     string // of the release that runs; empty before the first deployment
	Deployment int    // counted from 1
	Seed       int    // generation of the salts, from 1
	Deleting   bool
	Deleted    bool
}

func (s State) exists() bool { return s.Created.Environment != "" }
