package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unified is cgroup version 2.
type unified struct {
	dir         string // the parent's folder
	parent      string
	controllers []string
}

// newUnified makes the parent and hands the controllers down to it.
func newUnified(mount, parent string, controllers []string) (*unified, error) {
	enable := ""
	for _, c := range controllers {
		enable += " +" + c
	}
	dir := mount
	for _, part := range strings.Split(parent, "/") {
		if enable != "" {
			if err := writeControl(dir, "cgroup.subtree_control", enable[1:]); err != nil {
				return nil, fmt.Errorf("cannot enable cgroup controllers in %s: %w", dir, err)
			}
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if slices.Contains(controllers, "cpu") {
			if err := writeControl(dir, "cpu.weight", strconv.Itoa(weight(parentShares()))); err != nil {
				return nil, err
			}
		}
	}
	if enable != "" {
		if err := writeControl(dir, "cgroup.subtree_control", enable[1:]); err != nil {
			return nil, fmt.Errorf("cannot enable cgroup controllers in %s: %w", dir, err)
		}
	}
	return &unified{dir, parent, controllers}, nil
}

func (u *unified) names() ([]string, error) { return subFolders(u.dir) }

func (u *unified) close() error { return removeEmpty(u.dir, u.parent) }

func (u *unified) open(name string) group { return &unifiedGroup{u, filepath.Join(u.dir, name)} }

func (u *unified) create(name string, limits Limits) (group, error) {
	g := &unifiedGroup{u, filepath.Join(u.dir, name)}
	err := unix.Mkdir(g.dir, 0o755)
	if err == unix.EEXIST {
		if err := destroy(g); err != nil {
			return nil, err
		}
		return u.create(name, limits)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create cgroup %s: %w", g.dir, err)
	}
	if err := g.limit(limits); err != nil {
		return nil, errors.Join(err, destroy(g))
	}
	return g, nil
}

type unifiedGroup struct {
	tree *unified
	dir  string
}

func (g *unifiedGroup) dirs() []string { return []string{g.dir} }

func (g *unifiedGroup) limit(l Limits) error {
	var errs []error
	set := func(controller, file, value string) {
		if slices.Contains(g.tree.controllers, controller) {
			errs = append(errs, writeControl(g.dir, file, value))
		}
	}
	if l.MemoryBytes > 0 {
		set("memory", "memory.max", strconv.FormatInt(l.MemoryBytes, 10))
		if _, err := os.Stat(filepath.Join(g.dir, "memory.swap.max")); err == nil {
			set("memory", "memory.swap.max", "0")
		}
	}
	if l.CPUShares > 0 {
		set("cpu", "cpu.weight", strconv.Itoa(weight(l.CPUShares)))
	}
	if l.CPUMillis > 0 {
		quota := int64(l.CPUMillis) * cpuPeriod.Microseconds() / 1000
		set("cpu", "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod.Microseconds()))
	}
	if l.PIDs > 0 {
		set("pids", "pids.max", strconv.Itoa(l.PIDs))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot set cgroup limits: %w", err)
	}
	return nil
}

// weight turns shares (2 to 262144, default 1024) into a weight (1 to 10000,
// default 100) in proportion.
func weight(shares int) int { return min(max(shares*100/1024, 1), 10000) }

func (g *unifiedGroup) admit(c *child) (func(), error) {
	fd, err := unix.Open(g.dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open cgroup %s: %w", g.dir, err)
	}
	c.clone.flags |= unix.CLONE_INTO_CGROUP
	c.clone.cgroup = uint64(fd)
	return func() { unix.Close(fd) }, nil
}

func (g *unifiedGroup) stats() (Stats, error) {
	var s Stats
	if slices.Contains(g.tree.controllers, "memory") {
		memory, err := readInt(filepath.Join(g.dir, "memory.current"))
		if err != nil {
			return Stats{}, err
		}
		s.MemoryBytes = memory
		s.OOMKills = int(readKey(filepath.Join(g.dir, "memory.events"), "oom_kill"))
	}
	pids, err := g.members()
	if err != nil {
		return Stats{}, err
	}
	s.PIDs = len(pids)
	s.CPU = time.Duration(readKey(filepath.Join(g.dir, "cpu.stat"), "usage_usec")) * time.Microsecond
	return s, nil
}

func (g *unifiedGroup) members() ([]int, error) {
	return readPIDs(filepath.Join(g.dir, "cgroup.procs"))
}

func (g *unifiedGroup) killAll() error {
	err := writeControl(g.dir, "cgroup.kill", "1") // kernel 5.14
	if errors.Is(err, fs.ErrNotExist) {
		return killPIDs(g)
	}
	return err
}
