package api

import (
	"time"

	"pantheon/events"
)

// Records are what the API shows. Where Terminus has a word for a field, that
// is the field's name; times of its records are Unix seconds. Fields below a
// record's blank line are ours.

// Site is a site's record.
type Site struct {
	ID                 events.SiteID    `json:"id"`
	Name               string           `json:"name"`
	Label              string           `json:"label"`
	Created            int64            `json:"created"`
	Framework          events.Framework `json:"framework"`
	Organization       *string          `json:"organization"`
	PlanName           string           `json:"plan_name"`
	ServiceLevel       string           `json:"service_level"`
	HolderType         string           `json:"holder_type"`
	HolderID           events.AccountID `json:"holder_id"`
	Owner              events.AccountID `json:"owner"`
	PreferredZone      string           `json:"preferred_zone"`
	PreferredZoneLabel string           `json:"preferred_zone_label"`
	Frozen             bool             `json:"frozen"`
	LastFrozenAt       *int64           `json:"last_frozen_at"`
	PHPVersion         string           `json:"php_version"` // "82"
	Settings           SiteSettings     `json:"settings"`
	Upstream           SiteUpstream     `json:"upstream"`

	State  string `json:"state"`           // creating, active or deleting
	Reason string `json:"reason,omitzero"` // of the deletion
}

// SiteSettings is the part of a site's settings that Terminus reads.
type SiteSettings struct {
	MaxEnvironments int          `json:"max_num_cdes"`
	Upstream        SiteUpstream `json:"upstream"`
}

// SiteUpstream says where a site's code came from.
type SiteUpstream struct {
	ID            events.UpstreamID `json:"id"`
	ProductID     events.UpstreamID `json:"product_id"`
	URL           string            `json:"url"`
	Branch        string            `json:"branch"`
	Label         string            `json:"label"`
	MachineName   string            `json:"machine_name"`
	Framework     events.Framework  `json:"framework"`
	RepositoryURL string            `json:"repository_url"`
}

// Environment is an environment's record.
type Environment struct {
	Created              int64                  `json:"environment_created"`
	DNSZone              string                 `json:"dns_zone"`
	Lock                 EnvironmentLock        `json:"lock"`
	OnServerDevelopment  bool                   `json:"on_server_development"`
	PHPVersion           string                 `json:"php_version"` // "82"
	TargetRef            string                 `json:"target_ref"`
	TargetCommit         string                 `json:"target_commit"`
	Initialized          bool                   `json:"is_initialized"`
	Diffstat             struct{}               `json:"diffstat"`
	Maintenance          EnvironmentMaintenance `json:"maintenance"`
	EnvironmentVariables struct{}               `json:"environment_variables"`
	StyxCluster          string                 `json:"styx_cluster"`
	Watchers             int                    `json:"watchers"`

	Name     events.EnvironmentName `json:"name"`
	Site     events.SiteID          `json:"site_id"`
	SiteName string                 `json:"site_name"`
	State    string                 `json:"state"` // not_initialized, preparing, serving or deleting
	URL      string                 `json:"url"`
	// Settings are absent while the environment is only a name.
	Settings *events.EnvironmentSettings `json:"settings,omitzero"`
	Drops    []Drop                      `json:"drops"`
	// Losses stand in the record of one environment, not in lists.
	Losses []Loss `json:"losses,omitzero"`
}

// Loss is what the loss of one host would do to an environment that has
// something on it.
type Loss struct {
	Host     events.HostID        `json:"host"`
	HostName string               `json:"host_name"`
	Lost     bool                 `json:"lost,omitzero"` // it is lost already
	Services []events.BindingKind `json:"services,omitzero"`
	Drops    int                  `json:"drops"`     // of the environment, on the host
	AllDrops int                  `json:"all_drops"` // of the environment
	// Effect is none (it is served on), moves (it is served again when its DROP has
	// been placed elsewhere), down (until the host is back) or gone (it was removed
	// with what it had).
	Effect string `json:"effect"`
	Text   string `json:"text"` // for people
}

// EnvironmentLock is the web lock of an environment; this version has none.
type EnvironmentLock struct {
	Locked   bool    `json:"locked"`
	Username *string `json:"username"`
	Password *string `json:"password"`
}

// EnvironmentMaintenance is the maintenance mode; this version has none.
type EnvironmentMaintenance struct {
	Enabled bool `json:"enabled"`
}

