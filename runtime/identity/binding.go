package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Binding is what the client certificate of a DROP says: the certificate that
// an application finds in $HOME/certs and shows to the platform's services.
type Binding struct {
	Cell        CellID
	Drop        events.DropID
	Environment events.EnvironmentID
}

// SignBinding gives a DROP its client certificate, in PEM, for
// BindingLifetime. Its common name begins with the site's UUID, which is how
// the original platform's services know who asks.
func (a *Authority) SignBinding(csr []byte, drop events.DropID, environment events.EnvironmentID, now time.Time) ([]byte, error) {
	if _, err := events.ParseDropID(string(drop)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot sign for a DROP")
	}
	if _, err := events.ParseEnvironmentID(string(environment)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot sign for a DROP")
	}
	template := &x509.Certificate{
		// 64 bytes at most (RFC 5280, ub-common-name): 36 and 11 and a dot.
		Subject:     pkix.Name{CommonName: string(environment.Site()) + "." + string(environment.Name()), OrganizationalUnit: []string{string(drop)}},
		NotAfter:    now.Add(BindingLifetime),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	template.URIs = append(template.URIs,
		uriOf(a.cell, pathBinding, string(drop)), uriOf(a.cell, pathEnvironment, string(environment)))
	return a.sign(csr, template, now)
}

// BindingFiles are the files of $HOME/certs.
type BindingFiles struct {
	PEM         []byte // binding.pem: certificate and key
	Certificate []byte // binding.crt
	Key         []byte // binding.key
	Authority   []byte // ca.pem, to check the services by
}

// BindingFiles makes the files of a DROP out of the request, the certificate it
// got and the CA's.
func (r *Request) BindingFiles(certificateText, authorityText []byte) (BindingFiles, error) {
	authority, _, err := parseAuthority(authorityText)
	if err != nil {
		return BindingFiles{}, err
	}
	certificate, err := parseCertificate(certificateText)
	if err != nil {
		return BindingFiles{}, err
	}
	if _, err := bindingOf(certificate); err != nil || !belongs(r.key, certificate) || certificate.CheckSignatureFrom(authority) != nil {
		return BindingFiles{}, problem.New(problem.Invalid, "cannot use the certificate of a DROP: it answers another request")
	}
	key, err := encodeKey(r.key)
	if err != nil {
		return BindingFiles{}, err
	}
	text := encodeCertificate(certificate.Raw)
	return BindingFiles{
		PEM: append(append([]byte(nil), text...), key...), Certificate: text, Key: key, Authority: encodeCertificate(authority.Raw),
	}, nil
}

// bindingOf reads the DROP out of a certificate.
func bindingOf(certificate *x509.Certificate) (Binding, error) {
	var b Binding
	for _, uri := range certificate.URIs {
		kind, id, err := split(uri)
		switch {
		case err != nil:
			return Binding{}, err
		case b.Cell != "" && b.Cell != CellID(uri.Host):
			return Binding{}, fmt.Errorf("it names two cells")
		case kind == pathBinding && b.Drop == "":
			b.Drop = events.DropID(id)
		case kind == pathEnvironment && b.Environment == "":
			b.Environment = events.EnvironmentID(id)
		default:
			return Binding{}, fmt.Errorf("it is no DROP's: it names a %.20q", kind)
		}
		b.Cell = CellID(uri.Host)
	}
	if _, err := events.ParseDropID(string(b.Drop)); err != nil {
		return Binding{}, fmt.Errorf("it names no DROP")
	}
	if _, err := events.ParseEnvironmentID(string(b.Environment)); err != nil {
		return Binding{}, fmt.Errorf("it names no environment")
	}
	return b, nil
}
