package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"pantheon/events/problem"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/vaulttest"
)

// machine is a control machine with its folder of secrets.
type machine struct {
	dir     string
	link    *vaulttest.Link
	store   *vault.Store
	mirror  *vault.Mirror
	changed []string
	log     bytes.Buffer
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func machines(t testing.TB, dir string) (all [3]*machine) {
	t.Helper()
	memory, ca := &vault.Memory{}, vaulttest.CAKey(t)
	for i := range all {
		link := &vaulttest.Link{Bucket: memory}
		all[i] = &machine{dir: filepath.Join(dir, fmt.Sprint("keys-", i)), link: link, store: vaulttest.Open(t, link, ca)}
		if err := os.MkdirAll(all[i].dir, 0o700); err != nil {
			t.Fatal(err)
		}
		all[i].on(t)
	}
	return all
}

// on is a start of the machine.
func (m *machine) on(t fataler) {
	t.Helper()
	var err error
	m.mirror, err = vault.NewMirror(vault.MirrorOptions{
		Store: m.store, Dir: m.dir, Skip: []string{"sites"}, Logger: slog.New(slog.NewTextHandler(&m.log, nil)),
		Changed: func(name string) { m.changed = append(m.changed, name) },
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (m *machine) write(t fataler, name, content string) {
	t.Helper()
	path := filepath.Join(m.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (m *machine) remove(t fataler, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
		t.Fatalf("%v", err)
	}
}

// text gives a machine's shared files in one line.
func (m *machine) text(t fataler) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(m.dir, path)
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "sites/") {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, name+"="+string(content))
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return strings.Join(all, " ")
}

func (m *machine) want(t fataler, want string) {
	t.Helper()
	if got := m.text(t); got != want {
		t.Fatalf("there is %q, want %q", got, want)
	}
}

func (m *machine) reconcile(t fataler) {
	t.Helper()
	if err := m.mirror.Reconcile(context.Background()); err != nil {
		t.Fatalf("cannot reconcile: %v", err)
	}
}

func (m *machine) scan(t fataler) {
	t.Helper()
	if err := m.mirror.Scan(context.Background()); err != nil {
		t.Fatalf("cannot scan: %v", err)
	}
}

// grown gives the machines of a cell whose first one had some files.
func grown(t testing.TB, dir string) [3]*machine {
	t.Helper()
	all := machines(t, dir)
	all[0].write(t, "api", "1")
	all[0].write(t, "dns/tsig/a.key", "2")
	all[0].write(t, "sites/sites/x", "not shared")
	if err := all[0].mirror.Contribute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := all[0].store.Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		m.reconcile(t)
	}
	return all
}

func TestMirrorGrows(t *testing.T) {
	all := machines(t, t.TempDir())
	if err := all[1].mirror.Reconcile(t.Context()); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Fatalf("before the vault was founded: %v", err)
	}
	if met, err := all[1].mirror.Met(t.Context()); met || err != nil {
		t.Fatalf("met: %v, %v", met, err)
	}
	if err := all[1].mirror.Put(t.Context(), "api", []byte("mine")); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("Put before it has met the vault: %v", err)
	}
	all = grown(t, t.TempDir())
	for _, m := range all[1:] {
		m.want(t, "api=1 dns/tsig/a.key=2")
		if met, err := m.mirror.Met(t.Context()); !met || err != nil {
			t.Errorf("met: %v, %v", met, err)
		}
		info, err := os.Stat(filepath.Join(m.dir, "dns/tsig/a.key"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("file: %v, %v", info, err)
		}
		for _, folder := range []string{"dns", "dns/tsig"} {
			if info, err := os.Stat(filepath.Join(m.dir, folder)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder: %v, %v", info, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(m.dir, "sites")); !os.IsNotExist(err) {
			t.Errorf("what is skipped was shared: %v", err)
		}
		if fmt.Sprint(m.changed) != "[api dns/tsig/a.key]" {
			t.Errorf("told of %v", m.changed)
		}
	}
	if len(all[0].changed) != 0 {
		t.Errorf("the first machine was told of its own: %v", all[0].changed)
	}
}

func TestMirrorChanges(t *testing.T) {
	all := grown(t, t.TempDir())
	// By the owner.
	if err := all[1].mirror.Put(t.Context(), "api", []byte("3")); err != nil {
		t.Fatal(err)
	}
	if err := all[1].mirror.Remove(t.Context(), "dns/tsig/a.key"); err != nil {
		t.Fatal(err)
	}
	all[1].want(t, "api=3")
	// On disk, found by a scan.
	all[2].write(t, "dns/zones/Kx\\046.private", "4")
	all[2].scan(t)
	for i := range 6 { // the third machine hears of the first two changes here
		all[i%3].reconcile(t)
	}
	for _, m := range all {
		if m != all[0] {
			m.want(t, "api=3 dns/zones/Kx\\046.private=4")
		}
	}
	all[2].remove(t, "dns/zones/Kx\\046.private")
	all[2].scan(t)
	all[1].on(t)
	all[1].reconcile(t)
	all[1].want(t, "api=3")
	// Again, over the removal.
	all[1].write(t, "dns/tsig/a.key", "5")
	all[1].scan(t)
	all[2].reconcile(t)
	all[2].want(t, "api=3 dns/tsig/a.key=5")
}

// Who is second is told, and takes what was first.
func TestMirrorConflict(t *testing.T) {
	all := grown(t, t.TempDir())
	if err := all[0].mirror.Put(t.Context(), "api", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := all[0].mirror.Remove(t.Context(), "dns/tsig/a.key"); err != nil {
		t.Fatal(err)
	}
	if err := all[1].mirror.Put(t.Context(), "api", []byte("second")); problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" {
		t.Errorf("Put of who was second: %v", err)
	}
	if err := all[1].mirror.Put(t.Context(), "dns/tsig/a.key", []byte("second")); problem.KindOf(err) != problem.Conflict {
		t.Errorf("Put over a removal: %v", err)
	}
	all[1].want(t, "api=first")
	if err := all[2].mirror.Remove(t.Context(), "api"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("Remove of who was second: %v", err)
	}
	if err := all[2].mirror.Remove(t.Context(), "dns/tsig/a.key"); err != nil {
		t.Errorf("removing what was removed: %v", err)
	}
	all[2].want(t, "api=first")
	if err := all[2].mirror.Put(t.Context(), "api", []byte("third")); err != nil {
		t.Errorf("Put of who has looked: %v", err)
	}
	all[1].write(t, "api", "on disk, and late")
	all[1].scan(t)
	all[1].want(t, "api=third")
	if !strings.Contains(all[1].log.String(), "the one of this machine goes") {
		t.Error("nobody says that a change is lost")
	}
}

// What is no plain file below the folder is neither read nor written.
func TestMirrorFollowsNoLinks(t *testing.T) {
	base := t.TempDir()
	all := grown(t, base)
	outside := filepath.Join(base, "outside")
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "passwd"), []byte("root"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := all[1]
	for link, to := range map[string]string{"link": filepath.Join(outside, "passwd"), "folder": outside, "zones": outside} {
		if err := os.Symlink(to, filepath.Join(m.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	m.remove(t, "api")
	if err := os.Symlink(filepath.Join(outside, "passwd"), filepath.Join(m.dir, "api")); err != nil {
		t.Fatal(err)
	}
	m.write(t, "large", strings.Repeat("x", vault.MaxContentBytes+1))
	m.write(t, ".hidden", "x")
	m.write(t, "half.new", "x")
	m.scan(t)
	all[0].reconcile(t)
	if got := all[0].text(t); !strings.HasPrefix(got, "api=1 dns/tsig/a.key=2") || strings.Contains(got, "root") || strings.Contains(got, "half") {
		t.Errorf("the first machine has %q", got)
	}
	if err := all[0].mirror.Put(t.Context(), "zones/new", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := all[0].mirror.Put(t.Context(), "api", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := all[0].mirror.Put(t.Context(), "large", []byte("small")); err != nil {
		t.Fatal(err)
	}
	m.reconcile(t)
	if found, _ := os.ReadDir(outside); len(found) != 1 {
		t.Errorf("outside the folder: %v", found)
	}
	if content, _ := os.ReadFile(filepath.Join(outside, "passwd")); string(content) != "root" {
		t.Errorf("a file outside was written: %q", content)
	}
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".mirror", "x.new", "sites/x", "a/b/c/d/e", "a\nb", strings.Repeat("a", 300)} {
		if err := all[0].mirror.Put(t.Context(), name, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Put of %.20q: %v", name, err)
		}
	}
	// Names that this version would not put in are not taken from the vault.
	for _, name := range []string{"../x", "sites/y", ".ssh/id"} {
		if _, err := all[0].store.Put(t.Context(), "file/"+name, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	all[2].reconcile(t)
	all[2].want(t, "api=new dns/tsig/a.key=2 large=small zones/new=x")
}

// A machine whose folder was emptied gets its files again; it does not remove
// those of the cell.
func TestMirrorEmptied(t *testing.T) {
	all := grown(t, t.TempDir())
	m := all[1]
	for _, name := range []string{"api", "dns"} {
		if err := os.RemoveAll(filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.scan(t)
	m.want(t, "api=1 dns/tsig/a.key=2")
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	m.on(t)
	m.reconcile(t)
	m.want(t, "api=1 dns/tsig/a.key=2")
}

// A machine that does not reach the vault keeps what it has, and is told so.
func TestMirrorUnreachable(t *testing.T) {
	all := grown(t, t.TempDir())
	m := all[1]
	m.link.Cut()
	if err := m.mirror.Reconcile(t.Context()); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" || !errors.Is(err, vault.ErrUnreachable) {
		t.Errorf("Reconcile: %v", err)
	}
	m.on(t)
	if met, err := m.mirror.Met(t.Context()); !met || err != nil {
		t.Errorf("met: %v, %v", met, err)
	}
	m.want(t, "api=1 dns/tsig/a.key=2")
}

// A folder that others may enter is refused, and what a killed process left is
// removed.
func TestMirrorFolder(t *testing.T) {
	all := grown(t, t.TempDir())
	m := all[1]
	m.write(t, "dns/.mirror-ABC", "half a secret")
	m.on(t)
	m.reconcile(t)
	if _, err := os.Lstat(filepath.Join(m.dir, "dns/.mirror-ABC")); !os.IsNotExist(err) {
		t.Errorf("a temporary file is left: %v", err)
	}
	if err := os.Chmod(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.on(t)
	if err := m.mirror.Reconcile(t.Context()); problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" {
		t.Errorf("a folder for everybody: %v", err)
	}
}

// A cell that shrinks and grows again has another bucket: what was known of the
// old one does not count.
func TestMirrorAnotherLife(t *testing.T) {
	dir := t.TempDir()
	old := grown(t, dir)
	for i := range 20 {
		if err := old[1].mirror.Put(t.Context(), "only", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	all := machines(t, dir) // the same folders
	all[1].write(t, "api", "of a machine that does not know yet")
	all[1].scan(t)
	if err := all[1].mirror.Put(t.Context(), "api", nil); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("Put of a machine that does not know yet: %v", err)
	}
	all[0].write(t, "api", "of the new life")
	all[0].remove(t, "dns/tsig/a.key")
	if err := all[0].mirror.Contribute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := all[0].store.Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	all[1].reconcile(t)
	all[1].want(t, "api=of the new life dns/tsig/a.key=2 only=19")
	all[0].reconcile(t)
	all[0].want(t, all[1].text(t))
}

func TestMirrorRuns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := grown(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		for _, m := range all {
			go func() { ended <- m.mirror.Run(ctx) }()
		}
		time.Sleep(3 * time.Minute)
		all[0].write(t, "api", "3")
		time.Sleep(10 * time.Second)
		for _, m := range all {
			m.want(t, m.text(t)) // no race with who writes
		}
		all[1].want(t, "api=3 dns/tsig/a.key=2")
		all[2].link.Cut()
		if err := all[1].mirror.Remove(ctx, "dns/tsig/a.key"); err != nil {
			t.Error(err)
		}
		all[2].write(t, "made-meanwhile", "4")
		time.Sleep(time.Minute)
		all[2].want(t, "api=3 dns/tsig/a.key=2 made-meanwhile=4")
		all[2].link.Heal()
		time.Sleep(20 * time.Second)
		all[2].want(t, "api=3 made-meanwhile=4")
		all[1].want(t, "api=3 made-meanwhile=4")
		cancel()
		for range all {
			if err := <-ended; err != context.Canceled {
				t.Errorf("Run has ended with %v", err)
			}
		}
	})
}

// TestMirrorSchedules: whatever order machines write, remove, scan, are cut off
// and come back in, in the end all folders are the same, and a file that nobody
// has touched since all were the same is as it was.
func TestMirrorSchedules(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		all := grown(t, dir)
		cut := [3]bool{}
		for step := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			i := rapid.IntRange(0, 2).Draw(rt, "machine")
			m := all[i]
			name := rapid.SampledFrom([]string{"a", "b", "d/c"}).Draw(rt, "file")
			ctx, cancel := context.WithCancel(context.Background())
			if cut[i] {
				cancel() // no need to wait for bounds
			}
			var err error
			switch rapid.SampledFrom([]string{"write", "remove", "scan", "put", "retract", "reconcile", "restart", "cut", "heal"}).Draw(rt, "what") {
			case "write":
				m.write(rt, name, fmt.Sprint(step))
			case "remove":
				_ = os.Remove(filepath.Join(m.dir, name))
			case "scan":
				err = m.mirror.Scan(ctx)
			case "put":
				err = m.mirror.Put(ctx, name, fmt.Append(nil, step))
			case "retract":
				err = m.mirror.Remove(ctx, name)
			case "reconcile":
				err = m.mirror.Reconcile(ctx)
			case "restart":
				m.on(rt)
			case "cut":
				m.link.Cut()
				cut[i] = true
			case "heal":
				m.link.Heal()
				cut[i] = false
			}
			cancel()
			if kind := problem.KindOf(err); err != nil && kind != problem.Conflict && (kind != problem.Unavailable || !cut[i]) {
				rt.Fatalf("%v", err)
			}
		}
		for _, m := range all {
			m.link.Heal()
		}
		for range 2 {
			for _, m := range all {
				m.reconcile(rt)
			}
		}
		want := all[0].text(rt)
		if !strings.Contains(" "+want+" ", " api=1 ") || !strings.Contains(want, "dns/tsig/a.key=2") {
			rt.Fatalf("what nobody has touched is gone: %q", want)
		}
		for _, m := range all[1:] {
			m.want(rt, want)
		}
		_ = os.RemoveAll(dir)
	})
}
