package sandbox

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openIsolated opens a machine with a cgroup parent of its own, and removes it.
func openIsolated(t testing.TB) *Machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: run the tests with sudo")
	}
	parent := "pantheon-test/" + strings.ToLower(rand.Text())
	m, err := Open(Options{Parent: parent})
	if err != nil {
		t.Skipf("needs usable cgroups: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Sweep(func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// tenant is one environment's tree for a test.
type tenant struct {
	name string
	uid  uint32
	dir  string
	root Root
}

var nextUID = uint32(1<<20 + 77)

// testRoot makes a tenant with code, files and tmp.
func testRoot(t testing.TB, m *Machine, name string) *tenant {
	t.Helper()
	nextUID++
	dir := t.TempDir()
	x := &tenant{name: name, uid: nextUID, dir: dir}
	for _, sub := range []string{"code", "files", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, sub), int(x.uid), int(x.uid)); err != nil {
			t.Fatal(err)
		}
	}
	binds, links := SystemBinds()
	binds = append(binds,
		Bind{Source: filepath.Join(dir, "code"), Target: "/code"},
		Bind{Source: filepath.Join(dir, "files"), Target: "/files", Writable: true},
		Bind{Source: filepath.Join(dir, "tmp"), Target: "/tmp", Writable: true})
	x.root = Root{Dir: filepath.Join(dir, "root"), Binds: binds}
	links["/etc/passwd"] = fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", name, x.uid, x.uid)
	links["/etc/group"] = fmt.Sprintf("%s:x:%d:\n", name, x.uid)
	if err := MakeRoot(x.root.Dir, binds, links); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *tenant) command(path string, args ...string) Command {
	return Command{
		Name: x.name, Path: path, Args: args, Dir: "/", UID: x.uid, GID: x.uid, Root: x.root, Hostname: x.name,
		Env:    []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TENANT=" + x.name, "LC_ALL=C"},
		Limits: Limits{MemoryBytes: 128 << 20, CPUShares: 256, CPUMillis: 1000, PIDs: 32},
	}
}

// run runs a command to its end and gives what it wrote.
func run(t testing.TB, m *Machine, c Command) (string, Exit) {
	t.Helper()
	p, out := start(t, m, c)
	exit, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return out(), exit
}

// start starts a command; out waits for the end of what it writes.
func start(t testing.TB, m *Machine, c Command) (p *Process, out func() string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c.Files = []*os.File{null, w, w}
	p, err = m.Start(c)
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); <-p.Done() })
	var b bytes.Buffer
	read := make(chan struct{})
	go func() { io.Copy(&b, r); r.Close(); close(read) }()
	return p, func() string { <-read; return b.String() }
}

// eventually waits for something that another process does.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not so after 20 s", what)
		}
	}
}
