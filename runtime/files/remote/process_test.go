package remote

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/runtime/sandbox"
)

// An agent of these tests is this program again: it mounts a volume that the
// test serves at a socket, and then does as it is told.
const agentVariable = "PANTHEON_TEST_AGENT" // the folder of mounts, and the socket

// runAgent is its main, on the first thread.
func runAgent(where string) int {
	dir, socket, _ := strings.Cut(where, "\n")
	m := New(Options{Dir: dir, Dial: func(context.Context, events.HostID, events.EnvironmentID) (io.ReadWriteCloser, error) {
		return net.Dial("unix", socket)
	}})
	if err := m.Sweep(); err != nil {
		fmt.Println(err)
		return 1
	}
	path, err := m.Path(theHost, theEnvironment), m.Restore(context.Background())
	if _, dead := os.Stat(path); errors.Is(dead, os.ErrNotExist) && err == nil {
		path, err = m.Mount(context.Background(), theHost, theEnvironment)
	}
	fmt.Println("mounted", err)
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "read": // on the process's first thread
			_, err := os.ReadFile(filepath.Join(path, "f"))
			fmt.Println("read", err)
		case "read on another thread":
			read := make(chan error)
			go func() {
				_, err := os.ReadFile(filepath.Join(path, "f"))
				read <- err
			}()
			fmt.Println("read", <-read)
		case "close":
			fmt.Println("closed", m.Close())
			return 0
		}
	}
	return 0
}

// agentProcess is a running agent.
type agentProcess struct {
	t       *testing.T
	command *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Scanner
}

func (b *bench) agent(t *testing.T, dir, socket string) *agentProcess {
	t.Helper()
	a := &agentProcess{t: t, command: exec.Command(os.Args[0])}
	a.command.Env = append(os.Environ(), agentVariable+"="+dir+"\n"+socket)
	a.command.Stderr = os.Stderr
	a.orders = must(a.command.StdinPipe())
	a.answers = bufio.NewScanner(must(a.command.StdoutPipe()))
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.command.Process.Kill(); _ = a.command.Wait() })
	if got := a.answer(); got != "mounted <nil>" {
		t.Fatal(got)
	}
	return a
}

func (a *agentProcess) order(text string) { fmt.Fprintln(a.orders, text) }

func (a *agentProcess) answer() string {
	a.answers.Scan()
	return a.answers.Text()
}

// listen serves the volume at a socket, and gives it with a folder for mounts.
func (b *bench) listen(t *testing.T) (dir, socket string) {
	t.Helper()
	socket = filepath.Join(openDir(t), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.serve(conn)
		}
	})
	dir = filepath.Join(openDir(t), "mounts")
	collector := New(Options{Dir: dir})
	t.Cleanup(func() {
		listener.Close()
		if err := collector.Collect(func(events.HostID, events.EnvironmentID) bool { return false }); err != nil {
			t.Error(err)
		}
	})
	return dir, socket
}

// TestKilledWhileItReadsItsOwnMount: such an agent is undead until the next one
// has swept, whichever of its threads reads.
func TestKilledWhileItReadsItsOwnMount(t *testing.T) {
	for _, order := range []string{"read", "read on another thread"} {
		t.Run(order, func(t *testing.T) { killWhile(t, order) })
	}
}

func killWhile(t *testing.T, order string) {
	b := newBench(t)
	dir, socket := b.listen(t)
	write(t, filepath.Join(b.volume.Path, "f"), "content")
	first := b.agent(t, dir, socket)
	release := b.hold()
	first.order(order)
	until(t, func() bool { return b.held() > 0 })
	second := New(Options{Dir: dir})
	if err := second.Sweep(); err != nil {
		t.Error(err)
	}
	release()
	if got := first.answer(); got != "read <nil>" {
		t.Errorf("Sweep beside a living agent: %s", got)
	}
	release = b.hold()
	first.order(order)
	until(t, func() bool { return b.held() > 0 })
	_ = first.command.Process.Kill()
	until(t, func() bool { return startOf(first.command.Process.Pid) == "" })
	if err := second.Sweep(); err != nil {
		t.Error(err)
	}
	_ = first.command.Wait() // not before the sweep
	release()
	third := b.agent(t, dir, socket)
	third.order("read")
	if got := third.answer(); got != "read <nil>" {
		t.Error(got)
	}
	if all := must(mounted(dir)); len(all) != 1 {
		t.Errorf("mounted are %v", all)
	}
}

