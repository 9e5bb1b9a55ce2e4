package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
)

const (
	// controlRoles of machines that may hold the log.
	controlRoles = "control,host,entry"
	// commandsWithin bounds how long commands may be refused when the log's leader
	// is lost: an election, on a machine that is busy.
	commandsWithin = 10 * time.Second
	// leaderKills in one run; longLeaderKills with PANTHEON_TEST_LONG.
	leaderKills     = 1
	longLeaderKills = 10
)

// TestMatrixThreeControlMachines: the log goes from one machine to three, whose
// leader may be lost, and back. Clients write and read all the time through
// every machine; what was acknowledged stays.
func TestMatrixThreeControlMachines(t *testing.T) {
	c := startCell(t, 2, 1, controlRoles)
	first, second, third := c.machines[0], c.machines[1], c.machine(3)
	first.refused(t, 64, []string{"over 2 machines", "hint: with 3 control machines it can: pantheon host token create --roles control"}, "cluster", "grow")
	if err := c.join(third); err != nil {
		t.Fatal(err)
	}
	third.dumpOnFailure(t)
	c.machines = append(c.machines, third)
	c.awaits(t, third, "ready")
	c.siteOn(t, second, "logged", map[string]string{"index.php": noteBook})
	first.visitor("logged").sees(t, 200, "/?note=before", "written")
	second.refused(t, 65, []string{"hint: run pantheon cluster grow on the machine that pantheon cell info shows"}, "cluster", "grow")
	first.refused(t, 65, []string{"one machine holds the log", "hint: pantheon cell info"}, "cluster", "shrink", "--yes")
	t.Run("nothing comes of growing", func(t *testing.T) { checkNeverGrew(t, c) })
	first.ok(t, "cluster", "grow")
	c.holdLog(t, 3)
	first.refused(t, 65, []string{"3 machines hold the log already", "hint: with 5 control machines it can"}, "cluster", "grow")
	first.refused(t, 64, []string{"nowhere", "hint: pantheon cluster shrink --machines 1\n"}, "cluster", "shrink", "--machines", "0", "--yes")
	first.refused(t, 64, []string{"over 2 machines", "hint: pantheon cluster shrink --machines 1\n"}, "cluster", "shrink", "--machines", "2", "--yes")
	first.refused(t, 65, []string{"3 hold the log", "hint: pantheon cluster shrink --machines 1\n"}, "cluster", "shrink", "--machines", "5", "--yes")
	third.refused(t, 65, []string{"hint: "}, "host", "remove", third.name, "--yes")
	t.Run("the leader killed", func(t *testing.T) {
		kills := leaderKills
		if long() {
			kills = longLeaderKills
		}
		for range kills {
			checkLeaderKilled(t, c)
		}
	})
	t.Run("a minority", func(t *testing.T) { checkMinority(t, c) })
	t.Run("back and forth", func(t *testing.T) {
		third.crash()
		c.awaits(t, third, "lost")
		first.ok(t, "cluster", "shrink", "--yes")
		c.holdLog(t, 1)
		if err := third.up(); err != nil { // as one that holds the log, as it was
			t.Fatal(err)
		}
		c.awaits(t, third, "ready")
		first.ok(t, "env", "set", "logged.dev", "--workers", "3")
		first.ok(t, "cluster", "grow")
		c.holdLog(t, 3)
		for _, m := range c.machines {
			m.back(t, "logged", "before kept")
			m.ok(t, "env", "set", "logged.dev", "--workers", "4")
		}
	})
}

