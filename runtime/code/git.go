package code

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// git runs git. Its zero value is of no use; see newGit.
type git struct {
	program string
	env     []string
}

func newGit(program, configPath, knownHosts, identity string) git {
	if identity == "" {
		identity = "/dev/null" // never the key of the user that the platform runs as
	}
	ssh := fmt.Sprintf("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=%d"+
		" -o IdentitiesOnly=yes -o IdentityAgent=none -o IdentityFile=%s -o UserKnownHostsFile=%s",
		sshConnectSeconds, shellQuote(identity), shellQuote(knownHosts))
	return git{program: program, env: []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=/nonexistent",
		"LC_ALL=C",
		"TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + configPath,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=/bin/false",
		"SSH_ASKPASS=/bin/false",
		"GIT_ALLOW_PROTOCOL=https:ssh:git:file",
		"GIT_PROTOCOL_FROM_USER=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_SSH_COMMAND=" + ssh,
	}}
}

// shellQuote quotes a path of ours for GIT_SSH_COMMAND, which git splits as a
// shell would.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// configuration is the whole configuration that every git process gets, also
// those that git starts itself for the other side of a local transfer.
func configuration() string {
	return fmt.Sprintf(`# Written by pantheon at each start; changes are lost.
[core]
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	fsync = all
[safe]
	directory = *
[protocol]
	allow = never
[protocol "https"]
	allow = always
[protocol "ssh"]
	allow = always
[protocol "git"]
	allow = always
[protocol "file"]
	allow = always
[protocol "ext"]
	allow = never
[init]
	defaultBranch = master
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	unpackLimit = 1
	recurseSubmodules = false
[fastimport]
	unpackLimit = 1
[pack]
	compression = 1
[credential]
	helper =
[http]
	lowSpeedLimit = %d
	lowSpeedTime = %d
`, lowSpeedBytes, lowSpeedSeconds)
}

// call is one git command.
type call struct {
	repository string // --git-dir; empty for a command without one
	stdin      io.Reader
	stdout     io.Writer // nil: the output is returned
	timeout    time.Duration
	args       []string
}

// gitError is a git command that ended with an error: its first words, bounded.
type gitError struct {
	command string
	text    string // of standard error
	err     error
}

func (e *gitError) Error() string { return fmt.Sprintf("git %s: %s", e.command, e.first()) }
func (e *gitError) Unwrap() error { return e.err }

// first is the line that says most: the first "fatal:" or "error:" line, else
// the first one.
func (e *gitError) first() string {
	line := ""
	for text := range strings.Lines(e.text) {
		text = strings.TrimSpace(text)
		for _, prefix := range []string{"fatal: ", "error: ", "ERROR: "} {
			if rest, found := strings.CutPrefix(text, prefix); found {
				return bounded(rest)
			}
		}
		if line == "" {
			line = text
		}
	}
	if line == "" {
		return e.err.Error()
	}
	return bounded(line)
}

func bounded(line string) string {
	const most = 300
	if len(line) > most {
		line = line[:most] + "…"
	}
	return strings.ToValidUTF8(line, "?")
}

// run runs a command to its end.
func (g git) run(ctx context.Context, c call) ([]byte, error) {
	if g.program == "" {
		return nil, problem.New(problem.Unavailable, "cannot use code: git is not installed").WithHint("apt-get install -y git")
	}
	if c.timeout == 0 {
		c.timeout = gitTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	command := g.command(ctx, c)
	output := &limitedBuffer{limit: maxOutputBytes}
	if command.Stdout = c.stdout; c.stdout == nil {
		command.Stdout = output
	}
	stderr := &limitedBuffer{limit: maxErrorBytes, drop: true}
	command.Stderr = stderr
	err := runBound(command)
	if ctx.Err() != nil && err != nil {
		return nil, problem.Wrap(problem.Unavailable, context.Cause(ctx), "git %s was given up", c.args[0])
	}
	if err != nil {
		return nil, &gitError{command: c.args[0], text: stderr.String(), err: err}
	}
	return output.Bytes(), nil
}

func (g git) command(ctx context.Context, c call) *exec.Cmd {
	var args []string
	if c.repository != "" {
		args = append(args, "--git-dir="+c.repository)
	}
	command := exec.CommandContext(ctx, g.program, append(args, c.args...)...)
	command.Env = g.env
	command.Dir = "/"
	command.Stdin = c.stdin
	// A group of its own, so that a kill reaches the helpers that git starts.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = gitWaitDelay
	return command
}

// runBound runs a command that dies with us: a git that outlived a killed
// platform would write where the next one cleans up. The kernel counts the
// death of the thread that started the child, so the thread is kept.
func runBound(command *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr.Pdeathsig = unix.SIGKILL
	return command.Run()
}

var errTooMuch = errors.New("it gives more output than is read")

// limitedBuffer keeps up to limit bytes; more is an error, or dropped.
type limitedBuffer struct {
	bytes.Buffer
	limit int
	drop  bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := b.limit - b.Len()
	if len(p) <= room {
		return b.Buffer.Write(p)
	}
	if !b.drop {
		return 0, errTooMuch
	}
	b.Buffer.Write(p[:room])
	return len(p), nil
}

// init makes an empty bare repository.
func (g git) init(ctx context.Context, repository string) error {
	_, err := g.run(ctx, call{args: []string{"init", "--quiet", "--bare", "--template=", "--initial-branch=" + defaultBranch, "--", repository}})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a repository")
	}
	return nil
}

// head gives the commit of the repository's default branch.
func (g git) head(ctx context.Context, repository string) (string, error) {
	out, err := g.run(ctx, call{repository: repository, args: []string{"rev-parse", "--verify", "--quiet", defaultRef + "^{commit}"}})
	if err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "cannot read the head of %s", filepath.Base(repository))
	}
	return strings.TrimSpace(string(out)), nil
}

const (
	defaultBranch = "master"
	defaultRef    = "refs/heads/" + defaultBranch
)
