package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// process is one entry of /proc.
type process struct {
	pid     int
	command string
	started string // clock ticks since boot
}

// processes gives the processes that a look at their folder in /proc accepts.
func processes(accept func(proc string) bool) []process {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	var found []process
	for _, folder := range folders {
		if !accept(folder) {
			continue
		}
		stat := strings.Fields(procText(folder, "stat")[strings.LastIndexByte(procText(folder, "stat"), ')')+1:])
		if len(stat) < 20 || stat[0] == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(folder))
		command := strings.TrimSpace(strings.ReplaceAll(procText(folder, "cmdline"), "\x00", " "))
		found = append(found, process{pid, command, stat[19]})
	}
	return found
}

func procText(folder, name string) string {
	text, _ := os.ReadFile(filepath.Join(folder, name))
	return string(text)
}

// hostID reads who the machine is on this data folder.
func (p *platform) hostID() string {
	var identity struct{ ID string }
	text, _ := os.ReadFile(filepath.Join(p.data, "host.json"))
	_ = json.Unmarshal(text, &identity)
	return identity.ID
}

// leftovers names what a platform that has ended should not have left:
// processes, mounts and cgroups of its data folder.
func (p *platform) leftovers() []string {
	host := p.hostID()
	var left []string
	ours := mountsBelow(procText("/proc/self", "mountinfo"), p.data) // every process here has those
	for _, one := range processes(func(proc string) bool {
		return host != "" && strings.Contains(procText(proc, "cgroup"), host) ||
			strings.Contains(procText(proc, "cmdline"), p.data) ||
			strings.Contains(procText(proc, "environ"), p.data+"/") ||
			ours == "" && mountsBelow(procText(proc, "mountinfo"), p.data) != ""
	}) {
		left = append(left, fmt.Sprintf("process %d %q", one.pid, one.command))
	}
	if ours != "" {
		left = append(left, "mounts "+ours)
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && host != "" && entry.Name() == host {
			left = append(left, "cgroup "+name)
		}
		return nil
	})
	return left
}

// mountsBelow gives the lines of a mountinfo whose root or mount point lies
// below a folder.
func mountsBelow(mountinfo, folder string) string {
	folder = strings.ReplaceAll(folder, " ", `\040`) + "/"
	var found []string
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 && (strings.HasPrefix(fields[3], folder) || strings.HasPrefix(fields[4], folder)) {
			found = append(found, strings.ReplaceAll(strings.TrimSpace(line), `\040`, " "))
		}
	}
	return strings.Join(found, "\n")
}

// inSandbox gives the processes of a DROP.
func inSandbox(drop string) []process {
	return processes(func(proc string) bool { return strings.Contains(procText(proc, "cgroup"), drop) })
}

// master gives the php-fpm master of a DROP that is awake.
func master(t *testing.T, drop string) process {
	t.Helper()
	for _, one := range inSandbox(drop) {
		if strings.HasPrefix(one.command, "php-fpm: master") {
			return one
		}
	}
	t.Fatalf("DROP %s has no php-fpm: %v", drop, inSandbox(drop))
	return process{}
}
