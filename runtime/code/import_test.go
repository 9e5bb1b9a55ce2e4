package code

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

func TestImportKeepsHistoryAndHappensOnce(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	first := up.commit("first", map[string]string{"index.php": "1"})
	second := up.commit("second\n\nwith a body", map[string]string{"pantheon.yml": "api_version: 1\nweb_docroot: true\n", "web/index.php": "2"})
	result := mustImport(t, store, siteID(1), up.source())
	if result.Commit != second || !result.WebDocroot {
		t.Fatalf("%+v, want commit %s with web docroot", result, second)
	}
	third := up.commit("third", map[string]string{"index.php": "3"})
	if again := mustImport(t, store, siteID(1), up.source()); again.Commit != second || !again.WebDocroot {
		t.Errorf("a second import changed the site: %+v", again)
	}
	if other := mustImport(t, store, siteID(2), up.source()); other.Commit != third {
		t.Errorf("another site begins at %s, want the newest %s", other.Commit, third)
	}
	log, err := store.Log(t.Context(), siteID(1), "", 10)
	if err != nil || len(log) != 2 || log[1].ID != first || !slices.Equal(log[0].Parents, []string{first}) ||
		log[0].Message != "second\n\nwith a body" || log[0].Author != "Ann" || log[0].Email != "ann@example.org" || time.Since(log[0].Time) > time.Hour {
		t.Errorf("log: %+v, %v", log, err)
	}
	if out, err := exec.Command("git", "--git-dir="+store.Repository(siteID(1)), "fsck", "--full", "--strict").CombinedOutput(); err != nil {
		t.Errorf("git fsck: %v: %s", err, out)
	}
}

func TestConcurrentImports(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"index.php": "1"})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			result, err := store.Import(t.Context(), siteID(i%3), up.source())
			if err != nil || result.Commit != head {
				t.Errorf("%+v, %v", result, err)
				return
			}
			if _, err := store.Release(t.Context(), siteID(i%3), head, filesMount); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestImportOfABranch(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	up.commit("first", map[string]string{"a": "1"})
	up.git("checkout", "-q", "-b", "feature/x")
	wanted := up.commit("on a branch", map[string]string{"b": "1"})
	up.git("checkout", "-q", "main")
	for site, location := range []string{up.dir, "file://" + up.dir, filepath.Join(up.dir, ".git")} {
		result := mustImport(t, store, siteID(site+1), events.CodeSource{Location: location, Branch: "feature/x"})
		if result.Commit != wanted {
			t.Errorf("%s: %s, want %s", location, result.Commit, wanted)
		}
	}
	if err := store.Warm(t.Context(), up.source()); err != nil {
		t.Error(err)
	}
}

func TestImportFailures(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	empty := newUpstream(t)
	up.commit("first", map[string]string{"a": "1"})
	broken := newUpstream(t)
	broken.commit("bad settings", map[string]string{"pantheon.yml": "api_version: 7\n"})
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "no folder")
	plain, bare := t.TempDir(), t.TempDir()
	write(t, filepath.Join(plain, "index.php"), "1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for _, row := range []struct {
		location, branch string
		kind             problem.Kind
		text             string
	}{
		{"", "", problem.Invalid, "no place"},
		{"relative/path", "", problem.Invalid, "neither a URL nor"},
		{"--upload-pack=touch /tmp/x", "", problem.Invalid, "neither a URL nor"},
		{"ext::sh -c id", "", problem.Invalid, "neither a URL nor"},
		{"http://example.org/x.git", "", problem.Invalid, "over http"},
		{"ftp://example.org/x.git", "", problem.Invalid, "over ftp"},
		{"ssh://-oProxyCommand=id/x", "", problem.Invalid, ""},
		{"https://ann:geheim@example.org/x.git", "", problem.Invalid, "credential"},
		{"https://geheim@example.org/x.git", "", problem.Invalid, "credential"},
		{"https://exa mple:geheim@/%zz", "", problem.Invalid, "malformed"},
		{"https://example.org/x\n.git", "", problem.Invalid, "control"},
		{"/" + strings.Repeat("x", maxLocationBytes), "", problem.Invalid, "bytes"},
		{"/no/such/place", "", problem.NotFound, "does not exist"},
		{file, "", problem.Invalid, "not a folder"},
		{bare, "", problem.Invalid, "no file"},
		{plain, "main", problem.Invalid, "plain folder"},
		{up.dir, "nope", problem.NotFound, "no branch nope"},
		{up.dir, "-x", problem.Invalid, "no branch name"},
		{up.dir, "a..b", problem.Invalid, "no branch name"},
		{empty.dir, "", problem.Invalid, "empty"},
		{broken.dir, "", problem.Invalid, "pantheon.yml: line 1"},
		{"git://" + address + "/x.git", "", problem.Unavailable, "git://" + address},
	} {
		_, err := store.Import(t.Context(), siteID(1), events.CodeSource{Location: row.location, Branch: row.branch})
		if problem.KindOf(err) != row.kind || !strings.Contains(err.Error(), row.text) {
			t.Errorf("%.60q %q: %v (%v), want %v with %q", row.location, row.branch, err, problem.KindOf(err), row.kind, row.text)
			continue
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%.60q: not one line, or with a secret: %q", row.location, err)
		}
		if Final(err) != (row.kind != problem.Unavailable) {
			t.Errorf("%.60q: Final is %v", row.location, Final(err))
		}
	}
	if _, err := os.Stat(store.Repository(siteID(1))); err == nil {
		t.Error("a failed import left a repository")
	}
	if left, _ := os.ReadDir(store.temporary()); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if _, err := store.Import(t.Context(), "../x", up.source()); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a site id that is a path: %v", err)
	}
}

