package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pantheon/events"
)

func init() { runtime.LockOSThread() } // main is on the first thread

func TestMain(m *testing.M) {
	if where := os.Getenv(agentVariable); where != "" {
		os.Exit(runAgent(where))
	}
	goleak.VerifyTestMain(m)
}

const (
	theHost        = events.HostID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	theEnvironment = events.EnvironmentID("dev.0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162")
	tenant         = uint32(events.FirstUID + 7)
)

// bench is a volume and machines that mount it, in one process.
type bench struct {
	t      testing.TB
	volume Volume

	silent, idle time.Duration

	mu      sync.Mutex
	refusal error // of dialing
	lapsed  error // of the lease
	conns   map[net.Conn]bool
	serving sync.WaitGroup
	gate    chan struct{} // if not nil, the server's answers wait for it
	waiting int
	refused int
}

func needMount(t testing.TB) {
	t.Helper()
	if err := Supported(); err != nil {
		t.Skip(err)
	}
}

// openDir is a folder that the tenant may enter.
func openDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newBench(t testing.TB) *bench {
	t.Helper()
	needMount(t)
	path := filepath.Join(openDir(t), "volume")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(tenant), int(tenant)); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, silent: time.Minute, volume: Volume{Path: path, UID: tenant}, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		b.cut()
		b.serving.Wait()
	})
	return b
}

// dial is a connection as the mesh would make one.
func (b *bench) dial(context.Context, events.HostID, events.EnvironmentID) (io.ReadWriteCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusal != nil {
		b.refused++
		return nil, b.refusal
	}
	near, far := pair(b.t)
	b.serveLocked(far)
	return near, nil
}

// serve answers a connection of another process.
func (b *bench) serve(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serveLocked(conn)
}

func (b *bench) serveLocked(conn net.Conn) {
	b.conns[conn] = true
	b.serving.Go(func() {
		_ = Serve(context.Background(), &slow{conn, b}, b.volume) // how it ends is seen at the other end
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.conns, conn)
	})
}

// slow waits before it writes, if it is told to.
type slow struct {
	net.Conn
	b *bench
}

func (s *slow) Write(p []byte) (int, error) {
	s.b.mu.Lock()
	gate := s.b.gate
	if gate != nil {
		s.b.waiting++
	}
	s.b.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return s.Conn.Write(p)
}

// hold has all answers wait until they are released.
func (b *bench) hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gate := make(chan struct{})
	b.gate, b.waiting = gate, 0
	release = sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.gate = nil
		close(gate)
	})
	b.t.Cleanup(release)
	return release
}

// held counts the answers that wait.
func (b *bench) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting
}

func pair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return ends[0], ends[1]
}

// connections counts those that are open.
func (b *bench) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// cut loses all connections.
func (b *bench) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.conns {
		conn.Close()
	}
}

func (b *bench) refuse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusal = err
}

// refusals counts who was refused since the first.
func (b *bench) refusals() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

func (b *bench) allowed(events.HostID, events.EnvironmentID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lapsed
}

func (b *bench) lapse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lapsed = err
}

// machine makes Mounts of a folder of their own.
func (b *bench) machine(dir string) *Mounts {
	b.t.Helper()
	m := New(Options{Dir: dir, Dial: b.dial, Allowed: b.allowed, Silent: b.silent, Idle: b.idle})
	b.t.Cleanup(func() {
		if err := m.Collect(func(events.HostID, events.EnvironmentID) bool { return false }); err != nil {
			b.t.Error(err)
		}
	})
	return m
}

// mount mounts the volume on a new machine, whose data folder is behind a link.
func (b *bench) mount() (*Mounts, string) {
	b.t.Helper()
	dir := openDir(b.t)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "disk"), 0o755), os.Symlink("disk", filepath.Join(dir, "data"))); err != nil {
		b.t.Fatal(err)
	}
	m := b.machine(filepath.Join(dir, "data", "mounts"))
	path, err := m.Mount(b.t.Context(), theHost, theEnvironment)
	if err != nil {
		b.t.Fatal(err)
	}
	return m, path
}

var errGone = errors.New("the machine is gone")

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
