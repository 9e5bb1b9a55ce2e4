package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pantheon/gateways/api"
)

const (
	// balancedSites have three DROPs each: on two machines two of them are together.
	balancedSites     = 3
	longBalancedSites = 12
	// calm and pace are how slowly the cell under test rebalances.
	calm = 4 * time.Second
	pace = time.Second
	// restFor intervals nothing moves when all is balanced.
	restFor = 6
)

// spread counts an environment's DROPs by machine.
func (c *cell) spread(t testing.TB, site string) map[string]int {
	t.Helper()
	on := map[string]int{}
	for _, drop := range decode[[]api.Drop](t, c.asked.platform, "drop", "list", site+".dev") {
		on[drop.HostName]++
	}
	return on
}

// TestMatrixRebalance: DROPs are close together on two machines, and a third one
// joins. They move there one after the other while visitors ask, none of whom
// notices; then nothing moves any more.
func TestMatrixRebalance(t *testing.T) {
	c := startCell(t, 2, 1, hostRoles, "--rebalance-calm", calm.String(), "--rebalance-every", pace.String())
	count := balancedSites
	if long() {
		count = longBalancedSites
	}
	sites := names("even", count)
	c.asked.ok(t, "upstream", "add", "even", folder(t, map[string]string{"index.php": helloPage}), "--framework", "php")
	for _, made := range [][]ran{
		sideBySide(sites, func(site string) ran { return c.asked.run("site", "create", site, "--upstream", "even") }),
		sideBySide(sites, func(site string) ran { return c.asked.run("env", "scale", site+".dev", "3") }),
	} {
		for i, r := range made {
			if r.code != 0 {
				t.Fatalf("%s: exit code %d\n%s", sites[i], r.code, r.said)
			}
		}
	}
	visitors := visit(t, c.asked, "hello", sites...)
	visitors.goesOn(t, 3*count)
	third := c.machine(3)
	if err := c.join(third); err != nil {
		t.Fatal(err)
	}
	third.dumpOnFailure(t)
	c.machines = append(c.machines, third)
	c.explained(t, sites, third)
	if err := wait(patience+time.Duration(count)*10*time.Second, func() (bool, error) {
		for _, site := range sites {
			if on := c.spread(t, site); len(on) != 3 || on[third.name] != 1 {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		t.Fatalf("the third machine does not get its share: %v", err)
	}
	moves := c.moves(t)
	rested := time.Now().Add(restFor * pace)
	eventually(t, "time passes", func() bool { return time.Now().After(rested) })
	if now := c.moves(t); now != moves || moves < count || moves > 3*count { // no DROP twice
		t.Errorf("%d DROPs were moved until all was balanced, which takes %d at least; then %d more", moves, count, now-moves)
	}
	visitors.wantsNone(t, fmt.Sprintf("%d DROPs move", moves))
}

// explained waits until it is said of a DROP that it would move to a machine, or
// does.
func (c *cell) explained(t testing.TB, sites []string, to *machine) {
	t.Helper()
	eventually(t, "placement explain says that a DROP would move", func() bool {
		for _, site := range sites {
			for _, drop := range decode[[]api.Drop](t, c.asked.platform, "drop", "list", site+".dev") {
				if r := c.asked.run("placement", "explain", string(drop.ID)); strings.Contains(r.out, "would move here: ") && strings.Contains(r.out, "host "+to.name+" 0") ||
					strings.Contains(r.out, "another DROP takes its place here") {
					return true
				}
			}
		}
		return false
	})
}

// moves counts what was moved for the sake of balance, and checks that it was one
// DROP at a time, no faster than the pace, and said why.
func (c *cell) moves(t testing.TB) int {
	t.Helper()
	moved, last := 0, time.Time{}
	under, newest := "", "" // the DROP that is on its way, and the one that was last
	for _, commit := range c.asked.commits(t) {
		for _, event := range commit.Events {
			switch e := event.Type; {
			case e == "DropMoveRequested" && commit.Principal == "policy/rebalancing":
				if under != "" {
					t.Errorf("DROP %s is to move while %s is on its way", commit.Stream, under)
				}
				if since := commit.Time.Sub(last); since < pace*9/10 {
					t.Errorf("DROP %s is to move %s after the one before", commit.Stream, since)
				}
				moved, last, under, newest = moved+1, commit.Time, commit.Stream, commit.Stream
			case e == "DropRetired" && commit.Stream == under:
				under = ""
			}
		}
	}
	if newest != "" {
		if why := c.asked.ok(t, "events", "why", newest); !strings.Contains(why, "policy/rebalancing") {
			t.Errorf("events why does not say that %s moved for balance:\n%s", newest, why)
		}
	}
	return moved
}
