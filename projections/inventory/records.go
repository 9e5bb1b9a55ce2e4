package inventory

import (
	"time"

	"pantheon/events"
)

// Status is where something stands, in the words of the command line.
type Status string

// The statuses of sites, environments, DROPs, bindings and hosts.
const (
	Creating       Status = "creating"        // site: its first environment does not serve yet
	Active         Status = "active"          // site
	NotInitialized Status = "not_initialized" // environment: a name so far
	Preparing      Status = "preparing"       // environment created, DROP or binding placed, not ready yet
	Serving        Status = "serving"         // environment: code is deployed
	Requested      Status = "requested"       // DROP, binding: waits for a host
	Ready          Status = "ready"           // DROP prepared and never started; binding provided; host present
	Awake          Status = "awake"           // DROP: its process runs
	Asleep         Status = "asleep"          // DROP: it has no process
	Crashed        Status = "crashed"         // DROP: its process ended by itself; the next request starts it
	Failed         Status = "failed"          // DROP, binding: cannot be prepared or started; see the reason
	Lost           Status = "lost"            // host; binding: its data is gone with its host
	Deleting       Status = "deleting"        // anything on its way out
)

// Site is a customer's application.
type Site struct {
	ID        events.SiteID     `json:"id"`
	Name      string            `json:"name"`
	Label     string            `json:"label"`
	Owner     events.AccountID  `json:"owner"`
	Upstream  events.UpstreamID `json:"upstream"`
	Framework events.Framework  `json:"framework"`
	Source    events.CodeSource `json:"source"`
	Status    Status            `json:"status"`
	Reason    string            `json:"reason,omitzero"` // of the deletion
	Created   time.Time         `json:"created"`
	// Environments that have a stream, in the order of their creation.
	Environments []events.EnvironmentName `json:"environments"`
	// Bindings of the site itself: its code server.
	Bindings []events.BindingID `json:"bindings"`
}

// Environment is a running copy of a site, or the name of one.
type Environment struct {
	ID         events.EnvironmentID       `json:"id"`
	Site       events.SiteID              `json:"site"`
	Name       events.EnvironmentName     `json:"name"`
	SiteName   string                     `json:"site_name"`
	Framework  events.Framework           `json:"framework"`
	Status     Status                     `json:"status"`
	Created    time.Time                  `json:"created,omitzero"`
	UID        uint32                     `json:"uid,omitzero"`
	Settings   events.EnvironmentSettings `json:"settings"`
	Commit     string                     `json:"commit,omitzero"` // git object id that is deployed
	Message    string                     `json:"message,omitzero"`
	Deployment int                        `json:"deployment,omitzero"`
	Deployed   time.Time                  `json:"deployed,omitzero"`
	Seed       int                        `json:"seed,omitzero"`
	Drops      []events.DropID            `json:"drops"`
	Bindings   []events.BindingID         `json:"bindings"`
}

// Initialized says whether code was ever deployed.
func (e *Environment) Initialized() bool { return e.Deployment > 0 }

// Drop is one PHP runtime.
type Drop struct {
	ID          events.DropID        `json:"id"`
	Environment events.EnvironmentID `json:"environment"`
	Host        events.HostID        `json:"host,omitzero"`
	MemoryMiB   int                  `json:"memory_mib"`
	Status      Status               `json:"status"`
	// Reason of the last failure, or what woke it or put it to sleep.
	Reason  string    `json:"reason,omitzero"`
	Attempt int       `json:"attempt,omitzero"` // failures to prepare or start it in a row
	Changed time.Time `json:"changed"`
	Created time.Time `json:"created"`
	// Generation of the spec that its host has prepared.
	Generation int `json:"generation,omitzero"`
	// Moving: another one is to take its place.
	Moving bool `json:"moving,omitzero"`
}

// Binding is one service given to an environment or site.
type Binding struct {
	ID          events.BindingID     `json:"id"`
	Kind        events.BindingKind   `json:"kind"`
	Site        events.SiteID        `json:"site"`
	Environment events.EnvironmentID `json:"environment,omitzero"`
	Host        events.HostID        `json:"host,omitzero"`
	MemoryMiB   int                  `json:"memory_mib"`
	Credential  int                  `json:"credential,omitzero"` // generation of the password
	Status      Status               `json:"status"`
	Reason      string               `json:"reason,omitzero"`
	Final       bool                 `json:"final,omitzero"`  // trying again cannot help
	Commit      string               `json:"commit,omitzero"` // head of a code server's default branch
	Changed     time.Time            `json:"changed"`
	Created     time.Time            `json:"created"`
}

