package events

// EnvironmentCreated begins an environment's stream.
type EnvironmentCreated struct {
	Environment EnvironmentID `json:"environment"`
	SiteName    string        `json:"site_name"`
	Framework   Framework     `json:"framework"`
	// UID is the system user id under which everything of this environment
	// runs, on every host. It is FirstUID plus the position of the commit that
	// asked for the environment: unique in the cell without a registry.
	UID      uint32              `json:"uid"`
	Settings EnvironmentSettings `json:"settings"`
}

// FirstUID is the smallest user id given to an environment; system and human
// users of a machine stay below it.
const FirstUID = 1 << 20

// EnvironmentSettings is all that an operator may set on an environment.
type EnvironmentSettings struct {
	PHPVersion string `json:"php_version"` // "8.2"
	// WebDocroot: the document root is the directory web of the code.
	WebDocroot bool `json:"web_docroot"`
	// FileMount overrides the framework's; empty for the framework's.
	FileMount string `json:"file_mount,omitzero"`
	// ProtectedWebPaths are exact prefixes that are answered with 403; at most
	// 24 of them.
	ProtectedWebPaths []string `json:"protected_web_paths,omitzero"`
	// Connection is git (code is read-only) or sftp (code is writable).
	Connection ConnectionMode `json:"connection"`
	// Drops is how many DROPs shall serve.
	Drops int `json:"drops"`
	// Workers is the number of PHP workers of each DROP.
	Workers int `json:"workers"`
	// MemoryMiB bounds each DROP.
	MemoryMiB int `json:"memory_mib"`
	// IdleAfterSeconds without a request, a DROP sleeps; 0 is never.
	IdleAfterSeconds int64 `json:"idle_after_seconds"`
}

// ConnectionMode is how code is changed.
type ConnectionMode string

// The connection modes.
const (
	ConnectionGit  ConnectionMode = "git"
	ConnectionSFTP ConnectionMode = "sftp"
)

// EnvironmentSettingsChanged replaces the settings as a whole.
type EnvironmentSettingsChanged struct {
	Environment EnvironmentID       `json:"environment"`
	Settings    EnvironmentSettings `json:"settings"`
}

// CodeDeployed decides which release the environment runs from here on. The
// first one initialises the environment.
type CodeDeployed struct {
	Environment EnvironmentID `json:"environment"`
	// Commit is the full git object id in hexadecimal.
	Commit  string `json:"commit"`
	Message string `json:"message,omitzero"`
	// Deployment counts the deployments of this environment, from 1; PHP sees
	// it in PANTHEON_DEPLOYMENT_IDENTIFIER.
	Deployment int `json:"deployment"`
}

// SeedRotated changes every salt that PHP of this environment sees: salts are
// derived from the site's key and this number.
type SeedRotated struct {
	Environment EnvironmentID `json:"environment"`
	Generation  int           `json:"generation"`
}

// EnvironmentDeletionRequested begins the environment's end.
type EnvironmentDeletionRequested struct {
	Environment EnvironmentID `json:"environment"`
}

// EnvironmentDeleted ends the environment: its DROPs and bindings are gone.
type EnvironmentDeleted struct {
	Environment EnvironmentID `json:"environment"`
}

func (EnvironmentCreated) isEvent()           {}
func (EnvironmentSettingsChanged) isEvent()   {}
func (CodeDeployed) isEvent()                 {}
func (SeedRotated) isEvent()                  {}
func (EnvironmentDeletionRequested) isEvent() {}
func (EnvironmentDeleted) isEvent()           {}
