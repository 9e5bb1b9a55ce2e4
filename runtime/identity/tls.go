package identity

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Server gives the accepting side of a connection. protocols are the ALPN
// names it speaks; none at all for a protocol without ALPN. On the names in
// strangers a client needs no certificate, and may show one of this cell that
// has ended within RejoinFor: see [Node.Applicant]. A client that offers any
// of protocols is never taken for a stranger.
func (n *Node) Server(protocols, strangers []string) *tls.Config {
	members := n.config(protocols)
	members.ClientAuth = tls.RequireAnyClientCert
	members.VerifyConnection = func(state tls.ConnectionState) error {
		return n.verify(state, protocols, x509.ExtKeyUsageClientAuth, "")
	}
	if len(strangers) == 0 {
		return members
	}
	applicants := n.config(strangers)
	applicants.ClientAuth = tls.RequestClientCert
	applicants.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkProtocol(state, strangers); err != nil || len(state.PeerCertificates) == 0 {
			return err
		}
		_, err := n.Applicant(state)
		return err
	}
	config := members.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offers := func(names []string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(hello.SupportedProtos, name) })
		}
		if offers(strangers) && !offers(protocols) {
			return applicants, nil
		}
		return members, nil
	}
	return config
}

// LogServer gives the accepting side of the connections to the cell's log: the
// protocol has no ALPN, and its server wants certificates verified by the
// standard library too.
func (n *Node) LogServer() *tls.Config {
	config := n.Server(nil, nil)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, n.current.Load().roots
	return config
}

// LogMember gives both sides of the connections between the machines that hold
// the log together: control machines alone.
func (n *Node) LogMember() *tls.Config {
	config := n.LogServer()
	config.InsecureSkipVerify = true // the name in a certificate is no DNS name: VerifyConnection checks it all
	config.VerifyConnection = func(state tls.ConnectionState) error {
		own := n.current.Load()
		peer, err := check(state.PeerCertificates, own.roots, own.host.Cell, x509.ExtKeyUsageAny, n.now())
		if err == nil && !peer.Has(events.RoleControl) {
			err = problem.New(problem.Denied, "machine %s may not hold the log: it is no control machine", peer.ID)
		}
		return err
	}
	return config
}

// Client gives the dialing side of a connection to a machine, or to any
// machine of the cell where host is empty.
func (n *Node) Client(host events.HostID, protocols ...string) *tls.Config {
	config := n.config(protocols)
	config.InsecureSkipVerify = true // the name in a certificate is no DNS name: VerifyConnection checks it all
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return n.verify(state, protocols, x509.ExtKeyUsageServerAuth, host)
	}
	return config
}

// JoinClient gives the dialing side of a machine that has nothing but a
// token: it trusts a control machine whose certificate comes from the CA of
// the token's fingerprint.
func (t Token) JoinClient(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		InsecureSkipVerify: true, // VerifyConnection checks it all
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := checkProtocol(state, []string{protocol}); err != nil {
				return err
			}
			return t.verify(state.PeerCertificates, time.Now())
		},
	}
}

func (t Token) verify(chain []*x509.Certificate, now time.Time) error {
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return fingerprint(c) == t.Authority })
	if at < 1 {
		return problem.New(problem.Denied, "cannot join: the machine at the other end is not of the cell that made the token")
	}
	_, cell, err := parseAuthority(encodeCertificate(chain[at].Raw))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(chain[at])
	host, err := check(chain, roots, cell, x509.ExtKeyUsageServerAuth, now)
	if err != nil {
		return err
	}
	if !host.Has(events.RoleControl) {
		return problem.New(problem.Denied, "cannot join: machine %s is no control machine", host.ID)
	}
	return nil
}

func (n *Node) config(protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		// A ticket would let a machine in without its certificate being looked at.
		SessionTicketsDisabled: true,
		// Small records at the beginning are for browsers over slow lines; here
		// they are five system calls in place of one for a page.
		DynamicRecordSizingDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &n.current.Load().certificate, nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &n.current.Load().certificate, nil
		},
	}
}

// verify looks at the other end of a connection between machines.
func (n *Node) verify(state tls.ConnectionState, protocols []string, usage x509.ExtKeyUsage, want events.HostID) error {
	if err := checkProtocol(state, protocols); err != nil {
		return err
	}
	own := n.current.Load()
	peer, err := check(state.PeerCertificates, own.roots, own.host.Cell, usage, n.now())
	if err != nil {
		return err
	}
	if want != "" && peer.ID != want {
		return problem.New(problem.Denied, "cannot connect: machine %s answers where machine %s was expected", peer.ID, want).
			WithHint("two machines may have changed their addresses")
	}
	return nil
}

// Applicant gives the machine at the other end of a stranger's connection by
// its certificate, which may have ended within RejoinFor. NotFound where it
// showed none.
func (n *Node) Applicant(state tls.ConnectionState) (Host, error) {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return Host{}, problem.New(problem.NotFound, "the machine has no certificate of the cell")
	}
	now := n.now()
	if end := chain[0].NotAfter; now.After(end) && !now.After(end.Add(RejoinFor)) {
		now = end
	}
	own := n.current.Load()
	return check(chain, own.roots, own.host.Cell, x509.ExtKeyUsageClientAuth, now)
}

// PeerOf tells who is on the other end of a connection that Server or Client
// has let through.
func PeerOf(state tls.ConnectionState) (Host, error) {
	if len(state.PeerCertificates) == 0 {
		return Host{}, problem.New(problem.Denied, "the other end showed no certificate")
	}
	host, err := hostOf(state.PeerCertificates[0])
	if err != nil {
		return Host{}, problem.Wrap(problem.Denied, err, "cannot accept a certificate")
	}
	return host, nil
}

// check is the one place where a machine's certificate is judged.
func check(chain []*x509.Certificate, roots *x509.CertPool, cell CellID, usage x509.ExtKeyUsage, now time.Time) (Host, error) {
	if len(chain) == 0 {
		return Host{}, problem.New(problem.Denied, "the other end showed no certificate")
	}
	// No intermediates: the CA signs machines itself.
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return Host{}, problem.Wrap(problem.Denied, err, "cannot accept a certificate")
	}
	host, err := hostOf(chain[0])
	if err != nil {
		return Host{}, problem.Wrap(problem.Denied, err, "cannot accept a certificate")
	}
	if host.Cell != cell {
		return Host{}, problem.New(problem.Denied, "cannot accept a certificate: it is of cell %s and this is cell %s", host.Cell, cell)
	}
	return host, nil
}

func checkProtocol(state tls.ConnectionState, protocols []string) error {
	if len(protocols) > 0 && !slices.Contains(protocols, state.NegotiatedProtocol) {
		return problem.New(problem.Unsupported, "cannot connect: the other end speaks none of %v", protocols)
	}
	return nil
}
