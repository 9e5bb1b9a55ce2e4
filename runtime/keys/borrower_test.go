package keys

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// TestBorrowedKeysStayInMemory: another host's key gives the same secrets, is
// asked for once, and is nowhere on disk.
func TestBorrowedKeysStayInMemory(t *testing.T) {
	const site = events.SiteID("00000000-0000-4000-8000-000000000001")
	keeper, err := Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keeper.Site(site); err != nil {
		t.Fatal(err)
	}
	asked := 0
	fetch := func(_ context.Context, id events.SiteID) (Key, error) {
		asked++
		key, err := keeper.FindSite(id)
		if err != nil {
			return Key{}, err
		}
		return Borrowed(key.Lend())
	}
	dir := filepath.Join(t.TempDir(), "keys")
	ring, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBorrower(ring, fetch)
	now := time.Unix(1_000_000, 0)
	b.now = func() time.Time { return now }
	for range 3 {
		lent, err := b.Site(site)
		if err != nil {
			t.Fatal(err)
		}
		own, _ := keeper.Site(site)
		if lent.Derive("p", "i", 1) != own.Derive("p", "i", 1) {
			t.Error("the borrowed key gives other secrets")
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if found, _ := os.ReadDir(filepath.Join(dir, "sites")); len(found) != 0 {
		t.Errorf("on disk: %v", found)
	}

	if err := keeper.Destroy(site); err != nil {
		t.Fatal(err)
	}
	b.Forget(site)
	if _, err := b.Site(site); problem.KindOf(err) != problem.NotFound {
		t.Errorf("the key of a forgotten site: %v", err)
	}
	if _, err := b.Site("00000000-0000-4000-8000-000000000002"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a key that nobody keeps: %v", err)
	}
}

// TestBorrowedKeysAreAskedForAgain after a while: a host that missed a
// forgetting does not know the key for ever.
func TestBorrowedKeysAreAskedForAgain(t *testing.T) {
	ring, err := Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	b := NewBorrower(ring, func(context.Context, events.SiteID) (Key, error) {
		asked++
		return Borrowed(make([]byte, keyBytes))
	})
	now := time.Unix(1_000_000, 0)
	b.now = func() time.Time { return now }
	const site = events.SiteID("00000000-0000-4000-8000-000000000001")
	for _, step := range []time.Duration{0, borrowedFor - 1, 1} {
		now = now.Add(step)
		if _, err := b.Site(site); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	// A site that was destroyed here is not asked for elsewhere.
	if err := ring.Destroy(site); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Site(site); problem.KindOf(err) != problem.NotFound || asked != 2 {
		t.Errorf("a key destroyed here: %v, asked %d times", err, asked)
	}
	if _, err := Borrowed([]byte("short")); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a short key: %v", err)
	}
}
