package binding

import "pantheon/events"

// State is what a binding's stream says; the zero value is one that never was.
type State struct {
	Requested   events.BindingRequested
	Host        events.HostID // empty while it has none
	Provisioned *events.BindingProvisioned
	// Failed is the host's last failure; zero after a success.
	Failed events.BindingFailed
	// Lost: the data is gone with the host. Renewing: another binding is to be in
	// its place.
	Lost, Renewing bool
	Retiring       bool
	Retired        bool
}

func (s State) exists() bool { return s.Requested.Binding != "" }
