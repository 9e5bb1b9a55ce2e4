package events

// DropRequested asks for a DROP to serve an environment; a placement follows.
type DropRequested struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
	MemoryMiB   int           `json:"memory_mib"`
}

// DropPlaced says which host admitted the DROP.
type DropPlaced struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
	Host        HostID        `json:"host"`
}

// DropDisplaced takes the DROP from its host (lost, drained); a placement
// follows.
type DropDisplaced struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
	Host        HostID        `json:"host"`
	Reason      string        `json:"reason"`
}

// DropMoveRequested says that another DROP shall take this one's place: it is
// retired when the environment has enough that are ready without it.
type DropMoveRequested struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
	Host        HostID        `json:"host"`        // where it is
	To          HostID        `json:"to,omitzero"` // where the other one shall be; empty for anywhere else
	Reason      string        `json:"reason"`
}

// DropReady is the host's fact that it has prepared a generation of the spec:
// release, files and database are in place and a request would be served.
type DropReady struct {
	Drop       DropID `json:"drop"`
	Host       HostID `json:"host"`
	Generation int    `json:"generation"`
}

// DropPrepareFailed is the host's fact that a generation cannot be prepared.
// The host tries again after the delay.
type DropPrepareFailed struct {
	Drop              DropID `json:"drop"`
	Host              HostID `json:"host"`
	Generation        int    `json:"generation"`
	Reason            string `json:"reason"`
	RetryAfterSeconds int64  `json:"retry_after_seconds"`
}

// DropAwoke is the host's fact that the DROP's process runs and answers.
type DropAwoke struct {
	Drop DropID `json:"drop"`
	Host HostID `json:"host"`
	// Trigger is what woke it: http, command, operator, restart.
	Trigger    string `json:"trigger"`
	DurationMS int64  `json:"duration_ms"`
}

// DropSlept is the host's fact that the DROP's process was stopped for want
// of requests, or by an operator.
type DropSlept struct {
	Drop        DropID `json:"drop"`
	Host        HostID `json:"host"`
	Trigger     string `json:"trigger"` // idle, operator, update, shutdown
	IdleSeconds int64  `json:"idle_seconds"`
}

// DropCrashed is the host's fact that the process ended without being told to.
type DropCrashed struct {
	Drop   DropID `json:"drop"`
	Host   HostID `json:"host"`
	Reason string `json:"reason"` // "signal: killed", "exit status 78: …"
}

// DropStartFailed is the host's fact that the process could not be started.
type DropStartFailed struct {
	Drop              DropID `json:"drop"`
	Host              HostID `json:"host"`
	Reason            string `json:"reason"`
	Attempt           int    `json:"attempt"` // failures in a row, from 1
	RetryAfterSeconds int64  `json:"retry_after_seconds"`
}

// DropRetirementRequested begins the DROP's end.
type DropRetirementRequested struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
}

// DropRetired ends the DROP: its host has given it up.
type DropRetired struct {
	Drop        DropID        `json:"drop"`
	Environment EnvironmentID `json:"environment"`
}

func (DropRequested) isEvent()           {}
func (DropPlaced) isEvent()              {}
func (DropDisplaced) isEvent()           {}
func (DropMoveRequested) isEvent()       {}
func (DropReady) isEvent()               {}
func (DropPrepareFailed) isEvent()       {}
func (DropAwoke) isEvent()               {}
func (DropSlept) isEvent()               {}
func (DropCrashed) isEvent()             {}
func (DropStartFailed) isEvent()         {}
func (DropRetirementRequested) isEvent() {}
func (DropRetired) isEvent()             {}
