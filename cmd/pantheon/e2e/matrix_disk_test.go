package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// guest lets the spare machine in, with its data folder in a folder of the test's,
// and has it out again at the test's end.
func (c *cell) guest(t testing.TB, data string) *machine {
	t.Helper()
	m := c.spare()
	m.data = data
	if err := c.join(m); err != nil {
		t.Fatal(err)
	}
	m.dumpOnFailure(t)
	t.Cleanup(func() {
		if r := c.machines[0].run("host", "remove", m.name, "--yes"); r.code != 0 {
			t.Errorf("host remove %s: %s", m.name, r.said)
		}
		if !m.hasEnded() {
			if err := m.end(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("%s has left %v", m.name, left)
		}
	})
	c.awaits(t, m, "ready")
	return m
}

// TestMatrixDiskFull: the disk of one machine is full. It keeps its lease and
// serves what it has; the cell takes commands; with space all is as before.
func TestMatrixDiskFull(t *testing.T) {
	c := matrix(t)
	first := c.machines[0]
	disk := smallDisk(t)
	full := c.guest(t, filepath.Join(disk, "data"))
	c.siteOn(t, full, "heavy", map[string]string{"index.php": noteBook})
	first.visitor("heavy").sees(t, 200, "/?note=before", "written")
	c.siteOn(t, c.machines[2], "light", map[string]string{"index.php": helloPage})
	visitors := visit(t, first, "before kept", "heavy")
	visitors.goesOn(t, 5)
	empty := fill(t, disk)
	first.ok(t, "env", "set", "light.dev", "--workers", "3")
	c.another(t, "beside", "light")
	for _, m := range c.machines {
		m.visitor("beside").sees(t, 200, "/", "hello")
	}
	visitors.goesOn(t, 20)
	if host := c.host(t, full.name); host.State != "ready" {
		t.Errorf("the machine with the full disk is %q", host.State)
	}
	empty()
	eventually(t, "with space the site can write", func() bool {
		answer, err := first.visitor("heavy").try("GET", "/?note=later", nil)
		return err == nil && answer.status == 200 && answer.body == "written"
	})
	first.ok(t, "env", "set", "heavy.dev", "--workers", "3")
	visitors.wantsNone(t, "a site that only reads")
	first.visitor("heavy").sees(t, 200, "/", "later kept")
}
