package jetstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/problem"
)

// Listen lets the embedded server take clients of other machines. Nobody gets
// in without a certificate: TLS must demand one and verify it.
type Listen struct {
	// Address is host:port; port 0 takes a free one, see Address of the log.
	Address string
	// TLS must have ClientAuth set to tls.RequireAndVerifyClientCert. Who has a
	// certificate that it takes may read and append, and cannot delete.
	TLS *tls.Config
	// Admit looks at who comes, by a connection that TLS has let through: false
	// turns it away, and it may not publish to the subjects that are given. It is
	// asked once for each connection. nil admits all.
	Admit func(state tls.ConnectionState) (admitted bool, denied []string)
}

// Cluster makes the server one of the members that hold the log together.
type Cluster struct {
	// Name is the same for all members: the cell's id.
	Name string
	// Host names this member; no other one may ever bear it: the host id.
	Host string
	// Address is where the other members reach this one, host:port.
	Address string
	// TLS is for both sides of the connections between members. It must demand
	// and verify a certificate, and take only those of members: who gets in here
	// is trusted with the whole log.
	TLS *tls.Config
	// Peers are the Addresses of the other members.
	Peers []string
}

// mutual refuses a TLS configuration that lets strangers in.
func mutual(config *tls.Config, what string) error {
	if config == nil || config.ClientAuth != tls.RequireAndVerifyClientCert {
		return problem.New(problem.Invalid, "cannot listen for %s: nobody may come in without a certificate", what).
			WithHint("the TLS configuration must require and verify client certificates")
	}
	return nil
}

// network adds what listens to a server's options.
func network(options *server.Options, listen *Listen, cluster *Cluster, open func() bool) error {
	if listen != nil {
		if err := mutual(listen.TLS, "clients"); err != nil {
			return err
		}
		host, port, err := splitAddress(listen.Address)
		if err != nil {
			return err
		}
		options.DontListen, options.Host, options.Port = false, host, port
		options.TLS, options.TLSVerify, options.TLSConfig = true, true, listen.TLS.Clone()
		options.TLSTimeout = handshakeTimeout.Seconds()
		options.CustomClientAuthentication = doorkeeper{open, listen.Admit}
	}
	if cluster == nil {
		return nil
	}
	if err := mutual(cluster.TLS, "other members"); err != nil {
		return err
	}
	host, port, err := splitAddress(cluster.Address)
	if err != nil {
		return err
	}
	options.ServerName = cluster.Host
	options.Cluster = server.ClusterOpts{
		Name: cluster.Name, Host: host, Port: port, TLSConfig: cluster.TLS.Clone(), TLSTimeout: handshakeTimeout.Seconds(),
		ConnectRetries: maxRouteRetries, PingInterval: routePing, MaxPingsOut: 2,
	}
	for _, peer := range cluster.Peers {
		if _, _, err := splitAddress(peer); err != nil {
			return err
		}
		options.Routes = append(options.Routes, &url.URL{Scheme: "nats-route", Host: peer})
	}
	if listen == nil {
		options.DontListen = false // the server starts its routes only when it listens
		options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
		options.CustomClientAuthentication = doorkeeper{open: func() bool { return false }}
	}
	return nil
}

func splitAddress(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, problem.Wrap(problem.Invalid, err, "cannot listen on %q", address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, problem.New(problem.Invalid, "cannot listen on %q: the port is no number", address)
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

// doorkeeper lets this process in with all rights, and others with a verified
// certificate and without those that could destroy the log.
type doorkeeper struct {
	open  func() bool
	admit func(tls.ConnectionState) (bool, []string) // nil admits all
}

// Check implements server.Authentication.
func (d doorkeeper) Check(client server.ClientAuthentication) bool {
	state := client.GetTLSConnectionState()
	if state == nil {
		// A connection within the process is a pipe; whatever comes by the
		// network has been through TLS when it is asked here.
		address := client.RemoteAddress()
		return address == nil || address.Network() == "pipe"
	}
	if len(state.VerifiedChains) == 0 || !d.open() {
		return false
	}
	denied := deniedToClients
	if d.admit != nil {
		admitted, more := d.admit(*state)
		if !admitted {
			return false
		}
		denied = slices.Concat(denied, more)
	}
	client.RegisterUser(&server.User{Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: denied},
		Subscribe: &server.SubjectPermission{Deny: []string{"$SYS.>"}},
	}})
	return true
}

// deniedToClients is what could take away or change what is in the log, or
// pretend that something was committed. Buckets are theirs.
var deniedToClients = func() []string {
	denied := []string{committedPrefix + ">", "$SYS.>", "$JS.API.META.>", "$JS.API.ACCOUNT.>", "$JS.API.SERVER.>"}
	for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE", "SNAPSHOT", "MSG.DELETE", "PEER.REMOVE", "LEADER.STEPDOWN"} {
		denied = append(denied, "$JS.API.STREAM."+verb+"."+streamName)
	}
	return denied
}()

// hear lets a log that others write as well learn of their commits: the stream
// publishes every one that was stored once more, and the address that was taken
// stays when the server is started again.
func (l *Log) hear(ctx context.Context, e *engine) error {
	config := l.stream.CachedInfo().Config
	if config.RePublish == nil {
		config.RePublish = republished()
		stream, err := l.js.UpdateStream(ctx, config)
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot open the log for other machines")
		}
		l.stream = stream
	}
	listen := *l.listen
	listen.Address = e.server.Addr().String()
	l.listen = &listen
	_, err := l.conn.Subscribe(committedPrefix+">", func(message *nats.Msg) {
		if position, err := strconv.ParseUint(message.Header.Get(sequenceHeader), 10, 64); err == nil {
			l.head.rise(position)
		}
	})
	return err
}

func republished() *jetstream.RePublish {
	return &jetstream.RePublish{Source: subjectPrefix + ">", Destination: committedPrefix + ">"}
}

// Address is where the log listens, empty when it does not.
func (l *Log) Address() string {
	if l.listen == nil {
		return ""
	}
	return l.listen.Address
}

// askOthers brings the head to what others may have written. A log that only
// this process writes knows its head.
func (l *Log) askOthers(ctx context.Context) error {
	if _, _, closed := l.head.watch(); closed || l.listen == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	asking, cancel := within(ctx, readTimeout)
	defer cancel()
	defer context.AfterFunc(l.wire.current.Load().failed, cancel)()
	info, err := l.stream.Info(asking)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if _, _, closed := l.head.watch(); closed || l.healer.reason() != "" {
			return nil // what this process knows of can be read while the server is ill
		}
		return problem.Wrap(problem.Unavailable, err, "cannot ask for the end of the log")
	}
	l.head.rise(info.State.LastSeq)
	return nil
}
