package eventstoredb_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/eventstoredb"
	"pantheon/events/eventlog/eventstoredb/eventstoredbtest"
	"pantheon/events/problem"
)

func open(t testing.TB, s *eventstoredbtest.StandIn) *eventstoredb.Log {
	t.Helper()
	log, err := eventstoredb.Open(t.Context(), eventstoredb.Options{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func TestConformance(t *testing.T) {
	servers := map[eventlog.Log]*eventstoredbtest.StandIn{}
	eventlogtest.Run(t, eventlogtest.Adapter{
		Open: func(t *testing.T) eventlog.Log {
			s := eventstoredbtest.New(t)
			log := open(t, s)
			servers[log] = s
			return log
		},
		Reopen: func(t *testing.T, log eventlog.Log) eventlog.Log {
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			next := open(t, servers[log])
			servers[next] = servers[log]
			return next
		},
		Restoring: func(t *testing.T) eventlogtest.Restoring {
			s := eventstoredbtest.New(t)
			return eventlogtest.Restoring{
				Begin: func() (eventlog.Restorer, error) {
					return eventstoredb.Restore(t.Context(), eventstoredb.Options{URL: s.URL()})
				},
				Open:  func() eventlog.Log { return open(t, s) },
				Keeps: true,
			}
		},
	})
}

// TestMachinesShareALog: the conformance suite over two machines, which take
// turns, so that each is behind the other all the time.
func TestMachinesShareALog(t *testing.T) {
	s := eventstoredbtest.New(t)
	logs := []*eventstoredb.Log{open(t, s), open(t, s)}
	var writers sync.WaitGroup
	const each = 60
	for w := range 6 {
		writers.Go(func() {
			log, stream := logs[w%2], eventlogtest.Stream(w/2) // each stream has two writers
			for i := 0; i < each; {
				var tip events.Tip
				for envelope, err := range log.Stream(t.Context(), stream, 0) {
					if err != nil {
						t.Error(err)
						return
					}
					tip = envelope.Tip()
				}
				_, err := log.Append(t.Context(), tip, eventlogtest.Commit(stream, fmt.Sprint(w, ".", i)))
				switch {
				case err == nil:
					i++
				case !errors.Is(err, eventlog.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	first, second := eventlogtest.Collect(t, logs[0].All(t.Context(), 0)), eventlogtest.Collect(t, logs[1].All(t.Context(), 0))
	if len(first) != 6*each || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("the two machines read %d and %d commits, %d were acknowledged", len(first), len(second), 6*each)
	}
}

// TestAnswersAreLost: an append whose answer did not come is there or not, and
// the log goes on either way.
func TestAnswersAreLost(t *testing.T) {
	s := eventstoredbtest.New(t)
	log := open(t, s)
	tip := eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	for _, c := range []struct {
		fault   eventstoredbtest.Fault
		written bool
	}{{eventstoredbtest.Lost, true}, {eventstoredbtest.LostLate, false}, {eventstoredbtest.Refused, false}} {
		once := true
		s.Inject(func(string) eventstoredbtest.Fault {
			if !once {
				return eventstoredbtest.None
			}
			once = false
			return c.fault
		})
		if _, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "b")); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
			t.Fatalf("fault %d: %v", c.fault, err)
		}
		var last events.Tip
		for envelope, err := range log.Stream(t.Context(), eventlogtest.Stream(1), 0) {
			if err != nil {
				t.Fatal(err)
			}
			last = envelope.Tip()
		}
		if (last.Revision == tip.Revision+1) != c.written {
			t.Fatalf("fault %d: the stream stands at %d after %d", c.fault, last.Revision, tip.Revision)
		}
		tip = eventlogtest.Append(t, log, last, eventlogtest.Commit(eventlogtest.Stream(1), "c"))
	}
}

// TestServerComesBack: what was refused while the server was away goes through
// again by itself, and a tail goes on.
func TestServerComesBack(t *testing.T) {
	s := eventstoredbtest.New(t)
	log, other := open(t, s), open(t, s)
	tip := eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	seen := make(chan string, 8)
	go func() {
		for envelope, err := range other.Tail(t.Context(), 0) {
			if err != nil {
				return
			}
			seen <- eventlogtest.Text(envelope)
		}
	}()
	if got := <-seen; got != "a" {
		t.Fatal(got)
	}
	s.Stop()
	if _, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "lost")); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("the server is away: %v", err)
	}
	s.Start(t)
	for {
		_, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "b"))
		if err == nil {
			break
		}
		if problem.KindOf(err) != problem.Unavailable {
			t.Fatal(err)
		}
	}
	if got := <-seen; got != "b" {
		t.Errorf("the tail of another machine went on with %q", got)
	}
}

