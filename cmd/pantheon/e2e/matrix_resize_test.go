package e2e

import (
	"slices"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// TestMatrixFiveControlMachines: the log goes from three machines to five, of
// which two may be lost, and back to three, while commands are given. The two that
// were away learn that they do not hold it any more. Then to one, to five at once,
// and to one.
func TestMatrixFiveControlMachines(t *testing.T) {
	if !long() {
		t.Skip("PANTHEON_TEST_LONG=1 runs it: a minute and a half")
	}
	c := startCell(t, 3, 2, controlRoles)
	first := c.machines[0]
	joins := func(number int) {
		t.Helper()
		m := c.machine(number)
		if err := c.join(m); err != nil {
			t.Fatal(err)
		}
		m.dumpOnFailure(t)
		c.machines = append(c.machines, m)
		c.awaits(t, m, "ready")
	}
	c.siteOn(t, first, "five", map[string]string{"index.php": helloPage})
	first.ok(t, "cluster", "grow")
	c.holdLog(t, 3)
	joins(4)
	first.refused(t, 64, []string{"over 4 machines", "even number", "hint: with 5 control machines it can"}, "cluster", "grow")
	joins(5)
	commits := len(first.commits(t))
	end := c.writers(t, "five")
	first.ok(t, "cluster", "grow")
	c.holdLog(t, 5)
	end()
	first.refused(t, 65, []string{"5 machines hold the log already", "the most", "hint: pantheon cell info"}, "cluster", "grow")
	first.refused(t, 64, []string{"even number", "hint: pantheon cluster shrink --machines 1 or --machines 3\n"}, "cluster", "shrink", "--machines", "4", "--yes")
	away := c.machines[3:]
	for _, m := range away {
		m.crash()
	}
	for _, m := range away {
		c.awaits(t, m, "lost")
	}
	first.ok(t, "env", "set", "five.dev", "--workers", "3")
	first.ok(t, "cluster", "shrink", "--machines", "3", "--yes")
	c.holdLog(t, 3)
	for _, m := range away {
		if err := m.up(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.machines {
		c.awaits(t, m, "ready")
		m.ok(t, "env", "set", "five.dev", "--workers", "4")
	}
	c.holdLog(t, 3)
	cell := decode[api.Cell](t, first.platform, "cell", "info")
	for _, replica := range cell.Log {
		if slices.ContainsFunc(away, func(m *machine) bool { return m.name == replica.HostName }) {
			t.Errorf("%s holds the log", replica.HostName)
		}
	}
	if now := len(first.commits(t)); now < commits {
		t.Errorf("there are %d commits, there were %d", now, commits)
	}
	began := time.Now()
	first.ok(t, "cluster", "shrink", "--yes")
	c.holdLog(t, 1)
	t.Logf("from three to one took %s", time.Since(began).Round(time.Millisecond))
	first.ok(t, "env", "set", "five.dev", "--workers", "2")
	first.ok(t, "cluster", "grow")
	c.holdLog(t, 5)
	first.ok(t, "env", "set", "five.dev", "--workers", "3")
	first.ok(t, "cluster", "shrink", "--yes")
	c.holdLog(t, 1)
	first.ok(t, "env", "set", "five.dev", "--workers", "4")
}
