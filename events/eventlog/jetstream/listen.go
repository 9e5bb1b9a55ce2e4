package jetstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
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
	// turns it away. It is asked once for each connection, and of all that are
	// open by TurnAway. nil admits all, with every right that a client can have.
	Admit func(state tls.ConnectionState) (Rights, bool)
}

// Rights are what a client may do beside what no client may. The zero value is
// everything.
//
// A right to have streams or consumers made is a right to all that is in the
// server: either copies what it likes to where it likes.
type Rights struct {
	// Guest names the account that the client is in, one of its own: one token of a
	// subject. Whoever comes by this name always has the same rights. Empty for the
	// log's account, where the fields below mean nothing.
	Guest string
	// Ask are the subjects, with wildcards, at which the guest publishes to the
	// log's account and may have one answer, AskMany those with any number.
	Ask, AskMany []string
	// Hear are those of the log's account that it may subscribe to.
	Hear []string
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
		options.CustomClientAuthentication = &doorkeeper{open: open, admit: listen.Admit}
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
		options.CustomClientAuthentication = &doorkeeper{open: func() bool { return false }}
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
