package account

import (
	"time"

	"pantheon/events"
)

// Command is a wish addressed to one account. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Register begins the account.
type Register struct {
	Account events.AccountID
	Kind    events.AccountKind
	Name    string
	Email   string
}

// IssueToken gives the account a machine token.
type IssueToken struct {
	Token   events.TokenID
	Device  string
	Hash    string    // SHA-256 of the token, in hexadecimal
	Expires time.Time // zero: never
}

// RevokeToken ends a machine token.
type RevokeToken struct{ Token events.TokenID }

// AddUpstream offers code to make sites from; the same id again replaces its
// record.
type AddUpstream struct {
	Upstream  events.UpstreamID
	Name      string
	Label     string
	Framework events.Framework
	Source    events.CodeSource
	// Once: nothing happens where the id was ever offered, or another upstream
	// has the name. For samples, which must not come back after their removal.
	Once bool
}

// RemoveUpstream withdraws the offer.
type RemoveUpstream struct{ Upstream events.UpstreamID }

// Invite lets one machine join the cell; only the operator's account does.
type Invite struct {
	Invitation events.TokenID
	Hash       string // SHA-256 of the secret, in hexadecimal
	Roles      []events.HostRole
	Expires    time.Time
}

// UseInvitation lets a machine in: once, in time, with the right secret.
type UseInvitation struct {
	Invitation events.TokenID
	Hash       string // of the secret that was shown
	Host       events.HostID
	Now        time.Time
}

// RevokeInvitation ends one that nobody has used.
type RevokeInvitation struct{ Invitation events.TokenID }

// Forget ends the account and asks for the end of its personal data.
type Forget struct{}

// ReportForgotten is the fact that the account's key is destroyed.
type ReportForgotten struct{}

func (Register) isCommand()         {}
func (IssueToken) isCommand()       {}
func (RevokeToken) isCommand()      {}
func (AddUpstream) isCommand()      {}
func (RemoveUpstream) isCommand()   {}
func (Invite) isCommand()           {}
func (UseInvitation) isCommand()    {}
func (RevokeInvitation) isCommand() {}
func (Forget) isCommand()           {}
func (ReportForgotten) isCommand()  {}
