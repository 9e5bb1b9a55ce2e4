package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events/problem"
)

// nodeFile holds a machine's certificate and key, so that one rename replaces
// both.
const nodeFile = "node.pem"

// Node is a machine's own place in a cell: its key, its certificate, and whom
// it trusts. Its methods may be called concurrently.
type Node struct {
	dir     string
	now     func() time.Time
	current atomic.Pointer[credentials]
	mu      sync.Mutex // one Replace at a time
}

// credentials are never changed after they were made.
type credentials struct {
	host        Host
	certificate tls.Certificate
	authority   *x509.Certificate
	roots       *x509.CertPool
	signed, end time.Time
}

// InstallNode writes what a joining machine got: the answer to its request, and
// the CA. A folder that belongs to another cell is refused.
func InstallNode(dir string, request *Request, certificate, authority []byte) (*Node, error) {
	made, err := newCredentials(request, certificate, authority)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(filepath.Join(dir, authorityCertificate))
	if err == nil {
		was, cell, err := parseAuthority(old)
		if err != nil || fingerprint(was) != fingerprint(made.authority) {
			return nil, problem.New(problem.Conflict, "cannot join cell %s: the data in %s is of cell %s", made.host.Cell, dir, cell).
				WithHint("join with an empty data folder")
		}
	}
	n := &Node{dir: dir, now: time.Now}
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	if err := replaceFile(dir, authorityCertificate, encodeCertificate(made.authority.Raw), 0o644); err != nil {
		return nil, err
	}
	return n, n.store(request, made)
}

// OpenNode reads what InstallNode has written; NotFound where there is none: the
// machine is of no cell. A certificate that has ended is no error: see Rejoin
// in the package comment.
func OpenNode(dir string) (*Node, error) {
	text, err := readSecret(filepath.Join(dir, nodeFile))
	if err != nil {
		return nil, err
	}
	authority, err := readFile(filepath.Join(dir, authorityCertificate))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the cell's certificate")
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, err
	}
	made, err := newCredentials(&Request{key: key}, text, authority)
	if err != nil {
		return nil, err
	}
	n := &Node{dir: dir, now: time.Now}
	n.current.Store(made)
	return n, nil
}

func newCredentials(request *Request, certificateText, authorityText []byte) (*credentials, error) {
	authority, cell, err := parseAuthority(authorityText)
	if err != nil {
		return nil, err
	}
	certificate, err := parseCertificate(certificateText)
	if err != nil {
		return nil, err
	}
	host, err := hostOf(certificate)
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Invalid, err, "cannot use the machine's certificate")
	case host.Cell != cell || certificate.CheckSignatureFrom(authority) != nil:
		return nil, problem.New(problem.Invalid, "cannot use the machine's certificate: it is not of cell %s", cell)
	case !belongs(request.key, certificate):
		return nil, problem.New(problem.Invalid, "cannot use the machine's certificate: it answers another request")
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return &credentials{
		host: host,
		// The CA is sent too: a joining machine knows nothing but its fingerprint.
		certificate: tls.Certificate{Certificate: [][]byte{certificate.Raw, authority.Raw}, PrivateKey: request.key, Leaf: certificate},
		authority:   authority, roots: roots,
		signed: certificate.NotBefore.Add(clockSkew), end: certificate.NotAfter,
	}, nil
}

func (n *Node) store(request *Request, made *credentials) error {
	key, err := encodeKey(request.key)
	if err != nil {
		return err
	}
	text := append(encodeCertificate(made.certificate.Leaf.Raw), key...)
	if err := replaceFile(n.dir, nodeFile, text, 0o600); err != nil {
		return err
	}
	n.current.Store(made)
	return nil
}

// Replace takes a new certificate of the same machine. Connections that are
// open keep the one they were made with.
func (n *Node) Replace(request *Request, certificate []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.current.Load()
	made, err := newCredentials(request, certificate, encodeCertificate(old.authority.Raw))
	if err != nil {
		return err
	}
	if made.host.ID != old.host.ID {
		return problem.New(problem.Invalid, "cannot use the certificate: it is of machine %s and this is machine %s", made.host.ID, old.host.ID)
	}
	return n.store(request, made)
}

// Host is who the machine is.
func (n *Node) Host() Host { return n.current.Load().host }

// Authority gives the CA's certificate in PEM.
func (n *Node) Authority() []byte { return encodeCertificate(n.current.Load().authority.Raw) }

// Fingerprint is the SHA-256 of the CA's certificate in hexadecimal.
func (n *Node) Fingerprint() string { return fingerprint(n.current.Load().authority) }

// Ends is when the certificate ends.
func (n *Node) Ends() time.Time { return n.current.Load().end }

// RenewalDue says whether two thirds of the certificate's life are over.
func (n *Node) RenewalDue(now time.Time) bool {
	c := n.current.Load()
	life := c.end.Sub(c.signed)
	return !now.Before(c.signed.Add(life / renewDenominator * renewNumerator))
}

// Renew gets a new key and a certificate for it. ask sends the request to a
// control machine and gives its answer.
func (n *Node) Renew(ctx context.Context, ask func(ctx context.Context, csr []byte) (certificate []byte, err error)) error {
	request, err := NewRequest()
	if err != nil {
		return err
	}
	certificate, err := ask(ctx, request.CSR)
	if err != nil {
		return err
	}
	return n.Replace(request, certificate)
}

// Run renews the certificate whenever it is due, until ctx ends.
func (n *Node) Run(ctx context.Context, ask func(ctx context.Context, csr []byte) (certificate []byte, err error), logger *slog.Logger) error {
	wait, retry := time.Duration(0), retryFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = checkEvery
		if !n.RenewalDue(n.now()) {
			continue
		}
		err := n.Renew(ctx, ask)
		switch {
		case err == nil:
			logger.Info("the machine's certificate was renewed", "ends", n.Ends())
			retry = retryFirst
		case ctx.Err() == nil:
			logger.Warn("cannot renew the machine's certificate", "err", err, "ends", n.Ends())
			wait, retry = retry, min(2*retry, retryLast)
		}
	}
}
