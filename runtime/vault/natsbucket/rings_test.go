package natsbucket_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/keys"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/vaulttest"
)

const blog events.SiteID = "0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"

// control is the secrets' side of a control machine.
type control struct {
	dir       string
	store     *vault.Store
	ring      *keys.Ring
	mirror    *vault.Mirror
	destroyed chan events.Owner
	changed   chan string
}

// control opens the secrets of a machine of the cell.
func (c *cell) control(i int, dir string, caKey []byte) *control {
	c.t.Helper()
	m := &control{dir: filepath.Join(dir, fmt.Sprint("keys-", i)), store: c.open(i, caKey), destroyed: make(chan events.Owner, 10), changed: make(chan string, 10)}
	var err error
	if m.mirror, err = vault.NewMirror(vault.MirrorOptions{Store: m.store, Dir: m.dir, Skip: []string{"sites"}, Changed: func(name string) { m.changed <- name }}); err != nil {
		c.t.Fatal(err)
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	m.ring, err = keys.OpenShared(filepath.Join(m.dir, "sites"), keys.SharedOptions{Vault: m.store, Destroyed: func(owner events.Owner) { m.destroyed <- owner }})
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// begin does what a control machine does at its start, until the test ends or
// what it gives is called.
func (m *control) begin(t *testing.T) (stop func()) {
	t.Helper()
	if err := errors.Join(m.mirror.Reconcile(t.Context()), m.ring.Reconcile(t.Context())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = m.ring.Run(ctx) })
	running.Go(func() { _ = m.mirror.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// key gives what a site's key derives, "" and the kind where there is none.
func (m *control) key(site events.SiteID) (string, problem.Kind) {
	key, err := m.ring.Site(site)
	if err != nil {
		return "", problem.KindOf(err)
	}
	return key.Derive("p", "i", 1), 0
}

func within[T any](t *testing.T, what string, events <-chan T) (one T) {
	t.Helper()
	select {
	case one = <-events:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not come", what)
	}
	return one
}

// Three control machines: the first one's secrets come to all, one key is made
// for the cell, what one destroys all destroy, also one that was off; and any
// machine may go.
func TestThreeControlMachines(t *testing.T) {
	c := newCell(t)
	dir, ca := t.TempDir(), vaulttest.CAKey(t)
	first := c.control(0, dir, ca)
	if err := os.WriteFile(filepath.Join(first.dir, "api"), []byte("the API's key"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone, err := keys.Open(filepath.Join(first.dir, "sites")) // as it was before
	if err != nil {
		t.Fatal(err)
	}
	key, err := alone.Site(blog)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.mirror.Contribute(t.Context()), first.ring.Contribute(t.Context()), first.store.Found(t.Context())); err != nil {
		t.Fatal(err)
	}
	all := [3]*control{first, c.control(1, dir, ca), c.control(2, dir, ca)}
	var stops [3]func()
	for i, m := range all {
		stops[i] = m.begin(t)
		if got, kind := m.key(blog); got != key.Derive("p", "i", 1) {
			t.Fatalf("machine %d has another key, or none: %s", i, kind)
		}
		if content, err := os.ReadFile(filepath.Join(m.dir, "api")); err != nil || string(content) != "the API's key" {
			t.Errorf("machine %d: %q, %v", i, content, err)
		}
	}
	concurrently(t, all)

	if err := all[2].mirror.Put(t.Context(), "dns/tsig/a.key", []byte("a secret")); err != nil {
		t.Fatal(err)
	}
	for within(t, "a file", all[0].changed) != "dns/tsig/a.key" {
	}
	if err := all[1].ring.Destroy(blog); err != nil {
		t.Fatal(err)
	}
	if owner := within(t, "a destruction", all[0].destroyed); owner.Site != blog {
		t.Errorf("destroyed %v", owner)
	}
	if _, kind := all[0].key(blog); kind != problem.NotFound {
		t.Errorf("a destroyed key: %s", kind)
	}

	// One goes. The others go on, and it learns of it when it comes back.
	another := siteOf(7)
	if _, kind := all[2].key(another); kind != 0 {
		t.Fatalf("no key: %s", kind)
	}
	stops[2]()
	c.stop(2)
	if err := all[0].ring.Destroy(another); err != nil {
		t.Fatal(err)
	}
	if _, kind := all[1].key(siteOf(8)); kind != 0 {
		t.Errorf("no new key with two of three: %s", kind)
	}
	c.start(2)
	c.connect(2)
	all[2] = c.control(2, dir, ca)
	all[2].begin(t)
	if _, kind := all[2].key(another); kind != problem.NotFound {
		t.Errorf("what was destroyed meanwhile: %s", kind)
	}
	sameFolders(t, all)
	nothingOf(t, c, all)
	alonePart(t, c, all, stops)
}

func siteOf(i int) events.SiteID {
	return events.SiteID(fmt.Sprintf("%s%012d", blog[:24], i))
}

// concurrently lets all machines make the same keys at once.
func concurrently(t *testing.T, all [3]*control) {
	t.Helper()
	var mu sync.Mutex
	made := map[events.SiteID]map[string]bool{}
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			site := siteOf(i / 6)
			got, kind := all[i%3].key(site)
			if got == "" {
				t.Errorf("no key: %s", kind)
			}
			mu.Lock()
			defer mu.Unlock()
			if made[site] == nil {
				made[site] = map[string]bool{}
			}
			made[site][got] = true
		})
	}
	group.Wait()
	for site, keys := range made {
		if len(keys) != 1 {
			t.Errorf("site %s has %d keys", site, len(keys))
		}
	}
}

// secrets gives the contents of a machine's files.
func (m *control) secrets(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		paths, _ := filepath.Glob(filepath.Join(m.dir, pattern))
		for _, path := range paths {
			name := strings.TrimPrefix(path, m.dir)
			if content, err := os.ReadFile(path); err == nil && !strings.HasPrefix(name, "/.") {
				all[name] = string(content)
			}
		}
	}
	return all
}

func sameFolders(t *testing.T, all [3]*control) {
	t.Helper()
	for i, m := range all {
		if err := errors.Join(m.mirror.Reconcile(t.Context()), m.ring.Reconcile(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := m.secrets(t); !maps.Equal(got, all[0].secrets(t)) || len(got) < 9 {
			t.Errorf("machine %d has %d files, or others than the first", i, len(got))
		}
	}
}

// nothingOf: no file of a log's server holds a secret.
func nothingOf(t *testing.T, c *cell, all [3]*control) {
	t.Helper()
	for name, content := range all[0].secrets(t) {
		for i, dir := range c.dirs {
			if content == "" {
				continue
			}
			if files := holding(t, dir, []byte(content)); len(files) > 0 {
				t.Errorf("member %d: %v hold %s", i, files, name)
			}
		}
	}
}

// alonePart: with one machine of three, what it has works and nothing new is
// made.
func alonePart(t *testing.T, c *cell, all [3]*control, stops [3]func()) {
	t.Helper()
	want, _ := all[0].key(siteOf(8))
	stops[1]()
	c.stop(1)
	c.stop(2)
	if got, kind := all[0].key(siteOf(8)); got != want || got == "" {
		t.Errorf("what is in the folder: %s", kind)
	}
	if _, kind := all[0].key(siteOf(9)); kind != problem.Unavailable {
		t.Errorf("a new key: %s", kind)
	}
	if err := all[0].ring.Destroy(siteOf(8)); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Errorf("destroying: %v", err)
	}
	if got, _ := all[0].key(siteOf(8)); got != want {
		t.Error("a key went that could not be destroyed everywhere")
	}
}
