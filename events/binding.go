package events

// BindingKind is a kind of service, named as its users know it.
type BindingKind string

// The kinds of binding. A code server belongs to a site, the others to an
// environment. The appserver is the DROP itself and no binding.
const (
	CodeServer  BindingKind = "codeserver"
	DBServer    BindingKind = "dbserver"
	FileServer  BindingKind = "fileserver"
	CacheServer BindingKind = "cacheserver"
	IndexServer BindingKind = "indexserver"
)

// Known says whether the kind is one of the constants.
func (k BindingKind) Known() bool {
	switch k {
	case CodeServer, DBServer, FileServer, CacheServer, IndexServer:
		return true
	}
	return false
}

// BindingSpec is all that a host needs to know to provide a binding.
type BindingSpec struct {
	Kind BindingKind `json:"kind"`
	Site SiteID      `json:"site"`
	// Environment is empty for a code server.
	Environment EnvironmentID `json:"environment,omitzero"`
	// UID owns the binding's files; 0 for a code server and a database.
	UID       uint32 `json:"uid,omitzero"`
	MemoryMiB int    `json:"memory_mib"`
	// Source is what a code server imports when it is new.
	Source CodeSource `json:"source,omitzero"`
	// Framework of a file server's environment: some want folders that are there.
	Framework Framework `json:"framework,omitzero"`
	// Credential is the generation of the password, which is derived from the
	// site's key.
	Credential int `json:"credential,omitzero"`
}

// BindingRequested asks for a service; a placement follows.
type BindingRequested struct {
	Binding BindingID   `json:"binding"`
	Spec    BindingSpec `json:"spec"`
}

// BindingPlaced says which host admitted the binding.
type BindingPlaced struct {
	Binding BindingID `json:"binding"`
	Host    HostID    `json:"host"`
}

// BindingProvisioned is the host's fact that the service is there.
type BindingProvisioned struct {
	Binding BindingID `json:"binding"`
	Host    HostID    `json:"host"`
	// Code is what a code server found in its repository; nil for the others.
	Code *CodeFacts `json:"code,omitzero"`
}

// CodeFacts are the head of a repository's default branch and what that
// commit's pantheon.yml asks for; empty values leave the defaults.
type CodeFacts struct {
	Commit            string   `json:"commit"` // git object id
	PHPVersion        string   `json:"php_version,omitzero"`
	WebDocroot        bool     `json:"web_docroot,omitzero"`
	FileMount         string   `json:"file_mount,omitzero"`
	ProtectedWebPaths []string `json:"protected_web_paths,omitzero"`
}

// BindingFailed is the host's fact that it cannot provide the service.
type BindingFailed struct {
	Binding BindingID `json:"binding"`
	Host    HostID    `json:"host"`
	Reason  string    `json:"reason"`
	// Final: trying again cannot help (the repository does not exist).
	Final bool `json:"final"`
	// RetryAfterSeconds, where it is not final, rises with each failure in a
	// row.
	RetryAfterSeconds int64 `json:"retry_after_seconds,omitzero"`
}

// BindingRetirementRequested begins the binding's end.
type BindingRetirementRequested struct {
	Binding BindingID `json:"binding"`
}

// BindingRetired ends the binding: its host has removed it and its data.
type BindingRetired struct {
	Binding BindingID `json:"binding"`
	Host    HostID    `json:"host,omitzero"` // empty where it never had one
}

// BindingLost says that the binding's data is gone with its host, which the
// operator has written off.
type BindingLost struct {
	Binding BindingID   `json:"binding"`
	Host    HostID      `json:"host"`
	Kind    BindingKind `json:"kind"`
	Site    SiteID      `json:"site"`
	// Environment is empty for a code server.
	Environment EnvironmentID `json:"environment,omitzero"`
}

// BindingRenewalRequested asks for another binding, with nothing in it, in the
// place of one that was lost.
type BindingRenewalRequested struct {
	Binding BindingID `json:"binding"`
}

func (BindingRequested) isEvent()           {}
func (BindingPlaced) isEvent()              {}
func (BindingProvisioned) isEvent()         {}
func (BindingFailed) isEvent()              {}
func (BindingRetirementRequested) isEvent() {}
func (BindingRetired) isEvent()             {}
func (BindingLost) isEvent()                {}
func (BindingRenewalRequested) isEvent()    {}
