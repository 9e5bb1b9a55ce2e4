package api

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/projections/audit"
	"pantheon/projections/inventory"
)

// Commander carries out one command of an actor, once for each meta.Command.
type Commander interface {
	Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error)
}

// Inventory gives the newest snapshot of the inventory view with its position,
// and waits until it has reached one; a *projections.View is one.
type Inventory interface {
	Load() (inventory.State, events.Position)
	Wait(ctx context.Context, position events.Position) error
}

// Log is what the event list and the event stream read; an eventlog.Reader is
// one.
type Log interface {
	Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
	All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	Head(ctx context.Context) (events.Position, error)
}

// Variables gives the connection variables of an environment (DB_HOST,
// DB_PASSWORD …) as its PHP sees them. They hold secrets: the answer goes to
// the site's team only and is never logged.
type Variables interface {
	Variables(ctx context.Context, environment events.EnvironmentID) (map[string]string, error)
}

// CodeLog gives the newest commits of a site's default branch, newest first,
// at most limit of them.
type CodeLog interface {
	CodeLog(ctx context.Context, site events.SiteID, limit int) ([]CodeCommit, error)
}

// Placement says why a DROP is where it is; *actors.Reactor is one.
type Placement interface {
	// Explain ranks the hosts for a DROP, the best first.
	Explain(ctx context.Context, drop events.DropID) ([]policy.Candidate, error)
}

// Audit proves what is in the log; a *keeper.Keeper is one.
type Audit interface {
	// Head gives the newest signed head of the log's tree.
	Head(ctx context.Context) (audit.SignedHead, error)
	// Prove proves that the commit at a position is in the log.
	Prove(ctx context.Context, position events.Position) (audit.Proof, error)
	// ProveConsistency proves that the tree of from commits is the beginning of
	// that of to commits; 0 is the newest signed one.
	ProveConsistency(ctx context.Context, from, to int64) (audit.Consistency, error)
	// Signed gives the signed heads of the log up to a position, and the public
	// key.
	Signed(last events.Position) (heads []string, key string)
}

// Options of a Server.
type Options struct {
	// Commander, Inventory and Log are required.
	Commander Commander
	Inventory Inventory
	Log       Log
	// Clock finds the position of a time: without it reads of the past are
	// refused. The past of a view is answered where it remembers (a
	// *projections.History given as Inventory, Routing …).
	Clock Clock
	// Routing answers what the router would; without it its paths answer that
	// this cell cannot do that.
	Routing Routing
	// Variables and CodeLog answer two paths; without one its path answers that
	// this cell cannot do that.
	Variables Variables
	CodeLog   CodeLog
	// Unseal gives a sealed text of the log in clear, events.Forgotten where its
	// key is gone. Default: sealed texts are shown as they are.
	Unseal func(sealed string) string
	// Placement explains placements. Without it, nobody can.
	Placement Placement
	// Health gives how this node sees each machine now. Without it, and for those
	// it does not name, nothing is shown.
	Health func() map[events.HostID]HostHealth
	// CheckPHP refuses a version of PHP that this machine, which is alone, does not
	// run. Without it those are refused that no host has said to have.
	CheckPHP func(version string) error
	// Restart has the platform of a machine begin anew, of the binary that is
	// there, with its sites left running. Without it nobody can.
	Restart func(ctx context.Context, host events.HostID) error
	// Grow spreads the log over all control machines; it returns when that has
	// begun, and Cell shows how far it is. Without it nobody can.
	Grow func(ctx context.Context) error
	// Shrink has so many machines hold the log, this one among them, and returns
	// when they do.
	Shrink func(ctx context.Context, machines int) error
	// Cell gives the cell's id and who holds its log. nil: this platform is one
	// machine, which holds it.
	Cell func(ctx context.Context) (CellFacts, error)
	// Invite makes the secret by which a machine will join: the text of the token
	// with this id, to be shown once, and the SHA-256 of its secret in hexadecimal,
	// for the log. nil: this platform does not listen for other machines, and
	// making tokens is refused.
	Invite func(invitation events.TokenID) (text, hash string, err error)
	// Forget destroys the key of a site or account whose forgetting is in the
	// log, reports that it is done, and gives the position of the report. It may
	// be called again. Without one nothing can be forgotten here.
	Forget func(context.Context, events.Owner) (events.Position, error)
	// Audit answers the paths below audit, and Entries, the log byte for byte, is
	// what log/archive exports. Without one its paths answer that this cell
	// cannot do that.
	Audit   Audit
	Entries eventlog.EntryReader
	// CheckSource says why code can never come from a source, by those who
	// would fetch it. Default: the form of its location is checked, not what is
	// there.
	CheckSource func(events.CodeSource) error
	// Zones, ZoneKeys and TSIGKeys are the name server's. Without them the paths
	// below dns/ answer that this cell cannot do that.
	Zones    Zones
	ZoneKeys ZoneKeys
	TSIGKeys TSIGKeys
	// Operator is the account of the cell itself. A client on the Unix socket
	// with the platform's own user id, or root, acts as it. Required.
	Operator events.AccountID
	// Key signs sessions: whoever has it can make a session for any account.
	// At least 32 bytes, kept outside the log; a new key ends all sessions.
	// Required.
	Key []byte
	// Domain is the platform's domain for web sites: an environment answers at
	// <env>-<site>.<Domain>. Default: pantheon.localhost.
	Domain string
	// PublicURL gives the address people type for a web host name; it knows the
	// port. Default: "http://" and the host name.
	PublicURL func(host string) string
	// Version of the binary, as /api/version tells. Default: "unknown".
	Version string
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
	// Logger receives one line for each request. Default: slog.Default().
	Logger *slog.Logger
	// Metrics receives the gateway's metrics. Default: none are registered.
	Metrics prometheus.Registerer
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Commander == nil, o.Inventory == nil, o.Log == nil:
		return o, errors.New("cannot make the API gateway: Commander, Inventory and Log are required")
	case o.Operator == "":
		return o, errors.New("cannot make the API gateway: Operator is required")
	case len(o.Key) < minKeyBytes:
		return o, errors.New("cannot make the API gateway: Key must have at least 32 bytes")
	}
	if o.Domain == "" {
		o.Domain = "pantheon.localhost"
	}
	if o.PublicURL == nil {
		o.PublicURL = func(host string) string { return "http://" + host }
	}
	if o.Unseal == nil {
		o.Unseal = func(sealed string) string { return sealed }
	}
	if o.CheckSource == nil {
		o.CheckSource = checkLocation
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
