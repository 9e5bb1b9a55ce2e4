package e2e

import (
	"testing"
	"time"
)

// longPairKills of a run with PANTHEON_TEST_LONG; one otherwise.
const longPairKills = 5

// TestMatrixTwoOfFiveKilled: five machines hold the log. Two of them lose power at
// the same moment, one of them its leader, while clients write and read through all
// five. The three take commands soon, and visitors of what is elsewhere notice
// nothing; afterwards no command that was acknowledged is missing.
func TestMatrixTwoOfFiveKilled(t *testing.T) {
	c := startCell(t, 5, 0, controlRoles)
	homes := c.machines[3:] // the log's leader may be one of them, not both
	for _, home := range homes {
		c.siteOn(t, home, "kept-"+home.name, map[string]string{"index.php": noteBook})
		home.visitor("kept-"+home.name).sees(t, 200, "/?note=before", "written")
	}
	c.asked.ok(t, "cluster", "grow")
	kills := 1
	if long() {
		kills = longPairKills
	}
	for range kills {
		checkPairKilled(t, c, homes)
	}
}

// checkPairKilled kills the log's leader and another machine; one of those that are
// homes of sites is left.
func checkPairKilled(t *testing.T, c *cell, homes []*machine) {
	t.Helper()
	leader := c.holdLog(t, 5)
	kept := homes[0]
	if leader == kept {
		kept = homes[1]
	}
	site := "kept-" + kept.name
	dead := []*machine{leader}
	var rest []*machine
	for _, m := range c.machines {
		switch {
		case m == leader:
		case len(dead) < 2 && m != kept:
			dead = append(dead, m)
		default:
			rest = append(rest, m)
		}
	}
	c.asked = rest[0]
	end := c.writers(t, "pair")
	visitors := visit(t, rest[0], "before kept", site)
	visitors.goesOn(t, 5)
	began := time.Now()
	for _, m := range dead {
		m.crash()
	}
	for _, m := range rest {
		eventually(t, "a command is taken", func() bool { return m.run("token", "create").code == 0 })
	}
	t.Logf("%s, the leader, and %s were killed: all others took commands again after %s", leader.name, dead[1].name, time.Since(began).Round(time.Millisecond))
	for _, m := range dead {
		c.awaits(t, m, "lost")
	}
	for _, m := range rest {
		m.back(t, site, "before kept")
	}
	visitors.goesOn(t, 5)
	visitors.wantsNone(t, "while two of five were killed")
	for _, m := range dead {
		if err := m.up(); err != nil {
			t.Fatal(err)
		}
	}
	c.holdLog(t, 5)
	for _, m := range c.machines {
		c.awaits(t, m, "ready")
	}
	end()
}
