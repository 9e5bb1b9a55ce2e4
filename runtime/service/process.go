package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec says what to start. Nothing of the platform's own environment is
// inherited.
type Spec struct {
	Path string   // absolute
	Args []string // without the program's name; never a secret
	Env  []string
	Dir  string // working folder; empty is /
	// User runs the program as another user; nil as the platform's own.
	User *User
	// LogPath takes standard output and standard error, appended.
	LogPath string
	// Keep are descriptors the program inherits, from 3 on.
	Keep []*os.File
	// View gives the program a mount namespace in which one folder can be seen
	// at another place; nil where it is not needed. It needs root.
	View *View
}

// User is a numeric user without supplementary groups.
type User struct{ UID, GID uint32 }

// View shows the folder Source at Target, for a user who may not enter the
// folders above Source.
type View struct{ Source, Target string }

// Process is a server process, started here or adopted.
type Process struct {
	id    Identity
	pidfd *os.File // non-blocking, so waiting on it costs no thread
	done  chan struct{}
	// ended describes the end; it may be read once done is closed.
	ended string
}

// Spawn starts the program in a session of its own and returns as soon as it
// is started. The context ends the start, not the program.
func Spawn(ctx context.Context, spec Spec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	output, err := openLog(spec.LogPath)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log of %s: %w", spec.Path, err)
	}
	defer output.Close()
	command := spec.command(output)
	if err := start(command, spec.View); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", spec.Path, err)
	}
	process, err := newProcess(command.Process.Pid, true)
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, fmt.Errorf("cannot watch %s: %w", spec.Path, err)
	}
	go func() { // ends with the program
		err := command.Wait()
		process.finish(endOf(err))
	}()
	return process, nil
}

func (spec Spec) command(output *os.File) *exec.Cmd {
	command := &exec.Cmd{
		Path:        spec.Path,
		Args:        append([]string{spec.Path}, spec.Args...),
		Env:         append([]string{}, spec.Env...), // never nil: nil would inherit ours
		Dir:         spec.Dir,
		Stdout:      output,
		Stderr:      output,
		ExtraFiles:  spec.Keep,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if command.Dir == "" {
		command.Dir = "/"
	}
	if spec.User != nil {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: spec.User.UID, Gid: spec.User.GID}
	}
	return command
}

func start(command *exec.Cmd, view *View) error {
	if view == nil {
		return command.Start()
	}
	result := make(chan error, 1)
	go func() {
		// The thread is given up: without UnlockOSThread the runtime ends it
		// together with this goroutine, so its mount namespace never serves
		// another one. The child keeps the namespace.
		runtime.LockOSThread()
		if err := enter(view); err != nil {
			result <- err
			return
		}
		result <- command.Start()
	}()
	return <-result
}

func enter(view *View) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mount namespace private: %w", err)
	}
	if err := unix.Mount(view.Source, view.Target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot show %s at %s: %w", view.Source, view.Target, err)
	}
	return nil
}

// Adopt takes over a process that runs. It fails where it has ended or where
// its pid belongs to another process now.
func Adopt(id Identity) (*Process, error) {
	process, err := newProcess(id.PID, false)
	if err != nil {
		return nil, fmt.Errorf("cannot adopt process %d: %w", id.PID, err)
	}
	if process.id != id {
		_ = process.pidfd.Close()
		return nil, fmt.Errorf("cannot adopt process %d: the pid belongs to another process now", id.PID)
	}
	go process.await() // ends with the program
	return process, nil
}

// newProcess opens the pidfd first and reads the identity second: what is read
// is then the identity of the process behind the pidfd, or the pidfd says that
// it has ended. A child that was not waited for may have ended already: how it
// did is still to be learned.
func newProcess(pid int, child bool) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	id, err := IdentityOf(pid)
	if child && errors.Is(err, errZombie) {
		err = nil
	}
	if err == nil {
		err = unix.PidfdSendSignal(fd, 0, nil, 0)
	}
	if err != nil && !errors.Is(err, unix.EPERM) {
		_ = pidfd.Close()
		return nil, err
	}
	return &Process{id: id, pidfd: pidfd, done: make(chan struct{})}, nil
}

// await ends when the pidfd becomes readable: the process has ended.
func (p *Process) await() {
	raw, err := p.pidfd.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			return err == nil && n == 1
		})
	}
	if err != nil {
		p.finish("unknown: " + err.Error())
		return
	}
	p.finish("ended; its exit status went to another process")
}

func (p *Process) finish(how string) {
	p.ended = how
	close(p.done)
	_ = p.pidfd.Close()
}

// Identity names the process.
func (p *Process) Identity() Identity { return p.id }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ended says how it ended ("exit status 1", "signal: killed"), empty while it
// runs.
func (p *Process) Ended() string {
	if p.Running() {
		return ""
	}
	return p.ended
}

// Signal sends a signal to exactly this process. A process that has ended is
// no error.
func (p *Process) Signal(signal unix.Signal) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil // closed: it has ended
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), signal, nil, 0) }); err != nil {
		return nil
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}

// Stop asks the process to end, and kills it when the grace is over or the
// context ends. It returns when the process has ended.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop process %d: %w", p.id.PID, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return p.Kill()
}

// KillAll is Kill for the process and all that it started and that has not
// left its process group.
func (p *Process) KillAll() error {
	if p.Running() { // not waited for yet, or just now: the number is still its own
		_ = unix.Kill(-p.id.PID, unix.SIGKILL)
	}
	return p.Kill()
}

// Kill ends the process at once and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("cannot kill process %d: %w", p.id.PID, err)
	}
	timer := time.NewTimer(killWait)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("cannot kill process %d: it does not end", p.id.PID)
	}
}

func endOf(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// openLog opens the log for appending and puts a large one aside.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o640)
}
