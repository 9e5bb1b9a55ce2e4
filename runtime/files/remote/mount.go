package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

const device = "/dev/fuse"

// supported says why nothing can be mounted here.
func supported() error {
	const hint = "run pantheon as root on a machine with /dev/fuse (modprobe fuse), or keep the DROPs of an environment on the host of its files"
	if os.Geteuid() != 0 {
		return problem.New(problem.Unsupported, "cannot mount the files of another host: that needs root").WithHint(hint)
	}
	if _, err := os.Stat(device); err != nil {
		return problem.Wrap(problem.Unsupported, err, "cannot mount the files of another host: this kernel has no FUSE").WithHint(hint)
	}
	return nil
}

// opened is a file system that is served and not mounted anywhere yet.
type opened struct {
	server *fuse.Server
	mount  int // descriptor of the detached mount, shared
}

// serveTree makes the file system of a tree.
func serveTree(t *tree, root attr, name string) (opened, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return opened{}, os.NewSyscallError("open "+device, err)
	}
	mount, err := makeMount(fd, root, name)
	if err != nil {
		unix.Close(fd)
		return opened{}, err
	}
	timeout := cacheTime
	options := &fusefs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout, NullPermissions: true, Logger: quiet(),
		MountOptions: fuse.MountOptions{
			FsName: name, Name: "pantheon", MaxWrite: MaxWriteBytes, MaxBackground: maxInFlight,
			DisableXAttrs: true, Logger: quiet(),
			PanicHandler: func(caught any) fuse.Status {
				t.link.logger.Error("internal error: an operation on mounted files panicked", "panic", caught, "stack", string(debug.Stack()))
				return fuse.EIO
			},
		},
	}
	t.root.Store(&root)
	server, err := fuse.NewServer(fusefs.NewNodeFS(&node{tree: t}, options), "/dev/fd/"+strconv.Itoa(fd), &options.MountOptions)
	if err != nil {
		unix.Close(mount)
		return opened{}, err
	}
	return opened{server, mount}, nil
}

// quiet is where go-fuse says what it thinks of a kernel.
func quiet() *log.Logger { return log.New(discard{}, "", 0) }

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// makeMount makes a detached mount that the descriptor of /dev/fuse serves.
func makeMount(fd int, root attr, name string) (int, error) {
	context, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(context)
	for _, option := range [][2]string{
		{"source", name}, {"fd", strconv.Itoa(fd)}, {"rootmode", strconv.FormatUint(uint64(root.Mode&unix.S_IFMT), 8)},
		{"user_id", "0"}, {"group_id", "0"}, {"max_read", strconv.Itoa(MaxWriteBytes)}, {"allow_other", ""}, {"default_permissions", ""},
	} {
		if option[1] == "" {
			err = unix.FsconfigSetFlag(context, option[0])
		} else {
			err = unix.FsconfigSetString(context, option[0], option[1])
		}
		if err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", option[0], err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, os.NewSyscallError("fsmount", err)
	}
	if err := propagate(mount, unix.MS_SHARED); err != nil {
		unix.Close(mount)
		return -1, err
	}
	return mount, nil
}

// propagate says what mounts on a mount mean for its copies.
func propagate(mount int, how uint64) error {
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: how}))
}

func attach(mount int, path string) error {
	return os.NewSyscallError("move_mount", unix.MoveMount(mount, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// copyOf gives a detached copy of the mount at path, of the same peer group.
func copyOf(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	return fd, os.NewSyscallError("open_tree", err)
}

// putAt mounts a file system at path. If a dead one is there, its copies in
// sandboxes get the new one as well.
//
//	     path            a sandbox's /files
//	1.   dead            copy of dead, slave
//	2.   dead ─ new      copy of dead ─ copy of new, slave
//	3.   new             copy of dead ─ copy of new, slave
func putAt(path string, mount int, replaces bool) error {
	if !replaces {
		return attach(mount, path)
	}
	dead, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(dead)
	if err := attach(mount, path); err != nil {
		return err
	}
	kept, err := copyOf(path)
	if err != nil {
		return err
	}
	defer unix.Close(kept)
	if err := propagate(dead, unix.MS_PRIVATE); err != nil {
		return err
	}
	if err := detach(path); err != nil {
		return err
	}
	return attach(kept, path)
}

// detach takes away all that is mounted at path; what is in use stays for
// those who use it.
func detach(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == unix.EINVAL || err == unix.ENOENT {
			return nil // nothing is mounted there
		}
		if err != nil {
			return os.NewSyscallError("umount", err)
		}
	}
}

// end takes away what is mounted at path for everybody: what is asked of it
// fails, in sandboxes too.
func end(path string) error {
	err := unix.Unmount(path, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return os.NewSyscallError("umount", err)
	}
	return detach(path)
}

// abort ends what serves the mount at path and leaves the mount, dead: its
// copies in sandboxes can get the next one.
func abort(path string) error {
	kept, err := copyOf(path)
	if err != nil {
		return err
	}
	defer unix.Close(kept)
	if err := end(path); err != nil {
		return err
	}
	return attach(kept, path)
}

// prime has the kernel learn, at a moment when nobody waits, that there is
// nothing to poll: the Go runtime polls files it opens, and would wait in a
// thread that it needs for the answer.
func prime(path string) {
	fd, err := unix.Open(filepath.Join(path, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
}

// seen is a mount of a file system of FUSE.
type seen struct {
	path   string
	source string
}

// mounted lists the mounts below a folder, a path as often as something is
// mounted there. The kernel knows none of the links on the way to the folder.
func mounted(dir string) ([]seen, error) {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []seen
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 2 || kind[0] != "fuse" {
			continue
		}
		if below, ok := strings.CutPrefix(unescape.Replace(fields[4]), real+"/"); ok {
			found = append(found, seen{filepath.Join(dir, below), kind[1]})
		}
	}
	return found, nil
}

// unescape is for the paths in mountinfo: proc_pid_mountinfo(5).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

const sourcePrefix = "pantheon:"

// ownSource names this process in the mounts it serves.
func ownSource() string {
	pid := os.Getpid()
	return sourcePrefix + strconv.Itoa(pid) + ":" + startOf(pid)
}

// startOf gives the time at which a process began, in ticks since the start of
// the machine; it is empty for one that is gone, or is killed and cannot go.
func startOf(pid int) string {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	status, statusErr := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil || statusErr != nil || killed(string(status)) {
		return ""
	}
	// pid (name) state …, and the name may hold anything: proc_pid_stat(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const starttime = 22 - 3
	if len(fields) <= starttime {
		return ""
	}
	return fields[starttime]
}

// killed says that a process is on its way out: its first thread is gone, or is
// to end as soon as the kernel lets it (proc_pid_status(5)).
func killed(status string) bool {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return true
			}
		case "SigPnd", "ShdPnd":
			if set, err := strconv.ParseUint(value, 16, 64); err == nil && set&(1<<(unix.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// orphaned says that the process that served a mount serves it no more.
func (s seen) orphaned() bool {
	text, ours := strings.CutPrefix(s.source, sourcePrefix)
	number, start, _ := strings.Cut(text, ":")
	pid, err := strconv.Atoi(number)
	return ours && err == nil && start != startOf(pid)
}
