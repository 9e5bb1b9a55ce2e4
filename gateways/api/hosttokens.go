package api

import (
	"net/http"
	"strings"
	"time"

	"pantheon/actors/account"
	"pantheon/events"
	"pantheon/events/problem"
)

// The states of a host token.
const (
	hostTokenOpen    = "open"
	hostTokenUsed    = "used"
	hostTokenRevoked = "revoked"
	hostTokenExpired = "expired"
)

// hostToken is a token's record with the hash that the log has of its secret.
type hostToken struct {
	HostToken
	hash string
}

// hostTokens folds the invitations of the cell from the stream of its operator,
// oldest first. The inventory does not hold them: they are looked at when a
// machine is added, and the stream is short.
func (c *call) hostTokens() ([]hostToken, error) {
	var tokens []hostToken
	place := make(map[events.TokenID]int)
	end := func(id events.TokenID, state string, host events.HostID) {
		if i, known := place[id]; known {
			tokens[i].State, tokens[i].Host, tokens[i].HostName = state, host, c.view.hostName(host)
		}
	}
	for envelope, err := range c.server.options.Log.Stream(c.request.Context(), c.server.options.Operator.Stream(), 0) {
		if err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		if c.moment.past && envelope.Position > c.moment.position {
			break
		}
		for _, event := range envelope.Events {
			switch e := event.(type) {
			case events.HostInvited:
				place[e.Invitation] = len(tokens)
				tokens = append(tokens, hostToken{c.hostTokenRecord(e, envelope.Meta), e.Hash})
			case events.HostInvitationUsed:
				end(e.Invitation, hostTokenUsed, e.Host)
			case events.HostInvitationRevoked:
				end(e.Invitation, hostTokenRevoked, "")
			}
		}
	}
	return tokens, nil
}

func (c *call) hostTokenRecord(invited events.HostInvited, meta events.Meta) HostToken {
	state := hostTokenOpen
	if c.clock().After(invited.Expires) {
		state = hostTokenExpired
	}
	kind, id, _ := strings.Cut(meta.Principal, "/")
	madeBy := meta.Principal
	if user, known := c.view.account(events.AccountID(id)); known && kind == string(events.KindAccount) {
		madeBy = user.Profile.FullName
	}
	return HostToken{
		ID: invited.Invitation, Roles: invited.Roles, Expires: invited.Expires, State: state,
		Made: meta.Time, MadeBy: madeBy, Gateway: meta.Gateway,
	}
}

// findHostToken gives one token's record.
func (c *call) findHostToken(id events.TokenID) (hostToken, error) {
	tokens, err := c.hostTokens()
	if err != nil {
		return hostToken{}, err
	}
	for _, token := range tokens {
		if token.ID == id {
			return token, nil
		}
	}
	return hostToken{}, problem.New(problem.NotFound, "cannot find host token %.40q", id).WithHint("pantheon host token list")
}

// listHostTokens gives all that were ever made, in the order of their making:
// none of them leaves the list.
func listHostTokens(c *call) (reply, error) {
	tokens, err := c.hostTokens()
	if err != nil {
		return reply{}, err
	}
	start := events.TokenID(c.request.URL.Query().Get("start"))
	records, err := collect(c.request.URL.Query(), func(yield func(HostToken) bool) {
		passed := start == ""
		for _, token := range tokens {
			if passed && !yield(token.HostToken) {
				return
			}
			passed = passed || token.ID == start
		}
	})
	return reply{body: records}, err
}

// createHostToken makes a token and shows it this once. A repetition of the
// same request cannot show it again, so it is a conflict.
func createHostToken(c *call) (reply, error) {
	if c.server.options.Invite == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot invite a machine: this platform does not listen for other machines").
			WithHint("pantheon up --cluster ADDRESS makes this machine reachable for others")
	}
	var request HostTokenRequest
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	lifetime, err := request.lifetime()
	if err != nil {
		return reply{}, err
	}
	if request.Roles == nil {
		request.Roles = everyRole()
	}
	id := events.TokenID(derivedUUID(c.command, "host token"))
	text, hash, err := c.server.options.Invite(id)
	if err != nil {
		return reply{}, err
	}
	expires := c.server.options.Now().Add(lifetime).UTC().Truncate(time.Second)
	invite := account.Invite{Invitation: id, Hash: hash, Roles: request.Roles, Expires: expires}
	if err := c.do(c.server.options.Operator.Stream(), invite); err != nil {
		return reply{}, err
	}
	made, err := c.findHostToken(id)
	if err != nil {
		return reply{}, err
	}
	if made.hash != hash {
		return reply{}, problem.New(problem.Conflict, "cannot show the host token again: it was made by an earlier request").
			WithHint("pantheon host token revoke %s, and make another", id)
	}
	made.Token = text
	return reply{status: http.StatusCreated, body: made.HostToken}, nil
}

func (r HostTokenRequest) lifetime() (time.Duration, error) {
	most := int64(maxHostTokenLifetime / time.Second)
	switch {
	case r.LifetimeSeconds == 0:
		return defaultHostTokenLifetime, nil
	case r.LifetimeSeconds < 0:
		return 0, problem.New(problem.Invalid, "cannot make a host token that has expired already")
	case r.LifetimeSeconds > most:
		return 0, problem.New(problem.Invalid, "cannot make a host token of %d s: %d s are the most", r.LifetimeSeconds, most).
			WithHint("make it when the machine is there; whoever has it can join")
	}
	return time.Duration(r.LifetimeSeconds) * time.Second, nil
}

// revokeHostToken ends a token that nobody has used.
func revokeHostToken(c *call) (reply, error) {
	id := events.TokenID(c.request.PathValue("token"))
	if _, err := c.findHostToken(id); err != nil {
		return reply{}, err
	}
	if err := c.do(c.server.options.Operator.Stream(), account.RevokeInvitation{Invitation: id}); err != nil {
		return reply{}, err
	}
	token, err := c.findHostToken(id)
	return reply{body: token.HostToken}, err
}