// A server that takes the connection and says nothing is given up.
func TestSilentServer(t *testing.T) {
	store := openStore(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			defer connection.Close()
			_, _ = connection.Read(make([]byte, 1)) // git has asked
			cancel()
			_, _ = io.Copy(io.Discard, connection)
		}
	}()
	_, err = store.Import(ctx, siteID(1), events.CodeSource{Location: "git://" + listener.Addr().String() + "/x"})
	if problem.KindOf(err) != problem.Unavailable || Final(err) {
		t.Errorf("%v, want Unavailable", err)
	}
}

// Neither the user's configuration nor the repository's hooks and filters run.
func TestNothingOfOthersRuns(t *testing.T) {
	trap := filepath.Join(t.TempDir(), "trap")
	home := t.TempDir()
	write(t, filepath.Join(home, ".gitconfig"), "[core]\n\thooksPath = "+home+"\n[alias]\n\tfetch = !touch "+trap+"\n")
	t.Setenv("HOME", home)
	t.Setenv("GIT_DIR", "/nonexistent")
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "core.sshCommand")
	t.Setenv("GIT_CONFIG_VALUE_0", "touch "+trap)
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{".gitattributes": "* filter=evil text eol=crlf export-ignore ident\n", "a.txt": "$Id$\nline\n"})
	for _, hook := range []string{"post-checkout", "reference-transaction", "pre-receive", "post-index-change"} {
		write(t, filepath.Join(up.dir, ".git/hooks", hook), "#!/bin/sh\ntouch "+trap+"\n")
		if err := os.Chmod(filepath.Join(up.dir, ".git/hooks", hook), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	up.git("config", "filter.evil.smudge", "touch "+trap)
	up.git("config", "uploadpack.packObjectsHook", "touch "+trap)
	mustImport(t, store, siteID(1), up.source())
	dir := mustRelease(t, store, siteID(1), head, filesMount)
	if got := read(t, dir, "a.txt"); got != "$Id$\nline\n" {
		t.Errorf("the content was changed: %q", got)
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("something of the user's or the repository's ran")
	}
}

func TestSourceOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a repository to another user needs root; run as root")
	}
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"a": "1"})
	err := filepath.WalkDir(up.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 12345, 12345)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustImport(t, store, siteID(1), up.source()); got.Commit != head {
		t.Errorf("%+v", got)
	}
}

