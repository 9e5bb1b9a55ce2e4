package actors

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/actors/environment"
	"pantheon/actors/name"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

// unreliable is a log in virtual time: every call takes a moment, and while it
// is out an append is refused, or done and not answered, or never answered.
type unreliable struct {
	eventlog.Log
	mu     sync.Mutex
	random *rand.Rand
	out    time.Time // until then
}

func newUnreliable(seed uint64) *unreliable {
	return &unreliable{Log: memory.New(), random: rand.New(rand.NewPCG(seed, 1))}
}

// outage begins now and ends after d.
func (u *unreliable) outage(d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.out = time.Now().Add(d)
}

// draw waits for the log, and says whether it is out and which way it fails.
func (u *unreliable) draw() (out bool, way int) {
	u.mu.Lock()
	took, way := time.Duration(1+u.random.IntN(5_000))*time.Microsecond, u.random.IntN(3)
	u.mu.Unlock()
	<-time.After(took)
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Now().Before(u.out), way
}

var errNoLeader error = problem.New(problem.Unavailable, "the log has no leader")

func (u *unreliable) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	out, way := u.draw()
	if !out {
		return u.Log.Append(ctx, tip, commit)
	}
	switch way {
	case 0:
		return events.Tip{}, errNoLeader
	case 1:
		if _, err := u.Log.Append(ctx, tip, commit); err != nil {
			return events.Tip{}, err
		}
		return events.Tip{}, errNoLeader
	default:
		<-ctx.Done()
		return events.Tip{}, ctx.Err()
	}
}

func (u *unreliable) Stream(ctx context.Context, id events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	if out, _ := u.draw(); out {
		return func(yield func(events.Envelope, error) bool) { yield(events.Envelope{}, errNoLeader) }
	}
	return u.Log.Stream(ctx, id, after)
}

// insist sends a command until the answer is definite, as callers do, and says
// how often it was sent and how long the longest wait for an answer was.
func insist(t *testing.T, s *System, id string, to events.StreamID, command any) (receipt events.Receipt, sent int, longest time.Duration) {
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		began := time.Now()
		receipt, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(id)}, to, command)
		sent++
		longest = max(longest, time.Since(began))
		switch problem.KindOf(err) {
		case problem.Busy, problem.Unavailable, problem.Internal:
			if err != nil {
				<-time.After(delay)
				continue
			}
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		return receipt, sent, longest
	}
}

func environmentNumber(n int) events.EnvironmentID {
	return events.EnvironmentOf(events.SiteID(fmt.Sprintf("01990000-0000-7000-8000-%012x", n)), "dev")
}

func createNumber(n int) environment.Create {
	create := createEnvironment()
	create.Environment = environmentNumber(n)
	return create
}

// TestLogIsOutForAMinute: two nodes, few places for actors, small mailboxes,
// and a log that is out for a minute in the midst of it: every command has one
// effect, is answered within what its log calls may take, and is in the log.
func TestLogIsOutForAMinute(t *testing.T) {
	const streams, commanders, each = 12, 24, 20
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			log := newUnreliable(seed)
			options := Options{Log: log, ResidentActors: 4, MailboxCommands: 3, LogWorkers: 3, IdleAfter: time.Second, LogTimeout: 5 * time.Second}
			nodes := []*System{start(t, options), start(t, options)}
			for n := range streams {
				insist(t, nodes[0], "create", environmentNumber(n).Stream(), createNumber(n))
			}
			var all sync.WaitGroup
			var again atomic.Int64
			for c := range commanders {
				all.Go(func() {
					for i := range each {
						<-time.After(time.Duration(c*7+i*13) * time.Millisecond)
						_, sent, longest := insist(t, nodes[(c+i)%2], fmt.Sprintf("rotate/%d/%d", c, i), environmentNumber((c+i)%streams).Stream(), environment.RotateSeed{})
						again.Add(int64(sent - 1))
						// Three wait in a mailbox, each for an append and a load, and
						// as many for each worker before them.
						if bound := 20 * options.LogTimeout; longest > bound {
							t.Errorf("an answer took %s, the bound is %s", longest, bound)
						}
					}
				})
			}
			<-time.After(50 * time.Millisecond)
			log.outage(time.Minute)
			all.Wait()
			total := 0
			for n := range streams {
				for revision, envelope := range stream(t, log.Log, environmentNumber(n).Stream()) {
					if envelope.Revision != events.Revision(revision+1) {
						t.Errorf("revision %d at %d", envelope.Revision, revision+1)
					}
					total++
				}
			}
			if total != streams+commanders*each {
				t.Errorf("seed %d: %d commits, want %d", seed, total, streams+commanders*each)
			}
			if again.Load() == 0 {
				t.Error("nothing had to be sent again: the log was not out")
			}
		})
	}
}

