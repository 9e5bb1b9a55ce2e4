package jetstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority vouches for the machines of a test.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pool        *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a cell"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

// config gives a machine's configuration for both sides of a connection.
func (a *authority) config(t testing.TB, name string) *tls.Config {
	t.Helper()
	config, err := a.issue(name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (a *authority) issue(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1", RootCAs: a.pool, ClientCAs: a.pool,
		ClientAuth: tls.RequireAndVerifyClientCert, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

// save writes what load reads in another process.
func (a *authority) save(t testing.TB, dir string) {
	t.Helper()
	key, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"key": key, "certificate": a.certificate.Raw} {
		if err := os.WriteFile(filepath.Join(dir, name), der, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func loadAuthority(dir string) (*authority, error) {
	a := &authority{pool: x509.NewCertPool()}
	der, err := os.ReadFile(filepath.Join(dir, "key"))
	if err == nil {
		a.key, err = x509.ParseECPrivateKey(der)
	}
	if err == nil {
		der, err = os.ReadFile(filepath.Join(dir, "certificate"))
	}
	if err == nil {
		a.certificate, err = x509.ParseCertificate(der)
	}
	if err == nil {
		a.pool.AddCert(a.certificate)
	}
	return a, err
}

// freeAddresses gives addresses that are this test's alone for a while: routes
// have to be known before the servers start. Nobody else uses the network of
// this process' number.
func freeAddresses(t testing.TB, n int) (addresses []string) {
	t.Helper()
	pid := os.Getpid()
	for range n {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff|1))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // all of them at the end, or one comes twice
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

// cell is members on loopback, three where a test does not say otherwise.
type cell struct {
	t       testing.TB
	ca      *authority
	size    int // of the cluster, as those that are started know it
	routes  []string
	clients []string
	dirs    []string
	members []*Member
	admit   func(tls.ConnectionState) (Rights, bool) // nil for all, with every right
	faults  *faults                                  // nil for nobody who collects them
}

func newCell(t testing.TB) *cell {
	t.Helper()
	const most = 5
	c := &cell{t: t, ca: newAuthority(t), size: 3, members: make([]*Member, most)}
	addresses := freeAddresses(t, 2*most)
	for i := range most {
		c.routes, c.clients = append(c.routes, addresses[2*i]), append(c.clients, addresses[2*i+1])
		c.dirs = append(c.dirs, filepath.Join(t.TempDir(), fmt.Sprint("member-", i)))
	}
	return c
}

func (c *cell) options(i int) Options {
	return c.optionsWith(i, c.ca.config(c.t, "member"))
}

func (c *cell) optionsWith(i int, config *tls.Config) Options {
	cluster := &Cluster{Name: "cell", Host: fmt.Sprint("host-", i), Address: c.routes[i], TLS: config}
	for peer := range c.size {
		if peer != i {
			cluster.Peers = append(cluster.Peers, c.routes[peer])
		}
	}
	options := Options{
		Dir: c.dirs[i], ReserveBytes: 1 << 20, Cluster: cluster,
		Listen: &Listen{Address: c.clients[i], TLS: config, Admit: c.admit},
	}
	if c.faults != nil {
		options.Logger = slog.New(c.faults)
	}
	if os.Getenv("NATS_LOG") != "" {
		options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", i)
	}
	return options
}

func (c *cell) start(i int) {
	c.t.Helper()
	member, err := OpenMember(c.t.Context(), c.options(i))
	if err != nil {
		c.t.Fatal(err)
	}
	c.members[i] = member
	c.t.Cleanup(func() { _ = member.Close() })
}

func (c *cell) startAll() {
	c.t.Helper()
	for i := range c.size {
		c.start(i)
	}
}

// grown gives a cell whose log was in dir.
func grown(t testing.TB, dir string) *cell {
	t.Helper()
	c := newCell(t)
	c.startAll()
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	return c
}

// dial connects by the network to all members.
func (c *cell) dial() *Client {
	c.t.Helper()
	client, err := Dial(c.t.Context(), DialOptions{Addresses: c.clients[:c.size], TLS: c.ca.config(c.t, "client"), Name: "client"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// of opens the log by a member's own server.
func (c *cell) of(i int) *Client {
	c.t.Helper()
	client, err := c.members[i].Client(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// fewerChecks is for the second and third way to the same log: what only many
// random calls find, the first one's test finds.
func fewerChecks(t *testing.T) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set("15"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Value.Set(before) })
}
