package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// split is cgroup version 1: one tree for each controller, or for several that
// were mounted together.
type split struct {
	memory, cpu, pids, cpuacct string // the parent's folder in each tree
	parent                     string
}

func newSplit(mounts []mountPoint, parent string) (*split, error) {
	find := func(controller string) string {
		for _, m := range mounts {
			if m.kind == "cgroup" && slices.Contains(m.options, controller) {
				return filepath.Join(m.path, parent)
			}
		}
		return ""
	}
	s := &split{find("memory"), find("cpu"), find("pids"), find("cpuacct"), parent}
	if s.memory == "" || s.cpu == "" || s.pids == "" {
		return nil, errors.New("the cgroup controllers memory, cpu and pids are not all mounted")
	}
	for _, dir := range s.trees() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	dir := s.cpu
	for range strings.Count(parent, "/") + 1 {
		if err := writeControl(dir, "cpu.shares", strconv.Itoa(parentShares())); err != nil {
			return nil, err
		}
		dir = filepath.Dir(dir)
	}
	return s, nil
}

// trees lists each folder once.
func (s *split) trees() []string {
	dirs := []string{s.memory, s.cpu, s.pids}
	if s.cpuacct != "" {
		dirs = append(dirs, s.cpuacct)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func (s *split) names() ([]string, error) {
	var names []string
	for _, dir := range s.trees() {
		found, err := subFolders(dir)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (s *split) close() error {
	var errs []error
	for _, dir := range s.trees() {
		errs = append(errs, removeEmpty(dir, s.parent))
	}
	return errors.Join(errs...)
}

func (s *split) open(name string) group { return &splitGroup{s, name} }

func (s *split) create(name string, limits Limits) (group, error) {
	g := &splitGroup{s, name}
	for _, dir := range g.dirs() {
		err := unix.Mkdir(dir, 0o755)
		if err == unix.EEXIST {
			if err := destroy(g); err != nil {
				return nil, err
			}
			return s.create(name, limits)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot create cgroup %s: %w", dir, err)
		}
	}
	if err := g.limit(limits); err != nil {
		return nil, errors.Join(err, destroy(g))
	}
	return g, nil
}

type splitGroup struct {
	tree *split
	name string
}

func (g *splitGroup) memory() string { return filepath.Join(g.tree.memory, g.name) }
func (g *splitGroup) cpu() string    { return filepath.Join(g.tree.cpu, g.name) }
func (g *splitGroup) pids() string   { return filepath.Join(g.tree.pids, g.name) }

func (g *splitGroup) dirs() []string {
	dirs := g.tree.trees()
	for i := range dirs {
		dirs[i] = filepath.Join(dirs[i], g.name)
	}
	return dirs
}

func (g *splitGroup) limit(l Limits) error {
	var errs []error
	if l.MemoryBytes > 0 {
		bound := strconv.FormatInt(l.MemoryBytes, 10)
		errs = append(errs, writeControl(g.memory(), "memory.limit_in_bytes", bound))
		// Bounds memory and swap together; absent without swap accounting.
		if err := writeControl(g.memory(), "memory.memsw.limit_in_bytes", bound); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if l.CPUShares > 0 {
		errs = append(errs, writeControl(g.cpu(), "cpu.shares", strconv.Itoa(l.CPUShares)))
	}
	if l.CPUMillis > 0 {
		quota := int64(l.CPUMillis) * cpuPeriod.Microseconds() / 1000
		errs = append(errs, writeControl(g.cpu(), "cpu.cfs_period_us", strconv.FormatInt(cpuPeriod.Microseconds(), 10)),
			writeControl(g.cpu(), "cpu.cfs_quota_us", strconv.FormatInt(quota, 10)))
	}
	if l.PIDs > 0 {
		errs = append(errs, writeControl(g.pids(), "pids.max", strconv.Itoa(l.PIDs)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot set cgroup limits: %w", err)
	}
	return nil
}

// admit lets the child move itself, one thread, which needs no grace period.
func (g *splitGroup) admit(c *child) (func(), error) {
	release := func() {
		for _, fd := range c.cgroups {
			unix.Close(fd)
		}
	}
	for _, dir := range g.dirs() {
		fd, err := unix.Open(filepath.Join(dir, "tasks"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			release()
			return nil, fmt.Errorf("cannot open cgroup %s: %w", dir, err)
		}
		c.cgroups = append(c.cgroups, fd)
	}
	return release, nil
}

func (g *splitGroup) stats() (Stats, error) {
	memory, err := readInt(filepath.Join(g.memory(), "memory.usage_in_bytes"))
	if err != nil {
		return Stats{}, err
	}
	pids, err := readInt(filepath.Join(g.pids(), "pids.current"))
	if err != nil {
		return Stats{}, err
	}
	s := Stats{MemoryBytes: memory, PIDs: int(pids)}
	s.OOMKills = int(readKey(filepath.Join(g.memory(), "memory.oom_control"), "oom_kill"))
	if g.tree.cpuacct != "" {
		used, err := readInt(filepath.Join(g.tree.cpuacct, g.name, "cpuacct.usage"))
		if err != nil {
			return Stats{}, err
		}
		s.CPU = time.Duration(used)
	}
	return s, nil
}

// members looks into every tree: a process that was killed while it joined is
// in some of them only.
func (g *splitGroup) members() ([]int, error) {
	var all []int
	for _, dir := range g.dirs() {
		pids, err := readPIDs(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil, err
		}
		all = append(all, pids...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (g *splitGroup) killAll() error { return killPIDs(g) }
