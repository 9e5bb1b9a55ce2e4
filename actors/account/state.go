package account

import "pantheon/events"

// State is what an account's stream says; the zero value is one that never
// was. The maps are never changed in place.
type State struct {
	Registered  events.AccountRegistered
	Tokens      map[events.TokenID]Token
	Upstreams   map[events.UpstreamID]Upstream
	Invitations map[events.TokenID]Invitation
	// Ended: nothing but being forgotten follows. Forgotten: its key is
	// destroyed.
	Ended, Forgotten bool
}

// Token is a machine token's record.
type Token struct {
	Issued  events.TokenIssued
	Revoked bool
}

// Invitation is the record of one machine's way in.
type Invitation struct {
	Invited events.HostInvited
	Host    events.HostID // that has used it
	Revoked bool
}

// Upstream is an upstream's newest record.
type Upstream struct {
	Added   events.UpstreamAdded
	Removed bool
}

func (s State) exists() bool { return s.Registered.Account != "" }
