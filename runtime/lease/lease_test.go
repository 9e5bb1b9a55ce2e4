package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/lease/terms"
)

// cell is a bucket that some hosts are cut off from, and the log's side.
type cell struct {
	Memory
	mu   sync.Mutex
	cut  map[events.HostID]bool // cannot reach the bucket
	away bool                   // nobody can
	lost map[events.HostID]bool
	told []string
}

func newCell(hosts ...events.HostID) *cell {
	c := &cell{cut: map[events.HostID]bool{}, lost: map[events.HostID]bool{}}
	for _, h := range hosts {
		c.lost[h] = false
	}
	return c
}

// portOf is the bucket as one machine reaches it.
type portOf struct {
	*cell
	host events.HostID
}

// reach waits for ever where there is no way.
func (p portOf) reach(ctx context.Context) error {
	p.mu.Lock()
	cut := p.away || p.cut[p.host]
	p.mu.Unlock()
	if cut {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p portOf) Get(ctx context.Context, host events.HostID) (terms.Record, error) {
	if err := p.reach(ctx); err != nil {
		return terms.Record{}, err
	}
	return p.Memory.Get(ctx, host)
}

func (p portOf) Put(ctx context.Context, host events.HostID, entry terms.Entry, expected uint64) (uint64, error) {
	if err := p.reach(ctx); err != nil {
		return 0, err
	}
	return p.Memory.Put(ctx, host, entry, expected)
}

func (p portOf) All(ctx context.Context) ([]terms.Record, error) {
	if err := p.reach(ctx); err != nil {
		return nil, err
	}
	return p.Memory.All(ctx)
}

func (c *cell) members() []terms.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []terms.Member
	for host, lost := range c.lost {
		all = append(all, terms.Member{Host: host, Lost: lost})
	}
	return all
}

func (c *cell) Lost(_ context.Context, host events.HostID) error { return c.tell(host, true) }

func (c *cell) Returned(_ context.Context, host events.HostID) error { return c.tell(host, false) }

func (c *cell) tell(host events.HostID, lost bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost[host] != lost {
		c.told = append(c.told, fmt.Sprintf("%s lost %v", host, lost))
	}
	c.lost[host] = lost
	return nil
}

func (c *cell) wantTold(t *testing.T, want string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := fmt.Sprint(c.told); got != want {
		t.Errorf("the log was told %s, want %s", got, want)
	}
}

func (c *cell) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

var quiet = slog.New(slog.DiscardHandler)

// virtual gives a clock that a synctest bubble moves.
func virtual() Clock {
	start := time.Now()
	return func() time.Duration { return time.Hour + time.Since(start) }
}

func (c *cell) keeper(t *testing.T, host events.HostID, clock Clock) *Keeper {
	k := NewKeeper(KeeperOptions{Host: host, Boot: "boot of " + string(host), Bucket: portOf{c, host}, Clock: clock, Logger: quiet,
		Folded: func() events.Revision { return 1 }})
	start(t, k.Run)
	return k
}

func (c *cell) watcher(t *testing.T, clock Clock) {
	start(t, NewWatcher(WatcherOptions{Bucket: portOf{c, "watcher"}, Members: c.members, Reports: c, Clock: clock, Logger: quiet}).Run)
}

func start(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestCutHostIsLostAndReturns: it knows before anybody says so, its neighbour
// notices nothing, and when the way is free again it begins a new term.
func TestCutHostIsLostAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, clock := newCell("a", "b"), virtual()
		a, b := c.keeper(t, "a", clock), c.keeper(t, "b", clock)
		c.watcher(t, clock)
		first, err := a.Next(t.Context(), 0)
		if err != nil || first != 1 {
			t.Fatalf("the first term is %d: %v", first, err)
		}
		if _, err := b.Next(t.Context(), 0); err != nil {
			t.Fatal(err)
		}

		c.set(func() { c.cut["a"] = true })
		cut := time.Now()
		if err := a.Over(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(cut); took > terms.Hold {
			t.Errorf("its lease went on for %v without a renewal", took)
		}
		c.wantTold(t, "[]")
		<-time.After(terms.LostAfter - terms.Hold + terms.RenewEvery + 3*terms.WatchEvery)
		synctest.Wait()
		c.wantTold(t, "[a lost true]")

		c.set(func() { c.cut["a"] = false })
		if again, err := a.Next(t.Context(), first); err != nil || again != 2 {
			t.Errorf("it came back with term %d: %v", again, err)
		}
		synctest.Wait()
		c.wantTold(t, "[a lost true a lost false]")
		if term, held := b.Held(); !held || term != 1 {
			t.Errorf("the neighbour is in term %d, held %v", term, held)
		}
	})
}

