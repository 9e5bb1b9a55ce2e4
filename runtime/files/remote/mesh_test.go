package remote_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/files"
	"pantheon/runtime/files/remote"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
)

// The two hosts of these tests: here has the DROP, there the files.
const (
	here        = events.HostID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	there       = events.HostID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	drop        = events.DropID("d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0")
	environment = events.EnvironmentID("live.0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162")
	uid         = uint32(events.FirstUID + 8)
)

// cell is a CA, and what both hosts know.
type cell struct {
	t         testing.TB
	authority *identity.Authority

	mu        sync.Mutex
	addresses map[events.HostID]string
}

func newCell(t testing.TB) *cell {
	t.Helper()
	authority, err := identity.CreateAuthority(filepath.Join(t.TempDir(), "ca"), identity.NewCellID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &cell{t: t, authority: authority, addresses: map[events.HostID]string{}}
}

func (c *cell) Addresses(host events.HostID) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if address := c.addresses[host]; address != "" {
		return []string{address}
	}
	return nil
}

func (c *cell) Removed(events.HostID) bool { return false }

// start runs a host's mesh until the test ends or stop is called.
func (c *cell) start(host events.HostID, volumes mesh.Volumes) (m *mesh.Mesh, stop func()) {
	c.t.Helper()
	request, err := identity.NewRequest()
	if err != nil {
		c.t.Fatal(err)
	}
	certificate, signErr := c.authority.SignHost(request.CSR, host, []events.HostRole{events.RoleHost}, time.Now())
	node, nodeErr := identity.InstallNode(c.t.TempDir(), request, certificate, c.authority.Certificate())
	listener, listenErr := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(signErr, nodeErr, listenErr); err != nil {
		c.t.Fatal(err)
	}
	m, err = mesh.New(mesh.Options{Node: node, Directory: c, Listener: listener, Volumes: volumes, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	c.mu.Lock()
	c.addresses[host] = listener.Addr().String()
	c.mu.Unlock()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(stop)
	return m, stop
}

// volumes lets one DROP of one host reach its files.
type volumes struct {
	store     *files.Store
	placement atomic.Int64
}

func (v *volumes) Volume(_ context.Context, host events.HostID, asked mesh.FilesRequest) (func(context.Context, io.ReadWriteCloser) error, error) {
	if host != here || asked.Drop != drop || asked.Environment != environment || asked.Placement < v.placement.Load() {
		return nil, problem.New(problem.Denied, "machine %s holds no DROP of %s", host, asked.Environment)
	}
	return func(ctx context.Context, conn io.ReadWriteCloser) error {
		return remote.Serve(ctx, conn, remote.Volume{Path: v.store.Path(asked.Environment), UID: uid})
	}, nil
}

// hosts are a host with files and one that mounts them.
type hosts struct {
	cell      *cell
	volumes   *volumes
	server    *mesh.Mesh
	stop      func() // of the server
	placement atomic.Int64
	path      string // of the mount
}

func newHosts(t testing.TB) *hosts {
	t.Helper()
	if err := remote.Supported(); err != nil {
		t.Skip(err)
	}
	store, err := files.Open(filepath.Join(t.TempDir(), "files"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(environment, uid, events.Drupal); err != nil {
		t.Fatal(err)
	}
	h := &hosts{cell: newCell(t), volumes: &volumes{store: store}}
	h.server, h.stop = h.cell.start(there, h.volumes)
	client, _ := h.cell.start(here, nil)
	mounts := remote.New(remote.Options{
		Dir: filepath.Join(t.TempDir(), "mounts"),
		Dial: func(ctx context.Context, host events.HostID, environment events.EnvironmentID) (io.ReadWriteCloser, error) {
			conn, err := client.Files(ctx, host, mesh.FilesRequest{Environment: environment, Drop: drop, Placement: h.placement.Load()})
			if err != nil {
				return nil, err // no interface around a nil
			}
			return conn, nil
		},
	})
	t.Cleanup(func() {
		if err := mounts.Unmount(there, environment); err != nil {
			t.Error(err)
		}
	})
	until(t, func() bool { // both meshes run
		h.path, err = mounts.Mount(t.Context(), there, environment)
		return err == nil
	})
	return h
}

// TestOverTheMesh: a DROP on another machine than its files.
func TestOverTheMesh(t *testing.T) {
	h := newHosts(t)
	photo := filepath.Join(h.path, "private", "photo")
	content := make([]byte, 3<<20)
	if err := os.WriteFile(photo, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(h.volumes.store.Path(environment), "private", "photo")); err != nil || len(got) != len(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := os.ReadFile(photo); err != nil || len(got) != len(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// The DROP is placed anew, and what this host knows of it is of the past.
	h.volumes.placement.Store(1)
	if n := h.server.CutFiles(func(_ events.HostID, r mesh.FilesRequest) bool { return r.Placement < 1 }); n != 1 {
		t.Errorf("cut %d", n)
	}
	if err := os.WriteFile(photo, content, 0o644); !errors.Is(err, unix.EIO) {
		t.Errorf("a host of the past writes: %v", err)
	}
	h.placement.Store(1)
	until(t, func() bool { return os.WriteFile(photo, content, 0o644) == nil })
	// The machine ends.
	h.stop()
	until(t, func() bool {
		_, err := os.ReadFile(photo)
		return errors.Is(err, unix.EIO)
	})
	h.cell.start(there, h.volumes)
	until(t, func() bool {
		_, err := os.ReadFile(photo)
		return err == nil
	})
}

// BenchmarkOverTheMesh is with TLS, on one machine.
func BenchmarkOverTheMesh(b *testing.B) {
	h := newHosts(b)
	content := make([]byte, 1<<20)
	b.Run("stat", func(b *testing.B) {
		for i := range b.N {
			if _, err := os.Lstat(filepath.Join(h.path, "private", strconv.Itoa(i))); !errors.Is(err, os.ErrNotExist) {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stat/s")
	})
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for i := range b.N {
			if err := os.WriteFile(filepath.Join(h.path, "private", "w"+strconv.Itoa(i%16)), content, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for range b.N {
			f, err := os.Open(filepath.Join(h.path, "private", "w0"))
			if err != nil {
				b.Fatal(err)
			}
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			if n, err := f.Read(content); n != len(content) {
				b.Fatal(n, err)
			}
			f.Close()
		}
	})
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
