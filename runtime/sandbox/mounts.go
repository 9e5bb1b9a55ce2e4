package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tree is a detached mount on its way to a place of the root.
type tree struct {
	fd       int
	target   string
	optional bool
}

type trees []tree

func (ts trees) close() {
	for _, t := range ts {
		unix.Close(t.fd)
	}
}

// openTrees opens the root and its binds as detached mounts with their
// attributes set. It runs before the namespace is left, so it finds the
// host's paths; nothing is attached to anything yet.
func openTrees(r Root) (ts trees, err error) {
	defer func() {
		if err != nil {
			ts.close()
		}
	}()
	all := append([]Bind{{Source: r.Dir, Target: "/"}}, r.Binds...)
	for _, b := range all {
		fd, err := openTree(b)
		if b.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return ts, fmt.Errorf("cannot bind %s: %w", b.Target, err)
		}
		ts = append(ts, tree{fd, b.Target, b.Optional})
	}
	return ts, nil
}

func openTree(b Bind) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Propagation: unix.MS_PRIVATE,
	}
	if b.Follows {
		attr.Propagation = unix.MS_SLAVE
	}
	if !b.Writable {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if b.NoExec {
		attr.Attr_set |= unix.MOUNT_ATTR_NOEXEC
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// enterRoot gives the calling thread a mount namespace of its own that holds
// the root and nothing else. The thread is of no other use afterwards.
func enterRoot(dir string, ts trees) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot leave the mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	if err := unix.MoveMount(ts[0].fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot mount the root: %w", err)
	}
	if err := unix.Fchdir(ts[0].fd); err != nil {
		return fmt.Errorf("cannot enter the root: %w", err)
	}
	if err := mountDevices(); err != nil {
		return fmt.Errorf("cannot make /dev: %w", err)
	}
	for _, t := range ts[1:] {
		target := strings.TrimPrefix(t.target, "/")
		err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
		if t.optional && err == unix.ENOENT {
			continue // the source has come to be after MakeRoot
		}
		if err != nil {
			return fmt.Errorf("cannot mount %s: %w", t.target, err)
		}
	}
	// The new root goes over the old one, which is then taken off from under
	// it: pivot_root(2), "pivot_root(".", ".")".
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("cannot change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot give up the old root: %w", err)
	}
	return unix.Chdir("/")
}

// devices are the nodes of /dev, with their minor numbers of major 1 or 5.
var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

var deviceLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
}

// mountDevices mounts a minimal /dev below the working folder.
func mountDevices() error {
	if err := unix.Mount("dev", "dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, d := range devices {
		file := "dev/" + d.name
		if err := unix.Mknod(file, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return err
		}
		if err := unix.Chmod(file, 0o666); err != nil { // the mask of this process had its say
			return err
		}
	}
	for _, l := range deviceLinks {
		if err := unix.Symlink(l[0], "dev/"+l[1]); err != nil {
			return err
		}
	}
	if err := unix.Mkdir("dev/shm", 0o755); err != nil {
		return err
	}
	size := fmt.Sprintf("mode=1777,size=%d", sharedMemoryBytes)
	if err := unix.Mount("shm", "dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, size); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, "dev", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// landlockRuleset is struct landlock_ruleset_attr with its third field, which
// came with ABI 6.
type landlockRuleset struct {
	handledFS, handledNet, scoped uint64
}

const (
	landlockVersionFlag  = 1 // LANDLOCK_CREATE_RULESET_VERSION
	landlockScopeVersion = 6
	landlockScopeSockets = 1 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
)

func landlockScopes() bool {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, landlockVersionFlag)
	return errno == 0 && version >= landlockScopeVersion
}

// openLandlock makes a ruleset that keeps abstract unix sockets apart; the
// network namespace, which would, is the host's.
func openLandlock() (int, error) {
	attr := landlockRuleset{scoped: landlockScopeSockets}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return -1, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	return int(fd), nil
}