// checkNeverGrew: a machine that does not answer keeps the log from growing, and
// one that was to hold it and has not heard of that is back after a start.
func checkNeverGrew(t *testing.T, c *cell) {
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	third.signal(syscall.SIGSTOP)
	first.refused(t, 69, []string{third.name, "hint: "}, "cluster", "grow")
	third.signal(syscall.SIGCONT)
	var members []string
	for _, m := range c.machines {
		members = append(members, m.cellSettings(t)["endpoint"].(string))
	}
	second.crash()
	settings := second.cellSettings(t)
	settings["members"] = members
	text, err := json.Marshal(settings)
	if err == nil {
		err = os.WriteFile(second.cellFile(), text, 0o600)
	}
	if err == nil {
		err = second.up()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.machines {
		c.awaits(t, m, "ready")
	}
	if left := second.cellSettings(t); left["members"] != nil {
		t.Errorf("%s would hold the log: %v", second.name, left)
	}
	c.holdLog(t, 1)
	second.ok(t, "env", "set", "logged.dev", "--workers", "2")
	second.back(t, "logged", "before kept")
}

func (m *machine) cellFile() string { return filepath.Join(m.data, "cell", "cell.json") }

func (m *machine) cellSettings(t testing.TB) map[string]any {
	t.Helper()
	text, err := os.ReadFile(m.cellFile())
	var settings map[string]any
	if err == nil {
		err = json.Unmarshal(text, &settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// holdLog waits until so many machines hold the log and have all of it, and
// gives the leader.
func (c *cell) holdLog(t testing.TB, count int) *machine {
	t.Helper()
	var leader *machine
	var cell api.Cell
	if err := wait(patience, func() (bool, error) {
		leader = nil
		var known bool
		if cell, known = asked[api.Cell](t, c, "cell", "info"); !known {
			return false, nil
		}
		current := 0
		for _, replica := range cell.Log {
			if replica.Current {
				current++
			}
			if replica.Leader {
				leader = c.named(replica.HostName)
			}
		}
		return len(cell.Log) == count && current == count && leader != nil, nil
	}); err != nil {
		t.Fatalf("%d machines should hold the log: %v: %+v", count, err, cell.Log)
	}
	return leader
}

func (c *cell) named(name string) *machine {
	for _, m := range c.machines {
		if m.name == name {
			return m
		}
	}
	return nil
}

// others gives the machines but one.
func (c *cell) others(but *machine) []*machine {
	var all []*machine
	for _, m := range c.machines {
		if m != but {
			all = append(all, m)
		}
	}
	return all
}

// checkLeaderKilled kills the machine through which commits go. Commands are
// taken soon by the others, and visitors of other machines notice nothing.
func checkLeaderKilled(t *testing.T, c *cell) {
	t.Helper()
	leader := c.holdLog(t, 3)
	rest := c.others(leader)
	defer func(asked *machine) { c.asked = asked }(c.asked)
	c.asked = rest[0]
	c.homes["logged"] = rest[1]
	c.settles(t, "logged", rest[1])
	end := c.writers(t, "leader")
	took := c.killLeader(t, leader, rest)
	t.Logf("%s was the leader: commands were taken again after %s", leader.name, took.Round(time.Millisecond))
	if took > commandsWithin {
		t.Errorf("commands were refused for %s", took)
	}
	c.lost(t, leader)
	if err := leader.up(); err != nil {
		t.Fatal(err)
	}
	c.holdLog(t, 3)
	c.awaits(t, leader, "ready")
	end()
}

// killLeader gives how long it takes until both others have taken a command.
func (c *cell) killLeader(t testing.TB, leader *machine, rest []*machine) time.Duration {
	t.Helper()
	began := time.Now()
	leader.crash()
	for _, m := range rest {
		eventually(t, "a command is taken", func() bool { return m.run("token", "create").code == 0 })
	}
	return time.Since(began)
}

// checkMinority: one of three is alone. It refuses commands and serves what it
// has; the two take commands; when it is back it has what was missed.
func checkMinority(t *testing.T, c *cell) {
	t.Helper()
	leader := c.holdLog(t, 3)
	rest := c.others(leader)
	defer func(asked *machine) { c.asked = asked }(c.asked)
	c.asked = rest[0]
	c.siteOn(t, leader, "alone", map[string]string{"index.php": noteBook})
	leader.visitor("alone").sees(t, 200, "/?note=before", "written")
	end := c.writers(t, "minority")
	for _, m := range rest {
		c.net.cut(t, leader.number, m.number)
	}
	mended := sync.OnceFunc(func() {
		for _, m := range rest {
			c.net.mend(t, leader.number, m.number)
		}
	})
	defer mended()
	c.lost(t, leader)
	began := time.Now()
	leader.refused(t, 69, []string{"hint: "}, "env", "set", "alone.dev", "--workers", "3")
	if took := time.Since(began); took > 2*answerWithin {
		t.Errorf("the refusal of a command took %s", took)
	}
	leader.back(t, "alone", "before kept")
	for _, m := range rest {
		m.ok(t, "env", "set", "logged.dev", "--workers", "3")
	}
	mended()
	c.holdLog(t, 3)
	c.awaits(t, leader, "ready")
	leader.ok(t, "env", "set", "alone.dev", "--workers", "3")
	leader.back(t, "alone", "before kept")
	end()
}