// Settings is what GET …/settings answers.
type Settings struct {
	Initialized bool `json:"is_initialized"`
	SSLEnabled  bool `json:"ssl_enabled"`
	events.EnvironmentSettings
}

// Domain is a host name of an environment.
type Domain struct {
	ID            string    `json:"id"`
	Type          string    `json:"type"`
	Primary       bool      `json:"primary"`
	Deletable     bool      `json:"deletable"`
	Status        string    `json:"status"`
	StatusMessage string    `json:"status_message"`
	DNSDetails    DNSStatus `json:"dns_status_details"`
}

// DNSStatus recommends DNS records; a platform domain needs none.
type DNSStatus struct {
	Records []struct{} `json:"dns_records"`
}

// Workflow is a workflow's record.
type Workflow struct {
	ID                    events.WorkflowID   `json:"id"`
	Type                  events.WorkflowType `json:"type"`
	Description           string              `json:"description"`
	ActiveDescription     string              `json:"active_description"`
	CreatedAt             int64               `json:"created_at"`
	StartedAt             int64               `json:"started_at"`
	FinishedAt            *int64              `json:"finished_at"` // null while it runs
	TotalTime             float64             `json:"total_time"`  // seconds
	Result                *string             `json:"result"`      // null, succeeded or failed
	Environment           *string             `json:"environment"`
	Step                  int                 `json:"step"` // steps done
	NumberOfTasks         int                 `json:"number_of_tasks"`
	User                  WorkflowUser        `json:"user"`
	HasOperationLogOutput bool                `json:"has_operation_log_output"`
	Operations            []Operation         `json:"operations,omitzero"`
	FinalTask             *FinalTask          `json:"final_task,omitzero"`
	// WaitingForTask is absent, not null, once the workflow has finished:
	// Terminus merges each answer over the one before it.
	WaitingForTask *WaitingForTask `json:"waiting_for_task,omitzero"`

	Site     events.SiteID  `json:"site_id"`
	SiteName string         `json:"site_name"`
	Steps    []WorkflowStep `json:"steps"`
}

// WorkflowUser says whose workflow it is.
type WorkflowUser struct {
	ID    events.AccountID `json:"id"`
	Email string           `json:"email"`
}

// Operation is a step in the words of Terminus.
type Operation struct {
	ID          string  `json:"id"`
	Type        string  `json:"type"`
	Description string  `json:"description"`
	Environment string  `json:"environment"`
	Result      *string `json:"result"`
	RunTime     float64 `json:"run_time"`
	LogOutput   string  `json:"log_output"`
}

// FinalTask says why a workflow failed.
type FinalTask struct {
	Reason   string   `json:"reason"`
	Messages struct{} `json:"messages"`
}

// WaitingForTask names the site while create_site runs.
type WaitingForTask struct {
	Site events.SiteID `json:"site_id"`
}

// WorkflowStep is one step of a workflow and how far it is.
type WorkflowStep struct {
	Name  string `json:"name"`
	State string `json:"state"` // waiting, running, done, failed or skipped
	// Undo: a step of the way back.
	Undo bool `json:"undo,omitzero"`
}

// Host is a machine of the DROPs matrix.
type Host struct {
	ID          events.HostID     `json:"id"`
	Name        string            `json:"name"`
	Zone        string            `json:"zone"`
	State       string            `json:"state"` // ready, draining, lost or removed
	Reason      string            `json:"reason,omitzero"`
	Since       time.Time         `json:"since,omitzero"` // of the state
	Roles       []events.HostRole `json:"roles,omitzero"`
	Addresses   []string          `json:"addresses,omitzero"`
	Endpoint    string            `json:"endpoint,omitzero"` // of its mesh, host:port
	Isolated    bool              `json:"isolated"`
	Cores       int               `json:"cores"`
	MemoryMiB   int               `json:"memory_mib"`
	ReservedMiB int               `json:"reserved_mib"` // what is admitted costs asleep
	AwakeMiB    int               `json:"awake_mib"`    // limits of the DROPs that are awake
	FreeMiB     int               `json:"free_mib"`
	Drops       int               `json:"drops"`
	Awake       int               `json:"awake"`
	Bindings    int               `json:"bindings"`
	Version     string            `json:"version"`
	// Protocol that its binary speaks with the cell's other machines, and versions
	// of PHP that it has; absent where it has not said.
	Protocol int      `json:"protocol,omitzero"`
	PHP      []string `json:"php,omitzero"`
	// Live is how the node that answers sees the machine now; absent where it does
	// not know, and about the past.
	Live *HostLive `json:"live,omitzero"`
}

