package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMatrixUpgrade: the binary is replaced, and the cell goes over to it machine
// by machine. Nobody fails, by whichever machine they come in.
func TestMatrixUpgrade(t *testing.T) {
	c := matrix(t)
	sites := names("renewed", len(c.machines))
	for i, m := range c.machines {
		c.siteOn(t, m, sites[i], map[string]string{"index.php": helloPage})
	}
	visitors := map[*machine]*load{}
	for _, m := range c.machines {
		visitors[m] = visit(t, m, "hello", sites...)
		visitors[m].goesOn(t, 2*len(sites))
	}
	next := replaceBinary(t)
	restarts := c.upgrade(t)
	for _, m := range c.machines {
		visitors[m].goesOn(t, 2*len(sites))
		for _, one := range visitors[m].stop() {
			t.Errorf("through %s, which began anew from %s to %s: at %s: %s", m.name,
				restarts[m].from.Format(clockTime), restarts[m].to.Format(clockTime), one.at.Format(clockTime), one.what)
		}
		t.Logf("%s took %s to begin anew: %d visitors answered, the slowest waited %s", m.name,
			restarts[m].to.Sub(restarts[m].from).Round(time.Millisecond), visitors[m].answered, visitors[m].slowest.Round(time.Millisecond))
		running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", m.cmd.Process.Pid))
		if err != nil || !os.SameFile(running, next) {
			t.Errorf("%s does not run the binary that is there now: %v", m.name, err)
		}
		if m.hasEnded() {
			t.Errorf("the process of %s has ended", m.name)
		}
		c.awaits(t, m, "ready")
	}
	for i, site := range sites {
		c.settles(t, site, c.machines[i])
	}
}

const clockTime = "15:04:05.000"

// replaceBinary puts a copy of the binary in its place, and gives that.
func replaceBinary(t testing.TB) os.FileInfo {
	t.Helper()
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(base, "pantheon.next")
	if err := errors.Join(os.WriteFile(copied, text, 0o755), os.Rename(copied, binary)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// upgrade runs pantheon upgrade, and gives when each machine began anew.
func (c *cell) upgrade(t testing.TB) map[*machine]span {
	t.Helper()
	said, write := io.Pipe()
	cmd := c.asked.command("upgrade")
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = write.CloseWithError(cmd.Wait()) }()
	spans := map[*machine]span{}
	var all []string
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		all = append(all, lines.Text())
		name, what, _ := strings.Cut(lines.Text(), ": ")
		m := c.named(name)
		switch {
		case m != nil && what == "restarting":
			spans[m] = span{from: time.Now()}
		case m != nil && strings.HasPrefix(what, "back"):
			spans[m] = span{spans[m].from, time.Now()}
		}
	}
	if err := lines.Err(); err != nil || len(spans) != len(c.machines) {
		t.Fatalf("pantheon upgrade: %v:\n%s", err, strings.Join(all, "\n"))
	}
	return spans
}
