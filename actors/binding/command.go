package binding

import "pantheon/events"

// Command is a wish or a report addressed to one binding. The set of types is
// closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Request asks for the service.
type Request struct {
	Binding events.BindingID
	Spec    events.BindingSpec
}

// Place says that a host has admitted the binding.
type Place struct{ Host events.HostID }

// Report brings what the binding's host saw: one of BindingProvisioned,
// BindingFailed and BindingRetired.
type Report struct {
	Host events.HostID
	Fact events.Event
}

// RequestRetirement begins the binding's end.
type RequestRetirement struct{}

// Retire ends a binding that no host ever had. A placed one ends with its
// host's report.
type Retire struct{}

func (Request) isCommand()           {}
func (Place) isCommand()             {}
func (Report) isCommand()            {}
func (RequestRetirement) isCommand() {}
func (Retire) isCommand()            {}
