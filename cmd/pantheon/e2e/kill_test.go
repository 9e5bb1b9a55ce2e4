package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// killRounds is how often the platform is killed; longKillRounds with
// PANTHEON_TEST_LONG.
const (
	killRounds     = 10
	longKillRounds = 80
	// maxKillDelay is how long a round's commands run before the kill: about
	// what creating a site takes.
	maxKillDelay = 600 * time.Millisecond
)

// seed gives this run's seed, or the one to repeat.
func seed(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv("PANTHEON_TEST_SEED"); text != "" {
		value, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	return rand.Uint64()
}

// killed is the platform under test and what it has promised.
type killed struct {
	*platform
	t      *testing.T
	random *rand.Rand

	mu        sync.Mutex
	workflows []string // acknowledged
	names     []string // of sites that were asked for
}

// TestKilledPlatform kills the platform at random moments while sites are
// created and deleted. After each restart every acknowledged command is there
// and comes to its end; the running site is never interrupted.
func TestKilledPlatform(t *testing.T) {
	requireSandbox(t)
	from := seed(t)
	t.Logf("PANTHEON_TEST_SEED=%d", from)
	k := &killed{platform: startFor(t, options{}), t: t, random: rand.New(rand.NewPCG(from, 0))}
	steady := k.site(t, "steady", "php", map[string]string{"index.php": helloPage})
	steady.sees(t, 200, "/", "hello")
	drop := string(k.drop(t, "steady.dev").ID)
	before := master(t, drop)
	rounds := killRounds
	if long() {
		rounds = longKillRounds
	}
	for round := range rounds {
		k.round(round)
		steady.sees(t, 200, "/", "hello")
		if now := master(t, drop); now != before {
			t.Fatalf("round %d: the running site's php-fpm was %v and is %v (seed %d)", round, before, now, from)
		}
		if t.Failed() {
			t.Fatalf("in round %d of seed %d", round, from)
		}
	}
	k.checkEnd()
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	if out := k.ok(t, "audit", "verify"); out == "" {
		t.Error("audit verify says nothing")
	}
}

// round lets commands run, kills the platform under them, and once more while
// it starts.
func (k *killed) round(round int) {
	k.t.Helper()
	delay := time.Duration(k.random.Int64N(int64(maxKillDelay)))
	victim := ""
	if k.random.IntN(3) == 0 && len(k.names) > 0 {
		victim = k.names[k.random.IntN(len(k.names))]
	}
	var clients sync.WaitGroup
	for i := range 1 + k.random.IntN(3) {
		clients.Go(func() { k.create(fmt.Sprintf("round-%d-%d", round, i)) })
	}
	if victim != "" {
		clients.Go(func() { k.ask("site", "delete", victim, "--yes", "--no-wait") })
	}
	<-time.After(delay)
	k.kill()
	clients.Wait()
	if k.random.IntN(2) == 0 {
		k.killWhileStarting(time.Duration(k.random.Int64N(int64(maxKillDelay))))
	}
	if err := k.up(); err != nil {
		k.t.Fatalf("round %d: it does not start after a kill %s into the commands: %v", round, delay, err)
	}
	k.checkWorkflows()
}

func (k *killed) killWhileStarting(delay time.Duration) {
	k.t.Helper()
	starting := k.command("up", "--http", "127.0.0.1:0")
	if err := starting.Start(); err != nil {
		k.t.Fatal(err)
	}
	<-time.After(delay)
	_ = starting.Process.Kill()
	_ = starting.Wait() // killed
}

func (k *killed) create(name string) {
	k.mu.Lock()
	k.names = append(k.names, name)
	k.mu.Unlock()
	k.ask("site", "create", name, "--upstream", "steady", "--no-wait")
}

// ask starts a workflow and notes it when the platform has taken it on.
func (k *killed) ask(args ...string) {
	if r := k.run(args...); r.code == 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.workflows = append(k.workflows, strings.TrimSpace(r.out))
	}
}

// checkWorkflows wants every acknowledged workflow to be known and to end.
func (k *killed) checkWorkflows() {
	k.t.Helper()
	for _, id := range k.workflows {
		var record api.Workflow
		if err := wait(patience, func() (bool, error) {
			record = decode[api.Workflow](k.t, k.platform, "workflow", "info", id)
			return record.Result != nil, nil
		}); err != nil {
			k.t.Errorf("workflow %s (%s %s): %v: %+v", id, record.Type, record.SiteName, err, record.Steps)
		}
	}
	k.workflows = nil
}

// checkEnd: every site is whole or gone, and a name that is gone can be had.
func (k *killed) checkEnd() {
	k.t.Helper()
	there := map[string]bool{}
	if err := wait(patience, func() (bool, error) {
		whole := true
		for _, site := range decode[[]api.Site](k.t, k.platform, "site", "list") {
			state := strings.TrimSpace(k.run("site", "info", site.Name, "--field", "state").out)
			there[site.Name] = state == "active"
			whole = whole && (state == "active" || state == "")
		}
		return whole, nil
	}); err != nil {
		k.t.Errorf("sites: %v: %s", err, k.ok(k.t, "site", "list"))
	}
	free := 0
	for _, name := range k.names {
		if !there[name] {
			free++
			k.ok(k.t, "site", "create", name, "--upstream", "steady")
		}
		k.visitor(name).sees(k.t, 200, "/", "hello")
	}
	k.t.Logf("%d sites asked for, %d were not made and are now", len(k.names), free)
	drops := decode[[]api.Drop](k.t, k.platform, "drop", "list")
	if len(drops) != len(k.names)+1 {
		k.t.Errorf("%d sites have %d DROPs", len(k.names)+1, len(drops))
	}
}