// TestSandboxKeepsItsFiles over the end of an agent, well or killed, and the
// start of the next.
func TestSandboxKeepsItsFiles(t *testing.T) {
	b := newBench(t)
	dir, socket := b.listen(t)
	write(t, filepath.Join(b.volume.Path, "f"), "content")
	if err := os.Chmod(filepath.Join(b.volume.Path, "f"), 0o644); err != nil {
		t.Fatal(err)
	}
	agent := b.agent(t, dir, socket)
	path := New(Options{Dir: dir}).Path(theHost, theEnvironment)
	ask := startShell(t, path)
	if got := ask("cat /files/f"); got != "content" {
		t.Fatalf("a sandbox reads %q", got)
	}
	for _, how := range []string{"close", "kill", "close"} {
		if how == "close" {
			agent.order("close")
			if got := agent.answer(); got != "closed <nil>" {
				t.Error(got)
			}
		} else {
			_ = agent.command.Process.Kill()
		}
		_ = agent.command.Wait()
		if got := ask("cat /files/f"); got == "content" {
			t.Errorf("%s: a sandbox reads %q from nobody", how, got)
		}
		agent = b.agent(t, dir, socket)
		if got := ask("cat /files/f"); got != "content" {
			t.Errorf("%s: a sandbox reads %q after the next start", how, got)
		}
		if got := ask("echo new > /files/" + how + " && cat /files/" + how); got != "new" {
			t.Errorf("%s: a sandbox writes %q after the next start", how, got)
		}
		if all := must(mounted(dir)); len(all) != 1 {
			t.Errorf("mounted are %v", all)
		}
	}
}

// startShell starts a sandbox with files, and gives what says a line to its
// shell and hears one.
func startShell(t *testing.T, files string) (ask func(line string) string) {
	t.Helper()
	machine, err := sandbox.Open(sandbox.Options{Parent: "pantheon-test/" + strings.ToLower(rand.Text())})
	if err != nil {
		t.Skipf("needs usable cgroups: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(machine.Sweep(func(string) bool { return false }), machine.Close()); err != nil {
			t.Error(err)
		}
	})
	binds, links := sandbox.SystemBinds()
	binds = append(binds, sandbox.Bind{Source: files, Target: "/files", Writable: true, Follows: true})
	root := sandbox.Root{Dir: filepath.Join(openDir(t), "root"), Binds: binds}
	if err := sandbox.MakeRoot(root.Dir, binds, links); err != nil {
		t.Fatal(err)
	}
	in, out, orders, answers := pipes(t)
	process, err := machine.Start(sandbox.Command{
		Name: "remote", Path: "/bin/sh", Dir: "/", UID: tenant, GID: tenant, Root: root, Hostname: "remote",
		Args: []string{"-c", `while read -r line; do (eval "$line") 2>&1 | head -1 | tr -d '\n'; echo; done`},
		Env:  []string{"PATH=/usr/bin:/bin"}, Files: []*os.File{in, out, out},
		Limits: sandbox.Limits{MemoryBytes: 128 << 20, CPUShares: 256, PIDs: 32},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill(); <-process.Done() })
	lines := bufio.NewScanner(answers)
	return func(line string) string {
		fmt.Fprintln(orders, line)
		lines.Scan()
		return lines.Text()
	}
}

func pipes(t *testing.T) (in, out, orders, answers *os.File) {
	t.Helper()
	var err, outErr error
	in, orders, err = os.Pipe()
	answers, out, outErr = os.Pipe()
	if err := errors.Join(err, outErr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{in, out, orders, answers} {
			f.Close()
		}
	})
	return in, out, orders, answers
}

// TestUnmount takes everything away, also from who has something open.
func TestUnmount(t *testing.T) {
	b := newBench(t)
	m, path := b.mount()
	write(t, filepath.Join(path, "f"), "content")
	open, err := os.Open(filepath.Join(path, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := m.Collect(func(host events.HostID, environment events.EnvironmentID) bool {
		return host == theHost && environment == theEnvironment
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "f")); err != nil {
		t.Errorf("what is kept: %v", err)
	}
	none := func(events.HostID, events.EnvironmentID) bool { return false }
	if err := m.Tidy(none); err != nil {
		t.Error(err)
	}
	if _, err := m.Mount(t.Context(), theHost, theEnvironment); err != nil {
		t.Error(err)
	}
	if err := m.Tidy(none); err != nil { // it was asked for in between
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(path, "f")); err != nil {
		t.Errorf("what may be needed: %v", err)
	}
	if err := m.Tidy(none); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, unix.ENOENT) {
		t.Errorf("what was not needed twice: %v", err)
	}
	for range 2 {
		if err := m.Unmount(theHost, theEnvironment); err != nil {
			t.Error(err)
		}
	}
	if _, err := open.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("what was open can be read")
	}
	if _, err := os.Stat(path); !errors.Is(err, unix.ENOENT) {
		t.Errorf("the folder: %v", err)
	}
	if again, err := m.Mount(t.Context(), theHost, theEnvironment); err != nil || again != path {
		t.Error(again, err)
	}
	if content, err := os.ReadFile(filepath.Join(path, "f")); err != nil || string(content) != "content" {
		t.Error(string(content), err)
	}
}
