package jetstream

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
)

var kills = flag.Int("kills", 3, "leaders that TestLeadersDie kills or stops")

// roundCalls are made on the shared stream around each leader's death.
const roundCalls = 60

const childMember = "PANTHEON_TEST_MEMBER"

// memberSpec tells a child which member it is.
type memberSpec struct {
	Index                 int
	Routes, Clients, Dirs []string
	Authority             string
}

// memberForEver is a member in a process of its own.
func memberForEver(text string) {
	var spec memberSpec
	fail := func(err error) {
		if err != nil {
			fmt.Println("cannot", err)
			os.Exit(1)
		}
	}
	fail(json.Unmarshal([]byte(text), &spec))
	ca, err := loadAuthority(spec.Authority)
	fail(err)
	config, err := ca.issue("member")
	fail(err)
	c := &cell{size: 3, routes: spec.Routes, clients: spec.Clients, dirs: spec.Dirs}
	_, err = OpenMember(bg, c.optionsWith(spec.Index, config))
	fail(err)
	fmt.Println("ready")
	select {}
}

// processes are the members of a cell, each in its own.
type processes struct {
	*cell
	spec     memberSpec
	children [3]*exec.Cmd
}

// newProcesses gives a cell of processes with an empty log.
func newProcesses(t testing.TB) *processes {
	t.Helper()
	dir, _ := standalone(t, 0)
	p := &processes{cell: newCell(t)}
	p.startAll()
	if err := Grow(t.Context(), dir, p.members[0]); err != nil {
		t.Fatal(err)
	}
	for _, member := range p.members[:p.size] {
		if err := member.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.spec = memberSpec{Routes: p.routes, Clients: p.clients, Dirs: p.dirs, Authority: t.TempDir()}
	p.ca.save(t, p.spec.Authority)
	for i := range 3 {
		p.run(i)
	}
	return p
}

func (p *processes) run(i int) {
	p.t.Helper()
	p.spec.Index = i
	text, err := json.Marshal(p.spec)
	if err != nil {
		p.t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childMember+"="+string(text))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.children[i] = child
	p.t.Cleanup(func() { p.kill(child) })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		p.t.Fatalf("member %d: %q, %v", i, line, err)
	}
}

func (p *processes) kill(child *exec.Cmd) {
	_ = child.Process.Kill()
	_ = child.Wait()
}

// leader gives the index of the member that leads the log.
func (p *processes) leader(client *Client) int {
	p.t.Helper()
	leader := -1
	eventually(p.t, "a leader", func() error {
		info, err := client.info(p.t.Context())
		if err != nil {
			return err
		}
		if _, err := fmt.Sscanf(info.Cluster.Leader, "host-%d", &leader); err != nil {
			return fmt.Errorf("leader %q", info.Cluster.Leader)
		}
		return nil
	})
	return leader
}

// whole waits until all members have everything.
func (p *processes) whole(client *Client) {
	p.t.Helper()
	if err := (&moving{client: client}).replicated(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// call is one append to the stream that writers share, or a read of it.
type call struct {
	read  bool
	after int
	text  string
}

type answer struct {
	conflict, unknown bool
	texts             string
}

// sharedModel is a stream whose appends may have an unknown end. A state is the
// texts, each behind a space.
var sharedModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		list, in, out := state.(string), input.(call), output.(answer)
		fits := strings.Count(list, " ") == in.after
		switch {
		case in.read && list == out.texts, out.conflict && !fits:
			return []any{list}
		case in.read, out.conflict:
			return nil
		case out.unknown && fits:
			return []any{list, list + " " + in.text}
		case out.unknown:
			return []any{list}
		case fits:
			return []any{list + " " + in.text}
		}
		return nil
	},
	Equal: func(a, b any) bool { return a == b },
}

// history is what happened to the shared stream, and what was acknowledged at
// all.
type history struct {
	mu       sync.Mutex
	began    time.Time
	calls    []porcupine.Operation
	tips     map[events.Position]events.Tip
	unknowns int
	tokens   chan struct{} // one for each call on the shared stream
}

func (h *history) acknowledged(tip events.Tip) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tips[tip.Position] = tip
}

func (h *history) record(client int, at time.Duration, in call, out answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	operation := porcupine.Operation{ClientId: client, Input: in, Call: int64(at), Output: out, Return: int64(time.Since(h.began))}
	if out.unknown {
		h.unknowns++
		operation.ClientId, operation.Return = 1000+h.unknowns, 1<<62 // it may still happen
	}
	h.calls = append(h.calls, operation)
}

