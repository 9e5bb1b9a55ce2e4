package e2e

import (
	"os"
	"strings"
	"sync"
	"testing"

	"pantheon/gateways/api"
)

// doomed lets the spare machine join, with the only copy of two sites on it.
func (c *cell) doomed(t *testing.T, kept, deleted string) *machine {
	t.Helper()
	spare := c.spare()
	if err := os.RemoveAll(spare.data); err != nil { // of a test before
		t.Fatal(err)
	}
	if err := c.join(spare); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !spare.hasEnded() {
			spare.crash()
		}
		c.asked.run("host", "remove", spare.name, "--lost", "--yes")
		_ = os.RemoveAll(spare.data)
	})
	spare.dumpOnFailure(t)
	c.awaits(t, spare, "ready")
	c.sitesOn(t, spare, map[string]string{"index.php": noteBook}, kept, deleted)
	spare.visitor(kept).sees(t, 200, "/?note=before", "written")
	c.asked.visitor(kept).sees(t, 200, "/", "before kept")
	return spare
}

// TestMatrixMachineGoneForGood: a machine that is cut off is given up with the
// data that it has. Its sites say so, one is deleted, the other begins empty
// elsewhere. When the machine can reach the cell again it ends what it runs.
func TestMatrixMachineGoneForGood(t *testing.T) {
	c := matrix(t)
	spare := c.doomed(t, "begun", "ended")
	first := c.asked
	first.refused(t, 65, []string{"it is there, and serves", "hint: "}, "host", "remove", spare.name, "--lost", "--yes")
	c.net.unplug(t, spare.number)
	plug := sync.OnceFunc(func() { c.net.plug(t, spare.number) })
	defer plug()
	c.lost(t, spare)
	first.refused(t, 65, []string{"it holds", "hint: ", "--lost"}, "host", "remove", spare.name, "--yes")
	first.refused(t, 64, []string{"gone for good with " + spare.name + ": database, files of begun.dev", "code of ended", "add --yes"}, "host", "remove", spare.name, "--lost")
	first.ok(t, "host", "remove", spare.name, "--lost", "--yes")
	checkGone(t, c, spare)
	plug()
	<-spare.ended
	if log := spare.log(); !strings.Contains(log, "removed from the cell") {
		t.Errorf("the machine ends without saying why:\n%s", log)
	}
	if left := spare.leftovers(); len(left) > 0 {
		t.Errorf("it has left %v", left)
	}
	checkRemoved(t, c, spare)
}

// checkGone: of the two sites of a machine that was given up, one begins anew
// and the other can be deleted.
func checkGone(t *testing.T, c *cell, gone *machine) {
	t.Helper()
	first := c.asked
	eventually(t, "the cell says what is gone", func() bool {
		environment := decode[api.Environment](t, first.platform, "env", "info", "begun.dev")
		return len(environment.Losses) == 1 && environment.Losses[0].Effect == "gone" && len(environment.Losses[0].Services) == 3 &&
			environment.Losses[0].HostName == gone.name
	})
	first.gone(t, "begun")
	first.ok(t, "site", "delete", "ended", "--yes")
	first.ok(t, "env", "renew", "begun.dev")
	delete(c.homes, "begun")
	for _, m := range c.machines {
		m.back(t, "begun")
	}
	if answer, err := first.visitor("begun").try("GET", "/", nil); err != nil || strings.Contains(answer.body, "kept") {
		t.Errorf("what begins anew has %v, %v", answer, err)
	}
	first.visitor("begun").sees(t, 200, "/?note=after", "written")
	first.visitor("begun").sees(t, 200, "/", "after kept")
	first.refused(t, 65, []string{"nothing of it is lost"}, "env", "renew", "begun.dev")
}

// TestMatrixMachineGoneWhileItWasDown: the platform of a machine ends, with its
// sites left running, and the machine is given up before the next start. That
// start says so, and ends them.
func TestMatrixMachineGoneWhileItWasDown(t *testing.T) {
	c := matrix(t)
	spare := c.doomed(t, "left", "over")
	spare.kill()
	<-spare.ended
	if len(spare.leftovers()) == 0 {
		t.Fatal("no site was left running")
	}
	c.lost(t, spare)
	c.asked.ok(t, "host", "remove", spare.name, "--lost", "--yes")
	checkRemoved(t, c, spare)
}
