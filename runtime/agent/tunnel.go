package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop"
)

// tunnels are the sockets at which awake DROPs find the databases of other
// hosts. A tunnel listens from the waking of its first DROP to the sleep of its
// last: a sleeping DROP holds no descriptor. A restart of the agent cuts what
// goes through, as a restart of a database server would.
type tunnels struct {
	dir    string
	remote Remote
	logger *slog.Logger

	mu    sync.Mutex
	known map[events.BindingID]*tunnel
}

// tunnel leads to one binding.
type tunnel struct {
	service  events.BoundService
	remote   Remote
	allowed  func() error
	logger   *slog.Logger
	listener *net.UnixListener
	users    map[events.DropID]bool // guarded by tunnels.mu

	mu     sync.Mutex
	conns  map[net.Conn]bool // both ends
	closed bool
}

func newTunnels(dir string, remote Remote, logger *slog.Logger) *tunnels {
	return &tunnels{dir: dir, remote: remote, logger: logger, known: map[events.BindingID]*tunnel{}}
}

// socket is alone in its folder, which a sandbox gets. Sixteen digits name a
// database, and so its binding, everywhere.
func (t *tunnels) socket(binding events.BindingID) string {
	return filepath.Join(t.dir, string(binding[:min(len(binding), 16)]), "mysqld.sock")
}

// prepare makes the folder of a binding's socket, for the sandboxes.
func (t *tunnels) prepare(binding events.BindingID) (string, error) {
	socket := t.socket(binding)
	if err := os.MkdirAll(filepath.Dir(socket), 0o711); err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "cannot make the folder of a database's socket")
	}
	return socket, nil
}

// open has the tunnel of a DROP listen; allowed is asked for each connection.
func (t *tunnels) open(id events.DropID, to events.BoundService, uid uint32, allowed func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[to.Binding]; known != nil {
		known.users[id] = true
		return nil
	}
	socket, err := t.prepare(to.Binding)
	if err != nil {
		return err
	}
	listener, err := drop.Listen(socket)
	if err == nil {
		err = errors.Join(os.Chmod(socket, 0o600), owned(socket, uid)) // its user's alone
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot open the way to the database on host %s", to.Host)
	}
	made := &tunnel{service: to, remote: t.remote, allowed: allowed, logger: t.logger, listener: listener,
		users: map[events.DropID]bool{id: true}, conns: map[net.Conn]bool{}}
	t.known[to.Binding] = made
	go made.accept()
	return nil
}

// close ends a DROP's use of its tunnels.
func (t *tunnels) close(id events.DropID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for binding, one := range t.known {
		if delete(one.users, id); len(one.users) == 0 {
			one.close()
			delete(t.known, binding)
		}
	}
}

// cut ends all connections: this host's lease has lapsed, and what its PHP
// would still write is not to reach a database that others serve.
func (t *tunnels) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.known {
		if one.allowed() != nil {
			one.cut()
		}
	}
}

func (t *tunnels) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for binding, one := range t.known {
		one.close()
		delete(t.known, binding)
	}
}

// accept ends with the listener.
func (t *tunnel) accept() {
	turns := make(chan struct{}, maxTunnelConnections)
	for {
		conn, err := t.listener.AcceptUnix()
		if err != nil {
			return
		}
		select {
		case turns <- struct{}{}:
			go func() {
				defer func() { <-turns }()
				t.carry(conn)
			}()
		default:
			_ = conn.Close()
		}
	}
}

// carry connects one client with the database, until one of them has gone.
func (t *tunnel) carry(near *net.UnixConn) {
	defer func() { _ = near.Close() }()
	if !t.keep(near) {
		return
	}
	defer t.drop(near)
	if t.allowed() != nil {
		return
	}
	far, err := t.dial()
	if err != nil {
		t.logger.Info("cannot reach a database", "host", t.service.Host, "binding", t.service.Binding, "error", err)
		return
	}
	defer far.Close()
	if !t.keep(far) {
		return
	}
	defer t.drop(far)
	// The lease may have lapsed, and what runs through have been cut, before this
	// connection was there.
	if t.allowed() != nil {
		return
	}
	ended := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		ended <- struct{}{}
	}
	go pass(far, near)
	go pass(near, far)
	<-ended // neither side of this protocol goes on alone
	_ = near.Close()
	far.Close()
	<-ended
}

// dial connects with the database. A host that cannot be reached may be about to
// begin anew, and whoever asks waits for it as for a slow database.
func (t *tunnel) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tunnelDialTimeout)
	defer cancel()
	for {
		far, err := t.remote.Socket(ctx, t.service.Host, t.service.Binding)
		if err == nil || ctx.Err() != nil || problem.KindOf(err) != problem.Unavailable || t.allowed() != nil {
			return far, err
		}
		pause(ctx, tunnelRedial)
	}
}

func (t *tunnel) keep(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.conns[conn] = true
	}
	return !t.closed
}

func (t *tunnel) drop(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
}

func (t *tunnel) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		conn.Close()
	}
}

func (t *tunnel) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.listener.Close()
	t.cut()
}
