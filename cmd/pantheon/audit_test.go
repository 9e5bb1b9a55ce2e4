package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/archive"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/projections/audit/keeper"
	"pantheon/projections/inventory"
)

// auditedCell is a data folder with a log of some sites, and what audits it. No
// actor runs.
type auditedCell struct {
	t    *testing.T
	data string
	tcp  string
	log  *jetstream.Log
	tree *keeper.Keeper
	stop func() // of the API
}

func newAuditedCell(t *testing.T, sites int) *auditedCell {
	t.Helper()
	c := &auditedCell{t: t, data: t.TempDir()}
	if _, _, err := jetstreamtest.Write(t.Context(), c.path("log"), eventlogtest.Fleet(sites)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *auditedCell) path(elements ...string) string {
	return filepath.Join(append([]string{c.data}, elements...)...)
}

// openTree opens log and tree as the platform does.
func (c *auditedCell) openTree() error {
	var err error
	if c.log, err = jetstream.Open(c.t.Context(), jetstream.Options{Dir: c.path("log")}); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	c.tree, err = keeper.Open(c.t.Context(), keeper.Options{Log: c.log, Dir: c.path("audit"), Key: c.path("keys", "audit"), Logger: quiet})
	if err != nil {
		_ = c.log.Close()
	}
	return err
}

// closeTree signs what there is.
func (c *auditedCell) closeTree() {
	c.t.Helper()
	if err := errors.Join(c.tree.Close(), c.log.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// sign opens the log and closes it again: a platform's short life.
func (c *auditedCell) sign() *auditedCell {
	c.t.Helper()
	if err := c.openTree(); err != nil {
		c.t.Fatal(err)
	}
	c.closeTree()
	return c
}

// nobody carries out no command.
type nobody struct{}

func (nobody) Do(context.Context, events.Meta, events.StreamID, any) (events.Receipt, error) {
	return events.Receipt{}, problem.New(problem.Unsupported, "cannot carry out commands here")
}

// serve runs the API on the cell's socket.
func (c *auditedCell) serve() *auditedCell {
	c.t.Helper()
	if err := c.openTree(); err != nil {
		c.t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	runner := projections.NewRunner(projections.Options{Log: c.log, Logger: quiet})
	view := projections.Add(runner, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version})
	gateway, err := api.New(api.Options{
		Commander: nobody{}, Inventory: view, Log: c.log, Audit: c.tree, Entries: c.log,
		Operator: operatorAccount, Key: make([]byte, 32), Logger: quiet, Version: "test",
	})
	if err == nil {
		err = os.MkdirAll(c.path("run"), 0o700)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	unix, err := api.ListenUnix(c.path("run", "api.sock"))
	if err != nil {
		c.t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.tcp = "http://" + tcp.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) })
	all.Go(func() { _ = c.tree.Run(ctx) })
	all.Go(func() { _ = gateway.Run(ctx, unix, tcp) })
	c.stop = sync.OnceFunc(func() { cancel(); all.Wait(); c.closeTree() })
	c.t.Cleanup(c.stop)
	if err := runner.Ready(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// answer is what a command line has given.
type answer struct {
	out, errors string
	code        int
}

// run carries out a command line on a data folder.
func runOn(t *testing.T, data string, in io.Reader, args ...string) answer {
	t.Helper()
	var out, failed bytes.Buffer
	c := &cli{in: in, out: &out, errors: &failed, getenv: func(string) string { return "" }}
	code := c.run(t.Context(), append(args, "--data", data))
	return answer{out.String(), failed.String(), code}
}

func (c *auditedCell) ok(args ...string) string {
	c.t.Helper()
	got := runOn(c.t, c.data, nil, args...)
	if got.code != 0 {
		c.t.Fatalf("pantheon %v ended with %d: %s", args, got.code, got.errors)
	}
	return got.out
}

func (c *auditedCell) refused(code int, text string, args ...string) {
	c.t.Helper()
	refusedOn(c.t, c.data, code, text, args...)
}

func refusedOn(t *testing.T, data string, code int, text string, args ...string) {
	t.Helper()
	got := runOn(t, data, strings.NewReader(""), args...)
	first, rest, _ := strings.Cut(got.errors, "\n")
	if got.code != code || !strings.Contains(first, text) || rest != "" && !strings.HasPrefix(rest, "hint: ") {
		t.Errorf("pantheon %v ended with %d, want %d and %q:\n%s", args, got.code, code, text, got.errors)
	}
}

// write puts text into a file of the test.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const cellCommits = 4*eventlogtest.FleetCommits + eventlogtest.FleetHosts

// The way of an auditor: a head and the key, a proof later, and the proof that
// the log has only grown.
func TestAuditor(t *testing.T) {
	c := newAuditedCell(t, 4).serve()
	var head api.AuditHead
	if err := json.Unmarshal([]byte(c.ok("audit", "head", "--format", "json")), &head); err != nil {
		t.Fatal(err)
	}
	if head.Size != cellCommits || head.Position != cellCommits {
		t.Errorf("%+v", head)
	}
	key, monday := write(t, c.ok("audit", "head", "--field", "key")), write(t, c.ok("audit", "head", "--note"))
	stream := eventlogtest.FleetSite(2).Stream()
	commits := eventlogtest.Collect(t, c.log.Stream(t.Context(), stream, 0))
	tip := eventlogtest.Append(t, c.log, commits[len(commits)-1].Tip(), eventlogtest.Commit(stream, "later"))
	awaitTree(t, c.tree, tip.Position)

	proof := write(t, c.ok("audit", "prove", fmt.Sprint(uint64(tip.Position))))
	if out := c.ok("audit", "verify", "--proof", proof, "--key", key); !strings.Contains(out, tip.Hash.String()) {
		t.Errorf("the proof says %s", out)
	}
	asJSON := write(t, c.ok("audit", "prove", "1", "--format", "json"))
	if out := c.ok("audit", "verify", "--proof", asJSON, "--key", key, "--field", "position"); out != "1\n" {
		t.Errorf("the proof is of position %s", out)
	}
	growth := write(t, c.ok("audit", "prove", "--consistency", fmt.Sprint(head.Size)))
	if out := c.ok("audit", "verify", "--proof", growth, "--key", key, "--head", monday, "--field", "size"); out != fmt.Sprintln(head.Size+1) {
		t.Errorf("the log has grown to %s", out)
	}
	c.refused(64, "cannot compare", "audit", "verify", "--proof", asJSON, "--key", key, "--head", monday)
	c.refused(64, "without the public key", "audit", "verify", "--proof", proof)
	c.refused(66, "cannot prove position 999999", "audit", "prove", "999999")
	c.refused(64, `cannot read "zero"`, "audit", "prove", "zero")
	c.refused(64, "cannot prove growth", "audit", "prove", "--consistency", "999999")
	c.refused(66, "no head was signed then", "audit", "prove", "--consistency", "1", "17")
	c.refused(64, "cannot read the proof", "audit", "verify", "--proof", key, "--key", key)
	c.refused(64, "cannot use the public key", "audit", "verify", "--proof", proof, "--key", monday)
	other := newAuditedCell(t, 4).sign()
	c.refused(65, "is not signed with the key", "audit", "verify", "--proof", proof, "--key", other.path("keys", "audit.pub"))
	text, _ := os.ReadFile(proof)
	c.refused(65, "cannot accept the proof", "audit", "verify", "--proof", write(t, strings.Replace(string(text), "index 1", "index 2", 1)), "--key", key)
	anyone := runOn(t, c.data, nil, "audit", "prove", "1", "--api", c.tcp)
	if anyone.code != problem.Unauthenticated.ExitCode() {
		t.Errorf("without a token: %+v", anyone)
	}
}

// awaitTree waits until the tree holds a position.
func awaitTree(t *testing.T, tree *keeper.Keeper, position events.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		_, err := tree.Prove(ctx, position)
		return problem.KindOf(err) != problem.NotFound, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Export while the API runs and afterwards, and import: the same commits, the
// same heads, and what was proven stays proven.
func TestExportAndImport(t *testing.T) {
	c := newAuditedCell(t, 4).sign().serve()
	running, ended := filepath.Join(t.TempDir(), "running"), filepath.Join(t.TempDir(), "ended")
	if out := c.ok("log", "export", "-o", running, "--field", "head"); out != fmt.Sprintln(cellCommits) {
		t.Errorf("exported up to %s", out)
	}
	proof := write(t, c.ok("audit", "prove", "42"))
	key := c.path("keys", "audit.pub")
	c.refused(65, "is there already", "log", "export", "-o", running)
	c.stop()
	c.ok("log", "export", "-o", ended)
	if a, b := read(t, running), read(t, ended); !bytes.Equal(a, b) {
		t.Error("the export of a platform that runs is another one than that of its folder")
	}
	if out := runOn(t, c.data, nil, "log", "export", "-o", "-"); out.out != string(read(t, ended)) {
		t.Errorf("standard output has %d bytes, %s", len(out.out), out.errors)
	}
	if out := c.ok("audit", "verify", ended, "--key", key, "--field", "signed_commits"); out != fmt.Sprintln(cellCommits) {
		t.Errorf("signed %s", out)
	}
	imported := &auditedCell{t: t, data: filepath.Join(t.TempDir(), "new")}
	var result archiveRecord
	if err := json.Unmarshal([]byte(imported.ok("log", "import", "--from", ended, "--key", key, "--format", "json")), &result); err != nil {
		t.Fatal(err)
	}
	if result.Commits != cellCommits || result.Head != cellCommits || result.SignedCommits != cellCommits {
		t.Errorf("%+v", result)
	}
	imported.refused(65, "not empty", "log", "import", "--from", ended)
	imported.sign()
	again := filepath.Join(t.TempDir(), "again")
	imported.ok("log", "export", "-o", again)
	if a, b := commitsOf(t, ended), commitsOf(t, again); a != b {
		t.Error("the imported log has other commits")
	}
	// The head of the imported cell is signed with its own key, of the same tree.
	if a, b := rootOf(t, c), rootOf(t, imported); a != b {
		t.Errorf("the root was %s and is %s", a, b)
	}
	c.ok("audit", "verify", "--proof", proof, "--key", key)
	imported.serve()
	if out := imported.ok("site", "list", "--field", "name"); strings.Count(out, "site-") != 4 {
		t.Errorf("sites:\n%s", out)
	}
	imported.refused(65, "", "audit", "verify")
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// commitsOf gives all that commits of an archive say.
func commitsOf(t *testing.T, name string) string {
	t.Helper()
	var all strings.Builder
	for batch, err := range archive.NewReader(bytes.NewReader(read(t, name))).Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range batch.Entries {
			fmt.Fprintf(&all, "%d %s\n", entry.Position, entry.Wire)
		}
	}
	return all.String()
}

func rootOf(t *testing.T, c *auditedCell) string {
	t.Helper()
	heads, err := keeper.ReadHeads(c.path("audit"))
	if err != nil || len(heads) == 0 {
		t.Fatalf("%d heads, %v", len(heads), err)
	}
	return heads[len(heads)-1].Root.String()
}

// An export that was interrupted goes on where it was; the part of another log
// is refused.
func TestExportGoesOn(t *testing.T) {
	c := newAuditedCell(t, 200).sign().serve()
	whole := filepath.Join(t.TempDir(), "whole")
	c.ok("log", "export", "-o", whole)
	data := read(t, whole)
	for _, cut := range []int{0, 1, 10, len(data) / 2, len(data) - 1, len(data)} {
		name := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(name+".part", data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		c.ok("log", "export", "-o", name)
		if a, b := commitsOf(t, whole), commitsOf(t, name); a != b {
			t.Errorf("cut at %d of %d: the commits are others", cut, len(data))
		}
		if _, err := os.Stat(name + ".part"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cut at %d: the part is still there", cut)
		}
	}
	other := newAuditedCell(t, 1).sign()
	name := filepath.Join(t.TempDir(), "mixed")
	if err := os.WriteFile(name+".part", data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	got := runOn(t, other.data, nil, "log", "export", "-o", name)
	if got.code != 65 || !strings.Contains(got.errors, "another commit there") {
		t.Errorf("%+v", got)
	}
}

// Bad archives: one clear line each, and nothing is written.
func TestImportOfBadArchives(t *testing.T) {
	c := newAuditedCell(t, 4).sign()
	name := filepath.Join(t.TempDir(), "good")
	c.ok("log", "export", "-o", name)
	good := string(read(t, name))
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 4
	stranger := newAuditedCell(t, 1).sign().path("keys", "audit.pub")
	for what, test := range map[string]struct {
		archive string
		code    int
		text    string
		flags   []string
	}{
		"empty":           {"", 64, "it is no archive", nil},
		"foreign":         {"PK\x03\x04 something else altogether", 64, "it is no archive", nil},
		"newer":           {"pantheon archive 2\n" + good[19:], 64, "it has format 2", nil},
		"truncated":       {good[:len(good)*2/3], 65, "ends too early", nil},
		"without its end": {good[:len(good)-1], 65, "ends too early", nil},
		"edited":          {string(flipped), 65, "checksum is wrong", nil},
		"more behind it":  {good + "x", 65, "something else follows", nil},
		"another's key":   {good, 65, "is not signed with the key", []string{"--key", stranger}},
	} {
		data := filepath.Join(t.TempDir(), "new")
		args := append([]string{"log", "import", "--from", write(t, test.archive)}, test.flags...)
		refusedOn(t, data, test.code, test.text, args...)
		if left, _ := os.ReadDir(data); len(left) > 0 {
			t.Errorf("%s: %v is left", what, left)
		}
	}
	data := t.TempDir()
	if got := runOn(t, data, strings.NewReader(good), "log", "import", "--from", "-", "--key", c.path("keys", "audit.pub")); got.code != 0 {
		t.Errorf("from standard input: %+v", got)
	}
	refusedOn(t, t.TempDir(), 66, "no such file", "log", "import", "--from", "/nowhere/at/all")
	refusedOn(t, t.TempDir(), 64, "--from names the archive", "log", "import")
	refusedOn(t, t.TempDir(), 64, "-o names the file", "log", "export")
}

// A forger knows every format and has every file but the key: the log, its
// checkpoint, an archive. The heads give him away, and a cell with them does
// not start.
func TestForgedLog(t *testing.T) {
	c := newAuditedCell(t, 4).sign()
	c.ok("audit", "verify")
	monday := write(t, newestNote(t, c))
	// Another history of the same length, with everything that belongs to it.
	forged := &auditedCell{t: t, data: t.TempDir()}
	commits := func(yield func(events.Commit) bool) {
		n := 0
		for commit := range eventlogtest.Fleet(4) {
			if n++; n == 100 {
				commit.Meta.Principal = "policy/somebody-else"
			}
			if !yield(commit) {
				return
			}
		}
	}
	if _, _, err := jetstreamtest.Write(t.Context(), forged.path("log"), commits); err != nil {
		t.Fatal(err)
	}
	archived := filepath.Join(t.TempDir(), "forged")
	forged.sign().ok("log", "export", "-o", archived)
	if err := errors.Join(os.RemoveAll(c.path("log")), os.Rename(forged.path("log"), c.path("log"))); err != nil {
		t.Fatal(err)
	}
	err := c.openTree()
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) || broken.Position != 100 {
		t.Errorf("the platform's log was replaced: %v", err)
	}
	c.refused(65, "at position 100: it is not the commit that stood there", "audit", "verify")
	key := c.path("keys", "audit.pub")
	c.refused(65, "is not signed with the key", "audit", "verify", archived, "--key", key)
	c.refused(65, "cannot trust", "audit", "verify", archived, "--key", forged.path("keys", "audit.pub"), "--head", monday)
}

func newestNote(t *testing.T, c *auditedCell) string {
	t.Helper()
	heads, err := keeper.ReadHeads(c.path("audit"))
	if err != nil || len(heads) == 0 {
		t.Fatal(err)
	}
	return heads[len(heads)-1].Note
}

// benchedCell is a cell of a million commits on disk.
type benchedCell struct {
	*testing.B
	data    string
	commits int
}

// BenchmarkAudit is a start's check, the offline check of a folder and of an
// archive, export and import, of a million commits.
func BenchmarkAudit(b *testing.B) {
	c := benchedCell{B: b, data: b.TempDir()}
	var err error
	c.commits, _, err = jetstreamtest.Write(b.Context(), c.path("log"), eventlogtest.Fleet(1_000_000/eventlogtest.FleetCommits))
	c.must(err)
	log, err := jetstream.Open(b.Context(), jetstream.Options{Dir: c.path("log")})
	c.must(err)
	c.measure("start", func(int) {
		tree, err := keeper.Open(b.Context(), keeper.Options{Log: log, Dir: c.path("audit"), Key: c.path("keys")})
		c.must(err)
		c.must(tree.Close())
	})
	c.must(log.Close())
	c.measure("verify-folder", func(int) {
		check := c.offline()
		files, err := jetstream.OpenFiles(b.Context(), c.path("log"), check.See)
		c.must(err)
		c.must(errors.Join(check.Finish(), files.Close()))
	})
	files, err := jetstream.OpenFiles(b.Context(), c.path("log"), nil)
	c.must(err)
	c.measure("export", func(int) {
		out, err := os.Create(c.path("archive"))
		c.must(err)
		_, err = archive.Write(b.Context(), out, archive.Start{}, files, nil)
		c.must(errors.Join(err, out.Close()))
	})
	c.must(files.Close())
	c.measure("verify-archive", func(int) {
		c.read(func(r *archive.Reader) error {
			_, err := archive.Verify(b.Context(), r, c.offline())
			return err
		})
	})
	c.measure("import", func(i int) {
		into, err := jetstream.Restore(b.Context(), jetstream.Options{Dir: c.path(fmt.Sprint("imported-", i))})
		c.must(err)
		c.read(func(r *archive.Reader) error {
			_, err := archive.Import(b.Context(), r, into, c.offline())
			return errors.Join(err, into.Close())
		})
	})
}

func (c benchedCell) path(name string) string { return filepath.Join(c.data, name) }

func (c benchedCell) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c benchedCell) offline() *keeper.Offline {
	check, err := keeper.NewOffline(nil)
	c.must(err)
	return check
}

func (c benchedCell) read(use func(*archive.Reader) error) {
	in, err := os.Open(c.path("archive"))
	c.must(err)
	c.must(errors.Join(use(archive.NewReader(in)), in.Close()))
}

func (c benchedCell) measure(name string, once func(i int)) {
	c.Run(name, func(b *testing.B) {
		began := cpuTime()
		for i := 0; b.Loop(); i++ {
			once(i)
		}
		all := float64(c.commits) * float64(b.N)
		b.ReportMetric(all/b.Elapsed().Seconds(), "commits/s")
		b.ReportMetric(all/(cpuTime()-began).Seconds(), "commits/cpu-s")
		if info, err := os.Stat(c.path("archive")); err == nil {
			b.ReportMetric(float64(info.Size())/float64(c.commits), "B/commit")
		}
	})
}

// cpuTime gives what the process has used of all cores: on a machine with
// other work the time on the clock says little.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
