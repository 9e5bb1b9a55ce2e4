package mesh

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

// The names of the protocols (ALPN).
const (
	Protocol     = "pantheon-mesh/1"
	JoinProtocol = "pantheon-join/1"
	APIProtocol  = "pantheon-api/1"
)

// Agent serves the DROPs of this host. It is the port of the router too: see
// gateways/styx.
type Agent interface {
	// ServeDrop answers r from drop; an error while nothing was written means
	// that the DROP did not take the request.
	ServeDrop(w http.ResponseWriter, r *http.Request, drop events.DropID, host events.HostID) error
	// Ping wakes drop and returns when it would serve a request.
	Ping(ctx context.Context, drop events.DropID, host events.HostID) error
}

// Directory knows the machines of the cell. It answers at once, from a
// snapshot.
type Directory interface {
	// Addresses gives where a host's mesh listens, host:port, the best first.
	Addresses(host events.HostID) []string
	// Removed says that a host is no longer of the cell. One that is not known
	// (yet) is not removed.
	Removed(host events.HostID) bool
}

// SocketRequest is who wants to reach a binding.
type SocketRequest struct {
	Binding events.BindingID `json:"binding"`
	Drop    events.DropID    `json:"drop"`
	// Placement numbers the DROP's placement: the data's host refuses one that
	// it knows to be past.
	Placement int64 `json:"placement"`
}

// Sockets opens the services of this host to other machines.
type Sockets interface {
	// Socket gives the path of the binding's Unix socket, or refuses: the host
	// must hold the DROP, and the DROP the binding.
	Socket(ctx context.Context, host events.HostID, request SocketRequest) (path string, err error)
}

// FilesRequest is who wants to reach the files of an environment.
type FilesRequest struct {
	Environment events.EnvironmentID `json:"environment"`
	Drop        events.DropID        `json:"drop"`
	// Placement numbers the DROP's placement, as in a SocketRequest.
	Placement int64 `json:"placement"`
}

// Volumes serves the files of this host to other machines.
type Volumes interface {
	// Volume gives what serves a connection to the environment's files, or
	// refuses: the host must hold the DROP, and the DROP be of the environment.
	// serve returns when the connection ends, by an error of conn or by the end
	// of ctx.
	Volume(ctx context.Context, host events.HostID, request FilesRequest) (serve func(ctx context.Context, conn io.ReadWriteCloser) error, err error)
}

// Keys gives the key of a site to a host that needs it.
type Keys interface {
	SiteKey(ctx context.Context, host events.HostID, site events.SiteID) ([]byte, error)
}

// Certificate is the answer to a request for one.
type Certificate struct {
	Certificate []byte `json:"certificate"` // PEM
	// AuthorityKey is the key of the cell's CA, PEM, for a control machine.
	AuthorityKey []byte `json:"authority_key,omitzero"`
}

// Renewer signs on control machines. csr is PKCS #10, DER; host has proven who
// it is and is not removed.
type Renewer interface {
	Renew(ctx context.Context, host events.HostID, csr []byte) (Certificate, error)
}

// BindingRequest asks for the client certificate of a DROP.
type BindingRequest struct {
	Drop        events.DropID        `json:"drop"`
	Environment events.EnvironmentID `json:"environment"`
	CSR         []byte               `json:"csr"` // PKCS #10, DER
}

// Certifier signs the certificates of DROPs on control machines, in PEM, or
// refuses: the host must hold the DROP, and the DROP be of the environment.
type Certifier interface {
	SignBinding(ctx context.Context, host events.HostID, request BindingRequest) ([]byte, error)
}

// JoinRequest is what a new machine says.
type JoinRequest struct {
	Invitation events.TokenID `json:"invitation"`
	Secret     string         `json:"secret"`
	Host       events.HostID  `json:"host"`
	Name       string         `json:"name"`
	Addresses  []string       `json:"addresses"`
	Version    string         `json:"version"`
	Protocol   int            `json:"protocol"` // what the machine speaks
	CSR        []byte         `json:"csr"`
}

// JoinReply is what it needs to be a machine of the cell.
type JoinReply struct {
	Certificate
	Cell      identity.CellID `json:"cell"`
	Authority []byte          `json:"authority"` // the CA's certificate, PEM
	// Control lists the control machines' addresses, by what is reached there:
	// "mesh", "log".
	Control map[string][]string `json:"control"`
	// Settings of the cell that every machine must agree on, such as "domain".
	Settings map[string]string `json:"settings"`
}

// Joiner redeems invitations on control machines.
type Joiner interface {
	Join(ctx context.Context, request JoinRequest) (JoinReply, error)
}

// Options of a Mesh. Node and Directory are required; a port that is nil
// refuses its verbs.
type Options struct {
	Node      *identity.Node
	Directory Directory
	// Listener takes the other machines' connections; nil for a machine that only
	// dials. The mesh closes it.
	Listener net.Listener

	Agent     Agent
	Sockets   Sockets
	Volumes   Volumes
	Keys      Keys
	Renewer   Renewer
	Joiner    Joiner
	Certifier Certifier
	NameKeys  NameKeys
	// API takes the connections on which other machines pass on what their
	// users ask of the API; a connection is its to close.
	API func(conn net.Conn)

	Logger *slog.Logger
	// Tick of the connections: a peer is lost after four to five silent ones.
	// mux.DefaultTick where zero.
	Tick time.Duration
}

func (o Options) validate() error {
	if o.Node == nil || o.Directory == nil {
		return problem.New(problem.Invalid, "cannot make a mesh without Node and Directory")
	}
	return nil
}
