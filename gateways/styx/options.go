package styx

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/routing"
)

// Routes is the routing view. Lookup is called for every request, from many
// goroutines, and must not wait: it reads an immutable snapshot. host is in
// lower case, without port and without trailing dot; an IPv6 literal has no
// brackets. The Route belongs to the snapshot and is never changed; of its DROPs
// the first upstream.MaxTargets are used.
type Routes interface {
	Lookup(host string) (*routing.Route, bool)
}

// Agent is the way to the agents of the hosts, in this process or far away.
type Agent interface {
	// ServeDrop answers r from drop on host, waking it if it must.
	//
	// An error while nothing was written means that the DROP did not take the
	// request: another one may be tried. Its problem.Kind chooses the page if
	// there is none: Busy is a full queue or a DROP that did not wake in time
	// (504 Target Not Responding), Conflict a DROP that is being worked on
	// (503 Target in Maintenance), any other kind 502 Routing Failure. An
	// error after something was written means that the response broke off.
	//
	// It must end soon after r's context does, and not use w or r afterwards.
	// It must not change r's headers. If it spooled the body it may set
	// r.GetBody, so that another attempt can read it again.
	ServeDrop(w http.ResponseWriter, r *http.Request, drop events.DropID, host events.HostID) error
	// Ping wakes drop if it sleeps and returns when it would serve a request.
	Ping(ctx context.Context, drop events.DropID, host events.HostID) error
}

// LogFormat is how a line of the access log looks.
type LogFormat uint8

// The formats.
const (
	// Combined is the "combined" format of Apache and nginx with more fields
	// behind it: seconds, request id, host, DROP, attempts, and last the chain
	// of client addresses.
	Combined LogFormat = iota
	// JSON is one object a line.
	JSON
)

// Options configures a Server. Zero values mean the defaults of limits.go.
type Options struct {
	// HTTPAddress and HTTPSAddress are where Run listens ("127.0.0.1:8080",
	// ":443"); empty for not at all. Serve takes listeners instead.
	HTTPAddress, HTTPSAddress string
	// TLS holds the certificates; needed for HTTPS. ALPN is set by Styx.
	TLS *tls.Config

	Routes Routes // required
	Agent  Agent  // required

	// Name is the router's host name in X-Pantheon-Styx-Hostname. Default
	// "styx-01".
	Name string
	// TrustedProxies are the networks whose forwarding headers
	// (X-Forwarded-For, X-Forwarded-Proto) are believed, and whose connections
	// are not counted by source. Default none: whoever is named here can claim
	// any client address.
	TrustedProxies []netip.Prefix

	// AccessLog gets one line for each request, many lines a Write, from one
	// goroutine. nil for no log.
	AccessLog       io.Writer
	AccessLogFormat LogFormat
	// Logger gets what operators should see. Default none.
	Logger *slog.Logger

	FirstByte    time.Duration
	BetweenBytes time.Duration
	Chain        time.Duration
	ReadHeader   time.Duration
	Idle         time.Duration
	Shutdown     time.Duration

	MaxBodyBytes            int64
	MaxHeaderBytes          int
	MaxConnections          int
	MaxConnectionsPerSource int
	MaxRequests             int
}

func (o Options) withDefaults() Options {
	orDuration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orInt := func(i *int, value int) {
		if *i == 0 {
			*i = value
		}
	}
	orDuration(&o.FirstByte, DefaultFirstByte)
	orDuration(&o.BetweenBytes, DefaultBetweenBytes)
	orDuration(&o.Chain, DefaultChain)
	orDuration(&o.ReadHeader, DefaultReadHeader)
	orDuration(&o.Idle, DefaultIdle)
	orDuration(&o.Shutdown, DefaultShutdown)
	orInt(&o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	orInt(&o.MaxConnections, DefaultMaxConnections)
	orInt(&o.MaxConnectionsPerSource, DefaultMaxConnectionsPerSource)
	orInt(&o.MaxRequests, DefaultMaxRequests)
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.Name == "" {
		o.Name = "styx-01"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// precision is how exactly time-outs are kept: to an eighth, a second at most.
func (o Options) precision() time.Duration {
	return min(time.Second, max(time.Millisecond, min(o.FirstByte, o.BetweenBytes, o.Chain)/8))
}

func (o Options) validate() error {
	switch {
	case o.Routes == nil:
		return problem.New(problem.Invalid, "cannot make a router without Routes")
	case o.Agent == nil:
		return problem.New(problem.Invalid, "cannot make a router without an Agent")
	case strings.ContainsAny(o.Name, "\r\n\x00"):
		return problem.New(problem.Invalid, "router name %q is not valid: it must fit in a header", o.Name)
	case o.HTTPSAddress != "" && o.TLS == nil:
		return problem.New(problem.Invalid, "cannot listen for HTTPS on %s without a certificate", o.HTTPSAddress)
	case min(o.FirstByte, o.BetweenBytes, o.Chain, o.ReadHeader, o.Idle, o.Shutdown) <= 0:
		return problem.New(problem.Invalid, "every time-out of the router must be positive")
	case min(int64(o.MaxHeaderBytes), int64(o.MaxConnections), int64(o.MaxConnectionsPerSource), int64(o.MaxRequests), o.MaxBodyBytes) <= 0:
		return problem.New(problem.Invalid, "every limit of the router must be positive")
	}
	return nil
}
