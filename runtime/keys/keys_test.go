package keys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
)

const blog events.SiteID = "0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"

func openRing(t *testing.T) (*Ring, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	ring, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ring, dir
}

func TestSameKeyForEverybody(t *testing.T) {
	ring, dir := openRing(t)
	other, err := Open(dir) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	secrets := make([]string, 32)
	for i := range secrets {
		group.Go(func() {
			key, err := []*Ring{ring, other}[i%2].Site(blog)
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = key.Derive("db-password", "b1", 1)
		})
	}
	group.Wait()
	for _, secret := range secrets {
		if secret != secrets[0] || len(secret) != DerivedBytes {
			t.Fatalf("callers got different keys, or of the wrong length")
		}
	}
	info, err := os.Stat(filepath.Join(dir, "sites", string(blog)))
	if err != nil || info.Mode() != 0o600 || info.Size() != keyBytes {
		t.Fatalf("key file: %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "sites", temporaryPrefix+"*")); len(left) != 0 {
		t.Fatalf("temporary files left: %v", left)
	}
}

// The text is wire format: passwords of running databases depend on it.
func TestDeriveIsFixed(t *testing.T) {
	key := Key{secret: &[keyBytes]byte{1, 2, 3}}
	for _, row := range []struct {
		purpose, id string
		generation  int
		want        string
	}{
		{"db-password", "b1", 1, "CkLoHx8y5dsQqZyYMFkxkF0KOsi5LgjZMd-yyTFBFQI"},
		{"db-password", "b1", 2, "xcgvjexsF2h9at8j3VqY6SPeIX94gXoSP2lGvxKJKB8"},
		{"db-passwordb", "1", 1, "xxVCbDJ3-Lc7iNMDS7qwQug6xlGXw-f1tsfJaXqP2xY"},
	} {
		got := key.Derive(row.purpose, row.id, row.generation)
		if got != row.want {
			t.Errorf("Derive(%q, %q, %d) = %q, want %q", row.purpose, row.id, row.generation, got, row.want)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(got) {
			t.Errorf("%q is not URL-safe", got)
		}
	}
}

func TestDestroyedStaysDestroyed(t *testing.T) {
	ring, dir := openRing(t)
	if _, err := ring.Site(blog); err != nil {
		t.Fatal(err)
	}
	for range 2 { // idempotent
		if err := ring.Destroy(blog); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "sites", string(blog))); !os.IsNotExist(err) {
		t.Fatalf("key file after Destroy: %v", err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Site(blog); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("Site after Destroy: %v, want NotFound", err)
	}
	if sites, err := again.Destroyed(); err != nil || len(sites) != 1 || sites[0] != blog {
		t.Fatalf("Destroyed: %v, %v", sites, err)
	}
}

// Accounts have keys of their own, also one with the id of a site; looking for
// a key makes none.
func TestAccountKeys(t *testing.T) {
	ring, dir := openRing(t)
	const person = events.AccountID(blog)
	if _, err := ring.FindAccount(person); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("FindAccount before there is a key: %v, want NotFound", err)
	}
	if _, err := ring.FindSite(blog); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("FindSite before there is a key: %v, want NotFound", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(files) != 0 {
		t.Fatalf("looking for a key has made %v", files)
	}
	account, err := ring.Account(person)
	if err != nil {
		t.Fatal(err)
	}
	site, err := ring.Site(blog)
	if err != nil {
		t.Fatal(err)
	}
	if account.Derive("x", "", 1) == site.Derive("x", "", 1) {
		t.Fatal("a site and an account have the same key")
	}
	found, err := ring.FindAccount(person)
	if err != nil || found.Derive("x", "", 1) != account.Derive("x", "", 1) {
		t.Fatalf("FindAccount gives another key: %v", err)
	}
	if err := ring.DestroyAccount(person); err != nil {
		t.Fatal(err)
	}
	for name, get := range map[string]func(events.AccountID) (Key, error){"Account": ring.Account, "FindAccount": ring.FindAccount} {
		if _, err := get(person); problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s after DestroyAccount: %v, want NotFound", name, err)
		}
	}
	if _, err := ring.FindSite(blog); err != nil {
		t.Errorf("the site's key has gone with the account's: %v", err)
	}
}

// Destroy in one process against Site in another: whoever is first, no key is
// left afterwards.
func TestDestroyAgainstSite(t *testing.T) {
	ring, dir := openRing(t)
	other, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		site := events.SiteID(fmt.Sprintf("%s%012d", blog[:24], i))
		var group sync.WaitGroup
		group.Go(func() { _, _ = ring.Site(site) })
		group.Go(func() {
			if err := other.Destroy(site); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if _, err := os.Lstat(filepath.Join(dir, "sites", string(site))); !os.IsNotExist(err) {
			t.Fatalf("round %d: a key is left after Destroy: %v", i, err)
		}
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	ring, dir := openRing(t)
	key, err := ring.Site(blog)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "sites", string(blog)))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key)
	marshalled, err := json.Marshal(struct{ K Key }{key})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %x %X %d %o %p", key, key, key, key, key, key, key, key, key, &key) + log.String() + string(marshalled)
	for _, form := range []string{string(raw), fmt.Sprintf("%x", raw), fmt.Sprintf("%X", raw), strings.Trim(fmt.Sprint(raw), "[]")} {
		if strings.Contains(text, form) {
			t.Fatalf("a printer gives the key away")
		}
	}
}

func TestRefusals(t *testing.T) {
	ring, dir := openRing(t)
	if _, err := ring.Site("../../etc/passwd"); problem.KindOf(err) != problem.Invalid {
		t.Errorf("Site of no UUID: %v, want Invalid", err)
	}
	if err := ring.Destroy(""); problem.KindOf(err) != problem.Invalid {
		t.Errorf("Destroy of no UUID: %v, want Invalid", err)
	}
	if _, err := ring.Site(blog); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sites", string(blog))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Site(blog); problem.KindOf(err) != problem.Denied {
		t.Errorf("Site with a readable key file: %v, want Denied", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" {
		t.Errorf("Open of a folder others may enter: %v, want Denied with a hint", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("the owner check needs root to give a folder away; run as root")
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); problem.KindOf(err) != problem.Denied {
		t.Errorf("Open of another user's folder: %v, want Denied", err)
	}
}
