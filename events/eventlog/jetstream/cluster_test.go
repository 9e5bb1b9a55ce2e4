package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// standalone makes a closed log of n commits in a few streams and gives them.
func standalone(t testing.TB, n int) (dir string, all []events.Envelope) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "log")
	log, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var tips [3]events.Tip
	for i := range n {
		s := i % len(tips)
		tips[s] = eventlogtest.Append(t, log, tips[s], eventlogtest.Commit(eventlogtest.Stream(s), fmt.Sprint(i)))
	}
	return dir, eventlogtest.Collect(t, log.All(t.Context(), 0))
}

func sameLog(t testing.TB, what string, got, want []events.Envelope) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b events.Envelope) bool { return a.Tip() == b.Tip() && a.Stream == b.Stream }) {
		t.Fatalf("%s: %d commits, want %d; or they differ", what, len(got), len(want))
	}
}

// A log grows to three machines and shrinks to one, and every position, hash
// and revision is what it was; meanwhile and afterwards only one of the two is
// the log.
func TestGrowAndShrink(t *testing.T) {
	dir, want := standalone(t, 40)
	c := newCell(t)
	c.startAll()
	// Until the log is there, nobody from outside comes in.
	if _, err := Dial(within3(t), DialOptions{Addresses: c.clients[:], TLS: c.ca.config(t, "client")}); err == nil {
		t.Fatal("a client came into a cluster without a log")
	}
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatalf("the second time: %v", err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" {
		t.Fatalf("the log that has moved was opened: %v", err)
	}
	logs := []*Client{c.of(0), c.of(1), c.of(2), c.dial()}
	for i, log := range logs {
		sameLog(t, fmt.Sprint("client ", i), eventlogtest.Collect(t, log.All(t.Context(), 0)), want)
		if n, err := log.replicas(t.Context()); n != 3 || err != nil {
			t.Errorf("client %d sees %d replicas, %v", i, n, err)
		}
	}
	tips := map[events.StreamID]events.Tip{}
	for _, envelope := range want {
		tips[envelope.Stream] = envelope.Tip()
	}
	for i := range 20 {
		stream := eventlogtest.Stream(i % 4)
		tips[stream] = eventlogtest.Append(t, logs[i%4], tips[stream], eventlogtest.Commit(stream, fmt.Sprint("more ", i)))
	}
	want = eventlogtest.Collect(t, logs[2].All(t.Context(), 0))
	if len(want) != 60 {
		t.Fatalf("%d commits", len(want))
	}
	if err := Shrink(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	_, err := logs[3].Append(t.Context(), tips[eventlogtest.Stream(1)], eventlogtest.Commit(eventlogtest.Stream(1), "late"))
	if problem.KindOf(err) != problem.Unavailable || !errors.Is(err, errMoving) || problem.HintOf(err) == "" {
		t.Errorf("the cluster took a commit: %v", err)
	}
	log := open(t, dir)
	sameLog(t, "shrunk", eventlogtest.Collect(t, log.All(t.Context(), 0)), want)
	eventlogtest.Append(t, log, tips[eventlogtest.Stream(1)], eventlogtest.Commit(eventlogtest.Stream(1), "on one machine"))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if position, err := Verify(t.Context(), dir); err != nil || position != 61 {
		t.Errorf("Verify: %d, %v", position, err)
	}
	if err := Thaw(t.Context(), dir, c.members[0]); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a cluster that is the log no more was thawed: %v", err)
	}
}

