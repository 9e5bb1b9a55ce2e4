package drop

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"pantheon/events/problem"
	"pantheon/runtime/sandbox"
)

// Command is a command to run in a DROP's sandbox: drush, wp, a shell, git.
type Command struct {
	// Argv is the command with its arguments; it is looked for in PATH.
	Argv []string
	// Env is added to the DROP's variables, "NAME=value".
	Env []string
	// Dir is the working folder as seen from inside; empty for the document
	// root.
	Dir string
	// An *os.File is handed to the command itself, anything else is copied; nil
	// is nothing. A command that ends while Stdin still blocks is not held up.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal makes Stdin, a terminal's slave side, the controlling terminal.
	Terminal bool
	// Started, where set, is told the process, for signals and statistics.
	Started func(*sandbox.Process)
}

// Exec runs a command beside php-fpm, in a sandbox like its own, with the same
// variables, folders and limits. It does not need php-fpm to be awake. What
// the command has left running ends with it. When ctx is done it is killed.
func (r *Runner) Exec(ctx context.Context, command Command) (sandbox.Exit, error) {
	if len(command.Argv) == 0 || command.Argv[0] == "" {
		return sandbox.Exit{}, problem.New(problem.Invalid, "there is no command to run")
	}
	release, err := r.takeCommand()
	if err != nil {
		return sandbox.Exit{}, err
	}
	defer release()
	c, spec, err := r.current()
	if err != nil {
		return sandbox.Exit{}, err
	}
	if command.Dir == "" {
		command.Dir = c.Docroot
	}
	files, err := openStdio(&command)
	if err != nil {
		return sandbox.Exit{}, err
	}
	defer files.closeAll()
	process, err := r.host.Machine.Start(sandbox.Command{
		Name: r.commandName(), Path: command.Argv[0], Args: command.Argv[1:], Dir: command.Dir,
		Env:   append(c.CommandEnv[:len(c.CommandEnv):len(c.CommandEnv)], command.Env...),
		Files: files.given, UID: spec.UID, GID: spec.UID, Root: c.Root, Limits: c.Limits, Hostname: c.Hostname,
		Terminal: command.Terminal, Supervised: true,
	})
	files.closeGiven()
	if err != nil {
		return sandbox.Exit{}, err
	}
	if command.Started != nil {
		command.Started(process)
	}
	exit, err := await(ctx, process)
	return exit, errors.Join(err, files.drain())
}

// takeCommand counts a command in.
func (r *Runner) takeCommand() (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commands >= MaxCommands {
		return nil, problem.New(problem.Busy, "%d commands run in DROP %s already", r.commands, r.paths.Drop)
	}
	r.commands++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.commands--
	}, nil
}

// commandSeparator stands between a DROP's id and the number of a command in
// the name of a sandbox.
const commandSeparator = ".command-"

func (r *Runner) commandName() string {
	return string(r.paths.Drop) + commandSeparator + strconv.Itoa(os.Getpid()) + "-" +
		strconv.FormatUint(r.host.commands.Add(1), 10)
}

// IsCommand says whether a sandbox's name is that of a command: those of an
// earlier agent are to be swept, nobody reads what they write.
func IsCommand(name string) bool { return strings.Contains(name, commandSeparator) }

// stdio connects a command's standard files.
type stdio struct {
	given  []*os.File // for the command
	opened []*os.File // of given, those opened here
	ours   []*os.File // our ends of pipes
	output sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func openStdio(c *Command) (*stdio, error) {
	s := &stdio{}
	err := errors.Join(s.reader(c.Stdin), s.writer(c.Stdout), s.writer(c.Stderr))
	if err != nil {
		s.closeAll()
		return nil, err
	}
	return s, nil
}

func (s *stdio) reader(from io.Reader) error {
	switch from := from.(type) {
	case nil:
		return s.null()
	case *os.File:
		s.given = append(s.given, from)
		return nil
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	s.given, s.opened, s.ours = append(s.given, theirs), append(s.opened, theirs), append(s.ours, ours)
	go func() {
		// Not waited for: the source may block for ever. A command that no
		// longer reads ends this through its pipe.
		_, _ = io.Copy(ours, from)
		ours.Close()
	}()
	return nil
}

func (s *stdio) writer(to io.Writer) error {
	switch to := to.(type) {
	case nil:
		return s.null()
	case *os.File:
		s.given = append(s.given, to)
		return nil
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	s.given, s.opened, s.ours = append(s.given, theirs), append(s.opened, theirs), append(s.ours, ours)
	s.output.Go(func() {
		_, err := io.Copy(to, ours)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs = append(s.errs, err)
		ours.Close() // a command whose reader has gone learns it
	})
	return nil
}

func (s *stdio) null() error {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.given, s.opened = append(s.given, f), append(s.opened, f)
	return nil
}

func (s *stdio) closeGiven() {
	for _, f := range s.opened {
		f.Close()
	}
	s.opened = nil
}

// drain waits until all output has been copied.
func (s *stdio) drain() error {
	s.output.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *stdio) closeAll() {
	s.closeGiven()
	for _, f := range s.ours {
		f.Close()
	}
}
