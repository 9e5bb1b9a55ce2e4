package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// Identity finds a process again after its starter has gone: a pid alone may
// have been given to another one meanwhile.
type Identity struct {
	PID int `json:"pid"`
	// StartTicks is the start time of the process in clock ticks since boot,
	// field 22 of /proc/<pid>/stat.
	StartTicks uint64 `json:"start_ticks"`
	// Boot is the machine's boot id: pids and ticks begin anew with it.
	Boot string `json:"boot"`
	// Name is the sandbox's.
	Name string `json:"name"`
}

// Process is the first process of a sandbox, and with it all others.
type Process struct {
	id    Identity
	group group // nil where not isolated
	pidfd *os.File
	child bool // ours to reap; an adopted process is not

	done chan struct{} // closed when everything has gone
	// Set before done is closed.
	status  syscall.WaitStatus
	known   bool // status is; not of an adopted process
	stats   Stats
	failure error
}

// Exit says how a process ended.
type Exit struct {
	// Known is false for an adopted process: only a parent learns the status.
	Known  bool
	Code   int
	Signal syscall.Signal // 0 where it ended by itself
	// OOMKills counts processes that were killed for want of memory.
	OOMKills int
}

// String gives the words for events: "exit status 78", "signal: killed".
func (e Exit) String() string {
	text := "ended"
	switch {
	case e.Known && e.Signal != 0:
		text = "signal: " + e.Signal.String()
	case e.Known:
		text = "exit status " + strconv.Itoa(e.Code)
	}
	if e.OOMKills > 0 {
		text += fmt.Sprintf(" (%d processes killed for want of memory)", e.OOMKills)
	}
	return text
}

// newProcess takes over a pidfd and watches it.
func newProcess(pid, pidfd int, name string, g group, child bool) (*Process, error) {
	p := &Process{group: g, child: child, done: make(chan struct{}), id: Identity{PID: pid, Name: name, Boot: bootID()}}
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Close(pidfd)
		return nil, err
	}
	p.pidfd = os.NewFile(uintptr(pidfd), "pidfd") // non-blocking, so the runtime's poller waits on it
	if ticks, err := startTicks(pid); err == nil {
		p.id.StartTicks = ticks
	} else if !errors.Is(err, os.ErrNotExist) && child {
		p.failure = err
	}
	go p.watch()
	return p, nil
}

// Identity is what to save for Adopt.
func (p *Process) Identity() Identity { return p.id }

// Done is closed when the process has ended, everything it started has ended,
// and its cgroup has been removed.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done and says how the process ended. The error is about
// cleaning up.
func (p *Process) Wait() (Exit, error) {
	<-p.done
	e := Exit{Known: p.known, OOMKills: p.stats.OOMKills}
	if p.known && p.status.Signaled() {
		e.Signal = p.status.Signal()
	} else if p.known {
		e.Code = p.status.ExitStatus()
	}
	return e, p.failure
}

// Exited says whether Done is closed.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// watch waits for the end and cleans up.
func (p *Process) watch() {
	defer close(p.done)
	defer p.pidfd.Close()
	raw, err := p.pidfd.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	}
	if err != nil {
		p.failure = fmt.Errorf("cannot wait for process %d: %w", p.id.PID, err)
	}
	if p.group != nil {
		p.stats, _ = p.group.stats()
		p.reap()
		p.failure = errors.Join(p.failure, destroy(p.group))
		return
	}
	// The number of an ended process is not given away before it is reaped,
	// and that of its group not while the group has members.
	if err := unix.Kill(-p.id.PID, unix.SIGKILL); err != nil && err != unix.ESRCH && err != unix.EPERM {
		p.failure = errors.Join(p.failure, err)
	}
	p.reap()
}

// ended polls once: a pidfd is readable when its process has ended.
func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

func (p *Process) reap() {
	if !p.child {
		return
	}
	for {
		_, err := unix.Wait4(p.id.PID, (*unix.WaitStatus)(&p.status), 0, nil)
		if err != unix.EINTR {
			p.known = err == nil
			return
		}
	}
}

// Signal sends a signal to the first process.
func (p *Process) Signal(s syscall.Signal) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil // ended: the descriptor is closed
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, 0) }); err != nil {
		return nil
	}
	if sent == unix.ESRCH {
		return nil
	}
	return sent
}

// SignalAll sends a signal to the process group of the first process: what a
// terminal would reach.
func (p *Process) SignalAll(s syscall.Signal) error {
	if p.Exited() {
		return nil
	}
	if err := unix.Kill(-p.id.PID, s); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// Kill ends every process of the sandbox. Done tells when they have gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if p.group == nil {
		return p.SignalAll(syscall.SIGKILL)
	}
	return p.group.killAll()
}

// Stats gives what the sandbox uses now. Where there is no isolation it is
// what the first process alone uses.
func (p *Process) Stats() (Stats, error) {
	if p.group != nil {
		return p.group.stats()
	}
	return bareStats(p.id.PID)
}

// Adopt takes over a process that an earlier process has started.
func (m *Machine) Adopt(id Identity) (*Process, error) {
	gone := func() error {
		return problem.New(problem.NotFound, "process %d of sandbox %s has ended", id.PID, id.Name)
	}
	if id.PID <= 0 || id.Boot != bootID() {
		return nil, gone()
	}
	pidfd, err := unix.PidfdOpen(id.PID, 0)
	if err == unix.ESRCH {
		return nil, gone()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open process %d: %w", id.PID, err)
	}
	// The descriptor holds one process; only now can its start time be
	// compared without a race.
	ticks, err := startTicks(id.PID)
	if err != nil || ticks != id.StartTicks || ended(pidfd) {
		unix.Close(pidfd)
		return nil, gone()
	}
	var g group
	if m.isolated {
		g = m.groups.open(id.Name)
	}
	return newProcess(id.PID, pidfd, id.Name, g, false)
}

var bootID = sync.OnceValue(func() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(data))
})

// statFields gives the fields of /proc/<pid>/stat after the command's name,
// which may hold anything: the first of them is field 3.
func statFields(pid int) ([][]byte, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 22 {
		return nil, fmt.Errorf("cannot read the status of process %d", pid)
	}
	return fields, nil
}

func startTicks(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(fields[22-3]), 10, 64)
}

// ticksPerSecond is USER_HZ, the same on every Linux this runs on.
const ticksPerSecond = 100

func bareStats(pid int) (Stats, error) {
	fields, err := statFields(pid)
	if err != nil {
		return Stats{}, err
	}
	number := func(field int) int64 { n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64); return n }
	return Stats{
		CPU:         time.Duration(number(14)+number(15)) * time.Second / ticksPerSecond,
		MemoryBytes: number(24) * int64(os.Getpagesize()),
		PIDs:        1,
	}, nil
}