// TestOvertakenCopyDecidesAgainOnce: of two live copies of an actor the slower
// one's append conflicts; it reads what the other has written and decides once
// more, on that.
func TestOvertakenCopyDecidesAgainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memory.New()
		slow := &gate{Log: log, open: make(chan struct{})}
		var decisions []events.Revision // of the name's actor here: how much it knew
		counted := func(production Decide) Decide {
			return func(state, command any) ([]events.Event, error) {
				decided, err := production(state, command)
				known := events.Revision(0)
				if state.(name.State).By != "" {
					known = 1
				}
				decisions = append(decisions, known)
				return decided, err
			}
		}
		here, there := start(t, Options{Log: slow, Seams: Seams{Decide: counted}}), start(t, Options{Log: log})
		id := events.NameID("site:hello")
		refused := make(chan error, 1)
		go func() {
			_, err := here.Do(t.Context(), events.Meta{Command: "mine"}, id.Stream(), name.Claim{Name: id, By: testSite.Stream().String()})
			refused <- err
		}()
		synctest.Wait() // it has decided; its append waits
		do(t, there, "theirs", id.Stream(), name.Claim{Name: id, By: "site/01990000-0000-7000-8000-000000000002"})
		close(slow.open)
		wantKind(t, <-refused, problem.Conflict, "is taken")
		if len(decisions) != 2 || decisions[0] != 0 || decisions[1] != 1 {
			t.Errorf("decided with %v commits known, want 0 and then 1", decisions)
		}
		if all := stream(t, log, id.Stream()); len(all) != 1 {
			t.Errorf("%d commits", len(all))
		}
	})
}

// TestStreamThatCannotBeFolded: while an actor's fold panics, each of its
// commands is answered Internal, its neighbours work, and no actor is left
// behind; afterwards all is as the log says.
func TestStreamThatCannotBeFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		fold := func(production Evolve) Evolve {
			return func(state any, event events.Event) any {
				if created, is := event.(events.EnvironmentCreated); is && broken.Load() && created.Environment == environmentNumber(1) {
					panic("a broken stream")
				}
				return production(state, event)
			}
		}
		log := memory.New()
		s := start(t, Options{Log: log, IdleAfter: time.Second, Seams: Seams{Evolve: fold}})
		do(t, s, "create", environmentNumber(1).Stream(), createNumber(1))
		<-time.After(time.Minute) // it is read anew
		broken.Store(true)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_, err := s.Do(t.Context(), events.Meta{Command: events.CommandID(fmt.Sprint(i))}, environmentNumber(1).Stream(), environment.RotateSeed{})
				wantKind(t, err, problem.Internal, "incident")
			})
			all.Go(func() { do(t, s, fmt.Sprint(i), environmentNumber(2+i).Stream(), createNumber(2+i)) })
		}
		all.Wait()
		<-time.After(time.Minute)
		synctest.Wait()
		if statistics := s.Statistics(); statistics.Resident != 0 || statistics.UnderWay != 0 {
			t.Errorf("left behind: %+v", statistics)
		}
		broken.Store(false)
		for i := range 3 {
			do(t, s, fmt.Sprint(i), environmentNumber(1).Stream(), environment.RotateSeed{})
		}
		if commits := stream(t, log, environmentNumber(1).Stream()); len(commits) != 4 {
			t.Errorf("%d commits, want 4", len(commits))
		}
	})
}
