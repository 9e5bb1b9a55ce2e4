package files

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
)

const dev events.EnvironmentID = "dev.0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"

func open(t *testing.T) *Store {
	t.Helper()
	store, err := Open(filepath.Join(t.TempDir(), "files"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// uid is a tenant's where we may give files away, else our own.
func uid() uint32 {
	if os.Geteuid() == 0 {
		return events.FirstUID + 7
	}
	return uint32(os.Geteuid())
}

func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d %o", stat.Uid, info.Mode().Perm())
}

func TestCreateIsIdempotentAndOwned(t *testing.T) {
	store := open(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := store.Create(dev, uid(), events.Drupal); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	want := fmt.Sprintf("%d 700", uid())
	for _, name := range []string{"", "private", "tmp"} {
		if got := owner(t, filepath.Join(store.Path(dev), name)); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if entries, err := os.ReadDir(store.dir); err != nil || len(entries) != 1 {
		t.Errorf("the store holds %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(store.Path(dev), "private")); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(dev, uid(), events.Drupal); err != nil {
		t.Fatal(err)
	}
	if got := owner(t, filepath.Join(store.Path(dev), "private")); got != want {
		t.Errorf("a sub-folder brought back: %s, want %s", got, want)
	}
}

// A tenant that puts a link where the platform makes a folder gets nothing of
// the place it leads to.
func TestCreateFollowsNoLinkOfTheTenant(t *testing.T) {
	store := open(t)
	if err := store.Create(dev, uid(), events.WordPress); err != nil {
		t.Fatal(err)
	}
	victim := t.TempDir()
	before := owner(t, victim)
	for name, target := range map[string]string{"private": victim, "tmp": filepath.Join(victim, "made")} {
		link := filepath.Join(store.Path(dev), name)
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Create(dev, uid(), events.Drupal); err != nil {
		t.Fatal(err)
	}
	if owner(t, victim) != before {
		t.Error("the owner of the place behind the link changed")
	}
	if entries, _ := os.ReadDir(victim); len(entries) != 0 {
		t.Errorf("something was made behind the link: %v", entries)
	}
	if err := store.Remove(dev); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("Remove followed the link: %v", err)
	}
}

func TestRemoveAndSweep(t *testing.T) {
	store := open(t)
	if err := store.Remove(dev); err != nil {
		t.Fatalf("Remove of nothing: %v", err)
	}
	if err := store.Create(dev, uid(), events.PHP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store.Path(dev), "private", "f"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Remove(dev); err != nil {
			t.Fatal(err)
		}
	}
	for _, left := range []string{freshPrefix + "1", removedPrefix + "2"} {
		if err := os.MkdirAll(filepath.Join(store.dir, left, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Sweep(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(store.dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestUsage(t *testing.T) {
	store := open(t)
	if _, err := store.Usage(t.Context(), dev); problem.KindOf(err) != problem.NotFound {
		t.Errorf("Usage of nothing: %v, want NotFound", err)
	}
	if err := store.Create(dev, uid(), events.WordPress); err != nil {
		t.Fatal(err)
	}
	before, err := store.Usage(t.Context(), dev)
	if err != nil || before.Entries != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := os.WriteFile(filepath.Join(store.Path(dev), "private", "f"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(store.Path(dev), "out")); err != nil {
		t.Fatal(err)
	}
	after, err := store.Usage(t.Context(), dev)
	if err != nil || after.Entries != 3 || after.Partial {
		t.Fatalf("%+v, %v", after, err)
	}
	if grown := after.Bytes - before.Bytes; grown < 100_000 || grown > 120_000 {
		t.Errorf("100,000 bytes count as %d", grown)
	}
}

func TestRefusals(t *testing.T) {
	store := open(t)
	for _, id := range []events.EnvironmentID{"", "..", "dev", "dev.x/../../etc", "DEV.0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"} {
		if err := store.Create(id, uid(), events.PHP); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Create(%q): %v, want Invalid", id, err)
		}
		if err := store.Remove(id); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Remove(%q): %v, want Invalid", id, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("another owner needs root; run as root")
	}
	if err := store.Create(dev, uid(), events.PHP); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(dev, uid()+1, events.PHP); problem.KindOf(err) != problem.Conflict {
		t.Errorf("Create for another user: %v, want Conflict", err)
	}
}