// TestOutageOfTheBucketIsNobodysFault.
func TestOutageOfTheBucketIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, clock := newCell("a"), virtual()
		a := c.keeper(t, "a", clock)
		c.watcher(t, clock)
		if _, err := a.Next(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.set(func() { c.away = true })
		<-time.After(time.Minute)
		if _, held := a.Held(); held {
			t.Error("it holds a lease that it cannot renew")
		}
		c.set(func() { c.away = false })
		if term, err := a.Next(t.Context(), 1); err != nil || term != 2 {
			t.Errorf("term %d: %v", term, err)
		}
		<-time.After(time.Minute)
		c.wantTold(t, "[]")
	})
}

// TestDeadFromTheStart: a host that never had an entry is lost as well.
func TestDeadFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell("dead")
		c.watcher(t, virtual())
		<-time.After(terms.LostAfter + 3*terms.WatchEvery)
		synctest.Wait()
		c.wantTold(t, "[dead lost true]")
	})
}

// TestCopiedIdentityIsRefused: the older of two processes stops, and says why.
func TestCopiedIdentityIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, clock := newCell("a"), virtual()
		c.watcher(t, clock)
		run := func(boot string) (*Keeper, chan error) {
			k := NewKeeper(KeeperOptions{Host: "a", Boot: boot, Bucket: portOf{c, "a"}, Clock: clock, Logger: quiet,
				Folded: func() events.Revision { return 1 }})
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			ended := make(chan error, 1)
			go func() { ended <- k.Run(ctx) }()
			return k, ended
		}
		older, olderEnded := run("older")
		if _, err := older.Next(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		newer, _ := run("newer")
		if err := <-olderEnded; problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" {
			t.Errorf("the older one ended with %v", err)
		}
		if _, err := newer.Next(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

func TestEntriesOfOthersAreChecked(t *testing.T) {
	entry := terms.Entry{State: terms.Held, Boot: "b", Beat: 3, Folded: 9}
	value, err := Encode(entry)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(value); err != nil || back != entry {
		t.Errorf("%s is read as %+v: %v", value, back, err)
	}
	for _, bad := range []string{"", "{}", `{"state":"mine"}`, `{"state":"held"`, `{"state":"held","boot":"` + strings.Repeat("x", maxEntryBytes) + `"}`} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%.40q was read", bad)
		}
	}
}

const stoppedEnv = "PANTHEON_TEST_STOPPED"

// TestStoppedProcessKnows: a process that was stopped for longer than its lease
// and is continued does not believe, even once, that its lease goes on.
func TestStoppedProcessKnows(t *testing.T) {
	if os.Getenv(stoppedEnv) != "" {
		askWithoutEnd(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoppedProcessKnows$")
	child.Env = append(os.Environ(), stoppedEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if line := next(); line != "held" {
		t.Fatal(line)
	}
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(terms.Hold + 200*time.Millisecond)
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if line := next(); line != "lapsed" {
		t.Fatal(line)
	}
}

// askWithoutEnd is the stopped process. The bucket is its own, so that its
// keeper can renew in the moment in which it goes on.
func askWithoutEnd(t *testing.T) {
	c := newCell("a")
	k := c.keeper(t, "a", BootClock)
	c.watcher(t, BootClock)
	term, err := k.Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	before := BootClock() // ahead of the word that has this process stopped
	fmt.Println("held")
	for {
		now, held := k.Held()
		after := BootClock()
		if after-before > terms.Hold {
			if now, held = k.Held(); held && now == term { // asked after the gap for sure
				fmt.Printf("the lease of term %d goes on after a gap of %v\n", term, after-before)
			} else {
				fmt.Println("lapsed")
			}
			return
		}
		if held {
			term = now
		}
		before = after
	}
}
