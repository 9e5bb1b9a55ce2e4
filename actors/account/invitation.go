package account

import (
	"crypto/subtle"
	"slices"

	"pantheon/events"
	"pantheon/events/problem"
)

func invite(s State, c Invite) ([]events.Event, error) {
	roles := slices.Compact(slices.Sorted(slices.Values(c.Roles)))
	invited := events.HostInvited{
		Account: s.Registered.Account, Invitation: c.Invitation, Hash: c.Hash, Roles: roles, Expires: c.Expires.Round(0),
	}
	if known, there := s.Invitations[c.Invitation]; there {
		was := known.Invited
		same := was.Hash == invited.Hash && slices.Equal(was.Roles, roles) && was.Expires.Equal(invited.Expires)
		if same && known.Host == "" && !known.Revoked {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot make invitation %s: it was made before", c.Invitation)
	}
	switch {
	case s.Registered.Kind != events.AccountOperator:
		return nil, problem.New(problem.Denied, "cannot invite a machine: only the cell's operator can")
	case c.Invitation == "" || !hashPattern.MatchString(c.Hash) || c.Expires.IsZero():
		return nil, problem.New(problem.Invalid, "cannot make invitation %.40q: it needs an id, a SHA-256 in hexadecimal and an end", c.Invitation)
	case len(roles) == 0:
		return nil, problem.New(problem.Invalid, "cannot make invitation %.40q: it allows no role", c.Invitation).WithHint("control, host, entry or dns")
	case len(s.Invitations) >= MaxInvitations:
		return nil, problem.New(problem.Exhausted, "cannot make another invitation: there have been %d", MaxInvitations)
	}
	for _, role := range roles {
		if !role.Known() {
			return nil, problem.New(problem.Invalid, "cannot invite a machine to the role %.40q", role).WithHint("control, host, entry or dns")
		}
	}
	if err := checkTexts(string(c.Invitation)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot make invitation %.40q", c.Invitation)
	}
	return []events.Event{invited}, nil
}

// again is what a machine with a spent invitation does.
const again = "pantheon host token create on a machine of the cell makes another one"

// useInvitation says the same of an invitation that does not exist and of a
// wrong secret. Who has the secret may know the rest.
func useInvitation(s State, c UseInvitation) ([]events.Event, error) {
	known, there := s.Invitations[c.Invitation]
	if !there || subtle.ConstantTimeCompare([]byte(known.Invited.Hash), []byte(c.Hash)) != 1 {
		return nil, problem.New(problem.Denied, "cannot join: the token is not one of this cell").WithHint(again)
	}
	switch {
	case known.Revoked:
		return nil, problem.New(problem.Denied, "cannot join: the token was revoked").WithHint(again)
	case c.Now.After(known.Invited.Expires):
		return nil, problem.New(problem.Denied, "cannot join: the token has expired").WithHint(again)
	case known.Host == c.Host: // its answer was lost
		return nil, nil
	case known.Host != "":
		return nil, problem.New(problem.Denied, "cannot join: the token was used by another machine, %s", known.Host).WithHint(again)
	}
	if _, err := events.ParseHostID(string(c.Host)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot join")
	}
	return []events.Event{events.HostInvitationUsed{Account: s.Registered.Account, Invitation: c.Invitation, Host: c.Host}}, nil
}

func revokeInvitation(s State, c RevokeInvitation) ([]events.Event, error) {
	known, there := s.Invitations[c.Invitation]
	switch {
	case !there:
		return nil, problem.New(problem.NotFound, "cannot find invitation %.40q", c.Invitation).WithHint("pantheon host token list")
	case known.Host != "":
		return nil, problem.New(problem.Conflict, "cannot revoke invitation %s: machine %s has joined by it", c.Invitation, known.Host).
			WithHint("pantheon host remove takes a machine out of the cell")
	case known.Revoked:
		return nil, nil
	}
	return []events.Event{events.HostInvitationRevoked{Account: s.Registered.Account, Invitation: c.Invitation}}, nil
}