// TestLeaderIsFound: a node that does not lead says who does.
func TestLeaderIsFound(t *testing.T) {
	leader, follower := eventstoredbtest.New(t), eventstoredbtest.New(t)
	follower.Follow(leader.Address)
	log := open(t, follower)
	eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	if n := leader.Len("pantheon-0"); n != 1 {
		t.Errorf("the leader has %d commits", n)
	}
}

// TestDamageIsFound: whatever somebody does to the stream on the server is found
// at the next start, with its place.
func TestDamageIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]eventstoredbtest.Recorded) []eventstoredbtest.Recorded
		at     events.Position
	}{
		"changed": {func(all []eventstoredbtest.Recorded) []eventstoredbtest.Recorded {
			all[2].Data = []byte(strings.Replace(string(all[2].Data), `"3"`, `"4"`, 1))
			return all
		}, 5},
		"removed": {func(all []eventstoredbtest.Recorded) []eventstoredbtest.Recorded {
			return append(all[:2:2], all[3:]...)
		}, 4},
		"swapped": {func(all []eventstoredbtest.Recorded) []eventstoredbtest.Recorded {
			all[0], all[2] = all[2], all[0]
			return all
		}, 1},
		"foreign": {func(all []eventstoredbtest.Recorded) []eventstoredbtest.Recorded {
			return append(all, eventstoredbtest.Recorded{Metadata: map[string]string{"type": "OrderPlaced"}, Data: []byte("{}")})
		}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			s := eventstoredbtest.New(t)
			log := open(t, s)
			var tips [2]events.Tip
			for i := range 6 {
				tips[i%2] = eventlogtest.Append(t, log, tips[i%2], eventlogtest.Commit(eventlogtest.Stream(i%2), fmt.Sprint(i+1)))
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			s.Edit("pantheon-0", c.change)
			_, err := eventstoredb.Open(t.Context(), eventstoredb.Options{URL: s.URL()})
			var broken *eventlog.BrokenError
			if !errors.As(err, &broken) || broken.Position != c.at {
				t.Errorf("%v; want it broken at %d", err, c.at)
			}
		})
	}
}

// TestPasswordIsNotTold: not in an error, whatever is wrong with the address.
func TestPasswordIsNotTold(t *testing.T) {
	for _, url := range []string{"esdb://admin:s3cret@127.0.0.1:1?tls=maybe", "esdb://admin:s3cret@[::1?tls=false", "http://admin:s3cret@host", "esdb://admin:s3cret@127.0.0.1:1?tls=false"} {
		log, err := eventstoredb.Open(t.Context(), eventstoredb.Options{URL: url})
		if err == nil {
			_ = log.Close()
			t.Errorf("%s was opened", url)
			continue
		}
		if strings.Contains(err.Error()+problem.HintOf(err), "s3cret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	log := open(b, eventstoredbtest.New(b))
	var tip events.Tip
	for i := 0; b.Loop(); i++ {
		tip = eventlogtest.Append(b, log, tip, eventlogtest.Commit(eventlogtest.Stream(1), fmt.Sprint(i)))
	}
}
