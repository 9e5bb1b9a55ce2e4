package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pantheon/gateways/api"
)

// speaking builds the binary of a version that speaks another protocol.
func speaking(t testing.TB, protocol string) string {
	t.Helper()
	path := filepath.Join(base, "pantheon-protocol-"+protocol)
	t.Cleanup(func() { _ = os.Remove(path) })
	build := exec.Command("go", "build", "-ldflags", "-X main.protocolText="+protocol+" -X main.version=other", "-o", path)
	if raceEnabled {
		build.Args = append(build.Args, "-race")
	}
	build.Args = append(build.Args, "pantheon/cmd/pantheon")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build pantheon: %v\n%s", err, out)
	}
	return path
}

// TestMatrixProtocol: a binary that is too new for the cell is put on a machine by
// hand. It says so and takes no part; the others see why, place its DROPs
// elsewhere and go on. What ran there runs on, and the right binary takes it over.
func TestMatrixProtocol(t *testing.T) {
	c := matrix(t)
	first, third := c.machines[0], c.machines[2]
	tooNew := speaking(t, "9")
	c.siteOn(t, third, "spoken", map[string]string{"index.php": noteBook})
	moving := c.apart(t, "answered")
	third.visitor("spoken").sees(t, 200, "/?note=before", "written")
	drop := first.drop(t, "spoken.dev")
	visitors := visit(t, first, "note=answered", "answered")
	visitors.goesOn(t, 5)
	if err := third.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	running := third.runs(drop)
	if len(running) == 0 {
		t.Fatal("nothing of the DROP runs on")
	}
	third.binary = tooNew
	t.Cleanup(func() { third.binary = "" })
	err := third.up()
	if err == nil {
		t.Fatal("a binary of protocol 9 runs in this cell")
	}
	if said := third.log(); !strings.Contains(said, "cannot take part in the cell: pantheon other is too new, it speaks protocol 9, and machine web-") ||
		!strings.Contains(said, "hint: install version ") {
		t.Errorf("it says\n%s", said)
	}
	if now := third.runs(drop); len(now) != len(running) || now[0].pid != running[0].pid {
		t.Errorf("of the DROP ran %v, and runs %v", running, now)
	}
	var host api.Host
	eventually(t, "the cell says why", func() bool {
		host = c.host(t, third.name)
		return host.State == "lost" && strings.Contains(host.Reason, "pantheon other is too new, it speaks protocol 9")
	})
	if shown := first.ok(t, "host", "list", "--fields", "name,reason"); !strings.Contains(shown, "too new") {
		t.Errorf("host list shows\n%s", shown)
	}
	c.servedElsewhere(t, "answered", third)
	first.ok(t, "env", "set", "answered.dev", "--workers", "3")
	if host.Protocol == 9 || host.Protocol == 0 {
		t.Errorf("the machine has taken part: %+v", host)
	}
	third.binary = ""
	if err := third.up(); err != nil {
		t.Fatal(err)
	}
	c.awaits(t, third, "ready")
	for _, m := range c.machines {
		m.back(t, "spoken", "before kept")
	}
	if now := third.runs(drop); len(now) == 0 || now[0].pid != running[0].pid {
		t.Errorf("of the DROP ran %v, and runs %v", running, now)
	}
	visitors.goesOn(t, 5)
	failures := visitors.stop()
	t.Logf("DROP %s: %d requests answered, %d not, between the end of its machine's platform and its new place", moving.ID, visitors.answered, len(failures))
}