func TestFolder(t *testing.T) {
	store := openStore(t)
	world := t.TempDir()
	if err := os.Chmod(filepath.Dir(world), 0o755); err != nil {
		t.Fatal(err)
	}
	root, outside := filepath.Join(world, "app"), filepath.Join(world, "share")
	write(t, filepath.Join(root, "index.php"), "<?php")
	write(t, filepath.Join(root, "core/Cite/x.php"), "cite")
	write(t, filepath.Join(root, "bin/tool"), "#!/bin/sh")
	write(t, filepath.Join(root, "strange \"name\"\\\n.txt"), "odd")
	write(t, filepath.Join(root, "vendor/lib/.git/config"), "nested")
	write(t, filepath.Join(outside, "js/jquery.js"), "jquery")
	write(t, filepath.Join(outside, "ext/own/y.php"), "own")
	write(t, filepath.Join(outside, "secret.key"), "geheim")
	write(t, filepath.Join(outside, "closed/z.php"), "geheim")
	for _, err := range []error{
		os.Chmod(filepath.Join(root, "bin/tool"), 0o755),
		os.Chmod(filepath.Join(outside, "secret.key"), 0o600),
		os.Chmod(filepath.Join(outside, "closed"), 0o700),
		os.Symlink("index.php", filepath.Join(root, "home.php")),
		os.Symlink(filepath.Join(root, "core"), filepath.Join(root, "absolute")),
		os.Symlink(filepath.Join(outside, "js/jquery.js"), filepath.Join(root, "jquery.js")),
		os.Symlink(filepath.Join(outside, "ext"), filepath.Join(root, "extensions")),
		os.Symlink(filepath.Join(root, "core/Cite"), filepath.Join(outside, "ext/Cite")),
		os.Symlink(filepath.Join(outside, "ext"), filepath.Join(outside, "ext/loop")),
		os.Symlink(filepath.Join(outside, "secret.key"), filepath.Join(root, "secret")),
		os.Symlink(filepath.Join(outside, "closed/z.php"), filepath.Join(root, "z.php")),
		os.Symlink("/no/such/place", filepath.Join(root, "LocalSettings.php")),
		os.Symlink("/dev/zero", filepath.Join(root, "zero")),
		os.Symlink(world, filepath.Join(root, "core/up")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	result := mustImport(t, store, siteID(1), events.CodeSource{Location: root})
	dir := mustRelease(t, store, siteID(1), result.Commit, filesMount)
	for name, want := range map[string]string{
		"index.php": "<?php", "jquery.js": "jquery", "extensions/own/y.php": "own", "extensions/Cite/x.php": "cite",
		"absolute/Cite/x.php": "cite", "strange \"name\"\\\n.txt": "odd", "home.php": "<?php", "core/up/share/js/jquery.js": "jquery",
	} {
		if got := read(t, dir, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"home.php": "index.php", "absolute": "core", "extensions/Cite": "../core/Cite", "core/up/app": "../.."} {
		target, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if target != want {
			t.Errorf("link %s: %q, want %q", name, target, want)
		}
	}
	for _, name := range []string{"secret", "z.php", "LocalSettings.php", "zero", "extensions/loop", "vendor/lib/.git"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is in the release", name)
		}
		if !slices.ContainsFunc(result.Notes, func(note string) bool { return strings.HasPrefix(note, name+": left out") }) {
			t.Errorf("%s: nothing is said in %q", name, result.Notes)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/tool")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("an executable: %v, %v", info, err)
	}
	noLinkLeads(t, dir, "files")
}

func TestChangedFolderIsImportedAnew(t *testing.T) {
	store := openStore(t)
	root := t.TempDir()
	write(t, filepath.Join(root, "index.php"), "1")
	first := mustImport(t, store, siteID(1), events.CodeSource{Location: root})
	same := mustImport(t, store, siteID(2), events.CodeSource{Location: root})
	write(t, filepath.Join(root, "index.php"), "22")
	changed := mustImport(t, store, siteID(3), events.CodeSource{Location: root})
	if first.Commit != same.Commit || first.Commit == changed.Commit {
		t.Errorf("%s, %s, %s", first.Commit, same.Commit, changed.Commit)
	}
	if got := read(t, mustRelease(t, store, siteID(3), changed.Commit, filesMount), "index.php"); got != "22" {
		t.Errorf("%q", got)
	}
}

func TestWordPressWithoutConfigGetsOne(t *testing.T) {
	wordPress := map[string]string{"wp-settings.php": "<?php", "wp-includes/version.php": "<?php"}
	nested := map[string]string{"web/wp-settings.php": "<?php", "web/wp-includes/version.php": "<?php"}
	store, up := openStore(t), newUpstream(t)
	head := up.commit("WordPress", wordPress)
	result := mustImport(t, store, siteID(1), up.source())
	log, err := store.Log(t.Context(), siteID(1), "", 10)
	if err != nil || len(log) != 2 || log[1].ID != head || log[0].Message != configMessage || log[0].ID != result.Commit {
		t.Fatalf("log: %+v, %v", log, err)
	}
	dir := mustRelease(t, store, siteID(1), result.Commit, filesMount)
	if read(t, dir, "wp-config.php") != string(platformConfig) || read(t, dir, "wp-settings.php") != "<?php" {
		t.Error("the tree is not the upstream's with the platform's wp-config.php")
	}
	own := newUpstream(t)
	wordPress["wp-config.php"] = "<?php // our own"
	head = own.commit("WordPress with a config", wordPress)
	if got := mustImport(t, store, siteID(2), own.source()); got.Commit != head {
		t.Errorf("a WordPress with its own wp-config.php was changed: %+v", got)
	}
	folder := t.TempDir()
	for name, content := range nested {
		write(t, filepath.Join(folder, name), content)
	}
	result = mustImport(t, store, siteID(3), events.CodeSource{Location: folder})
	if read(t, mustRelease(t, store, siteID(3), result.Commit, filesMount), "web/wp-config.php") != string(platformConfig) {
		t.Error("WordPress in web has not got its wp-config.php")
	}
	settings, err := store.Settings(t.Context(), siteID(3), result.Commit)
	if err != nil || !result.WebDocroot || !slices.Contains(settings.ProtectedWebPaths, "/xmlrpc.php") || len(settings.Warnings) != 0 {
		t.Errorf("settings added: %+v, %v", settings, err)
	}
}

// keeperFolder makes this test binary a platform that imports and releases
// site after site from a source until it is killed.
const (
	keeperFolder = "PANTHEON_TEST_CODE_KEEPER"
	keeperSource = "PANTHEON_TEST_CODE_SOURCE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(keeperFolder); dir != "" {
		keep(dir, events.CodeSource{Location: os.Getenv(keeperSource)})
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func keep(dir string, from events.CodeSource) {
	store, err := Open(Options{Dir: dir})
	for i := 1; err == nil; i++ {
		var result Imported
		if result, err = store.Import(context.Background(), siteID(i), from); err == nil {
			os.Stdout.WriteString(result.Commit + "\n")
			_, err = store.Release(context.Background(), siteID(i), result.Commit, filesMount)
		}
	}
	os.Stdout.WriteString(err.Error() + "\n")
}

func TestKilledAnywhere(t *testing.T) {
	up := newUpstream(t)
	files := map[string]string{}
	for i := range 200 {
		files[filepath.Join("d", strings.Repeat("x", i%7+1), siteIDText(i))] = strings.Repeat(siteIDText(i), 50)
	}
	head := up.commit("many files", files)
	dir := filepath.Join(openStore(t).dir, "other")
	for round := range 8 {
		keeper := exec.Command(os.Args[0])
		keeper.Env = append(os.Environ(), keeperFolder+"="+dir, keeperSource+"="+up.dir)
		out, err := keeper.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := keeper.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := make(chan int, 1)
		go func() {
			text, _ := io.ReadAll(out)
			if strings.Contains(string(text), "cannot") {
				t.Errorf("keeper: %s", text)
			}
			acknowledged <- strings.Count(string(text), "\n")
		}()
		timer := time.NewTimer(time.Duration(20+37*round) * time.Millisecond) // the moment of the kill
		<-timer.C
		_ = keeper.Process.Kill()
		count := <-acknowledged
		_ = keeper.Wait()
		store, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= count+1; i++ { // every acknowledged site, and the one under way
			if result := mustImport(t, store, siteID(i), up.source()); result.Commit != head {
				t.Errorf("round %d: site %d is at %s", round, i, result.Commit)
			}
			release := mustRelease(t, store, siteID(i), head, filesMount)
			for name, want := range files {
				if got := read(t, release, name); got != want {
					t.Fatalf("round %d: site %d: %s is spoiled", round, i, name)
				}
			}
		}
		if left, _ := os.ReadDir(store.temporary()); len(left) != 0 {
			t.Errorf("round %d: left over: %v", round, left)
		}
	}
}

func siteIDText(n int) string { return string(siteID(n)) }
