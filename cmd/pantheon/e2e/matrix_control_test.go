package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// TestMatrixDecidedElsewhere: a machine without the control role serves, wakes and
// has what it reports decided by one of three control machines. Whichever of them
// dies or stands still, the next one decides; a wake waits for none of them, and
// in the end everything is in the log, once.
func TestMatrixDecidedElsewhere(t *testing.T) {
	c := startCell(t, 3, 1, controlRoles)
	c.asked.ok(t, "cluster", "grow")
	c.holdLog(t, 3)
	worker := c.machine(4)
	c.roles = hostRoles
	if err := c.join(worker); err != nil {
		t.Fatal(err)
	}
	worker.dumpOnFailure(t)
	control := slices.Clone(c.machines)
	c.machines = append(c.machines, worker)
	c.awaits(t, worker, "ready")
	c.siteOn(t, worker, "governed", map[string]string{"index.php": noteBook})
	worker.visitor("governed").sees(t, 200, "/?note=before", "written")
	g := &governed{c: c, worker: worker, drop: "drop/" + string(c.asked.drop(t, "governed.dev").ID)}
	g.sleeps(t)
	for _, end := range []struct {
		what   string
		signal syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"paused", syscall.SIGSTOP}} {
		t.Run("the machine that decides "+end.what, func(t *testing.T) { g.checkDeciderGone(t, control, end.signal) })
	}
}

// governed is the only DROP of a site, on a machine without the control role.
type governed struct {
	c      *cell
	worker *machine
	drop   string
	facts  int // of its own that the log must have
}

// sleeps puts the DROP to sleep, and waits until the log has that.
func (g *governed) sleeps(t *testing.T) {
	t.Helper()
	g.c.asked.ok(t, "env", "sleep", "governed.dev")
	eventually(t, "the DROP is asleep", func() bool { return g.c.asked.drop(t, "governed.dev").State == "asleep" })
	g.reported(t, "DropSlept")
}

// reported waits until the DROP's last commit is a fact of its host, which no
// other host has told.
func (g *governed) reported(t *testing.T, fact string) {
	t.Helper()
	var commits []api.Commit
	if err := wait(patience, func() (bool, error) {
		var known bool
		commits, known = asked[[]api.Commit](t, g.c, "events", "tail", "--limit", "1000", "--stream", g.drop)
		return known && len(commits) > 0 && commits[len(commits)-1].Events[0].Type == fact, nil
	}); err != nil {
		t.Fatalf("%s should have reported %s: %v: %+v", g.worker.name, fact, err, commits)
	}
	ids := map[string]bool{}
	var awoke, slept int
	for _, commit := range commits {
		if ids[commit.Command] {
			t.Errorf("command %s is in the log twice", commit.Command)
		}
		ids[commit.Command] = true
		switch commit.Events[0].Type {
		case "DropAwoke":
			awoke++
		case "DropSlept":
			slept++
		default:
			continue
		}
		if want := "host/" + g.worker.hostID(); commit.Principal != want || commit.Gateway != "agent" {
			t.Errorf("%s by %s at %s, should be by %s", commit.Events[0].Type, commit.Principal, commit.Gateway, want)
		}
	}
	if g.facts++; awoke+slept < g.facts || awoke-slept > 1 || slept > awoke {
		t.Errorf("%d wakes and %d sleeps are in the log, and there were %d", awoke, slept, g.facts)
	}
}

// checkDeciderGone has the DROP woken just after the machine is gone that would
// decide.
func (g *governed) checkDeciderGone(t *testing.T, control []*machine, signal syscall.Signal) {
	t.Helper()
	c := g.c
	decider := slices.MinFunc(control, func(a, b *machine) int { return strings.Compare(a.hostID(), b.hostID()) }) // whose policies act
	rest := slices.DeleteFunc(slices.Clone(control), func(m *machine) bool { return m == decider })
	defer func(asked *machine) { c.asked = asked }(c.asked)
	c.asked = rest[0]
	if signal == syscall.SIGKILL {
		decider.crash()
	} else {
		decider.signal(signal)
		defer decider.signal(syscall.SIGCONT)
	}
	began := time.Now()
	g.worker.visitor("governed").sees(t, 200, "/", "before kept")
	took := time.Since(began)
	if took > answerWithin {
		t.Errorf("the DROP took %s to wake", took)
	}
	g.reported(t, "DropAwoke")
	t.Logf("%s was gone: the DROP woke in %s, and the log had it after %s", decider.name, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	g.sleeps(t)
	if signal == syscall.SIGKILL {
		if err := decider.up(); err != nil {
			t.Fatal(err)
		}
	} else {
		decider.signal(syscall.SIGCONT)
	}
	c.holdLog(t, 3)
	c.awaits(t, decider, "ready")
	g.worker.back(t, "governed", "before kept")
	g.reported(t, "DropAwoke")
	g.sleeps(t)
}
