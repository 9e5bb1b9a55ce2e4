package service

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func spawnScript(t *testing.T, script string, change func(*Spec)) (*Process, string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	spec := Spec{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, LogPath: log}
	if change != nil {
		change(&spec)
	}
	process, err := Spawn(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return process, log
}

func await(t *testing.T, process *Process) {
	t.Helper()
	select {
	case <-process.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the process does not end")
	}
}

func TestSpawnGivesWhatTheSpecSays(t *testing.T) {
	t.Setenv("LEAK", "leaked")
	process, log := spawnScript(t, `echo "leak=$LEAK dir=$PWD session=$(cut -d' ' -f6 /proc/$$/stat) pid=$$"; exit 3`, nil)
	await(t, process)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(process.Identity().PID)
	want := "leak= dir=/ session=" + pid + " pid=" + pid + "\n"
	if string(text) != want {
		t.Errorf("log %q, want %q", text, want)
	}
	if process.Ended() != "exit status 3" || process.Running() {
		t.Errorf("ended %q", process.Ended())
	}
	if process.Identity().Alive() {
		t.Error("an ended process is alive")
	}
}

// A program that ends before it can be looked at is one that has ended, not one
// that could not be started.
func TestSpawnOfWhatEndsAtOnce(t *testing.T) {
	for range 200 {
		process, _ := spawnScript(t, "exit 3", nil)
		await(t, process)
		if process.Ended() != "exit status 3" {
			t.Fatalf("ended %q", process.Ended())
		}
	}
}

func TestAdopt(t *testing.T) {
	process, _ := spawnScript(t, "exec sleep 60", nil)
	path := filepath.Join(t.TempDir(), "identity.json")
	if err := process.Identity().Save(path); err != nil {
		t.Fatal(err)
	}
	id, err := LoadIdentity(path)
	if err != nil || id != process.Identity() || !id.Alive() {
		t.Fatalf("LoadIdentity: %+v, %v", id, err)
	}
	adopted, err := Adopt(id)
	if err != nil {
		t.Fatal(err)
	}
	if !adopted.Running() || adopted.Ended() != "" {
		t.Fatal("an adopted process does not run")
	}
	if err := adopted.Stop(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	await(t, process)
	if process.Ended() != "signal: terminated" {
		t.Errorf("ended %q", process.Ended())
	}
	if err := adopted.Signal(unix.SIGKILL); err != nil {
		t.Errorf("Signal after the end: %v", err)
	}
	if _, err := Adopt(id); err == nil {
		t.Error("an ended process was adopted")
	}
}

func TestAdoptRefusesAnotherProcess(t *testing.T) {
	process, _ := spawnScript(t, "exec sleep 60", nil)
	for name, change := range map[string]func(*Identity){
		"start time": func(id *Identity) { id.StartTicks++ },
		"boot":       func(id *Identity) { id.Boot = "another" },
	} {
		id := process.Identity()
		change(&id)
		if _, err := Adopt(id); err == nil {
			t.Errorf("adopted with another %s", name)
		}
	}
	if !process.Running() {
		t.Error("a refused adoption ended the process")
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	process, log := spawnScript(t, `trap "" TERM; echo ready; while :; do sleep 60 & wait; done`, nil)
	poll(t, func() bool { text, _ := os.ReadFile(log); return len(text) > 0 })
	if err := process.Stop(t.Context(), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if process.Ended() != "signal: killed" {
		t.Errorf("ended %q", process.Ended())
	}
}

func TestViewOpensAFolderBehindAClosedDoor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace of another user needs root; run as root")
	}
	closed := filepath.Join(t.TempDir(), "closed")
	inner := filepath.Join(closed, "inner")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(inner, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	process, log := spawnScript(t, "echo here > /mnt/file && cat /mnt/file; id -u; id -G", func(spec *Spec) {
		spec.User = &User{UID: 12345, GID: 12345}
		spec.View = &View{Source: inner, Target: "/mnt"}
	})
	await(t, process)
	text, _ := os.ReadFile(log)
	if string(text) != "here\n12345\n12345\n" {
		t.Fatalf("log %q", text)
	}
	if _, err := os.Stat("/mnt/file"); err == nil {
		t.Fatal("the view leaked out of its namespace")
	}
}

func TestLogIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", maxLogBytes+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	old, err := os.Stat(path + ".1")
	if err != nil || old.Size() != maxLogBytes+1 {
		t.Fatalf("old log: %v, %v", old, err)
	}
}

func TestParseStartTicks(t *testing.T) {
	rest := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for _, row := range []struct {
		stat string
		want uint64
		ok   bool
	}{
		{"9 (sh) S" + rest, 4711, true},
		{"9 (a) b) S (x) R" + rest, 4711, true},
		{"9 (sh) Z" + rest, 4711, false},
		{"9 (sh) S 1 2", 0, false},
		{"", 0, false},
	} {
		got, err := parseStartTicks([]byte(row.stat))
		if got != row.want || (err == nil) != row.ok {
			t.Errorf("%q: %d, %v", row.stat, got, err)
		}
	}
}

func poll(t *testing.T, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("it does not happen")
		}
	}
}

// A script that is killed leaves nothing of what it has started: a first start
// of MariaDB that was broken off left its server behind.
func TestKillAllEndsWhatAScriptHasStarted(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	process, log := spawnScript(t, "sleep 600 & echo begun; wait", func(spec *Spec) { spec.Keep = []*os.File{write} })
	_ = write.Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if text, err := os.ReadFile(log); err == nil && string(text) == "begun\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the script does not begin")
		}
	}
	if err := process.KillAll(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when nobody holds its other end any more.
	if err := read.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := read.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("what the script has started lives on: %v", err)
	}
}
