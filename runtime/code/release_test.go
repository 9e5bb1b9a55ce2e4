package code

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
)

func inode(t *testing.T, path string) (number uint64, uid uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Ino, stat.Uid, info.Mode()
}

func TestReleaseIsReadOnlyAndShared(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	first := up.commit("first", map[string]string{"index.php": "1", "lib/a.php": "same", "files/in-code.txt": "hidden", "sub/b.php": "same"})
	second := up.commit("second", map[string]string{"index.php": "2"})
	mustImport(t, store, siteID(1), up.source())
	one := mustRelease(t, store, siteID(1), first, filesMount)
	two := mustRelease(t, store, siteID(1), second, filesMount)
	if read(t, one, "index.php") != "1" || read(t, two, "index.php") != "2" || one == two {
		t.Fatal("releases are mixed up")
	}
	if again := mustRelease(t, store, siteID(1), first, filesMount); again != one {
		t.Errorf("again: %s, want %s", again, one)
	}
	a, _, mode := inode(t, filepath.Join(one, "lib/a.php"))
	for _, name := range []string{filepath.Join(two, "lib/a.php"), filepath.Join(one, "sub/b.php")} {
		if b, _, _ := inode(t, name); a != b {
			t.Errorf("%s is not shared", name)
		}
	}
	if mode != 0o444 {
		t.Errorf("file mode %v", mode)
	}
	for _, dir := range []string{one, filepath.Join(one, "lib")} {
		if _, _, mode := inode(t, dir); mode != os.ModeDir|0o555 {
			t.Errorf("%s: mode %v", dir, mode)
		}
	}
	if target, err := os.Readlink(filepath.Join(one, "files")); err != nil || target != "/files" {
		t.Errorf("mount: %q, %v", target, err)
	}
	if _, err := os.Lstat(filepath.Join(one, ".git")); err == nil {
		t.Error("a release has .git")
	}
	bare := mustRelease(t, store, siteID(1), first, Mount{Path: "files", Target: "/data/files/dev"})
	none := mustRelease(t, store, siteID(1), first, Mount{})
	if bare == one || none == one || read(t, none, "files/in-code.txt") != "hidden" {
		t.Error("releases with different mounts are the same")
	}
}

func TestMounts(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"web/index.php": "1", "web/sites/default/default.settings.php": "d", "blocked": "a file"})
	mustImport(t, store, siteID(1), up.source())
	for _, row := range []struct {
		at   Mount
		kind problem.Kind
	}{
		{MountOf(true, "sites/default/files", "/files"), 0},
		{MountOf(true, "/wp-content/uploads/", "/files"), 0},
		{Mount{Path: "blocked", Target: "/files"}, 0},
		{Mount{Path: "blocked/below", Target: "/files"}, problem.Invalid},
		{Mount{Path: "../out", Target: "/files"}, problem.Invalid},
		{Mount{Path: "/files", Target: "/files"}, problem.Invalid},
		{Mount{Path: ".git/x", Target: "/files"}, problem.Invalid},
		{Mount{Path: "files", Target: "relative"}, problem.Invalid},
	} {
		dir, err := store.Release(t.Context(), siteID(1), head, row.at)
		if row.kind != 0 {
			if problem.KindOf(err) != row.kind {
				t.Errorf("%+v: %v, want %v", row.at, err, row.kind)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", row.at, err)
			continue
		}
		if target, err := os.Readlink(filepath.Join(dir, row.at.Path)); err != nil || target != "/files" {
			t.Errorf("%+v: %q, %v", row.at, target, err)
		}
	}
}

func TestReleaseRefusals(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	up.commit("first", map[string]string{"a": "1"})
	mustImport(t, store, siteID(1), up.source())
	for commit, kind := range map[string]problem.Kind{
		"HEAD": problem.Invalid, "": problem.Invalid, "--output=/tmp/x": problem.Invalid, strings.Repeat("0", 40): problem.NotFound,
		strings.Repeat("ab", 20): problem.NotFound,
	} {
		if _, err := store.Release(t.Context(), siteID(1), commit, filesMount); problem.KindOf(err) != kind {
			t.Errorf("%q: %v, want %v", commit, err, kind)
		}
	}
}

