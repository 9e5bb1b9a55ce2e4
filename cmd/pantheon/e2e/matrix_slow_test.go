package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// slowLines are cables that a cell has to do with. Two of them are tried only
// with PANTHEON_TEST_LONG.
var slowLines = []struct {
	name string
	line line
	long bool
}{
	{name: "50 ms, one frame of 500 lost", line: line{delay: 50 * time.Millisecond, jitter: 5 * time.Millisecond, loss: 0.002}},
	{name: "100 ms, one frame of 1,000 lost", line: line{delay: 100 * time.Millisecond, jitter: 10 * time.Millisecond, loss: 0.001}, long: true},
	{name: "20 ms, one frame of 100 lost, 2 MB/s", line: line{delay: 20 * time.Millisecond, loss: 0.01, bytesPerSecond: 2 << 20}, long: true},
}

// slowFor is how many answers of each site, and how many commands, a slow line
// has to let pass.
const slowFor = 10

// TestMatrixSlowLinks: a machine's cable is slow, loses frames and stalls. Its
// sites are served and it serves others', commands are taken through every
// machine, it is not held for lost, and it is drained without a failed request.
func TestMatrixSlowLinks(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	c.siteOn(t, second, "faraway", map[string]string{"index.php": whoAmI})
	c.siteOn(t, third, "nearby", map[string]string{"index.php": whoAmI})
	first.visitor("faraway").sees(t, 200, "/?note=faraway", "written")
	third.visitor("nearby").sees(t, 200, "/?note=nearby", "written")
	cable := c.net.relayed(t, second.number)
	for _, one := range slowLines {
		if one.long && !long() {
			continue
		}
		t.Run(one.name, func(t *testing.T) {
			cable.line.Store(&one.line)
			defer cable.line.Store(&line{})
			before := len(c.asked.commits(t, "--type", "HostLost"))
			began := time.Now()
			first.visitor("faraway").sees(t, 200, "/", "note=faraway")
			t.Logf("the first answer took %s", time.Since(began).Round(time.Millisecond))
			end := c.unrefused(t, "slow")
			from, by := visit(t, first, "sum=42", "faraway"), visit(t, second, "sum=42", "nearby")
			from.goesOn(t, slowFor)
			by.goesOn(t, slowFor)
			cable.stalled.Store(true) // for less than a connection is given up after
			<-time.After(500 * time.Millisecond)
			cable.stalled.Store(false)
			from.goesOn(t, slowFor)
			by.goesOn(t, slowFor)
			first.ok(t, "host", "drain", second.name)
			from.goesOn(t, slowFor)
			first.ok(t, "host", "undrain", second.name)
			from.wantsNone(t, "a site of the far machine")
			by.wantsNone(t, "through the far machine")
			end()
			c.awaits(t, second, "ready")
			if lost := len(c.asked.commits(t, "--type", "HostLost")) - before; lost > 0 {
				t.Errorf("hosts were held for lost %d times", lost)
			}
			c.settles(t, "faraway", second)
			first.visitor("faraway").sees(t, 200, "/", "note=faraway")
		})
	}
}

// unrefused has somebody command through every machine, none of whom may be
// refused, until the function is called that it gives.
func (c *cell) unrefused(t *testing.T, name string) (end func()) {
	t.Helper()
	token := c.asked.ok(t, "token", "create", "--field", "token")
	ctx, cancel := context.WithCancel(t.Context())
	var all errgroup.Group
	counts := make([]int, len(c.machines))
	for i, m := range c.machines {
		w := &writer{client: c.client(t, m, strings.TrimSpace(token)), name: name + time.Now().Format("-150405-") + m.name, begun: make(chan struct{})}
		location := folder(t, map[string]string{"index.php": helloPage})
		all.Go(func() error {
			w.write(ctx, location)
			counts[i] = len(w.acknowledged)
			for _, text := range append(w.refused, w.wrong...) {
				t.Errorf("through %s: %s", m.name, text)
			}
			c.asked.run("upstream", "remove", w.name)
			return nil
		})
	}
	return func() {
		t.Helper()
		cancel()
		_ = all.Wait() // they have said it
		t.Logf("commands taken through each machine: %v", counts)
		for i, count := range counts {
			if count == 0 {
				t.Errorf("nothing was taken through %s", c.machines[i].name)
			}
		}
	}
}
