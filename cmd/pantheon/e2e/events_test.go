package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pantheon/gateways/api"
)

// TestEventsOfASite: the log tells how a site came about, step by step, who
// decided it and what made it so.
func TestEventsOfASite(t *testing.T) {
	p := shared(t)
	before := p.commits(t)
	p.site(t, "told", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	eventually(t, "the wake is told", func() bool { return p.drop(t, "told.dev").State == "awake" })
	var news []api.Commit
	for _, commit := range p.commits(t) {
		if len(before) == 0 || commit.Position > before[len(before)-1].Position {
			news = append(news, commit)
		}
	}
	seen := map[string]api.Commit{}
	for _, commit := range news {
		if commit.Principal == "" || commit.Gateway == "" || commit.Command == "" || commit.Hash == "" {
			t.Errorf("position %d does not say who, how, or why: %+v", commit.Position, commit)
		}
		for _, event := range commit.Events {
			seen[event.Type] = commit
		}
		shown := p.ok(t, "events", "show", fmt.Sprint(uint64(commit.Position)))
		for _, text := range []string{commit.Principal, commit.Stream, commit.Events[0].Type, commit.Hash} {
			if !strings.Contains(shown, text) {
				t.Errorf("events show %d has no %q:\n%s", commit.Position, text, shown)
			}
		}
	}
	for event, principal := range map[string]string{
		"WorkflowStarted": "account/", "SiteCreated": "policy/", "EnvironmentCreated": "policy/", "BindingRequested": "policy/", "BindingAdmitted": "policy/",
		"BindingProvisioned": "host/", "CodeDeployed": "policy/", "DropRequested": "policy/", "DropAdmitted": "policy/", "DropPlaced": "policy/",
		"DropReady": "host/", "SiteActivated": "policy/", "WorkflowSucceeded": "policy/", "DropAwoke": "host/",
	} {
		commit, there := seen[event]
		if !there || !strings.HasPrefix(commit.Principal, principal) {
			t.Errorf("%s: %v by %q, want one by %s", event, there, commit.Principal, principal)
		}
		if strings.HasPrefix(principal, "policy/") && commit.Cause == 0 {
			t.Errorf("%s by a policy has no cause: %+v", event, commit)
		}
	}
	checkCauses(t, news)
	checkNoSecrets(t, p, "told", news)
}

// checkCauses: what a policy decided follows from something before it.
func checkCauses(t *testing.T, commits []api.Commit) {
	t.Helper()
	for _, commit := range commits {
		if commit.Cause != 0 && commit.Cause >= commit.Position {
			t.Errorf("position %d is caused by %d", commit.Position, commit.Cause)
		}
	}
}

// checkNoSecrets: no password is in the log, in what the platform says, or in
// the arguments of a process.
func checkNoSecrets(t *testing.T, p *platform, site string, commits []api.Commit) {
	t.Helper()
	secret := p.variables(t, site)["DB_PASSWORD"]
	if len(secret) < 16 {
		t.Fatalf("the database's password is %q", secret)
	}
	text, err := json.Marshal(commits)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) || strings.Contains(p.log(), secret) {
		t.Error("the database's password is in the log")
	}
	if found := processes(func(proc string) bool { return strings.Contains(procText(proc, "cmdline"), secret) }); len(found) > 0 {
		t.Errorf("the database's password is an argument of %v", found)
	}
	err = filepath.WalkDir(filepath.Join(p.data, "log"), func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), secret) {
			t.Errorf("the database's password is in %s", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFormats: every list is JSON for programs, also an empty one, and a table
// for people.
func TestFormats(t *testing.T) {
	p := shared(t)
	p.site(t, "formats", "php", map[string]string{"index.php": helloPage})
	for _, line := range []string{
		"site list", "env list formats", "host list", "drop list", "drop list formats", "drop list formats.live", "binding list", "binding list formats.dev",
		"upstream list", "workflow list", "token list", "account list", "events tail", "events tail --type DropCrashed --stream site",
	} {
		decode[[]map[string]any](t, p, strings.Fields(line)...)
		if header, _, _ := strings.Cut(p.ok(t, strings.Fields(line)...), "\n"); header != strings.ToUpper(header) || header == "" {
			t.Errorf("pantheon %s has the header %q", line, header)
		}
		p.ok(t, append(strings.Fields(line), "--format", "csv")...)
	}
	for _, line := range []string{"site info formats", "env info formats.dev", "env info formats.live", "events show 1", "version"} {
		decode[map[string]any](t, p, strings.Fields(line)...)
		p.ok(t, strings.Fields(line)...)
	}
	decode[[]map[string]any](t, p, "doctor")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := p.ok(t, "completion", shell); !strings.Contains(out, "pantheon") {
			t.Errorf("completion for %s: %.100s", shell, out)
		}
	}
}

// TestWithoutRoot: nobody in particular can run the platform; that its sites
// are not kept apart is said where it matters.
func TestWithoutRoot(t *testing.T) {
	requireSandbox(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody here")
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		t.Fatal(errUID, errGID)
	}
	data := dataFolder(t)
	if err := os.Chown(filepath.Dir(data), int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	p := startFor(t, options{data: data, user: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, env: []string{"HOME=" + filepath.Dir(data), "TMPDIR=/tmp"}})
	if said := p.log(); !strings.Contains(said, "WITHOUT sandboxes") {
		t.Errorf("it does not say loudly what it lacks:\n%s", said)
	}
	if hosts := p.ok(t, "host", "list"); !strings.Contains(hosts, "NONE") {
		t.Errorf("host list:\n%s", hosts)
	}
	source := folder(t, map[string]string{"index.php": `<?php
$db = mysqli_connect($_ENV['DB_HOST'], $_ENV['DB_USER'], $_ENV['DB_PASSWORD'], $_ENV['DB_NAME']);
echo posix_getuid(), ' ', $db->query('SELECT 42')->fetch_row()[0], ' ', $_SERVER['REQUEST_URI'];`, "file.txt": "static"})
	openFolder(t, source)
	p.ok(t, "upstream", "add", "plain", source, "--framework", "php")
	p.ok(t, "site", "create", "bare", "--upstream", "plain")
	v := p.visitor("bare")
	v.sees(t, 200, "/a", nobody.Uid+" 42 /a")
	v.sees(t, 200, "/file.txt", "static")
	p.ok(t, "env", "sleep", "bare.dev")
	v.sees(t, 200, "/b", nobody.Uid+" 42 /b")
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	v.sees(t, 200, "/c", nobody.Uid+" 42 /c")
	if err := p.end(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "audit", "verify")
}

// openFolder lets everybody read a test's folder.
func openFolder(t *testing.T, dir string) {
	t.Helper()
	for ; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
