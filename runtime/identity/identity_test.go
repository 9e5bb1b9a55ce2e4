package identity_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

const (
	meshProtocol = "pantheon-mesh/1"
	joinProtocol = "pantheon-join/1"

	first       = events.HostID("11111111111111111111111111111111")
	second      = events.HostID("22222222222222222222222222222222")
	dropID      = events.DropID("dddddddddddddddddddddddddddddddd")
	environment = events.EnvironmentID("live.6ba7b810-9dad-11d1-80b4-00c04fd430c8")
)

var everyRole = []events.HostRole{events.RoleControl, events.RoleDNS, events.RoleEntry, events.RoleHost}

// cell is the CA of a cell that is a quarter of a year old.
func cell(t testing.TB) *identity.Authority {
	t.Helper()
	authority, err := identity.CreateAuthority(filepath.Join(t.TempDir(), "ca"), identity.NewCellID(), time.Now().Add(-90*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// machine joins a cell as of some time.
func machine(t testing.TB, authority *identity.Authority, id events.HostID, signed time.Time, roles ...events.HostRole) *identity.Node {
	t.Helper()
	request, err := identity.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.SignHost(request.CSR, id, roles, signed)
	if err != nil {
		t.Fatal(err)
	}
	node, err := identity.InstallNode(t.TempDir(), request, certificate, authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// meet lets two configurations shake hands and gives what each saw. After TLS
// 1.3's handshake the client does not know yet what the server thinks of it, so
// a byte goes across.
func meet(server, client *tls.Config) (atServer, atClient tls.ConnectionState, serverErr, clientErr error) {
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		if serverErr = s.Handshake(); serverErr == nil {
			_, serverErr = s.Write([]byte{1})
		}
	}()
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	<-done
	return s.ConnectionState(), c.ConnectionState(), serverErr, clientErr
}

func TestTwoMachinesOfACellKnowEachOther(t *testing.T) {
	authority := cell(t)
	a, b := machine(t, authority, first, time.Now(), everyRole...), machine(t, authority, second, time.Now(), events.RoleEntry)
	atServer, atClient, serverErr, clientErr := meet(a.Server([]string{meshProtocol}, []string{joinProtocol}), b.Client(first, meshProtocol))
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	if atClient.Version != tls.VersionTLS13 || atClient.NegotiatedProtocol != meshProtocol {
		t.Errorf("version %x, protocol %q", atClient.Version, atClient.NegotiatedProtocol)
	}
	if peer, err := identity.PeerOf(atServer); err != nil || peer.ID != second || peer.Cell != authority.Cell() || !peer.Has(events.RoleEntry) || peer.Has(events.RoleControl) {
		t.Error(peer, err)
	}
	if peer, err := identity.PeerOf(atClient); err != nil || peer.ID != first || len(peer.Roles) != 4 {
		t.Error(peer, err)
	}
}

// TestStrangersAreRefused: who may not talk to a machine of the cell, on either
// side.
func TestStrangersAreRefused(t *testing.T) {
	ours, theirs := cell(t), cell(t)
	here := machine(t, ours, first, time.Now(), everyRole...)
	good := machine(t, ours, second, time.Now())
	yesterday := machine(t, ours, second, time.Now().Add(-identity.HostLifetime-time.Minute))
	tomorrow := machine(t, ours, second, time.Now().Add(2*time.Hour))
	foreign := machine(t, theirs, second, time.Now())
	server := func(n *identity.Node) *tls.Config { return n.Server([]string{meshProtocol}, []string{joinProtocol}) }
	without := good.Client(first, meshProtocol)
	without.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	old := good.Client(first, meshProtocol)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	silent := good.Client(first, meshProtocol)
	silent.NextProtos = nil
	drop := good.Client(first, meshProtocol)
	certificate := dropCertificate(t, ours)
	drop.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }

	for name, c := range map[string]struct{ server, client *tls.Config }{
		"a client of another cell":        {server(here), foreign.Client(first, meshProtocol)},
		"a server of another cell":        {server(foreign), here.Client(second, meshProtocol)},
		"a client whose time is over":     {server(here), yesterday.Client(first, meshProtocol)},
		"a server whose time is over":     {server(yesterday), here.Client(second, meshProtocol)},
		"a client whose time is to come":  {server(here), tomorrow.Client(first, meshProtocol)},
		"a client without a certificate":  {server(here), without},
		"a DROP in place of a machine":    {server(here), drop},
		"another machine than was meant":  {server(good), here.Client("33333333333333333333333333333333", meshProtocol)},
		"TLS 1.2":                         {server(here), old},
		"a protocol nobody speaks":        {server(here), good.Client(first, "h2")},
		"no protocol":                     {server(here), silent},
		"a member as a stranger's answer": {here.Server([]string{meshProtocol}, nil), good.Client(first, joinProtocol)},
	} {
		if _, _, serverErr, clientErr := meet(c.server, c.client); serverErr == nil || clientErr == nil {
			t.Errorf("%s was let in: %v, %v", name, serverErr, clientErr)
		}
	}
}

// TestForgedCellIsRefused: a CA that calls itself by our cell's id is still
// another CA.
func TestForgedCellIsRefused(t *testing.T) {
	ours := cell(t)
	forged, err := identity.CreateAuthority(t.TempDir()+"/ca", ours.Cell(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	here, there := machine(t, ours, first, time.Now()), machine(t, forged, second, time.Now())
	if _, _, serverErr, _ := meet(here.Server([]string{meshProtocol}, nil), there.Client(first, meshProtocol)); serverErr == nil {
		t.Error("a forged cell was let in")
	}
}

func dropCertificate(t *testing.T, authority *identity.Authority) tls.Certificate {
	t.Helper()
	request, err := identity.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	text, err := authority.SignBinding(request.CSR, dropID, environment, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files, err := request.BindingFiles(text, authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	if whole := append(append([]byte(nil), files.Certificate...), files.Key...); !bytes.Equal(whole, files.PEM) {
		t.Error("binding.pem is not certificate and key")
	}
	certificate, err := tls.X509KeyPair(files.PEM, files.PEM)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestCertificateOfADropBeginsWithItsSite(t *testing.T) {
	authority := cell(t)
	certificate := dropCertificate(t, authority)
	leaf := certificate.Leaf
	if !strings.HasPrefix(leaf.Subject.CommonName, string(environment.Site())) || leaf.URIs[0].Path != "/binding/"+string(dropID) {
		t.Error(leaf.Subject, leaf.URIs)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Certificate())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("a DROP's certificate is good for a server")
	}
}

func TestOnlyTheKeyIsTakenFromARequest(t *testing.T) {
	authority := cell(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	large, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ask := func(template x509.CertificateRequest, key any) []byte {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	good := ask(x509.CertificateRequest{}, key)
	unsigned := bytes.Clone(good)
	unsigned[len(unsigned)-1] ^= 1
	for name, c := range map[string]struct {
		csr  []byte
		kind problem.Kind
	}{
		"wishes":          {ask(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "pantheon", Host: "x", Path: "/role/control"}}}, key), problem.Invalid},
		"a name":          {ask(x509.CertificateRequest{DNSNames: []string{"example.org"}}, key), problem.Invalid},
		"P-384":           {ask(x509.CertificateRequest{}, large), problem.Invalid},
		"RSA":             {ask(x509.CertificateRequest{}, rsaKey), problem.Invalid},
		"a broken proof":  {unsigned, problem.Denied},
		"noise":           {[]byte("noise"), problem.Invalid},
		"nothing":         {nil, problem.Invalid},
		"very much noise": {make([]byte, identity.MaxRequestBytes+1), problem.Invalid},
	} {
		if _, err := authority.SignHost(c.csr, first, everyRole, time.Now()); problem.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, roles := range [][]events.HostRole{{"root"}, make([]events.HostRole, 17)} {
		if _, err := authority.SignHost(good, first, roles, time.Now()); problem.KindOf(err) != problem.Invalid {
			t.Errorf("roles %q: %v", roles, err)
		}
	}
	if _, err := authority.SignHost(good, "../../etc", nil, time.Now()); problem.KindOf(err) != problem.Invalid {
		t.Error(err)
	}
}

func TestKeyOfTheAuthorityIsReadByNobodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	made, err := identity.CreateAuthority(dir, identity.NewCellID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "ca.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if again, err := identity.OpenAuthority(dir); err != nil || again.Fingerprint() != made.Fingerprint() || again.Cell() != made.Cell() {
		t.Error(err)
	}
	if _, err := identity.CreateAuthority(dir, identity.NewCellID(), time.Now()); problem.KindOf(err) != problem.Conflict {
		t.Error("a second CA:", err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenAuthority(dir); problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" {
		t.Error("a key that everybody may read:", err)
	}
	if _, err := identity.OpenAuthority(t.TempDir()); problem.KindOf(err) != problem.NotFound {
		t.Error("no CA:", err)
	}
}

func TestAnotherControlMachineHoldsTheSameAuthority(t *testing.T) {
	authority, other := cell(t), cell(t)
	key, err := authority.Key()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 { // the second time changes nothing
		copied, err := identity.InstallAuthority(dir, authority.Certificate(), key)
		if err != nil || copied.Fingerprint() != authority.Fingerprint() {
			t.Fatal(err)
		}
	}
	foreign, _ := other.Key()
	if _, err := identity.InstallAuthority(dir, other.Certificate(), foreign); problem.KindOf(err) != problem.Conflict {
		t.Error("another cell's CA in its place:", err)
	}
	if _, err := identity.InstallAuthority(t.TempDir(), other.Certificate(), key); problem.KindOf(err) != problem.Invalid {
		t.Error("a key of another CA:", err)
	}
}

func TestNodeIsOnDiskAsAWhole(t *testing.T) {
	authority, dir := cell(t), t.TempDir()
	request, _ := identity.NewRequest()
	certificate, err := authority.SignHost(request.CSR, first, everyRole, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenNode(dir); problem.KindOf(err) != problem.NotFound {
		t.Error("of no cell:", err)
	}
	if _, err := identity.InstallNode(dir, request, certificate, authority.Certificate()); err != nil {
		t.Fatal(err)
	}
	node, err := identity.OpenNode(dir)
	if err != nil || node.Host().ID != first || node.Fingerprint() != authority.Fingerprint() {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "node.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	other := cell(t)
	theirs, _ := other.SignHost(request.CSR, first, nil, time.Now())
	if _, err := identity.InstallNode(dir, request, theirs, other.Certificate()); problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" {
		t.Error("data of another cell:", err)
	}
	if _, err := identity.InstallNode(t.TempDir(), request, theirs, authority.Certificate()); problem.KindOf(err) != problem.Invalid {
		t.Error("a certificate of another cell:", err)
	}
	stranger, _ := identity.NewRequest()
	if _, err := identity.InstallNode(t.TempDir(), stranger, certificate, authority.Certificate()); problem.KindOf(err) != problem.Invalid {
		t.Error("a certificate for another key:", err)
	}
	elsewhere, _ := authority.SignHost(stranger.CSR, second, nil, time.Now())
	if err := node.Replace(stranger, elsewhere); problem.KindOf(err) != problem.Invalid {
		t.Error("a certificate of another machine:", err)
	}
}

// TestMachineThatWasOffForAMonthComesBack: with a certificate that has ended it
// can be heard as an applicant, and nowhere else.
func TestMachineThatWasOffForAMonthComesBack(t *testing.T) {
	authority := cell(t)
	control := machine(t, authority, first, time.Now(), everyRole...)
	server := control.Server([]string{meshProtocol}, []string{joinProtocol})
	ended := func(ago time.Duration) *identity.Node {
		return machine(t, authority, second, time.Now().Add(-identity.HostLifetime-ago))
	}
	month := ended(29 * 24 * time.Hour)
	state, _, serverErr, clientErr := meet(server, month.Client(first, joinProtocol))
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	if applicant, err := control.Applicant(state); err != nil || applicant.ID != second {
		t.Error(applicant, err)
	}
	if _, _, serverErr, _ := meet(server, month.Client(first, meshProtocol, joinProtocol)); serverErr == nil {
		t.Error("let in as a member by offering both protocols")
	}
	if _, _, serverErr, _ := meet(server, ended(identity.RejoinFor+time.Hour).Client(first, joinProtocol)); serverErr == nil {
		t.Error("a certificate that ended too long ago")
	}
	foreign := machine(t, cell(t), second, time.Now())
	config := foreign.Client(first, joinProtocol)
	config.VerifyConnection = nil
	if _, _, serverErr, _ := meet(server, config); serverErr == nil {
		t.Error("another cell's machine as an applicant")
	}
}

func TestJoiningMachineTrustsTheTokensAuthorityOnly(t *testing.T) {
	authority, other := cell(t), cell(t)
	token := identity.Token{Authority: authority.Fingerprint()}
	strangers := []string{joinProtocol}
	control := machine(t, authority, first, time.Now(), everyRole...)
	if _, _, serverErr, clientErr := meet(control.Server([]string{meshProtocol}, strangers), token.JoinClient(joinProtocol)); serverErr != nil || clientErr != nil {
		t.Error(serverErr, clientErr)
	}
	for name, node := range map[string]*identity.Node{
		"another cell":                 machine(t, other, first, time.Now(), everyRole...),
		"no control machine":           machine(t, authority, first, time.Now(), events.RoleHost),
		"a machine whose time is over": machine(t, authority, first, time.Now().Add(-48*time.Hour), everyRole...),
	} {
		if _, _, _, clientErr := meet(node.Server([]string{meshProtocol}, strangers), token.JoinClient(joinProtocol)); clientErr == nil {
			t.Errorf("%s was trusted with the secret", name)
		}
	}
}

func TestCertificateIsRenewedAfterTwoThirds(t *testing.T) {
	authority := cell(t)
	synctest.Test(t, func(t *testing.T) {
		node := machine(t, authority, first, time.Now(), everyRole...)
		begun, failures := time.Now(), 2
		ctx, cancel := context.WithCancel(t.Context())
		var asked []time.Duration
		ask := func(_ context.Context, csr []byte) ([]byte, error) {
			asked = append(asked, time.Since(begun))
			if failures--; failures >= 0 {
				return nil, errors.New("nobody there")
			}
			return authority.SignHost(csr, first, []events.HostRole{events.RoleHost}, time.Now())
		}
		ended := make(chan error)
		go func() { ended <- node.Run(ctx, ask, slog.New(slog.DiscardHandler)) }()
		time.Sleep(40 * time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(asked); got != "[16h0m0s 16h0m1s 16h0m3s 32h0m3s]" && got != "[16h0m0s 16h0m1s 16h0m3s 32h1m3s]" {
			t.Error(got)
		}
		if node.Host().Has(events.RoleControl) || !node.Ends().After(begun.Add(55*time.Hour)) {
			t.Error("the new certificate is not in use", node.Ends())
		}
	})
}
