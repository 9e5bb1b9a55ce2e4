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

// Lose says that the host was written off, and the data with it.
type Lose struct{ Host events.HostID }

// Renew asks for an empty binding in the place of this one, which was lost.
type Renew struct{}

// RequestRetirement begins the binding's end.
type RequestRetirement struct{}

// Retire ends a binding that no host ever had, or whose host has taken the data
// with it. Any other one ends with its host's report.
type Retire struct{}

func (Request) isCommand()           {}
func (Place) isCommand()             {}
func (Report) isCommand()            {}
func (Lose) isCommand()              {}
func (Renew) isCommand()             {}
func (RequestRetirement) isCommand() {}
func (Retire) isCommand()            {}
