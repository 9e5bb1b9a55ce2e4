package code

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
)

func siteID(n int) events.SiteID {
	return events.SiteID(fmt.Sprintf("0f9d7c3e-5a41-4f0b-9c57-%012d", n))
}

var filesMount = Mount{Path: "files", Target: "/files"}

func openStore(t testing.TB) *Store {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is missing: apt-get install -y git")
	}
	store, err := Open(Options{Dir: filepath.Join(t.TempDir(), "code")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeTree(store.dir) })
	return store
}

// upstream is a git repository made by a user with git itself.
type upstream struct {
	t   testing.TB
	dir string
}

func newUpstream(t testing.TB) upstream {
	t.Helper()
	u := upstream{t: t, dir: filepath.Join(t.TempDir(), "upstream")}
	u.git("init", "-q", "-b", "main", u.dir)
	return u
}

func (u upstream) git(args ...string) string {
	u.t.Helper()
	command := exec.Command("git", args...)
	if _, err := os.Stat(u.dir); err == nil {
		command.Dir = u.dir
	}
	command.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
	out, err := command.CombinedOutput()
	if err != nil {
		u.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, "name" → content, and commits everything.
func (u upstream) commit(message string, files map[string]string) string {
	u.t.Helper()
	for name, content := range files {
		write(u.t, filepath.Join(u.dir, name), content)
	}
	u.git("add", "-A")
	u.git("commit", "-q", "--allow-empty", "-m", message)
	return u.git("rev-parse", "HEAD")
}

func (u upstream) source() events.CodeSource { return events.CodeSource{Location: u.dir} }

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustImport(t testing.TB, store *Store, site events.SiteID, from events.CodeSource) Imported {
	t.Helper()
	result, err := store.Import(t.Context(), site, from)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func mustRelease(t testing.TB, store *Store, site events.SiteID, commit string, at Mount) string {
	t.Helper()
	dir, err := store.Release(t.Context(), site, commit, at)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
