package yggdrasil

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil/cookie"
	"pantheon/projections/zone"
)

// Source is the view of the zones. Zones is called for every query, from many
// goroutines, and must not wait. Position and Wait are those of a view: they
// tell when it goes on.
type Source interface {
	Zones() *zone.State
	Position() events.Position
	Wait(ctx context.Context, position events.Position) error
}

// Signer makes the records of DNSSEC. It is called from many goroutines and
// gives values that never change.
type Signer interface {
	// Sign gives the RRSIG records of a set at an owner, which for an answer
	// from a wildcard is the wildcard itself; nil if the zone has no active key.
	Sign(z *zone.Zone, owner []byte, set *zone.RRset) *zone.RRset
	// SignAt is Sign as of another time. It gives the same for the same records
	// and any two times of one Window.
	SignAt(z *zone.Zone, owner []byte, set *zone.RRset, at time.Time) *zone.RRset
	Window(z *zone.Zone, at time.Time) int64
	// Keys gives the sets that the keys make at the apex; nil if the zone is not
	// signed.
	Keys(z *zone.Zone) (dnskey, cds, cdnskey *zone.RRset)
}

// Keyring has the TSIG keys. Names are in lower case and end in a dot, the
// algorithm does not ("hmac-sha256").
type Keyring interface {
	TSIG(name string) (algorithm string, secret []byte, known bool)
}

// Options configures a Server. Zero values mean the defaults of limits.go.
type Options struct {
	// Address is where Run listens, over UDP and TCP ("127.0.0.1:5353", ":53").
	// Serve takes sockets instead.
	Address string
	// Sockets is how many UDP sockets share the address, each with a worker of
	// its own. Default: one for each processor.
	Sockets int

	Source Source // required
	// Past gives the zones as of a position, for secondaries that have been away
	// for longer than a zone's journal. nil: they get the whole zone.
	Past    func(ctx context.Context, at events.Position) (*zone.State, error)
	Signer  Signer  // nil: no zone is signed
	Keyring Keyring // nil: there are no TSIG keys

	// InternalNetworks may ask for names of internal zones. Default: the
	// loopback networks.
	InternalNetworks []netip.Prefix
	// Identity answers hostname.bind, id.server and NSID (RFC 4892, RFC 5001),
	// Version version.bind and version.server. Empty: refused.
	Identity, Version string
	// CookieSecrets make the server cookies; the first one makes new ones, the
	// others are still accepted. Servers that share an address share them.
	// Default: one that is drawn by New.
	CookieSecrets []cookie.Secret

	// ResponsesPerSecond and Burst bound equal answers to one network over UDP
	// (/24, /56). Clients with a valid cookie are exempt. Negative: no limit.
	ResponsesPerSecond, Burst int
	// RateExempt networks are never limited.
	RateExempt []netip.Prefix

	// QueryLog gets a line for one of QueryLogEvery queries. nil for no log.
	QueryLog      io.Writer
	QueryLogEvery int
	// Logger gets what operators should see. Default none.
	Logger *slog.Logger
	// NotifyTimeout is how long a secondary has to answer a first NOTIFY.
	NotifyTimeout time.Duration

	Idle, Message           time.Duration
	MaxConnections          int
	MaxConnectionsPerSource int
	MaxTransfers            int

	forgetful bool // workers remember no answers; for tests
}

func (o Options) withDefaults() Options {
	orInt := func(i *int, value int) {
		if *i == 0 {
			*i = value
		}
	}
	orDuration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orInt(&o.Sockets, runtime.GOMAXPROCS(0))
	orInt(&o.ResponsesPerSecond, DefaultResponsesPerSecond)
	orInt(&o.Burst, DefaultBurst)
	orInt(&o.QueryLogEvery, DefaultQueryLogEvery)
	orInt(&o.MaxConnections, DefaultMaxConnections)
	orInt(&o.MaxConnectionsPerSource, DefaultMaxConnectionsPerSource)
	orInt(&o.MaxTransfers, DefaultMaxTransfers)
	orDuration(&o.Idle, DefaultIdle)
	orDuration(&o.Message, DefaultMessage)
	orDuration(&o.NotifyTimeout, notifyTimeout)
	if o.InternalNetworks == nil {
		o.InternalNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// maxText bounds Identity and Version: one character string (RFC 1035 §3.3).
const maxText = 255

func (o Options) validate() error {
	switch {
	case o.Source == nil:
		return problem.New(problem.Invalid, "cannot make a name server without a Source of zones")
	case max(len(o.Identity), len(o.Version)) > maxText:
		return problem.New(problem.Invalid, "identity and version of a name server have %d octets at most", maxText)
	case min(o.Sockets, o.MaxConnections, o.MaxConnectionsPerSource, o.MaxTransfers, o.QueryLogEvery) <= 0:
		return problem.New(problem.Invalid, "every limit of the name server must be positive")
	case min(o.Idle, o.Message, o.NotifyTimeout) <= 0:
		return problem.New(problem.Invalid, "every time-out of the name server must be positive")
	case o.ResponsesPerSecond > 0 && o.Burst <= 0:
		return problem.New(problem.Invalid, "the burst of the name server's rate limit must be positive")
	}
	return nil
}
