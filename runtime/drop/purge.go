package drop

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
	"pantheon/runtime/drop/contract"
)

// Purge is what one page said the edge shall forget.
type Purge struct {
	All   bool     `json:"all"`
	Keys  []string `json:"keys"`
	Paths []string `json:"paths"`
	URLs  []string `json:"urls"`
}

// TakePurges gives what pages of the DROP have said since the last time, and
// empties the spool. The file belongs to the tenant: it may be anything, and
// what is not a line of the spool's form counts as a purge of everything, the
// one answer that can do no harm but cost.
func (r *Runner) TakePurges() ([]Purge, error) {
	f, err := os.OpenFile(r.paths.sub("spool", "purge"), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the purges of DROP %s", r.paths.Drop)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, problem.New(problem.Conflict, "cannot read the purges of DROP %s: the spool is no file", r.paths.Drop)
	}
	if info.Size() == 0 {
		return nil, nil
	}
	// Not waited for: a tenant could hold the lock for ever.
	if err := unix.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, problem.Wrap(problem.Busy, err, "cannot read the purges of DROP %s now", r.paths.Drop)
	}
	purges := parsePurges(f)
	return purges, f.Truncate(0)
}

func parsePurges(from io.Reader) []Purge {
	everything := []Purge{{All: true}}
	lines := bufio.NewScanner(io.LimitReader(from, contract.MaxSpoolBytes+1))
	lines.Buffer(nil, contract.MaxSpoolBytes+1)
	var purges []Purge
	for lines.Scan() {
		var p Purge
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return everything
		}
		purges = append(purges, p)
	}
	if lines.Err() != nil {
		return everything
	}
	return purges
}
