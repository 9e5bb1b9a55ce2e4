package events

// HostRegistered begins a host, or says that it has come back with a new
// capacity.
type HostRegistered struct {
	Host      HostID `json:"host"`
	Name      string `json:"name"`
	Zone      string `json:"zone,omitzero"`
	MemoryMiB int    `json:"memory_mib"` // what it offers to DROPs and bindings
	Cores     int    `json:"cores"`
	// Isolated: DROPs run in sandboxes. False without root: tenants of this
	// host can reach one another.
	Isolated bool   `json:"isolated"`
	Version  string `json:"version"` // of the binary
}

// HostAddressesChanged says where other machines reach the host, as the host
// sees it.
type HostAddressesChanged struct {
	Host      HostID   `json:"host"`
	Addresses []string `json:"addresses"` // IP addresses, sorted
}

// HostEndpointChanged says where the other machines of the cell reach the
// host's mesh.
type HostEndpointChanged struct {
	Host     HostID `json:"host"`
	Endpoint string `json:"endpoint"` // host:port
}

// HostRole is a part that a machine takes in the cell.
type HostRole string

// The roles.
const (
	RoleControl HostRole = "control" // a replica of the log, the policies, the cell's CA
	RoleHost    HostRole = "host"    // DROPs and bindings
	RoleEntry   HostRole = "entry"   // Styx
	RoleDNS     HostRole = "dns"     // Yggdrasil's name server
)

// Known says whether this version knows the role.
func (r HostRole) Known() bool {
	switch r {
	case RoleControl, RoleHost, RoleEntry, RoleDNS:
		return true
	}
	return false
}

// HostRolesChanged says what the machine takes part in; a host that never said
// has every role.
type HostRolesChanged struct {
	Host  HostID     `json:"host"`
	Roles []HostRole `json:"roles"` // sorted
}

// HostSoftwareChanged says what the machine can do by what is installed on it, as
// the machine sees it.
type HostSoftwareChanged struct {
	Host HostID `json:"host"`
	// Protocol is what its binary speaks with the other machines of the cell.
	Protocol int `json:"protocol"`
	// PHP are the versions that sites can run with there, sorted.
	PHP []string `json:"php"`
}

// HostLost says that the host's lease ran out, or that it takes no part for
// another reason: what it holds is to be placed elsewhere.
type HostLost struct {
	Host   HostID `json:"host"`
	Reason string `json:"reason"`
}

// HostReturned says that a lost host has renewed its lease.
type HostReturned struct {
	Host HostID `json:"host"`
}

// HostDrainRequested says that the host shall be empty: it takes nothing more,
// and the DROPs it holds are to be replaced elsewhere.
type HostDrainRequested struct {
	Host HostID `json:"host"`
}

// HostDrainEnded says that the host takes DROPs and bindings again.
type HostDrainEnded struct {
	Host HostID `json:"host"`
}

// HostRemoved ends a host that holds nothing: the machine is no longer of the
// cell.
type HostRemoved struct {
	Host HostID `json:"host"`
}

// HostWrittenOff ends a host whose machine is gone for good: the cell has given
// up what it held, and BindingLost follows for each of its bindings.
type HostWrittenOff struct {
	Host     HostID `json:"host"`
	Drops    int    `json:"drops"` // that it held, as Bindings
	Bindings int    `json:"bindings"`
}

// DropAdmitted is the host's promise: the memory is set aside, and its agent
// shall have the DROP as the spec says.
type DropAdmitted struct {
	Host HostID   `json:"host"`
	Drop DropID   `json:"drop"`
	Spec DropSpec `json:"spec"`
}

// DropSpecChanged replaces the spec of an admitted DROP.
type DropSpecChanged struct {
	Host HostID   `json:"host"`
	Drop DropID   `json:"drop"`
	Spec DropSpec `json:"spec"`
}

// DropDismissed takes the DROP from the host: its agent shall stop and remove
// it, and the memory is free again.
type DropDismissed struct {
	Host   HostID `json:"host"`
	Drop   DropID `json:"drop"`
	Reason string `json:"reason"`
}

// BindingAdmitted is the host's promise for a service: its agent shall have
// it as the spec says.
type BindingAdmitted struct {
	Host    HostID      `json:"host"`
	Binding BindingID   `json:"binding"`
	Spec    BindingSpec `json:"spec"`
}

// BindingDismissed takes the binding from the host: its agent shall remove it
// and all its data.
type BindingDismissed struct {
	Host    HostID      `json:"host"`
	Binding BindingID   `json:"binding"`
	Spec    BindingSpec `json:"spec"`
}

// DropSleepOrdered and DropWakeOrdered are an operator's wish, carried out by
// the host's agent once; the facts DropSlept and DropAwoke answer them.
type DropSleepOrdered struct {
	Host HostID `json:"host"`
	Drop DropID `json:"drop"`
}

// DropWakeOrdered: see DropSleepOrdered.
type DropWakeOrdered struct {
	Host HostID `json:"host"`
	Drop DropID `json:"drop"`
}

func (HostRegistered) isEvent()       {}
func (HostAddressesChanged) isEvent() {}
func (HostEndpointChanged) isEvent()  {}
func (HostRolesChanged) isEvent()     {}
func (HostSoftwareChanged) isEvent()  {}
func (HostLost) isEvent()             {}
func (HostDrainRequested) isEvent()   {}
func (HostDrainEnded) isEvent()       {}
func (HostRemoved) isEvent()          {}
func (HostReturned) isEvent()         {}
func (HostWrittenOff) isEvent()       {}
func (DropAdmitted) isEvent()         {}
func (DropSpecChanged) isEvent()      {}
func (DropDismissed) isEvent()        {}
func (BindingAdmitted) isEvent()      {}
func (BindingDismissed) isEvent()     {}
func (DropSleepOrdered) isEvent()     {}
func (DropWakeOrdered) isEvent()      {}

// DropSpec is all that a host needs to know to run a DROP.
type DropSpec struct {
	// Generation rises with every change of the spec, from 1.
	Generation  int                 `json:"generation"`
	Environment EnvironmentID       `json:"environment"`
	SiteName    string              `json:"site_name"`
	Framework   Framework           `json:"framework"`
	UID         uint32              `json:"uid"`
	Commit      string              `json:"commit"` // git object id of the release
	Deployment  int                 `json:"deployment"`
	Seed        int                 `json:"seed"` // generation of the salts
	Settings    EnvironmentSettings `json:"settings"`
	Services    []BoundService      `json:"services"` // sorted by kind
}

// BoundService is a binding as its DROPs see it.
type BoundService struct {
	Kind    BindingKind `json:"kind"`
	Binding BindingID   `json:"binding"`
	Host    HostID      `json:"host"`
}
