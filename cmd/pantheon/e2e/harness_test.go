package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
)

const (
	// startTimeout bounds a start; the first one makes MariaDB's folder.
	startTimeout = 60 * time.Second
	// stopTimeout is more than a DROP gets for the requests under way.
	stopTimeout = 60 * time.Second
	// commandTimeout bounds one command line.
	commandTimeout = 90 * time.Second
	// patience bounds the wait for what should follow at once.
	patience = 30 * time.Second
	// pollEvery is how often a condition of another process is looked at.
	pollEvery = 20 * time.Millisecond
	// shownLogBytes of a platform's log are shown when a test fails.
	shownLogBytes = 8 << 10
)

// options of a platform under test.
type options struct {
	data string
	args []string            // of `up`
	env  []string            // beside the environment of the tests
	user *syscall.Credential // nil: the user of the tests
	// patience bounds a start and an end; startTimeout and stopTimeout where 0.
	patience time.Duration
	enter    []string // runs every command somewhere else, as in a network namespace
	ip       string   // where sites are served; 127.0.0.1 where empty
	binary   string   // binary where empty
}

// platform is one data folder and, while it runs, its `pantheon up`.
type platform struct {
	options
	logPath string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	address string        // where sites are served
}

// start runs `pantheon up` and returns when it says that it is up.
func start(o options) (*platform, error) {
	p := &platform{options: o, logPath: filepath.Join(base, fmt.Sprintf("up-%x.log", time.Now().UnixNano()))}
	if err := os.MkdirAll(filepath.Dir(o.data), 0o755); err != nil {
		return nil, err
	}
	return p, p.up()
}

// startFor is start for one test, which ends it.
func startFor(t *testing.T, o options) *platform {
	t.Helper()
	if o.data == "" {
		o.data = dataFolder(t)
	}
	p, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	p.dumpOnFailure(t)
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// dataFolder gives a place for a data folder that other users can reach.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

var readyLine = regexp.MustCompile(`(?m)^  sites +http://<environment>-<site>\.pantheon\.localhost:(\d+)$`)

// command prepares a run of the binary against this data folder.
func (p *platform) command(args ...string) *exec.Cmd {
	words := append(append(slices.Clone(p.enter), cmp.Or(p.binary, binary)), args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PANTHEON_DATA="+p.data, "PANTHEON_DNS=127.0.0.1:0")
	cmd.Env = append(cmd.Env, p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

// up starts the process, also again after an end.
func (p *platform) up() error { return p.begin("up", "--http", "127.0.0.1:0") }

// begin starts a process that runs the platform.
func (p *platform) begin(args ...string) error {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	p.cmd = p.command(append(args, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	err = wait(max(startTimeout, p.patience), func() (bool, error) {
		text, err := os.ReadFile(p.logPath)
		if err != nil {
			return false, err
		}
		if match := readyLine.FindSubmatch(text[before:]); match != nil {
			p.address = cmp.Or(p.ip, "127.0.0.1") + ":" + string(match[1])
			return true, nil
		}
		if p.hasEnded() {
			return false, fmt.Errorf("it ended: %s", p.cmd.ProcessState)
		}
		return false, nil
	})
	if err != nil {
		p.kill()
		return fmt.Errorf("pantheon %s: %w\n%s", args[0], err, p.log())
	}
	return nil
}

func (p *platform) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// kill ends the process as a power failure would, and nothing else.
func (p *platform) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// end sends a signal and waits for the orderly end.
func (p *platform) end(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(max(stopTimeout, p.patience)):
		p.kill()
		return fmt.Errorf("pantheon up has not ended %s after %s\n%s", stopTimeout, signal, p.log())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("pantheon up ended with %d after %s\n%s", code, signal, p.log())
	}
	return nil
}

// stop ends the platform as Ctrl-C does and looks for what it left. One that a
// test has killed is started again for that.
func (p *platform) stop() error {
	if p.hasEnded() {
		if len(p.leftovers()) == 0 {
			return nil
		}
		if err := p.up(); err != nil {
			return err
		}
	}
	if err := p.end(os.Interrupt); err != nil {
		return err
	}
	if text, err := os.ReadFile(p.logPath); err == nil && bytes.Contains(text, []byte("WARNING: DATA RACE")) {
		return fmt.Errorf("the platform on %s has a data race:\n%s", p.data, text)
	}
	if left := p.leftovers(); len(left) > 0 {
		return fmt.Errorf("the platform on %s has left behind:\n  %s\n%s", p.data, strings.Join(left, "\n  "), p.log())
	}
	return nil
}

// log gives the end of what the platform has said.
func (p *platform) log() string {
	text, _ := os.ReadFile(p.logPath)
	return string(text[max(0, len(text)-shownLogBytes):])
}

func (p *platform) dumpOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the platform said:\n%s", p.log())
		}
	})
}

// ran is what a command line gave.
type ran struct {
	out, said string
	code      int
}

// run carries out one command line.
func (p *platform) run(args ...string) ran {
	var out, said bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		return ran{code: -1, said: err.Error()}
	}
	overdue := time.AfterFunc(commandTimeout, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	_ = cmd.Wait() // the exit code says it
	return ran{out.String(), said.String(), cmd.ProcessState.ExitCode()}
}

// ok is run that must succeed; it gives the output.
func (p *platform) ok(t testing.TB, args ...string) string {
	t.Helper()
	r := p.run(args...)
	if r.code != 0 {
		t.Fatalf("pantheon %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.said)
	}
	return r.out
}

// refused is run that must fail with an exit code and one clear line that holds
// every text; a hint may follow it.
func (p *platform) refused(t testing.TB, code int, texts []string, args ...string) {
	t.Helper()
	r := p.run(args...)
	checkRefusal(t, "pantheon "+strings.Join(args, " "), r, code, texts)
}

func checkRefusal(t testing.TB, what string, r ran, code int, texts []string) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: exit code %d, want %d\n%s%s", what, r.code, code, r.out, r.said)
		return
	}
	lines := strings.Split(strings.TrimRight(r.said, "\n"), "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "pantheon: ") })
	if at < 0 || len(lines)-at > 2 || len(lines)-at == 2 && !strings.HasPrefix(lines[at+1], "hint: ") {
		t.Errorf("%s: not one clear line and a hint:\n%s", what, r.said)
	}
	for _, text := range texts {
		if !strings.Contains(r.said, text) {
			t.Errorf("%s says\n%swithout %q", what, r.said, text)
		}
	}
}

// decode is ok with --format json.
func decode[T any](t testing.TB, p *platform, args ...string) T {
	t.Helper()
	var value T
	out := p.ok(t, append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), &value); err != nil {
		t.Fatalf("pantheon %s --format json: %v\n%s", strings.Join(args, " "), err, out)
	}
	return value
}

