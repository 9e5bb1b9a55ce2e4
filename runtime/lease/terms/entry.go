package terms

import "pantheon/events"

// Entry is what the bucket holds for a host.
type Entry struct {
	State State `json:"state"`
	// Boot tells runs of the host's agent apart; empty where a watch has written
	// for a host that had no entry.
	Boot string `json:"boot,omitzero"`
	// Beat rises with everything that the boot writes.
	Beat uint64 `json:"beat,omitzero"`
	// Folded is the revision of the host's own stream that it has taken in.
	Folded events.Revision `json:"folded,omitzero"`
}

// State is whose turn it is.
type State string

// The states.
const (
	Asking    State = "asking"    // the host wants a lease
	Held      State = "held"      // the host has one, and renews it
	Revoked   State = "revoked"   // a watch has taken it away
	Returning State = "returning" // the host wants one after that
)

// Known says whether the state is one of the constants.
func (s State) Known() bool {
	switch s {
	case Asking, Held, Revoked, Returning:
		return true
	}
	return false
}

// Record is an entry with its place in the bucket.
type Record struct {
	Host events.HostID
	// Revision is the bucket's; 0 where there is no entry.
	Revision uint64
	Entry    Entry
}

// Write asks for an entry to be written if the host's entry has still the
// expected revision.
type Write struct {
	Entry    Entry
	Expected uint64
}
