package drop

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/sandbox"
)

const testSite = "6d1b2f3a-0c4e-4f5a-9b7c-1d2e3f4a5b6c"

// fixture is one DROP with its release and files.
type fixture struct {
	t       testing.TB
	host    *Host
	runner  *Runner
	spec    events.DropSpec
	places  Places
	docroot string // as PHP sees it

	mu    sync.Mutex
	facts []events.Event
}

// newMachine opens an isolated machine, or one that is bare.
func newMachine(t testing.TB, bare bool) *sandbox.Machine {
	t.Helper()
	if _, err := FindPHP("8.2"); err != nil {
		t.Skipf("needs php-fpm: apt-get install php8.2-fpm php8.2-cli php8.2-opcache (%v)", err)
	}
	if os.Getuid() != 0 && !bare {
		t.Skip("needs root: run the tests with sudo")
	}
	m, err := sandbox.Open(sandbox.Options{Parent: "pantheon-test/drop-" + strings.ToLower(rand.Text()), Bare: bare})
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

var testUID = uint32(events.FirstUID + 4000)

// newFixture makes a DROP of a framework with an index.php.
func newFixture(t testing.TB, m *sandbox.Machine, framework events.Framework) *fixture {
	t.Helper()
	testUID++
	x := &fixture{t: t}
	x.host = NewHost(Options{
		Machine: m, Host: events.HostID(strings.Repeat("a", 32)), Now: time.Now,
		Secrets: func(events.DropID, events.DropSpec) (contract.Secrets, error) {
			return contract.Derive(`pass"word$`, func(purpose string) string { return "salt of " + purpose }), nil
		},
		Report: func(_ events.DropID, e events.Event) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.facts = append(x.facts, e)
		},
	})
	dir := t.TempDir()
	// The folders above belong to root alone: open them for the environment's
	// user where there is no sandbox.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	x.places = Places{Code: dir + "/code", Files: dir + "/files", DatabaseSocket: dir + "/mysqld/mysqld.sock"}
	for _, d := range []string{x.places.Code, x.places.Files, dir + "/mysqld"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		os.Chown(d, int(testUID), int(testUID))
	}
	x.write("index.php", "<?php echo 'hello';")
	x.spec = events.DropSpec{
		Generation: 1, Environment: events.EnvironmentOf(testSite, "dev"), SiteName: "hello", Framework: framework,
		UID: testUID, Commit: "7c5d1f0b9e8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d", Deployment: 1, Seed: 1,
		Settings: events.EnvironmentSettings{PHPVersion: "8.2", Connection: events.ConnectionGit, Workers: 4, MemoryMiB: 256},
		Services: []events.BoundService{{Kind: events.DBServer, Binding: "fedcba9876543210fedcba9876543210"}},
	}
	id := make([]byte, 16)
	rand.Read(id)
	drop := events.DropID(strings.ToLower(hexOf(id)))
	x.runner = x.host.Runner(drop, filepath.Join(dir, "drops", string(drop)))
	t.Cleanup(func() {
		if err := x.runner.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return x
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func (x *fixture) write(name, text string) {
	x.t.Helper()
	file := filepath.Join(x.places.Code, name)
	os.MkdirAll(filepath.Dir(file), 0o755)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

func (x *fixture) prepare() *fixture {
	x.t.Helper()
	if err := x.runner.Prepare(context.Background(), x.spec, x.places); err != nil {
		x.t.Fatal(err)
	}
	_, docroot, err := x.runner.Layout()
	if err != nil {
		x.t.Fatal(err)
	}
	x.docroot = docroot
	return x
}

func (x *fixture) wake() (done func()) {
	x.t.Helper()
	done, err := x.runner.Wake(context.Background(), "http")
	if err != nil {
		x.t.Fatal(err)
	}
	return done
}

// page wakes, asks and is done.
func (x *fixture) page(script string, more ...string) string {
	x.t.Helper()
	defer x.wake()()
	body, err := x.get(context.Background(), script, more...)
	if err != nil {
		x.t.Fatal(err)
	}
	return body
}

// reported gives the facts so far.
func (x *fixture) reported() []events.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]events.Event(nil), x.facts...)
}

func (x *fixture) eventually(what string, is func() bool) {
	x.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			x.t.Fatalf("%s: not so after 20 s; state %+v, facts %+v", what, x.runner.State(), x.reported())
		}
	}
}

func (x *fixture) phase(p Phase) {
	x.t.Helper()
	x.eventually(p.String(), func() bool { return x.runner.State().Phase == p })
}
