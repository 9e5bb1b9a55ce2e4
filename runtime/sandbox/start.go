package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// filter is the same for every sandbox and never written to.
var filter = sync.OnceValue(seccompFilter)

// startIsolated starts the command in the group.
func (m *Machine) startIsolated(c *Command, g group) (*Process, error) {
	child, err := newChild(c)
	if err != nil {
		return nil, err
	}
	leave, err := g.admit(child)
	if err != nil {
		return nil, err
	}
	defer leave()
	if m.landlock {
		if child.landlock, err = openLandlock(); err != nil {
			return nil, err
		}
		defer unix.Close(child.landlock)
	}
	files, err := liftFiles(c.Files)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	child.files = files
	var pid int
	err = onThrowawayThread(func() error {
		ts, err := openTrees(c.Root)
		if err != nil {
			return err
		}
		defer ts.close()
		if err := enterRoot(c.Root.Dir, ts); err != nil {
			return err
		}
		if err := forgoPrivileges(); err != nil {
			return err
		}
		pid, err = child.start()
		return err
	})
	runtime.KeepAlive(c)
	if err != nil {
		return nil, err
	}
	return newProcess(pid, int(child.pidfd), c.Name, g, true)
}

// newChild brings the command into the form the kernel wants.
func newChild(c *Command) (*child, error) {
	program, args := c.supervised()
	name, err := unix.BytePtrFromString(program)
	if err != nil {
		return nil, err
	}
	argv, err := syscall.SlicePtrFromStrings(append([]string{program}, args...))
	if err != nil {
		return nil, err
	}
	env, err := syscall.SlicePtrFromStrings(c.Env)
	if err != nil {
		return nil, err
	}
	folder, err := unix.BytePtrFromString(c.Dir)
	if err != nil {
		return nil, err
	}
	proc, _ := unix.BytePtrFromString("/proc")
	instructions := filter()
	child := &child{
		proc: proc, hostname: []byte(c.Hostname), terminal: c.Terminal, landlock: -1,
		limits: resourceLimits(c.Limits), uid: uintptr(c.UID), gid: uintptr(c.GID),
		folder: folder, path: name, argv: argv, env: env,
		filter: unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]},
	}
	child.clone.flags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD | cloneClearSighand |
		unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	child.clone.exitSignal = uint64(unix.SIGCHLD)
	return child, nil
}

func resourceLimits(l Limits) []rlimit {
	files := uint64(l.OpenFiles)
	if files == 0 {
		files = DefaultOpenFiles
	}
	return []rlimit{
		{unix.RLIMIT_CORE, unix.Rlimit{}},
		{unix.RLIMIT_NOFILE, unix.Rlimit{Cur: files, Max: files}},
		{unix.RLIMIT_MEMLOCK, unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}},
	}
}

// liftFiles duplicates files above every descriptor a child will use. They
// become blocking, also for the caller: the flag belongs to the open file, and
// programs such as php-fpm end when accept answers "try again".
func liftFiles(files []*os.File) ([]int, error) {
	var lifted []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			closeAll(lifted)
			return nil, err
		}
		fd, dupErr := -1, error(nil)
		err = raw.Control(func(own uintptr) {
			if fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, firstSpawnFile); dupErr == nil {
				dupErr = unix.SetNonblock(fd, false)
			}
		})
		if err := errors.Join(err, dupErr); err != nil {
			closeAll(lifted)
			return nil, err
		}
		lifted = append(lifted, fd)
	}
	return lifted, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// forgoPrivileges restricts the calling thread for good: the child inherits.
// What it still needs until execve (mounting /proc, changing its user) is in
// its permitted set, which the bounding set does not touch.
func forgoPrivileges() error {
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("cannot drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot clear ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set no_new_privs: %w", err)
	}
	return nil
}

// onThrowawayThread runs f on a thread that ends with it. It is never the main
// thread: that one cannot end, and its namespaces are what /proc/<pid> shows.
func onThrowawayThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			result <- f()
			return // locked: the thread goes
		}
		// Hold the main thread, so that another one must take the work.
		result <- onThrowawayThread(f)
		runtime.UnlockOSThread()
	}()
	return <-result
}

// startBare starts the command in the real tree.
func startBare(c *Command) (*Process, error) {
	program, args := c.supervised()
	lifted, err := liftFiles(c.Files)
	if err != nil {
		return nil, err
	}
	defer closeAll(lifted)
	files := make([]uintptr, len(lifted))
	for i, fd := range lifted {
		files[i] = uintptr(fd)
	}
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{
		Setsid: true, Setctty: c.Terminal, PidFD: &pidfd,
	}}
	if os.Getuid() == 0 && c.UID != 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID}
	}
	pid, err := syscall.ForkExec(program, append([]string{program}, args...), attr)
	runtime.KeepAlive(c)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot start %s", program)
	}
	return newProcess(pid, pidfd, c.Name, nil, true)
}
