package host

import "pantheon/events"

// Command is a wish addressed to one host. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Register begins the host or renews what it offers.
type Register struct {
	Host      events.HostID
	Name      string
	Zone      string
	MemoryMiB int
	Cores     int
	Isolated  bool
	Version   string
}

// ReportAddresses says where other machines reach the host: IP addresses.
type ReportAddresses struct{ Addresses []string }

// ReportEndpoint says where the other machines of the cell reach the host's
// mesh: host:port.
type ReportEndpoint struct{ Endpoint string }

// TakeRoles says what the machine takes part in.
type TakeRoles struct{ Roles []events.HostRole }

// ReportSoftware says what the machine can do by what is installed on it.
type ReportSoftware struct {
	Protocol int
	PHP      []string
}

// Drain empties the host: it admits nothing more, and its DROPs are replaced
// elsewhere.
type Drain struct{}

// EndDrain lets the host admit again.
type EndDrain struct{}

// Remove takes the machine out of the cell; Conflict while it holds anything.
type Remove struct{}

// WriteOff takes a machine that is gone for good out of the cell, with all that
// it holds; Conflict while the host is neither lost nor drained.
type WriteOff struct{}

// ReportLost says that the host's lease ran out.
type ReportLost struct{ Reason string }

// ReportRefused says that the machine was refused as one of the cell, and why; it
// counts as lost.
type ReportRefused struct{ Reason string }

// ReportReturned says that the lost host has renewed its lease.
type ReportReturned struct{}

// AdmitDrop asks the host to take a DROP; Busy where it does not fit.
type AdmitDrop struct {
	Drop events.DropID
	Spec events.DropSpec
}

// ChangeDropSpec replaces the spec of an admitted DROP; Busy where the new
// one does not fit. A generation that is not newer does nothing.
type ChangeDropSpec struct {
	Drop events.DropID
	Spec events.DropSpec
}

// DismissDrop takes the DROP from the host.
type DismissDrop struct {
	Drop   events.DropID
	Reason string
}

// AdmitBinding asks the host to provide a service; Busy where it does not fit.
type AdmitBinding struct {
	Binding events.BindingID
	Spec    events.BindingSpec
}

// DismissBinding takes the binding and its data from the host.
type DismissBinding struct{ Binding events.BindingID }

// OrderSleep puts an admitted DROP to sleep once.
type OrderSleep struct{ Drop events.DropID }

// OrderWake wakes an admitted DROP once.
type OrderWake struct{ Drop events.DropID }

func (Register) isCommand()        {}
func (ReportAddresses) isCommand() {}
func (ReportEndpoint) isCommand()  {}
func (TakeRoles) isCommand()       {}
func (ReportSoftware) isCommand()  {}
func (Drain) isCommand()           {}
func (EndDrain) isCommand()        {}
func (Remove) isCommand()          {}
func (WriteOff) isCommand()        {}
func (ReportLost) isCommand()      {}
func (ReportRefused) isCommand()   {}
func (ReportReturned) isCommand()  {}
func (AdmitDrop) isCommand()       {}
func (ChangeDropSpec) isCommand()  {}
func (DismissDrop) isCommand()     {}
func (AdmitBinding) isCommand()    {}
func (DismissBinding) isCommand()  {}
func (OrderSleep) isCommand()      {}
func (OrderWake) isCommand()       {}