// Trees that git itself would not make: paths that leave the tree, and a link
// that a later entry goes through.
func TestHostileTrees(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	up.commit("first", map[string]string{"a": "1"})
	blob := up.git("rev-parse", "HEAD:a")
	tree := up.git("rev-parse", "HEAD^{tree}")
	victim := t.TempDir()
	write(t, filepath.Join(up.dir, ".git/target"), victim)
	link := up.git("hash-object", "-w", filepath.Join(up.dir, ".git/target"))
	for name, text := range map[string]string{
		"parent":    "040000 tree " + tree + "\t..\n",
		"git":       "040000 tree " + tree + "\t.git\n",
		"GIT":       "040000 tree " + tree + "\t.GIT\n",
		"dot":       "100644 blob " + blob + "\t.\n",
		"link":      "120000 blob " + link + "\tout\n040000 tree " + tree + "\tout\n",
		"duplicate": "100644 blob " + blob + "\tx\n100644 blob " + blob + "\tx\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tree")
			write(t, file, text)
			input, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer input.Close()
			mktree := exec.Command("git", "mktree")
			mktree.Dir, mktree.Stdin = up.dir, input
			out, err := mktree.Output()
			if err != nil {
				t.Fatalf("git mktree: %v", err)
			}
			commit := up.git("commit-tree", "-m", "hostile", strings.TrimSpace(string(out)))
			up.git("update-ref", "refs/heads/"+name, commit)
			site := siteID(len(name)*100 + int(name[0]))
			result, err := store.Import(t.Context(), site, events.CodeSource{Location: up.dir, Branch: name})
			if err != nil {
				return // refused even earlier
			}
			if _, err := store.Release(t.Context(), site, result.Commit, filesMount); err == nil {
				t.Error("it was released")
			}
			if entries, _ := os.ReadDir(victim); len(entries) != 0 {
				t.Errorf("it wrote through a link: %v", entries)
			}
		})
	}
	if left, _ := os.ReadDir(store.temporary()); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// After a power failure a file may be there with its content gone.
func TestSpoiledReleaseIsMadeAgainAfterABoot(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"index.php": "content", "b.php": "other"})
	mustImport(t, store, siteID(1), up.source())
	dir := mustRelease(t, store, siteID(1), head, filesMount)
	spoiled := filepath.Join(dir, "index.php")
	if err := os.Chmod(spoiled, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(spoiled, 0); err != nil { // the shared blob too: it is the same file
		t.Fatal(err)
	}
	if mustRelease(t, store, siteID(1), head, filesMount); read(t, spoiled) != "" {
		t.Fatal("within a boot the release is not looked at")
	}
	store.bootID = "another boot"
	mustRelease(t, store, siteID(1), head, filesMount)
	if got := read(t, spoiled); got != "content" {
		t.Fatalf("after the boot: %q", got)
	}
	before, _, _ := inode(t, dir)
	store.bootID = "a third boot"
	mustRelease(t, store, siteID(1), head, filesMount)
	if after, _, _ := inode(t, dir); before != after {
		t.Error("a whole release was made again")
	}
}

func TestWorktreeIsTheTenantsOwn(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"index.php": "1", "lib/a.php": "a"})
	mustImport(t, store, siteID(1), up.source())
	release := mustRelease(t, store, siteID(1), head, filesMount)
	uid := uint32(os.Geteuid())
	if uid == 0 {
		uid = events.FirstUID + 3
	}
	dir, err := store.Worktree(t.Context(), siteID(1), "dev", head, uid, filesMount)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": os.ModeDir | 0o755, "lib": os.ModeDir | 0o755, "lib/a.php": 0o644, "files": os.ModeSymlink | 0o777} {
		if _, owner, mode := inode(t, filepath.Join(dir, name)); owner != uid || mode != want {
			t.Errorf("%q: owner %d, mode %v, want %d, %v", name, owner, mode, uid, want)
		}
	}
	a, _, _ := inode(t, filepath.Join(dir, "lib/a.php"))
	if b, _, _ := inode(t, filepath.Join(release, "lib/a.php")); a == b {
		t.Error("a writable file is shared with a release")
	}
	write(t, filepath.Join(dir, "index.php"), "work not committed")
	if again, err := store.Worktree(t.Context(), siteID(1), "dev", head, uid, filesMount); err != nil || read(t, again, "index.php") != "work not committed" {
		t.Errorf("again: %v", err)
	}
	for range 2 {
		if err := store.RemoveWorktree(t.Context(), siteID(1), "dev"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the work tree is still there")
	}
	if _, err := store.Worktree(t.Context(), siteID(1), "../x", head, uid, filesMount); problem.KindOf(err) != problem.Invalid {
		t.Errorf("an environment that is a path: %v", err)
	}
}

