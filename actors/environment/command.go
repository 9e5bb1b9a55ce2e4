package environment

import "pantheon/events"

// Command is a wish addressed to one environment. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Create begins the environment.
type Create struct {
	Environment events.EnvironmentID
	SiteName    string
	Framework   events.Framework
	UID         uint32
	Settings    events.EnvironmentSettings
}

// ChangeSettings replaces the settings as a whole.
type ChangeSettings struct{ Settings events.EnvironmentSettings }

// Deploy decides which release the environment runs. The release that runs
// already is deployed again only with Force; without it the command does
// nothing.
type Deploy struct {
	Commit  string // full git object id in hexadecimal
	Message string
	Force   bool
}

// RotateSeed changes every salt that PHP of this environment sees.
type RotateSeed struct{}

// RequestDeletion begins the environment's end.
type RequestDeletion struct{}

// Delete ends the environment; its DROPs and bindings are gone.
type Delete struct{}

func (Create) isCommand()          {}
func (ChangeSettings) isCommand()  {}
func (Deploy) isCommand()          {}
func (RotateSeed) isCommand()      {}
func (RequestDeletion) isCommand() {}
func (Delete) isCommand()          {}
