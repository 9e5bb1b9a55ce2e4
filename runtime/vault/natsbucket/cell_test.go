package natsbucket_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pantheon/events/eventlog/jetstream"
	"pantheon/runtime/vault/natsbucket"
)

// cell is three members on loopback that hold a log, as three control machines
// do.
type cell struct {
	t       testing.TB
	tls     *tls.Config
	routes  []string
	dirs    [3]string
	members [3]*jetstream.Member
	clients [3]*jetstream.Client
}

func newCell(t testing.TB) *cell {
	t.Helper()
	c := &cell{t: t, tls: certificate(t), routes: freeAddresses(t, 3)}
	for i := range 3 {
		c.dirs[i] = filepath.Join(t.TempDir(), fmt.Sprint("member-", i))
		c.start(i)
	}
	dir := filepath.Join(t.TempDir(), "log")
	log, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; { // on a busy machine the members find one another late
		err := jetstream.Grow(t.Context(), dir, c.members[0])
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		c.connect(i)
	}
	return c
}

func (c *cell) start(i int) {
	c.t.Helper()
	cluster := &jetstream.Cluster{Name: "cell", Host: fmt.Sprint("host-", i), Address: c.routes[i], TLS: c.tls}
	for peer, address := range c.routes {
		if peer != i {
			cluster.Peers = append(cluster.Peers, address)
		}
	}
	member, err := jetstream.OpenMember(c.t.Context(), jetstream.Options{Dir: c.dirs[i], ReserveBytes: 1 << 20, Cluster: cluster})
	if err != nil {
		c.t.Fatal(err)
	}
	c.members[i] = member
	c.t.Cleanup(func() { _ = member.Close() })
}

func (c *cell) connect(i int) {
	c.t.Helper()
	client, err := c.members[i].Client(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.clients[i] = client
	c.t.Cleanup(func() { _ = client.Close() })
}

func (c *cell) stop(i int) {
	c.t.Helper()
	if err := c.clients[i].Close(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.members[i].Close(); err != nil {
		c.t.Fatal(err)
	}
}

// bucket opens a bucket as one machine does.
func (c *cell) bucket(i int, name string) *natsbucket.Bucket {
	c.t.Helper()
	return natsbucket.New(c.clients[i].Conn(), name, 3)
}

// certificate gives the configuration of a machine that is its own authority.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "member"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"member"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "member", RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
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
