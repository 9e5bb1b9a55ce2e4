package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"

	"pantheon/events/problem"
)

// The types of PEM blocks.
const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// Request is a fresh private key and the request (CSR, PKCS #10, DER) for a
// certificate over its public half. The key never leaves the machine.
type Request struct {
	key crypto.Signer
	CSR []byte
}

// NewRequest makes a key and asks for a certificate. The request says nothing
// but the key: who the machine is, the signer knows better.
func NewRequest() (*Request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot make a key")
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot make a certificate request")
	}
	return &Request{key: key, CSR: csr}, nil
}

// checkRequest gives the public key of a request that was signed by its
// private half.
func checkRequest(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxRequestBytes {
		return nil, problem.New(problem.Invalid, "cannot sign: the request has %d bytes, and may have %d", len(der), MaxRequestBytes)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot sign: the request cannot be read")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, problem.Wrap(problem.Denied, err, "cannot sign: the sender does not hold the key it asks a certificate for")
	}
	if len(csr.URIs)+len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses) > 0 {
		return nil, problem.New(problem.Invalid, "cannot sign: the request asks for names, which a machine cannot choose")
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	case ed25519.PublicKey:
		return key, nil
	}
	return nil, problem.New(problem.Invalid, "cannot sign: the key must be ECDSA P-256 or Ed25519")
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot write a key")
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// parseCertificate reads exactly one certificate.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	if len(text) > MaxCertificateBytes {
		return nil, problem.New(problem.Invalid, "cannot read a certificate: it has %d bytes, and may have %d", len(text), MaxCertificateBytes)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != blockCertificate {
		return nil, problem.New(problem.Invalid, "cannot read a certificate: it is no PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot read a certificate")
	}
	return certificate, nil
}

// parseKey finds the private key among PEM blocks. Its errors hold nothing of
// the text.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != blockKey {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, problem.New(problem.Invalid, "cannot read a key: it is no PKCS #8")
		}
		return signer, nil
	}
	return nil, problem.New(problem.Invalid, "cannot read a key: there is none")
}

// belongs says whether a key is the private half of a certificate's.
func belongs(key crypto.Signer, certificate *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(certificate.PublicKey)
}
