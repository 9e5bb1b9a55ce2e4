package events

import "time"

// AccountKind is a person or an organisation.
type AccountKind string

// The kinds of account. The operator is the cell's own organisation: its
// upstreams are offered to everybody and its tokens may do everything.
const (
	AccountUser     AccountKind = "user"
	AccountOperator AccountKind = "operator"
)

// AccountRegistered begins an account.
type AccountRegistered struct {
	Account AccountID   `json:"account"`
	Kind    AccountKind `json:"kind"`
	Name    string      `json:"name"`
	Email   string      `json:"email,omitzero"`
}

// TokenIssued gives an account a machine token. The log holds only the
// SHA-256 of the token, in hexadecimal; a token has 256 random bits, so its
// hash gives nothing away.
type TokenIssued struct {
	Account AccountID `json:"account"`
	Token   TokenID   `json:"token"`
	Device  string    `json:"device"`
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires,omitzero"`
}

// TokenRevoked ends a machine token.
type TokenRevoked struct {
	Account AccountID `json:"account"`
	Token   TokenID   `json:"token"`
}

// UpstreamAdded offers code to make sites from; the same id again replaces
// its record.
type UpstreamAdded struct {
	Account   AccountID  `json:"account"`
	Upstream  UpstreamID `json:"upstream"`
	Name      string     `json:"name"` // machine name, unique in the account
	Label     string     `json:"label"`
	Framework Framework  `json:"framework"`
	Source    CodeSource `json:"source"`
}

// UpstreamRemoved withdraws the offer; sites made from it stay.
type UpstreamRemoved struct {
	Account  AccountID  `json:"account"`
	Upstream UpstreamID `json:"upstream"`
}

// AccountForgettingRequested decides that the personal data of the account
// becomes unreadable for good. The account ends with it, and so do all its
// tokens and upstreams.
type AccountForgettingRequested struct {
	Account AccountID `json:"account"`
}

// AccountForgotten is the fact that the account's key is destroyed.
type AccountForgotten struct {
	Account AccountID `json:"account"`
}

// HostInvited lets one machine join the cell. The log holds only the SHA-256 of
// the invitation's secret, in hexadecimal; a secret has 256 random bits, so its
// hash gives nothing away.
type HostInvited struct {
	Account    AccountID  `json:"account"`
	Invitation TokenID    `json:"invitation"`
	Hash       string     `json:"hash"`
	Roles      []HostRole `json:"roles"` // that the machine may take, sorted
	Expires    time.Time  `json:"expires"`
}

// HostInvitationUsed says which machine has joined by an invitation; it lets
// no other one in.
type HostInvitationUsed struct {
	Account    AccountID `json:"account"`
	Invitation TokenID   `json:"invitation"`
	Host       HostID    `json:"host"`
}

// HostInvitationRevoked ends an invitation that nobody has used.
type HostInvitationRevoked struct {
	Account    AccountID `json:"account"`
	Invitation TokenID   `json:"invitation"`
}

func (HostInvited) isEvent()                {}
func (HostInvitationUsed) isEvent()         {}
func (HostInvitationRevoked) isEvent()      {}
func (AccountRegistered) isEvent()          {}
func (TokenIssued) isEvent()                {}
func (TokenRevoked) isEvent()               {}
func (UpstreamAdded) isEvent()              {}
func (UpstreamRemoved) isEvent()            {}
func (AccountForgettingRequested) isEvent() {}
func (AccountForgotten) isEvent()           {}
