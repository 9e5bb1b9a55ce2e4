package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cuts are the ways in which machine 2 loses the one that commands. Two of them
// are tried only with PANTHEON_TEST_LONG.
var cuts = []struct {
	name      string
	cut, mend func(t testing.TB, n *network)
	apart     bool // machine 3 does not reach it either
	long      bool
}{
	{name: "both ways", cut: func(t testing.TB, n *network) { n.cut(t, 1, 2) }, mend: func(t testing.TB, n *network) { n.mend(t, 1, 2) }},
	{name: "from the host to control", cut: func(t testing.TB, n *network) { n.mute(t, 2, 1) }, mend: func(t testing.TB, n *network) { n.unmute(t, 2, 1) }},
	{name: "from control to the host", cut: func(t testing.TB, n *network) { n.mute(t, 1, 2) }, mend: func(t testing.TB, n *network) { n.unmute(t, 1, 2) }, long: true},
	{name: "the cable", cut: func(t testing.TB, n *network) { n.unplug(t, 2) }, mend: func(t testing.TB, n *network) { n.plug(t, 2) }, apart: true, long: true},
}

// TestMatrixCutOff: a machine is cut off from the one that commands. It serves
// what is its own to all who reach it, refuses commands with the reason, and
// all is as before when the cut is mended.
func TestMatrixCutOff(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	c.siteOn(t, second, "island", map[string]string{"index.php": noteBook})
	c.siteOn(t, third, "mainland", map[string]string{"index.php": helloPage})
	first.visitor("island").sees(t, 200, "/?note=before", "written")
	second.env = []string{"PANTHEON_TOKEN=" + strings.TrimSpace(first.ok(t, "token", "create", "--field", "token"))}
	defer func() { second.env = nil }()
	for _, one := range cuts {
		if one.long && !long() {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			elsewhere := visit(t, first, "hello", "mainland")
			elsewhere.goesOn(t, 5)
			beside := visit(t, third, "before", "island")
			beside.goesOn(t, 5)
			one.cut(t, c.net)
			mended := sync.OnceFunc(func() { one.mend(t, c.net) })
			defer mended()
			c.lost(t, second)
			first.gone(t, "island")
			began := time.Now()
			second.refused(t, 69, []string{"cannot reach a control machine", "hint: "}, "host", "list")
			if took := time.Since(began); took > answerWithin {
				t.Errorf("the refusal of a command took %s", took)
			}
			first.ok(t, "env", "set", "mainland.dev", "--workers", "3")
			if !one.apart {
				second.back(t, "island", "before kept")
			}
			if !one.apart {
				beside.goesOn(t, 10)
				beside.wantsNone(t, "through a machine that reaches it")
			}
			beside.stop()
			mended()
			c.awaits(t, second, "ready")
			for _, m := range c.machines {
				m.back(t, "island", "before kept")
			}
			elsewhere.wantsNone(t, "a site of another machine")
		})
	}
}

// TestMatrixNothingAcknowledgedIsLost: clients write through every machine and
// read what they wrote while machines are cut off, stand still and lose power.
// Everything that was acknowledged is in the log afterwards, in order.
func TestMatrixNothingAcknowledgedIsLost(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	c.siteOn(t, third, "witness", map[string]string{"index.php": helloPage})
	end := c.writers(t, "writer")
	visitors := visit(t, third, "hello", "witness")
	visitors.goesOn(t, 5)
	c.net.cut(t, 1, 2)
	c.lost(t, second)
	c.net.mend(t, 1, 2)
	c.awaits(t, second, "ready")
	first.crash()
	if err := first.up(); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.machines {
		c.awaits(t, m, "ready")
	}
	second.crash()
	c.lost(t, second)
	if err := second.up(); err != nil {
		t.Fatal(err)
	}
	c.awaits(t, second, "ready")
	end()
	visitors.wantsNone(t, "a site of the machine that was spared")
	first.ok(t, "audit", "head")
}

// writers write through every machine until the function is called that it
// gives, and are checked then. Each has been answered once when it returns.
func (c *cell) writers(t *testing.T, name string) (end func()) {
	t.Helper()
	name += time.Now().Format("-150405") // a run of the test is not taken for another
	token := strings.TrimSpace(c.asked.ok(t, "token", "create", "--field", "token"))
	location := folder(t, map[string]string{"index.php": helloPage})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var writers []*writer
	var all sync.WaitGroup
	for _, m := range c.machines {
		w := &writer{client: c.client(t, m, token), name: name + "-" + m.name, begun: make(chan struct{})}
		writers = append(writers, w)
		all.Go(func() { w.write(ctx, location) })
	}
	for _, w := range writers {
		select {
		case <-w.begun:
		case <-time.After(patience):
			t.Fatalf("%s: nothing is acknowledged", w.name)
		}
	}
	return func() {
		t.Helper()
		cancel()
		all.Wait()
		for _, w := range writers {
			checkWriter(t, c.asked, w)
			c.asked.run("upstream", "remove", w.name)
		}
	}
}

// checkWriter wants what was acknowledged in the log, once and in order.
func checkWriter(t *testing.T, first *machine, w *writer) {
	t.Helper()
	t.Logf("%s: %d acknowledged, %d refused, each within %s", w.name, len(w.acknowledged), len(w.refused), w.slowest.Round(time.Millisecond))
	for _, text := range w.wrong {
		t.Errorf("%s: %s", w.name, text)
	}
	var labels []string
	for _, commit := range first.commits(t, "--type", "UpstreamAdded") {
		for _, event := range commit.Events {
			var added struct{ Label string }
			if err := json.Unmarshal(event.Payload, &added); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(added.Label, w.name+"-") {
				labels = append(labels, added.Label)
			}
		}
	}
	if !slices.IsSorted(labels) || len(slices.Compact(slices.Clone(labels))) != len(labels) {
		t.Errorf("%s: the log has %v", w.name, labels)
	}
	for _, label := range w.acknowledged {
		if _, found := slices.BinarySearch(labels, label); !found {
			t.Errorf("%s: %s was acknowledged and is not in the log", w.name, label)
		}
	}
}