// HostLive are figures that are in no log. What is absent is not known.
type HostLive struct {
	Connected   bool     `json:"connected"`
	RoundTripMS *float64 `json:"round_trip_ms,omitzero"`
	AwakeDrops  *int     `json:"awake_drops,omitzero"`
	Load1       *float64 `json:"load1,omitzero"` // over the last minute (proc_loadavg(5))
	// Boot tells the starts of the platform there apart.
	Boot string `json:"boot,omitzero"`
}

// Restarting answers the order to restart a machine.
type Restarting struct {
	// Boot of the process that ends.
	Boot string `json:"boot"`
}

// Cell is what the cell is made of.
type Cell struct {
	ID       string                            `json:"id"` // empty where the node does not know
	Domain   string                            `json:"domain"`
	Machines map[events.HostRole][]CellMachine `json:"machines"`
	Log      []CellReplica                     `json:"log"` // the machines that hold it
	// Spare is how many of them may be lost before commands stop; below zero where
	// they have, absent where it is not known.
	Spare *int   `json:"spare,omitzero"`
	Text  string `json:"text"` // the same for people
}

// CellMachine is a machine that takes a role.
type CellMachine struct {
	Host     events.HostID `json:"host"`
	HostName string        `json:"host_name"`
	State    string        `json:"state"`
}

// CellReplica is a machine that holds the log.
type CellReplica struct {
	Host     events.HostID `json:"host"`
	HostName string        `json:"host_name"`
	Leader   bool          `json:"leader"`
	Current  bool          `json:"current"` // it is there and has all of it
}

