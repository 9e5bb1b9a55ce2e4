// Package fpmtest starts a real php-fpm for tests: bare, without a sandbox, on
// a Unix socket in a temporary folder. Nothing but tests imports it.
package fpmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds php-fpm's start; it needs about 20 ms on an idle machine.
const startLimit = 20 * time.Second

// Binary finds php-fpm, or "" where the machine has none.
func Binary() string {
	for _, name := range []string{"php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm"} {
		for _, dir := range []string{"", "/usr/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path
			}
		}
	}
	return ""
}

// FPM is a running php-fpm.
type FPM struct {
	Socket string
	PID    int // of the master
}

// Start starts php-fpm with a number of workers. settings are further lines of
// the pool's section, such as "php_admin_value[memory_limit] = 64M". The test
// is skipped where the machine has no php-fpm.
func Start(tb testing.TB, workers int, settings ...string) *FPM {
	tb.Helper()
	binary := Binary()
	if binary == "" {
		tb.Skip("php-fpm is missing: apt-get install php8.2-fpm")
	}
	dir, err := os.MkdirTemp("", "fpm") // a socket's path has at most 107 bytes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	fpm := &FPM{Socket: filepath.Join(dir, "php.sock")}
	log := filepath.Join(dir, "log")
	conf := fmt.Sprintf("[global]\ndaemonize = no\nerror_log = %s\n[www]\nlisten = %s\nlisten.mode = 0666\npm = static\npm.max_children = %d\ncatch_workers_output = yes\n",
		log, fpm.Socket, workers)
	if os.Geteuid() == 0 {
		conf += "user = nobody\ngroup = nogroup\n"
	}
	for _, line := range settings {
		conf += line + "\n"
	}
	path := filepath.Join(dir, "fpm.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		tb.Fatal(err)
	}
	command := exec.Command(binary, "-n", "-y", path, "-F")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	fpm.PID = command.Process.Pid
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	var once sync.Once
	tb.Cleanup(func() {
		once.Do(func() { _ = syscall.Kill(-fpm.PID, syscall.SIGKILL) })
		<-ended
	})
	fpm.await(tb, ended, log)
	return fpm
}

func (f *FPM) await(tb testing.TB, ended <-chan struct{}, log string) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(startLimit)
	for {
		if c, err := net.Dial("unix", f.Socket); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			text, _ := os.ReadFile(log)
			tb.Fatalf("php-fpm ended at its start: %s", text)
		case <-limit:
			tb.Fatal("php-fpm does not listen")
		}
	}
}