// Host is one machine of the DROPs matrix.
type Host struct {
	ID     events.HostID `json:"id"`
	Name   string        `json:"name"`
	Zone   string        `json:"zone,omitzero"`
	Status Status        `json:"status"` // ready or lost
	Reason string        `json:"reason,omitzero"`
	// Draining: it takes nothing more, and its DROPs are replaced elsewhere.
	Draining bool `json:"draining,omitzero"`
	// Addresses that the machine has, and where its mesh is reached, host:port.
	Addresses []string `json:"addresses,omitzero"`
	Endpoint  string   `json:"endpoint,omitzero"`
	// Roles that the machine takes; none for all of them.
	Roles []events.HostRole `json:"roles,omitzero"`
	// Protocol that its binary speaks, and the versions of PHP that it has; zero and
	// nil where it has not said.
	Protocol  int      `json:"protocol,omitzero"`
	PHP       []string `json:"php,omitzero"`
	Cores     int      `json:"cores"`
	MemoryMiB int      `json:"memory_mib"` // what it offers
	// ReservedMiB is what everything admitted costs while nothing is awake.
	ReservedMiB int `json:"reserved_mib"`
	// AwakeMiB is the sum of the limits of the DROPs that are awake.
	AwakeMiB int       `json:"awake_mib"`
	FreeMiB  int       `json:"free_mib"`
	Isolated bool      `json:"isolated"`
	Version  string    `json:"version"`
	Drops    int       `json:"drops"`
	Awake    int       `json:"awake"`
	Bindings int       `json:"bindings"`
	Changed  time.Time `json:"changed"`
	Created  time.Time `json:"created"`
}

// RemovedHost is a machine that was taken out of the cell.
type RemovedHost struct {
	ID   events.HostID `json:"id"`
	Name string        `json:"name"` // that it had
}

// Result is how a workflow ended; empty while it runs.
type Result string

// The results.
const (
	Succeeded       Result = "succeeded"
	WorkflowFailure Result = "failed"
)

// Workflow is a long operation.
type Workflow struct {
	ID          events.WorkflowID    `json:"id"`
	Type        events.WorkflowType  `json:"type"`
	Description string               `json:"description"`
	Site        events.SiteID        `json:"site"`
	SiteName    string               `json:"site_name,omitzero"`
	Environment events.EnvironmentID `json:"environment,omitzero"`
	Principal   string               `json:"principal"` // who started it
	Result      Result               `json:"result,omitzero"`
	Reason      string               `json:"reason,omitzero"`
	Steps       []Step               `json:"steps"`
	Started     time.Time            `json:"started"`
	Finished    time.Time            `json:"finished,omitzero"`
	// Changed is the position of its newest commit, Position that of its start.
	Changed  events.Position `json:"changed"`
	Position events.Position `json:"position"`
}

// Progress counts the steps that are done, and all of them.
func (w *Workflow) Progress() (done, all int) {
	for i := range w.Steps {
		if w.Steps[i].State == StepDone {
			done++
		}
	}
	return done, len(w.Steps)
}

// StepState is how far a step is.
type StepState string

// The states of a step.
const (
	StepWaiting StepState = "waiting"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped" // left when the workflow went back
)

// Step is one step of a workflow, the way back included.
type Step struct {
	Name  events.WorkflowStep `json:"name"`
	State StepState           `json:"state"`
	Undo  bool                `json:"undo,omitzero"` // a step of the way back
	At    time.Time           `json:"at,omitzero"`   // of its end
}

// Account is a person, an organisation, or the operator.
type Account struct {
	ID        events.AccountID    `json:"id"`
	Kind      events.AccountKind  `json:"kind"`
	Name      string              `json:"name"`
	Email     string              `json:"email,omitzero"`
	Created   time.Time           `json:"created"`
	Ended     bool                `json:"ended,omitzero"` // it is forgotten, or is being
	Tokens    []string            `json:"-"`              // hashes, oldest first
	Upstreams []events.UpstreamID `json:"upstreams"`
}

// Token is a machine token that was not revoked. Whether it has expired is for
// who has a clock.
type Token struct {
	ID      events.TokenID   `json:"id"`
	Account events.AccountID `json:"account"`
	Device  string           `json:"device"`
	Hash    string           `json:"-"`
	Issued  time.Time        `json:"issued"`
	Expires time.Time        `json:"expires,omitzero"`
}

// Upstream is code to make sites from.
type Upstream struct {
	ID        events.UpstreamID `json:"id"`
	Account   events.AccountID  `json:"account"`
	Name      string            `json:"name"`
	Label     string            `json:"label"`
	Framework events.Framework  `json:"framework"`
	Source    events.CodeSource `json:"source"`
	Added     time.Time         `json:"added"`
}

// Name is one unique name and its holder.
type Name struct {
	ID    events.NameID `json:"id"`
	By    string        `json:"by"` // "<kind>/<id>"
	Since time.Time     `json:"since"`
}