// Drop is one DROP.
type Drop struct {
	ID          events.DropID          `json:"id"`
	Site        events.SiteID          `json:"site_id"`
	SiteName    string                 `json:"site_name"`
	Environment events.EnvironmentName `json:"environment"`
	Host        events.HostID          `json:"host"`
	HostName    string                 `json:"host_name"`
	State       string                 `json:"state"`
	MemoryMiB   int                    `json:"memory_mib"`
	// Reason of the last failure, or what woke it or put it to sleep.
	Reason string    `json:"reason,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	// Failures to prepare or start it in a row. Its host tries again, a little
	// later each time.
	Failures int `json:"failures,omitzero"`
	// Moving: another one is to take its place.
	Moving bool `json:"moving,omitzero"`
	// Lost: its host is, and the state is what was heard last.
	Lost bool `json:"lost,omitzero"`
	// Unplaced says why no host takes it, where it waits for one and the node that
	// answers runs the policies; in no answer about the past.
	Unplaced string `json:"unplaced,omitzero"`
}

// Candidate is a host as the placement of a DROP sees it, the best first.
type Candidate struct {
	Host     events.HostID `json:"host"`
	HostName string        `json:"host_name"`
	Zone     string        `json:"zone"`
	Holds    bool          `json:"holds"` // it has the DROP
	// Refused says why it cannot take the DROP; empty where it can.
	Refused      string `json:"refused,omitzero"`
	Siblings     int    `json:"siblings"`      // the environment's other DROPs on it
	ZoneSiblings int    `json:"zone_siblings"` // and in its zone
	Near         bool   `json:"near"`          // it holds a part of the site
	RoomMiB      int    `json:"room_mib"`      // its memory for each thing it would then hold
	// Rebalancing says that the DROP would move here, or does, and why; empty
	// where it does not.
	Rebalancing string `json:"rebalancing,omitzero"`
}

// Binding is one service of an environment or site.
type Binding struct {
	ID          events.BindingID       `json:"id"`
	Type        events.BindingKind     `json:"type"`
	Site        events.SiteID          `json:"site_id"`
	SiteName    string                 `json:"site_name"`
	Environment events.EnvironmentName `json:"environment"`
	Host        events.HostID          `json:"host"`
	HostName    string                 `json:"host_name"`
	State       string                 `json:"state"`
	Reason      string                 `json:"reason,omitzero"`
	Since       time.Time              `json:"since,omitzero"`
	// Lost: its host is, and the state is what was heard last.
	Lost bool `json:"lost,omitzero"`
}

// Upstream is code to make sites from.
type Upstream struct {
	ID               events.UpstreamID `json:"id"`
	Label            string            `json:"label"`
	MachineName      string            `json:"machine_name"`
	Type             string            `json:"type"` // core: the operator's
	Framework        events.Framework  `json:"framework"`
	OrganizationID   *string           `json:"organization_id"`
	RepositoryURL    string            `json:"repository_url"`
	RepositoryBranch string            `json:"repository_branch"`
}

// UpstreamChange is the body of POST upstreams and PUT upstreams/{upstream}.
type UpstreamChange struct {
	MachineName      string           `json:"machine_name"`
	Label            string           `json:"label"`
	Framework        events.Framework `json:"framework"`
	RepositoryURL    string           `json:"repository_url"` // or an absolute path
	RepositoryBranch string           `json:"repository_branch,omitzero"`
}

// User is an account as Terminus knows a user.
type User struct {
	ID      events.AccountID   `json:"id"`
	Email   string             `json:"email"`
	Profile Profile            `json:"profile"`
	Kind    events.AccountKind `json:"kind"`
}

// Profile is a user's name.
type Profile struct {
	FullName  string `json:"full_name"`
	FirstName string `json:"firstname"`
	LastName  string `json:"lastname"`
}

// AccountChange is the body of POST accounts.
type AccountChange struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Token is a machine token's record; the token itself is only in the answer
// that made it.
type Token struct {
	ID         events.TokenID `json:"id"`
	DeviceName string         `json:"device_name"`
	Expires    time.Time      `json:"expires,omitzero"`
	Token      string         `json:"machine_token,omitzero"`
}

// TokenRequest is the body of POST users/{user}/machine_tokens.
type TokenRequest struct {
	DeviceName string    `json:"device_name"`
	Expires    time.Time `json:"expires,omitzero"`
}

// HostToken is the record of a token by which one machine may join; the token
// itself is only in the answer that made it.
type HostToken struct {
	ID       events.TokenID    `json:"id"`
	Roles    []events.HostRole `json:"roles"` // that the machine may take
	Expires  time.Time         `json:"expires"`
	State    string            `json:"state"`         // open, used, revoked or expired
	Host     events.HostID     `json:"host,omitzero"` // that has joined by it
	HostName string            `json:"host_name,omitzero"`
	Made     time.Time         `json:"made"`
	MadeBy   string            `json:"made_by"` // an account's name
	Gateway  string            `json:"gateway"` // cli: on a machine of the cell
	Token    string            `json:"token,omitzero"`
}

// HostTokenRequest is the body of POST host-tokens.
type HostTokenRequest struct {
	// Roles that the machine may take; all where there is no such member.
	Roles []events.HostRole `json:"roles,omitzero"`
	// LifetimeSeconds is how long it lets a machine in, a week at most; an hour
	// without it.
	LifetimeSeconds int64 `json:"lifetime_seconds,omitzero"`
}

// Login is the body of POST authorize/machine-token.
type Login struct {
	MachineToken string `json:"machine_token"`
	Client       string `json:"client,omitzero"`
}

// Session is its answer.
type Session struct {
	Session   string           `json:"session"`
	ExpiresAt int64            `json:"expires_at"`
	UserID    events.AccountID `json:"user_id"`
}

// CodeCommit is one commit of a site's code.
type CodeCommit struct {
	Hash     string    `json:"hash"`
	Author   string    `json:"author"`
	Email    string    `json:"email"`
	DateTime time.Time `json:"datetime"`
	Message  string    `json:"message"`
	Labels   []string  `json:"labels"` // environments that run it
	Parents  []string  `json:"parents"`
}

// SiteName is the answer of GET site-names/{name}.
type SiteName struct {
	ID   events.SiteID `json:"id"`
	Name string        `json:"name"`
}

// Health is the answer of GET health.
type Health struct {
	Status   string          `json:"status"`
	Position events.Position `json:"position"` // of the inventory
}

// Version is the answer of GET version.
type Version struct {
	Version string `json:"version"`
}

// Membership is one item of users/{user}/memberships/sites.
type Membership struct {
	ID       events.SiteID `json:"id"`
	Role     string        `json:"role"`
	Archived bool          `json:"archived"`
	Site     Site          `json:"site"`
}

// SiteMember is one item of sites/{site}/memberships/users.
type SiteMember struct {
	ID   events.AccountID `json:"id"`
	Role string           `json:"role"`
	User User             `json:"user"`
}

// Authorization says whether the caller may start a type of workflow.
type Authorization struct {
	ID          string `json:"id"`
	Environment string `json:"environment,omitzero"`
	Authorized  bool   `json:"is_user_authorized"`
	Description string `json:"description"`
}
