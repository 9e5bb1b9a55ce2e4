package sandbox

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawClone3 is clone3(2) for a child that shares the caller's memory. It
// returns in both.
//
//go:noescape
func rawClone3(args unsafe.Pointer, size uintptr) (pid, errno uintptr)

// cloneArgs is struct clone_args of linux/sched.h, up to the cgroup field
// (version 2, kernel 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
	cgroup                                        uint64
}

const cloneClearSighand = 0x100000000 // CLONE_CLEAR_SIGHAND, kernel 5.5

// step names what the child was doing when it failed.
type step uintptr

const (
	stepClone step = iota
	stepCgroup
	stepProc
	stepSession
	stepTerminal
	stepHostname
	stepLandlock
	stepLimits
	stepFiles
	stepGroups
	stepUser
	stepCapabilities
	stepFolder
	stepSeccomp
	stepExec
)

var stepTexts = [...]string{
	stepClone: "cannot create the process", stepCgroup: "cannot join the cgroup",
	stepProc: "cannot mount /proc", stepSession: "cannot begin a session",
	stepTerminal: "cannot take the terminal", stepHostname: "cannot set the host name",
	stepLandlock: "cannot restrict sockets", stepLimits: "cannot set resource limits",
	stepFiles: "cannot hand over files", stepGroups: "cannot drop groups",
	stepUser: "cannot change to the user", stepCapabilities: "cannot drop capabilities",
	stepFolder: "cannot enter the working folder", stepSeccomp: "cannot install the system call filter",
	stepExec: "cannot execute",
}

type rlimit struct {
	resource uintptr
	value    unix.Rlimit
}

// child is all that the new process needs between clone and execve, ready as
// the kernel wants it: the child must not allocate, and shares this memory
// with its parent.
type child struct {
	clone    cloneArgs
	pidfd    int32
	cgroups  []int // tasks files of cgroup v1 to write "0" to
	proc     *byte // where to mount /proc
	hostname []byte
	terminal bool // standard input becomes the controlling terminal
	landlock int  // ruleset, or -1
	limits   []rlimit
	files    []int // descriptors from firstSpawnFile on, for 0, 1, 2 …
	uid, gid uintptr
	folder   *byte
	filter   unix.SockFprog
	path     *byte
	argv     []*byte
	env      []*byte

	// Written by the child when it fails.
	failed step
	errno  uintptr
}

var (
	zeroTask   = [2]byte{'0', '\n'}
	procName   = [5]byte{'p', 'r', 'o', 'c'}
	capHeader  = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	noCaps     [2]unix.CapUserData
	noSignals  uint64
	allSignals = ^uint64(0)
)

// start clones and waits until the child has executed or failed. The caller
// has locked its thread.
func (c *child) start() (pid int, err error) {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	c.clone.pidfd = uint64(uintptr(unsafe.Pointer(&c.pidfd)))
	id, errno := c.spawn()
	runtime.KeepAlive(c)
	if errno != 0 {
		return 0, fmt.Errorf("%s: %w", stepTexts[stepClone], syscall.Errno(errno))
	}
	if c.errno != 0 {
		// The child has left already; take its status so that it is no zombie.
		var info unix.Siginfo
		for unix.Waitid(unix.P_PIDFD, int(c.pidfd), &info, unix.WEXITED, nil) == unix.EINTR {
		}
		unix.Close(int(c.pidfd))
		return 0, fmt.Errorf("%s: %w", stepTexts[c.failed], syscall.Errno(c.errno))
	}
	return int(id), nil
}

// spawn blocks every signal around the clone: the child shares this memory,
// and a handler of the Go runtime must not run in it.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (c *child) spawn() (pid, errno uintptr) {
	var old uint64
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&allSignals)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	pid, errno = rawClone3(unsafe.Pointer(&c.clone), unsafe.Sizeof(c.clone))
	if errno == 0 && pid == 0 {
		c.run() // never returns
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	return pid, errno
}

// run is the child. Nothing but raw system calls may happen here.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (c *child) run() {
	c.failed, c.errno = c.enter()
	if c.errno == 0 {
		c.failed, c.errno = c.drop()
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

// enter does what still needs privileges.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (c *child) enter() (step, uintptr) {
	for i := range c.cgroups {
		if _, _, e := syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.cgroups[i]), uintptr(unsafe.Pointer(&zeroTask)), 2); e != 0 {
			return stepCgroup, uintptr(e)
		}
	}
	if c.proc != nil {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if _, _, e := syscall.RawSyscall6(unix.SYS_MOUNT, uintptr(unsafe.Pointer(&procName)), uintptr(unsafe.Pointer(c.proc)), uintptr(unsafe.Pointer(&procName)), flags, 0, 0); e != 0 {
			return stepProc, uintptr(e)
		}
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0); e != 0 {
		return stepSession, uintptr(e)
	}
	if len(c.hostname) > 0 {
		if _, _, e := syscall.RawSyscall(unix.SYS_SETHOSTNAME, uintptr(unsafe.Pointer(&c.hostname[0])), uintptr(len(c.hostname)), 0); e != 0 {
			return stepHostname, uintptr(e)
		}
	}
	if c.landlock >= 0 {
		if _, _, e := syscall.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(c.landlock), 0, 0); e != 0 {
			return stepLandlock, uintptr(e)
		}
	}
	for i := range c.limits {
		if _, _, e := syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, c.limits[i].resource, uintptr(unsafe.Pointer(&c.limits[i].value)), 0, 0, 0); e != 0 {
			return stepLimits, uintptr(e)
		}
	}
	for i := range c.files {
		if _, _, e := syscall.RawSyscall(unix.SYS_DUP3, uintptr(c.files[i]), uintptr(i), 0); e != 0 {
			return stepFiles, uintptr(e)
		}
	}
	if c.terminal {
		if _, _, e := syscall.RawSyscall(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0); e != 0 {
			return stepTerminal, uintptr(e)
		}
	}
	return 0, 0
}

// drop gives up every privilege and executes; it returns only on failure.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (c *child) drop() (step, uintptr) {
	if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return stepGroups, uintptr(e)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, c.gid, c.gid, c.gid); e != 0 {
		return stepGroups, uintptr(e)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, c.uid, c.uid, c.uid); e != 0 {
		return stepUser, uintptr(e)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&noCaps)), 0); e != 0 {
		return stepCapabilities, uintptr(e)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(c.folder)), 0, 0); e != 0 {
		return stepFolder, uintptr(e)
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&noSignals)), 0, 8, 0, 0)
	if _, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, 1, 0, uintptr(unsafe.Pointer(&c.filter))); e != 0 { // SECCOMP_SET_MODE_FILTER
		return stepSeccomp, uintptr(e)
	}
	_, _, e := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.path)), uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.env[0])))
	return stepExec, uintptr(e)
}