// commits gives the log's commits that the flags of `events tail` choose.
func (p *platform) commits(t testing.TB, flags ...string) []api.Commit {
	t.Helper()
	return decode[[]api.Commit](t, p, append([]string{"events", "tail", "--limit", "1000"}, flags...)...)
}

// drop gives the only DROP of an environment.
func (p *platform) drop(t testing.TB, environment string) api.Drop {
	t.Helper()
	drops := decode[[]api.Drop](t, p, "drop", "list", environment)
	if len(drops) != 1 {
		t.Fatalf("%s has %d DROPs", environment, len(drops))
	}
	return drops[0]
}

// folder makes a folder with files, as an upstream.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// site makes a site of its own upstream and gives a visitor of its dev
// environment.
func (p *platform) site(t *testing.T, name, framework string, files map[string]string) *visitor {
	t.Helper()
	p.ok(t, "upstream", "add", name, folder(t, files), "--framework", framework)
	p.ok(t, "site", "create", name, "--upstream", name)
	return p.visitor(name)
}

// wait asks until the answer is yes.
func wait(limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if yes, err := done(); yes || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not so after %s", limit)
		}
	}
}

// eventually waits for a condition that needs nothing but time.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	if err := wait(patience, func() (bool, error) { return done(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func requireSandbox(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: sandboxes, cgroups, mounts")
	}
	requirePackages(t)
}

func requirePackages(t testing.TB) {
	t.Helper()
	doctor := exec.Command(binary, "doctor")
	if out, err := doctor.CombinedOutput(); err != nil {
		t.Skipf("this machine lacks something: go tool task setup-test\n%s", out)
	}
}

// requireFile skips where the distribution's package is absent.
func requireFile(t testing.TB, file, install string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Skipf("%s is not there: %s", file, install)
	}
}

func long() bool { return os.Getenv("PANTHEON_TEST_LONG") != "" }
