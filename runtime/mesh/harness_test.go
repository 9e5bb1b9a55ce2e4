package mesh_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alpha = events.HostID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	beta  = events.HostID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	gamma = events.HostID("cccccccccccccccccccccccccccccccc")

	dropID    = events.DropID("d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0")
	bindingID = events.BindingID("b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1")
	siteID    = events.SiteID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
)

var everyRole = []events.HostRole{events.RoleControl, events.RoleDNS, events.RoleEntry, events.RoleHost}

// agent answers as a function says.
type agent struct {
	serve func(w http.ResponseWriter, r *http.Request) error
	ping  func(ctx context.Context) error
}

func (a agent) ServeDrop(w http.ResponseWriter, r *http.Request, drop events.DropID, _ events.HostID) error {
	if drop != dropID {
		return problem.New(problem.NotFound, "cannot find DROP %s", drop)
	}
	return a.serve(w, r)
}

func (a agent) Ping(ctx context.Context, drop events.DropID, _ events.HostID) error {
	if drop != dropID {
		return problem.New(problem.NotFound, "cannot find DROP %s", drop)
	}
	return a.ping(ctx)
}

// cell is a CA and what every machine of the cell knows.
type cell struct {
	t         testing.TB
	authority *identity.Authority

	mu        sync.Mutex
	addresses map[events.HostID][]string
	removed   map[events.HostID]bool
}

func newCell(t testing.TB) *cell {
	t.Helper()
	authority, err := identity.CreateAuthority(filepath.Join(t.TempDir(), "ca"), identity.NewCellID(), time.Now().Add(-90*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &cell{t: t, authority: authority, addresses: map[events.HostID][]string{}, removed: map[events.HostID]bool{}}
}

func (c *cell) Addresses(host events.HostID) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses[host]
}

func (c *cell) Removed(host events.HostID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removed[host]
}

func (c *cell) set(host events.HostID, addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses[host] = addresses
}

func (c *cell) remove(host events.HostID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed[host] = true
}

// node is a machine's certificate, signed at some time.
func (c *cell) node(host events.HostID, signed time.Time, roles ...events.HostRole) *identity.Node {
	c.t.Helper()
	request, err := identity.NewRequest()
	if err != nil {
		c.t.Fatal(err)
	}
	certificate, err := c.authority.SignHost(request.CSR, host, roles, signed)
	if err != nil {
		c.t.Fatal(err)
	}
	node, err := identity.InstallNode(c.t.TempDir(), request, certificate, c.authority.Certificate())
	if err != nil {
		c.t.Fatal(err)
	}
	return node
}

// machine is a running mesh.
type machine struct {
	*mesh.Mesh
	node    *identity.Node
	address string
	stop    func()
}

// start runs a machine of every role until the test ends.
func (c *cell) start(host events.HostID, change ...func(*mesh.Options)) *machine {
	c.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	options := mesh.Options{
		Node: c.node(host, time.Now(), everyRole...), Directory: c, Listener: listener,
		Logger: slog.New(slog.DiscardHandler),
		Tick:   10 * time.Second, // a slow machine is no dead one
	}
	for _, f := range change {
		f(&options)
	}
	m, err := mesh.New(options)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(stop)
	c.set(host, listener.Addr().String())
	until(c.t, func() bool { return m.Running() })
	return &machine{m, options.Node, listener.Addr().String(), stop}
}

func serving(f func(w http.ResponseWriter, r *http.Request) error) func(*mesh.Options) {
	return func(o *mesh.Options) {
		o.Agent = agent{serve: f, ping: func(context.Context) error { return nil }}
	}
}

// until waits for something that nobody announces.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !holds() {
		select {
		case <-limit:
			t.Fatal("this does not happen")
		case <-time.After(time.Millisecond):
		}
	}
}
