package api

import (
	"net/http"
	"strings"

	"pantheon/actors/account"
	"pantheon/events"
	"pantheon/events/problem"
)

// logIn exchanges a machine token for a session. The token is looked up by its
// hash, so the comparison leaks nothing of the token itself.
func logIn(c *call) (reply, error) {
	now := c.server.options.Now()
	address := remoteAddress(c.request)
	if c.server.failures.blocked(address, now) {
		return reply{}, tooManyFailures()
	}
	var login Login
	if err := c.decode(&login); err != nil {
		return reply{}, err
	}
	hash := hashMachineToken(login.MachineToken)
	owner, token, known := c.view.accountOfToken(hash, now)
	if !known { // it may have been made on another machine a moment ago
		c.catchUp()
		owner, token, known = c.view.accountOfToken(hash, now)
	}
	if !known {
		c.server.failed(address)
		return reply{}, problem.New(problem.Unauthenticated, "cannot log in: the machine token is not valid").
			WithHint("pantheon token create makes a new one on the platform's machine")
	}
	says := session{account: owner, token: token, expires: now.Add(sessionLifetime)}
	return reply{body: Session{
		Session:   signSession(c.server.options.Key, says),
		ExpiresAt: says.expires.Unix(),
		UserID:    owner,
	}}, nil
}

func showUser(c *call) (reply, error) {
	user, _ := c.view.account(c.account)
	return reply{body: user}, nil
}

func userRecord(id events.AccountID, kind events.AccountKind, name, email string) User {
	first, last, _ := strings.Cut(name, " ")
	return User{ID: id, Email: email, Kind: kind, Profile: Profile{FullName: name, FirstName: first, LastName: last}}
}

func listTokens(c *call) (reply, error) {
	return reply{body: c.view.tokens(c.account)}, nil
}

// createToken makes a machine token and shows it this once. A repetition of
// the same request cannot show it again, so it is a conflict.
func createToken(c *call) (reply, error) {
	var request TokenRequest
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	if !request.Expires.IsZero() && !request.Expires.After(c.server.options.Now()) {
		return reply{}, problem.New(problem.Invalid, "cannot make a token that has expired already")
	}
	id := events.TokenID(derivedUUID(c.command, "token"))
	if c.view.hasToken(c.account, id) {
		return reply{}, problem.New(problem.Conflict, "cannot show the token again: it was made by an earlier request").
			WithHint("revoke token %s and make another", id)
	}
	token, hash := NewMachineToken()
	command := account.IssueToken{Token: id, Device: request.DeviceName, Hash: hash, Expires: request.Expires.UTC()}
	if err := c.do(c.account.Stream(), command); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: Token{
		ID: id, DeviceName: request.DeviceName, Expires: request.Expires, Token: token,
	}}, nil
}

func revokeToken(c *call) (reply, error) {
	id := events.TokenID(c.request.PathValue("token"))
	if !c.view.hasToken(c.account, id) {
		return reply{}, problem.New(problem.NotFound, "cannot find token %.40q", id).WithHint("pantheon token list")
	}
	return reply{body: struct{}{}}, c.do(c.account.Stream(), account.RevokeToken{Token: id})
}

func listAccounts(c *call) (reply, error) {
	users, err := page(c.request.URL.Query(), c.view.accounts(), func(u User) string { return string(u.ID) })
	return reply{body: users}, err
}

func createAccount(c *call) (reply, error) {
	var request AccountChange
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	id := events.AccountID(derivedUUID(c.command, "account"))
	command := account.Register{Account: id, Kind: events.AccountUser, Name: request.Name, Email: request.Email}
	if err := c.do(id.Stream(), command); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: userRecord(id, events.AccountUser, request.Name, request.Email)}, nil
}
