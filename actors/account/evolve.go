package account

import (
	"maps"

	"pantheon/events"
)

// Evolve gives the state after the event; events of other actors and unknown
// ones change nothing.
func Evolve(s State, event events.Event) State {
	switch e := event.(type) {
	case events.AccountRegistered:
		s.Registered = e
	case events.TokenIssued:
		s.Tokens = with(s.Tokens, e.Token, Token{Issued: e})
	case events.TokenRevoked:
		s.Tokens = with(s.Tokens, e.Token, Token{s.Tokens[e.Token].Issued, true})
	case events.UpstreamAdded:
		s.Upstreams = with(s.Upstreams, e.Upstream, Upstream{Added: e})
	case events.UpstreamRemoved:
		s.Upstreams = with(s.Upstreams, e.Upstream, Upstream{s.Upstreams[e.Upstream].Added, true})
	case events.HostInvited:
		s.Invitations = with(s.Invitations, e.Invitation, Invitation{Invited: e})
	case events.HostInvitationUsed:
		s.Invitations = with(s.Invitations, e.Invitation, Invitation{Invited: s.Invitations[e.Invitation].Invited, Host: e.Host})
	case events.HostInvitationRevoked:
		s.Invitations = with(s.Invitations, e.Invitation, Invitation{Invited: s.Invitations[e.Invitation].Invited, Revoked: true})
	case events.AccountForgettingRequested:
		s.Ended, s.Tokens, s.Upstreams, s.Invitations = true, nil, nil, nil
	case events.AccountForgotten:
		s.Forgotten, s.Registered.Name, s.Registered.Email = true, "", ""
	}
	return s
}

// with is a copy of the map in which key has value.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[K]V, 1)
	}
	m[key] = value
	return m
}
