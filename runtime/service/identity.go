package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Identity names one process of one boot of one machine.
type Identity struct {
	PID int `json:"pid"`
	// StartTicks is field 22 of /proc/<pid>/stat: clock ticks since boot.
	StartTicks uint64 `json:"start_ticks"`
	// Boot is the kernel's boot id; ticks and pids repeat after a reboot.
	Boot string `json:"boot"`
}

// IdentityOf reads the identity of a process. It gives errZombie beside that of
// one that has ended and was not waited for.
func IdentityOf(pid int) (Identity, error) {
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	ticks, err := startTicks(pid)
	return Identity{PID: pid, StartTicks: ticks, Boot: boot}, err
}

// Alive says whether the very process still runs; a zombie does not.
func (id Identity) Alive() bool {
	if id.PID <= 0 {
		return false
	}
	now, err := IdentityOf(id.PID)
	return err == nil && now == id
}

// Save writes the identity to a file, by rename.
func (id Identity) Save(path string) error {
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("cannot write an identity: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write an identity: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("cannot write an identity: %w", err)
	}
	return nil
}

// LoadIdentity reads what Save wrote. A file that is damaged (a power failure)
// gives an error like one that is absent: the process is gone anyway then.
func LoadIdentity(path string) (Identity, error) {
	text, err := readBounded(path, maxIdentityBytes)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot read an identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(text, &id); err != nil {
		return Identity{}, fmt.Errorf("cannot read identity %s: %w", filepath.Base(path), err)
	}
	return id, nil
}

// BootID gives the kernel's id of this boot.
func BootID() (string, error) {
	text, err := readBounded("/proc/sys/kernel/random/boot_id", maxStatBytes)
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

var errZombie = errors.New("the process has ended")

func startTicks(pid int) (uint64, error) {
	text, err := readBounded(filepath.Join("/proc", strconv.Itoa(pid), "stat"), maxStatBytes)
	if err != nil {
		return 0, err
	}
	return parseStartTicks(text)
}

// parseStartTicks reads proc(5) stat. The second field is the program's name
// in parentheses and may hold any byte, so counting starts after the last
// parenthesis: there the third field follows, the state.
func parseStartTicks(stat []byte) (uint64, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	const state, start = 0, 22 - 3 // start is field 22
	if end < 0 || len(fields) <= start {
		return 0, fmt.Errorf("cannot read a process' start time from %.80q", stat)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err == nil && (fields[state] == "Z" || fields[state] == "X") {
		err = errZombie
	}
	return ticks, err
}

func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
