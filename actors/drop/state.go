package drop

import "pantheon/events"

// State is what a DROP's stream says; the zero value is one that never was.
type State struct {
	Requested events.DropRequested
	Host      events.HostID // empty while it has none
	// Ready is the generation the host has prepared, 0 for none.
	Ready int
	// Failed is the host's last failure to prepare a generation; zero after a
	// success.
	Failed events.DropPrepareFailed
	Awake  bool
	// Moving: another one is to take its place, on MovingTo if that is set.
	Moving   bool
	MovingTo events.HostID
	// StartFailed is the last failed start; zero after a success.
	StartFailed events.DropStartFailed
	Retiring    bool
	Retired     bool
}

func (s State) exists() bool { return s.Requested.Drop != "" }

// generation is the newest the host has spoken of.
func (s State) generation() int { return max(s.Ready, s.Failed.Generation) }