// within3 is a context that is soon over.
func within3(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// However far growing came before the machine died, one complete log is there,
// and the same call ends it.
func TestGrowIsInterrupted(t *testing.T) {
	dir, _ := standalone(t, 25)
	c := newCell(t)
	c.startAll()
	v := verified(t, dir)
	g := c.moving(0)
	// Half of the copy is there.
	if _, err := g.begin(t.Context(), v, 3); err != nil {
		t.Fatal(err)
	}
	half := &index{dir: dir, blocks: v.index.blocks, last: 12}
	if err := g.copy(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	if _, err := c.members[1].Client(within3(t)); err == nil {
		t.Fatal("half a copy is taken for the log")
	}
	log := open(t, dir) // the folder still is it
	eventlogtest.Append(t, log, lastTip(t, log, 0), eventlogtest.Commit(eventlogtest.Stream(0), "in between"))
	want := eventlogtest.Collect(t, log.All(t.Context(), 0))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	// Whether the copy became the log is not known.
	if err := writeMove(dir, move{phaseCommitting, "cell"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Fatalf("opened in the middle of a move: %v", err)
	}
	if err := g.into(t.Context(), dir, verified(t, dir), 3); err != nil {
		t.Fatal(err)
	}
	// It did, and has taken a commit, but this machine has not noted it down.
	client := c.of(2)
	eventlogtest.Append(t, client, lastOfAll(want, eventlogtest.Stream(1)), eventlogtest.Commit(eventlogtest.Stream(1), "in the cluster"))
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	got := eventlogtest.Collect(t, client.All(t.Context(), 0))
	if len(got) != 27 {
		t.Fatalf("%d commits", len(got))
	}
	sameLog(t, "grown", got[:26], want)
}

// However far shrinking came, the same is true, and it can be given up.
func TestShrinkIsInterrupted(t *testing.T) {
	dir, want := standalone(t, 25)
	c := grown(t, dir)
	client, g := c.of(2), c.moving(0)
	if _, err := g.freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := Thaw(t.Context(), dir, c.members[1]); err != nil {
		t.Fatal(err)
	}
	tip := eventlogtest.Append(t, client, lastOfAll(want, eventlogtest.Stream(1)), eventlogtest.Commit(eventlogtest.Stream(1), "thawed"))
	want = eventlogtest.Collect(t, client.All(t.Context(), 0))
	last, err := g.freeze(t.Context())
	if err != nil || last != uint64(tip.Position) {
		t.Fatalf("frozen at %d, want %d (%v)", last, tip.Position, err)
	}
	sameLog(t, "frozen", eventlogtest.Collect(t, client.All(t.Context(), 0)), want)
	// The folder is whole, but it is not noted down that it is the log.
	if _, err := g.outOf(t.Context(), dir, last, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); problem.KindOf(err) != problem.Conflict {
		t.Fatalf("opened before it was the log again: %v", err)
	}
	if err := Shrink(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	sameLog(t, "shrunk", eventlogtest.Collect(t, open(t, dir).All(t.Context(), 0)), want)
}

func verified(t *testing.T, dir string) *verification {
	t.Helper()
	v, err := verify(t.Context(), dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *cell) moving(i int) *moving {
	c.t.Helper()
	g, err := newMoving(c.t.Context(), c.members[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = g.client.Close() })
	return g
}

func lastOfAll(all []events.Envelope, stream events.StreamID) (tip events.Tip) {
	for _, envelope := range all {
		if envelope.Stream == stream {
			tip = envelope.Tip()
		}
	}
	return tip
}

// A member of a number of machines that makes no sense is not started.
func TestMemberOfTwo(t *testing.T) {
	c := newCell(t)
	options := c.options(0)
	options.Cluster.Peers = options.Cluster.Peers[:1]
	if _, err := OpenMember(t.Context(), options); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a cluster of two: %v", err)
	}
	if _, err := Open(t.Context(), c.options(0)); problem.KindOf(err) != problem.Invalid {
		t.Errorf("Open with a cluster: %v", err)
	}
	if _, err := OpenMember(t.Context(), Options{Dir: t.TempDir()}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a member of nothing: %v", err)
	}
}

// A minority refuses commits with a clear error, gives what it has, and takes
// commits again with the majority; what was acknowledged is there.
func TestMinority(t *testing.T) {
	dir, _ := standalone(t, 10)
	c := grown(t, dir)
	client := c.of(2)
	client.patience = 3 * time.Second
	tip := eventlogtest.Append(t, client, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(9), "a"))
	want := eventlogtest.Collect(t, client.All(t.Context(), 0))
	for _, i := range []int{0, 1} {
		if err := c.members[i].Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(9), "b"))
	if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Fatalf("one of three took a commit: %v", err)
	}
	t.Log(err)
	sameLog(t, "one of three", eventlogtest.Collect(t, client.Stale().All(t.Context(), 0)), want)
	if got := eventlogtest.Collect(t, client.Stale().Stream(t.Context(), eventlogtest.Stream(9), 0)); len(got) != 1 || got[0].Tip() != tip {
		t.Errorf("the stream has %v", got)
	}
	c.start(0)
	client.patience = 10 * appendTimeout
	tip = eventlogtest.Append(t, client, afterAll(t, client, eventlogtest.Stream(9)), eventlogtest.Commit(eventlogtest.Stream(9), "c"))
	got := eventlogtest.Collect(t, client.All(t.Context(), 0))
	sameLog(t, "two of three", got[:len(want)], want)
	if got[len(got)-1].Tip() != tip {
		t.Errorf("the last commit is %v", got[len(got)-1])
	}
}

// afterAll gives the end of a stream once a majority can tell.
func afterAll(t testing.TB, client *Client, stream events.StreamID) (tip events.Tip) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var failed error
		for envelope, err := range client.Stream(t.Context(), stream, tip.Revision) {
			if failed = err; err == nil {
				tip = envelope.Tip()
			}
		}
		if failed == nil {
			return tip
		}
		if time.Now().After(deadline) {
			t.Fatal(failed)
		}
	}
}

// A damaged replica is refused: it must not come to lead.
func TestDamagedMemberIsRefused(t *testing.T) {
	dir, _ := standalone(t, 20)
	c := grown(t, dir)
	if err := c.members[1].Close(); err != nil {
		t.Fatal(err)
	}
	name := blockPath(c.dirs[1], 1)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenMember(t.Context(), c.options(1))
	var brk *eventlog.BrokenError
	if !errors.As(err, &brk) {
		t.Fatalf("a damaged member started: %v", err)
	}
}

// The conformance suite, by the network and by the members in turn.
func TestClusterConformance(t *testing.T) {
	fewerChecks(t)
	c := newCell(t)
	c.startAll()
	opened := 0
	eventlogtest.Run(t, eventlogtest.Adapter{Open: func(t *testing.T) eventlog.Log {
		c.t = t // what follows is of this test and ends with it
		c.renew()
		opened++
		if opened%4 == 3 {
			return c.dial()
		}
		return c.of(opened % 4)
	}})
}

// renew gives the cell an empty log.
func (c *cell) renew() {
	c.t.Helper()
	g := c.moving(0)
	if err := g.js.DeleteStream(c.t.Context(), streamName); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		c.t.Fatal(err)
	}
	if _, err := g.js.CreateStream(c.t.Context(), clusterConfig(3, stateComplete, digest{})); err != nil {
		c.t.Fatal(err)
	}
}
