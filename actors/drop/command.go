package drop

import "pantheon/events"

// Command is a wish or a report addressed to one DROP. The set of types is
// closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Request asks for the DROP.
type Request struct {
	Drop        events.DropID
	Environment events.EnvironmentID
	MemoryMiB   int
}

// Place says that a host has admitted the DROP.
type Place struct{ Host events.HostID }

// Displace takes the DROP from a host.
type Displace struct {
	Host   events.HostID
	Reason string
}

// RequestMove asks for another DROP in this one's place, on another host.
type RequestMove struct {
	To     events.HostID // empty for any other
	Reason string
}

// Report brings what the DROP's host saw: one of DropReady, DropPrepareFailed,
// DropAwoke, DropSlept, DropCrashed and DropStartFailed.
type Report struct {
	Host events.HostID
	Fact events.Event
}

// RequestRetirement begins the DROP's end.
type RequestRetirement struct{}

// Retire ends the DROP: no host has it any longer.
type Retire struct{}

func (Request) isCommand()           {}
func (Place) isCommand()             {}
func (Displace) isCommand()          {}
func (RequestMove) isCommand()       {}
func (Report) isCommand()            {}
func (RequestRetirement) isCommand() {}
func (Retire) isCommand()            {}
