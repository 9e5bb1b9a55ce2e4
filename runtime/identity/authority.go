package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// The files of an authority.
const (
	authorityCertificate = "ca.pem"
	authorityKey         = "ca.key"
)

// Authority is the cell's CA with its key: on control machines only. Its
// methods may be called concurrently.
type Authority struct {
	cell        CellID
	certificate *x509.Certificate
	key         crypto.Signer
}

// CreateAuthority makes a cell's CA in dir, which must not hold one.
func CreateAuthority(dir string, cell CellID, now time.Time) (*Authority, error) {
	if _, err := ParseCellID(string(cell)); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(dir, authorityKey)); !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.Conflict, "cannot make a certificate authority: there is one in %s", dir)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot make the key of the certificate authority")
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "pantheon cell " + string(cell)},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		URIs:                  []*url.URL{{Scheme: scheme, Host: string(cell)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot make the certificate authority")
	}
	secret, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return InstallAuthority(dir, encodeCertificate(der), secret)
}

// InstallAuthority puts the CA that another control machine holds into dir:
// this machine becomes one. The same CA again is no error, another one is.
func InstallAuthority(dir string, certificate, key []byte) (*Authority, error) {
	a, err := newAuthority(certificate, key)
	if err != nil {
		return nil, err
	}
	old, err := OpenAuthority(dir)
	switch {
	case err == nil && old.Fingerprint() != a.Fingerprint():
		return nil, problem.New(problem.Conflict, "cannot take over cell %s: %s holds the certificate authority of cell %s", a.cell, dir, old.cell)
	case err == nil:
		return old, nil
	case problem.KindOf(err) != problem.NotFound:
		return nil, err
	}
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	if err := replaceFile(dir, authorityCertificate, certificate, 0o644); err != nil {
		return nil, err
	}
	// The key comes last: where it is, the CA is whole.
	if err := replaceFile(dir, authorityKey, key, 0o600); err != nil {
		return nil, err
	}
	return a, nil
}

// OpenAuthority reads the CA in dir; NotFound where there is none: the machine
// is no control machine.
func OpenAuthority(dir string) (*Authority, error) {
	key, err := readSecret(filepath.Join(dir, authorityKey))
	if err != nil {
		return nil, err
	}
	certificate, err := readFile(filepath.Join(dir, authorityCertificate))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the certificate authority").
			WithHint("restore %s from a backup, or from another control machine", dir)
	}
	return newAuthority(certificate, key)
}

func newAuthority(certificateText, keyText []byte) (*Authority, error) {
	certificate, cell, err := parseAuthority(certificateText)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyText)
	if err != nil {
		return nil, err
	}
	if !belongs(key, certificate) {
		return nil, problem.New(problem.Invalid, "cannot use the certificate authority of cell %s: its key belongs to another certificate", cell)
	}
	return &Authority{cell: cell, certificate: certificate, key: key}, nil
}

// parseAuthority reads the certificate of a cell's CA.
func parseAuthority(text []byte) (*x509.Certificate, CellID, error) {
	certificate, err := parseCertificate(text)
	if err != nil {
		return nil, "", err
	}
	if !certificate.IsCA || len(certificate.URIs) != 1 || certificate.CheckSignatureFrom(certificate) != nil {
		return nil, "", problem.New(problem.Invalid, "cannot use a certificate authority: it is none of a cell")
	}
	cell, err := ParseCellID(certificate.URIs[0].Host)
	if err != nil {
		return nil, "", problem.Wrap(problem.Invalid, err, "cannot use a certificate authority")
	}
	return certificate, cell, nil
}

// Cell names the cell.
func (a *Authority) Cell() CellID { return a.cell }

// Certificate gives the CA's certificate in PEM.
func (a *Authority) Certificate() []byte { return encodeCertificate(a.certificate.Raw) }

// Key gives the CA's key in PEM, for another control machine of the cell and
// for nobody else.
func (a *Authority) Key() ([]byte, error) { return encodeKey(a.key) }

// Fingerprint is the SHA-256 of the CA's certificate, in hexadecimal: what a
// joining machine trusts.
func (a *Authority) Fingerprint() string { return fingerprint(a.certificate) }

func fingerprint(certificate *x509.Certificate) string {
	hash := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(hash[:])
}

// SignHost gives a machine its certificate, in PEM, in force from now for
// HostLifetime. The caller has made sure that the sender of the request is
// that machine.
func (a *Authority) SignHost(csr []byte, id events.HostID, roles []events.HostRole, now time.Time) ([]byte, error) {
	host := Host{Cell: a.cell, ID: id, Roles: roles}
	if err := host.validate(); err != nil {
		return nil, err
	}
	return a.sign(csr, &x509.Certificate{
		Subject:     pkix.Name{CommonName: string(id)}, // for people
		NotAfter:    now.Add(HostLifetime),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        host.uris(),
	}, now)
}

func (a *Authority) sign(csr []byte, template *x509.Certificate, now time.Time) ([]byte, error) {
	key, err := checkRequest(csr)
	if err != nil {
		return nil, err
	}
	if now.After(a.certificate.NotAfter) {
		return nil, problem.New(problem.Unavailable, "cannot sign: the certificate authority of cell %s has expired", a.cell)
	}
	template.SerialNumber = serial()
	template.NotBefore = now.Add(-clockSkew)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot sign")
	}
	return encodeCertificate(der), nil
}

// serial is 127 bits of chance: never negative (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails, see crypto/rand
	bits[0] &= 0x7f
	return new(big.Int).SetBytes(bits[:])
}
