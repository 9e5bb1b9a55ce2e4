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

// ChangeSettings changes the settings that are given; the others stay as they
// are when it is decided, so that two changes at once do not undo each other.
type ChangeSettings struct{ Change SettingsChange }

// SettingsChange is a change of some settings: nil leaves one as it is.
type SettingsChange struct {
	PHPVersion        *string                `json:"php_version,omitzero"`
	WebDocroot        *bool                  `json:"web_docroot,omitzero"`
	FileMount         *string                `json:"file_mount,omitzero"`
	ProtectedWebPaths *[]string              `json:"protected_web_paths,omitzero"`
	Connection        *events.ConnectionMode `json:"connection,omitzero"`
	Drops             *int                   `json:"drops,omitzero"`
	Workers           *int                   `json:"workers,omitzero"`
	MemoryMiB         *int                   `json:"memory_mib,omitzero"`
	IdleAfterSeconds  *int64                 `json:"idle_after_seconds,omitzero"`
}

// Apply gives the settings with the change made.
func (c SettingsChange) Apply(settings events.EnvironmentSettings) events.EnvironmentSettings {
	set(&settings.PHPVersion, c.PHPVersion)
	set(&settings.WebDocroot, c.WebDocroot)
	set(&settings.FileMount, c.FileMount)
	set(&settings.ProtectedWebPaths, c.ProtectedWebPaths)
	set(&settings.Connection, c.Connection)
	set(&settings.Drops, c.Drops)
	set(&settings.Workers, c.Workers)
	set(&settings.MemoryMiB, c.MemoryMiB)
	set(&settings.IdleAfterSeconds, c.IdleAfterSeconds)
	return settings
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

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