// contend appends to the shared stream until ctx ends, deciding on what it last
// saw, which may be old.
func (h *history) contend(ctx context.Context, t *testing.T, log *Client, writer int) {
	random := rand.New(rand.NewPCG(7, uint64(writer)))
	var tip events.Tip
	for n := 0; ; n++ {
		select {
		case <-h.tokens:
		case <-ctx.Done():
			return
		}
		at := time.Since(h.began)
		if random.IntN(3) > 0 {
			text := fmt.Sprintf("%d.%d", writer, n)
			next, err := log.Append(ctx, tip, eventlogtest.Commit(eventlogtest.Stream(0), text))
			conflict := errors.Is(err, eventlog.ErrConflict)
			h.record(writer, at, call{after: int(tip.Revision), text: text}, answer{conflict: conflict, unknown: err != nil && !conflict})
			if err == nil {
				tip = next
				h.acknowledged(tip)
				continue
			}
			at = time.Since(h.began)
		}
		texts, failed := "", error(nil)
		end := events.Tip{}
		for envelope, err := range log.Stream(ctx, eventlogtest.Stream(0), 0) {
			if failed = err; err == nil {
				texts, end = texts+" "+eventlogtest.Text(envelope), envelope.Tip()
			}
		}
		if failed == nil && ctx.Err() == nil {
			tip = end
			h.record(writer, at, call{read: true}, answer{texts: texts})
		}
	}
}

// probe appends to a stream of its own and tells of every commit when it was
// begun and acknowledged.
func (h *history) probe(ctx context.Context, t *testing.T, log *Client, acks chan<- [2]time.Time) {
	stream := eventlogtest.Stream(1)
	var tip events.Tip
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		next, err := log.Append(ctx, tip, eventlogtest.Commit(stream, fmt.Sprint("probe ", n)))
		if err == nil {
			tip = next
			h.acknowledged(tip)
			select {
			case acks <- [2]time.Time{began, time.Now()}:
			default:
			}
			continue
		}
		if ctx.Err() == nil {
			t.Logf("after %v: %v", time.Since(began), err)
		}
		for envelope, err := range log.Stream(ctx, stream, 0) {
			if err == nil {
				tip = envelope.Tip()
			}
		}
	}
}

// TestLeadersDie kills the leader of the log, or stops it and lets it go on
// later, again and again, while writers write: commits are accepted again soon,
// what was acknowledged is there, and the shared stream's history is
// linearizable.
func TestLeadersDie(t *testing.T) {
	p := newProcesses(t)
	admin := p.dial()
	h := &history{began: time.Now(), tips: map[events.Position]events.Tip{}, tokens: make(chan struct{}, roundCalls)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	acks := make(chan [2]time.Time, 1)
	var writers sync.WaitGroup
	probing := p.dial()
	writers.Go(func() { h.probe(ctx, t, probing, acks) })
	for w := range 3 {
		client := p.dial()
		writers.Go(func() { h.contend(ctx, t, client, w) })
	}
	var outages []time.Duration
	for round := range *kills {
		p.whole(admin)
		leader := p.leader(admin)
		child := p.children[leader]
		for len(acks) > 0 {
			<-acks
		}
		for len(h.tokens) < roundCalls {
			h.tokens <- struct{}{}
		}
		began := time.Now()
		if round%3 == 2 {
			_ = child.Process.Signal(syscall.SIGSTOP)
		} else {
			p.kill(child)
		}
		outages = append(outages, accepted(t, acks, began))
		t.Logf("leader gone (killed: %v): %v", round%3 != 2, outages[round])
		if round%3 == 2 {
			_ = child.Process.Signal(syscall.SIGCONT)
		} else {
			p.run(leader)
		}
	}
	stop()
	writers.Wait()
	slices.Sort(outages)
	t.Logf("leader gone → commits accepted again, %d times: p50 %v, p99 %v, max %v", len(outages),
		outages[len(outages)/2], outages[len(outages)*99/100], outages[len(outages)-1])
	p.whole(admin)
	h.check(t, eventlogtest.Collect(t, admin.All(t.Context(), 0)))
}

// accepted waits for a commit that was begun after a moment, or was under way
// then, to be acknowledged.
func accepted(t *testing.T, acks <-chan [2]time.Time, after time.Time) time.Duration {
	t.Helper()
	for {
		select {
		case ack := <-acks:
			// One that was acknowledged before its leader died says nothing.
			if ack[0].After(after) || ack[1].Sub(after) > firstPatience/2 {
				return ack[1].Sub(after)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("no commit is accepted")
		}
	}
}

func (h *history) check(t *testing.T, all []events.Envelope) {
	t.Helper()
	for i, envelope := range all {
		if envelope.Position != positionOf(uint64(i+1)) {
			t.Fatalf("position %d stands at %d", envelope.Position, i+1)
		}
		if tip, known := h.tips[envelope.Position]; known && tip != envelope.Tip() {
			t.Errorf("position %d holds another commit than was acknowledged", envelope.Position)
		}
		delete(h.tips, envelope.Position)
	}
	if len(h.tips) > 0 {
		t.Errorf("%d acknowledged commits are lost", len(h.tips))
	}
	result := porcupine.CheckOperationsTimeout(sharedModel.ToModel(), h.calls, time.Minute)
	if result == porcupine.Illegal {
		t.Errorf("a history of %d calls, %d of them with an unknown end, is not linearizable", len(h.calls), h.unknowns)
	}
	t.Logf("%d commits, %d calls on the shared stream, %d of them with an unknown end: %v", len(all), len(h.calls), h.unknowns, result)
}