func TestCollectAndRemove(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	first := up.commit("first", map[string]string{"index.php": "1", "lib/old.php": "only in the first"})
	up.git("rm", "-q", "lib/old.php")
	second := up.commit("second", map[string]string{"index.php": "2"})
	mustImport(t, store, siteID(1), up.source())
	one := mustRelease(t, store, siteID(1), first, filesMount)
	two := mustRelease(t, store, siteID(1), second, filesMount)
	if n, err := store.Collect(t.Context(), siteID(1), []string{two}); err != nil || n != 1 {
		t.Fatalf("Collect: %d, %v", n, err)
	}
	if _, err := os.Lstat(one); err == nil {
		t.Error("what was not kept is still there")
	}
	if read(t, two, "index.php") != "2" {
		t.Error("what was kept is gone")
	}
	if freed, err := store.CollectBlobs(t.Context()); err != nil || freed != int64(len("1")+len("only in the first")) {
		t.Errorf("CollectBlobs: %d, %v", freed, err)
	}
	if read(t, mustRelease(t, store, siteID(1), first, filesMount), "lib/old.php") != "only in the first" {
		t.Error("a collected release does not come back whole")
	}
	for range 2 {
		if err := store.Remove(t.Context(), siteID(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(store.site(siteID(1))); err == nil {
		t.Error("the site's folder is still there")
	}
	if _, err := store.Log(t.Context(), siteID(1), "", 1); err == nil {
		t.Error("a removed site has a log")
	}
	if n, err := store.Collect(t.Context(), siteID(1), nil); err != nil || n != 0 {
		t.Errorf("Collect of a removed site: %d, %v", n, err)
	}
}

func TestLogRefusals(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	head := up.commit("first", map[string]string{"a": "1"})
	mustImport(t, store, siteID(1), up.source())
	if log, err := store.Log(t.Context(), siteID(1), head, 1); err != nil || len(log) != 1 {
		t.Errorf("by commit: %v, %v", log, err)
	}
	for revision, kind := range map[string]problem.Kind{"nope": problem.NotFound, "--output=x": problem.Invalid, "a..b": problem.Invalid} {
		if _, err := store.Log(t.Context(), siteID(1), revision, 1); problem.KindOf(err) != kind {
			t.Errorf("%q: %v, want %v", revision, err, kind)
		}
	}
	for _, n := range []int{0, -1, MaxLogCommits + 1} {
		if _, err := store.Log(t.Context(), siteID(1), "", n); problem.KindOf(err) != problem.Invalid {
			t.Errorf("n = %d: %v, want Invalid", n, err)
		}
	}
}

func TestMissingGitIsNamed(t *testing.T) {
	store := openStore(t)
	store.git.program = ""
	_, err := store.Import(t.Context(), siteID(1), events.CodeSource{Location: newUpstream(t).dir})
	if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) != "apt-get install -y git" {
		t.Errorf("%v (%s)", err, problem.HintOf(err))
	}
}

// TestLinkWhileReplaced: two sites that made the same shared file at the same
// moment could fail with "cannot link index.php: no such file or directory".
func TestLinkWhileReplaced(t *testing.T) {
	store := openStore(t)
	entry := treeEntry{mode: modeFile, object: strings.Repeat("ab", 20), size: 1, path: "index.php"}
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := store.makeBlob(entry, strings.NewReader("1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		for ctx.Err() == nil {
			if err := store.makeBlob(entry, strings.NewReader("1")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 3000 {
		if err := store.linkBlob(entry, int(folder.Fd()), strconv.Itoa(i)); err != nil {
			t.Fatal(i, err)
		}
	}
}
