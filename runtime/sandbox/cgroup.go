package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what all processes of a sandbox use together. Zero is no bound.
type Limits struct {
	MemoryBytes int64
	// CPUShares is the weight against other sandboxes when processors are
	// short; 1024 is the kernel's default.
	CPUShares int
	// CPUMillis bounds processor time, in thousandths of one processor.
	CPUMillis int
	PIDs      int
	// OpenFiles bounds each process; DefaultOpenFiles where zero.
	OpenFiles int
}

// Stats is what the processes of a sandbox use together.
type Stats struct {
	MemoryBytes int64
	CPU         time.Duration
	PIDs        int
	// OOMKills counts processes killed for want of memory.
	OOMKills int
}

// hierarchy is one version of the kernel's cgroup interface.
type hierarchy interface {
	// create makes the group of a name with its limits, after it has removed
	// what an earlier process may have left under that name.
	create(name string, limits Limits) (group, error)
	// open gives the group of a name that may or may not be there.
	open(name string) group
	// names lists the groups there are.
	names() ([]string, error)
	// close removes the parent, and its parents, where they are empty.
	close() error
}

func parentShares() int { return sharesPerCore * runtime.NumCPU() }

// group holds the processes of one sandbox.
type group interface {
	// admit makes a child a member from its first instruction on; release
	// gives back what that took.
	admit(*child) (release func(), err error)
	stats() (Stats, error)
	members() ([]int, error)
	// killAll sends SIGKILL to every member.
	killAll() error
	// dirs are the folders to remove.
	dirs() []string
}

// mountPoint is one line of /proc/self/mountinfo that concerns cgroups.
type mountPoint struct {
	path, kind string
	options    []string
}

func cgroupMounts() ([]mountPoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mounts []mountPoint
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, found := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 3 || !strings.HasPrefix(right[0], "cgroup") {
			continue
		}
		mounts = append(mounts, mountPoint{left[4], right[0], strings.Split(right[2], ",")})
	}
	return mounts, nil
}

// findHierarchy prefers version 2 where it has the three controllers.
func findHierarchy(mounts []mountPoint, parent string) (hierarchy, error) {
	for _, m := range mounts {
		if m.kind != "cgroup2" {
			continue
		}
		offered, _ := os.ReadFile(filepath.Join(m.path, "cgroup.controllers"))
		has := strings.Fields(string(offered))
		if !slices.Contains(has, "memory") || !slices.Contains(has, "cpu") || !slices.Contains(has, "pids") {
			continue
		}
		return newUnified(m.path, parent, []string{"memory", "cpu", "pids"})
	}
	return newSplit(mounts, parent)
}

// destroy kills what is in the group and removes it.
func destroy(g group) error {
	deadline := time.Now().Add(removeTimeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := false
		for _, dir := range slices.Backward(g.dirs()) {
			err := unix.Rmdir(dir)
			switch {
			case err == nil || errors.Is(err, fs.ErrNotExist):
			case errors.Is(err, unix.EBUSY):
				left = true
			default:
				return fmt.Errorf("cannot remove cgroup: %w", &fs.PathError{Op: "rmdir", Path: dir, Err: err})
			}
		}
		if !left {
			return nil
		}
		if time.Now().After(deadline) {
			pids, _ := g.members()
			return fmt.Errorf("cannot remove cgroup %s: processes %v do not end", g.dirs()[0], pids)
		}
		if err := g.killAll(); err != nil {
			return err
		}
		<-time.After(pause)
	}
}

func killPIDs(g group) error {
	pids, err := g.members()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("cannot kill process %d: %w", pid, err)
		}
	}
	return nil
}

func readPIDs(path string) ([]int, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func readInt(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}

// readKey gives the number after a key in a flat keyed file; 0 without it.
func readKey(path, key string) int64 {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

func writeControl(dir, file, value string) error {
	// Not os.WriteFile: a control file is there or it is an error.
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// removeEmpty removes a folder and those above it, as many as the parent's name
// has parts, up to the first that is in use.
func removeEmpty(dir, parent string) error {
	for range strings.Count(parent, "/") + 1 {
		err := unix.Rmdir(dir)
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove cgroup %s: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
	return nil
}

func subFolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
