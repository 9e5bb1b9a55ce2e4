package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
)

// Adapter opens logs for the suite.
type Adapter struct {
	// Open gives an empty log, which the test's cleanup closes.
	Open func(t *testing.T) eventlog.Log
	// Reopen closes a log of Open and opens the same again; nil for an adapter
	// whose commits do not outlive it.
	Reopen func(t *testing.T, log eventlog.Log) eventlog.Log
	// Restoring gives an empty place to restore into; nil for an adapter that
	// cannot.
	Restoring func(t *testing.T) Restoring
}

// Run is the conformance suite.
func Run(t *testing.T, adapter Adapter) {
	for name, test := range map[string]func(*testing.T, eventlog.Log){
		"empty log":                    testEmpty,
		"append and read":              testAppendAndRead,
		"every kind of stream":         testKinds,
		"conflict":                     testConflict,
		"forged tip":                   testForgedTip,
		"refused commits":              testRefused,
		"largest commit":               testLargest,
		"reading from the middle":      testAfter,
		"leaving an iterator":          testBreak,
		"a part of the log":            testBetween,
		"entries":                      testEntries,
		"the end of entries":           testEntriesEnd,
		"cancelled context":            testCancelled,
		"tail waits":                   testTail,
		"tail ends with its context":   testTailEnds,
		"closed log":                   testClosed,
		"close ends a tail":            testCloseEndsTail,
		"many writers, one stream":     testWriters,
		"many writers, linearizable":   testLinearizable,
		"readers agree":                testReadersAgree,
		"a writer's commit is visible": testVisible,
	} {
		t.Run(name, func(t *testing.T) { test(t, adapter.Open(t)) })
	}
	t.Run("differential", func(t *testing.T) { Differential(t, adapter.Open(t), func() eventlog.Log { return memory.New() }) })
	if adapter.Reopen != nil {
		t.Run("reopen", func(t *testing.T) { testReopen(t, adapter) })
	}
	if adapter.Restoring != nil {
		for name, test := range map[string]func(*testing.T, Restoring){
			"restore":              testRestore,
			"restore into a log":   testRestoreFull,
			"restore, discarded":   testRestoreDiscarded,
			"restore, interrupted": testRestoreInterrupted,
		} {
			t.Run(name, func(t *testing.T) { test(t, adapter.Restoring(t)) })
		}
	}
}

// Stream gives the n-th stream of a test, each of its own.
func Stream(n int) events.StreamID {
	return events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n)).Stream()
}

// Commit gives a commit of one event whose reason is the text.
func Commit(stream events.StreamID, text string) events.Commit {
	return events.Commit{
		Stream: stream,
		Meta: events.Meta{
			Command: events.CommandID(text), Principal: "policy/eventlogtest",
			Time: time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC),
		},
		Events: []events.Event{events.SiteDeletionRequested{Site: events.SiteID(stream.ID), Reason: text}},
	}
}

// Text gives back what Commit was given.
func Text(envelope events.Envelope) string { return string(envelope.Meta.Command) }

// Append appends and fails the test when it cannot.
func Append(t testing.TB, log eventlog.Log, tip events.Tip, commit events.Commit) events.Tip {
	t.Helper()
	got, err := log.Append(t.Context(), tip, commit)
	if err != nil {
		t.Fatalf("cannot append %s after revision %d: %v", commit.Stream, tip.Revision, err)
	}
	return got
}

// Collect reads an iterator to its end and fails the test at an error.
func Collect(t testing.TB, seq iter.Seq2[events.Envelope, error]) []events.Envelope {
	t.Helper()
	var all []events.Envelope
	for envelope, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, envelope)
	}
	return all
}

func texts(all []events.Envelope) string {
	var list []string
	for _, envelope := range all {
		list = append(list, Text(envelope))
	}
	return strings.Join(list, " ")
}

func head(t testing.TB, log eventlog.Log) events.Position {
	t.Helper()
	position, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return position
}

func testEmpty(t *testing.T, log eventlog.Log) {
	if got := head(t, log); got != 0 {
		t.Errorf("the head of an empty log is %d", got)
	}
	if got := Collect(t, log.All(t.Context(), 0)); len(got) != 0 {
		t.Errorf("an empty log gave %v", got)
	}
	if got := Collect(t, log.Stream(t.Context(), Stream(1), 0)); len(got) != 0 {
		t.Errorf("an empty stream gave %v", got)
	}
	if got := Collect(t, log.All(t.Context(), 1000)); len(got) != 0 {
		t.Errorf("beyond the end stands %v", got)
	}
}

func testAppendAndRead(t *testing.T, log eventlog.Log) {
	first := Append(t, log, events.Tip{}, Commit(Stream(1), "a"))
	other := Append(t, log, events.Tip{}, Commit(Stream(2), "b"))
	second := Append(t, log, first, Commit(Stream(1), "c"))
	if first.Revision != 1 || other.Revision != 1 || second.Revision != 2 {
		t.Errorf("revisions %d, %d, %d; want 1, 1, 2", first.Revision, other.Revision, second.Revision)
	}
	if first.Position >= other.Position || other.Position >= second.Position {
		t.Errorf("positions %d, %d, %d do not rise", first.Position, other.Position, second.Position)
	}
	if got := head(t, log); got != second.Position {
		t.Errorf("the head is %d, the last commit stands at %d", got, second.Position)
	}
	stream := Collect(t, log.Stream(t.Context(), Stream(1), 0))
	if texts(stream) != "a c" {
		t.Fatalf("the stream holds %q", texts(stream))
	}
	if stream[0].Tip() != first || stream[1].Tip() != second {
		t.Errorf("read %v and %v, written %v and %v", stream[0].Tip(), stream[1].Tip(), first, second)
	}
	if stream[0].Previous != (events.Hash{}) || stream[1].Previous != first.Hash {
		t.Error("the hashes make no chain")
	}
	want := Commit(Stream(1), "c")
	if !reflect.DeepEqual(stream[1].Commit, want) {
		t.Errorf("read %+v, written %+v", stream[1].Commit, want)
	}
	if all := Collect(t, log.All(t.Context(), 0)); texts(all) != "a b c" {
		t.Errorf("the log holds %q", texts(all))
	}
}

func testKinds(t *testing.T, log eventlog.Log) {
	site := "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	hex := "0123456789abcdef0123456789abcdef"
	for stream, event := range map[events.StreamID]events.Event{
		events.SiteID(site).Stream():                                           events.SiteActivated{},
		events.EnvironmentOf(events.SiteID(site), "a-b").Stream():              events.EnvironmentDeleted{},
		events.DropID(hex).Stream():                                            events.DropRetired{},
		events.HostID(hex).Stream():                                            events.HostReturned{},
		events.BindingID(hex).Stream():                                         events.BindingPlaced{},
		events.WorkflowID(site).Stream():                                       events.WorkflowSucceeded{},
		events.AccountID(site).Stream():                                        events.TokenRevoked{},
		events.UniqueName("host", "www.a-b.example_1.org").Stream():            events.NameClaimed{},
		events.ZoneName("_a.2.0.192.in-addr.arpa").Stream():                    events.ZoneRemoved{},
		events.UniqueName("host", "a."+strings.Repeat("b.", 150)+"c").Stream(): events.NameClaimed{},
	} {
		commit := Commit(stream, "x")
		commit.Events = []events.Event{event, event}
		tip := Append(t, log, events.Tip{}, commit)
		Append(t, log, tip, commit)
		if got := Collect(t, log.Stream(t.Context(), stream, 0)); len(got) != 2 || len(got[0].Events) != 2 || got[1].Stream != stream {
			t.Errorf("%s holds %v", stream, got)
		}
	}
}

func testConflict(t *testing.T, log eventlog.Log) {
	first := Append(t, log, events.Tip{}, Commit(Stream(1), "a"))
	Append(t, log, first, Commit(Stream(1), "b"))
	before := head(t, log)
	for name, tip := range map[string]events.Tip{"an empty stream": {}, "an old tip": first} {
		if _, err := log.Append(t.Context(), tip, Commit(Stream(1), "c")); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("append after %s: %v, want ErrConflict", name, err)
		}
	}
	if _, err := log.Append(t.Context(), first, Commit(Stream(2), "c")); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("append to a new stream after another's tip: %v, want ErrConflict", err)
	}
	if head(t, log) != before || texts(Collect(t, log.All(t.Context(), 0))) != "a b" {
		t.Error("a refused append has written")
	}
}

// A tip that is right in one part only must not break the chain.
func testForgedTip(t *testing.T, log eventlog.Log) {
	tip := Append(t, log, events.Tip{}, Commit(Stream(1), "a"))
	hash, revision, position := tip, tip, tip
	hash.Hash[3] ^= 1
	revision.Revision++
	position.Position += 5
	for _, forged := range []events.Tip{hash, revision, position} {
		if _, err := log.Append(t.Context(), forged, Commit(Stream(1), "b")); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("append after the tip %v, which is none: %v, want ErrConflict", forged, err)
		}
	}
	Append(t, log, tip, Commit(Stream(1), "c"))
	if got := texts(Collect(t, log.Stream(t.Context(), Stream(1), 0))); got != "a c" {
		t.Errorf("the stream holds %q", got)
	}
}

func testRefused(t *testing.T, log eventlog.Log) {
	none := Commit(Stream(1), "x")
	none.Events = nil
	wrongKind := Commit(Stream(1), "x")
	wrongKind.Events = []events.Event{events.DropRetired{}}
	badID := Commit(events.StreamID{Kind: events.KindSite, ID: "a.>"}, "x")
	huge := Commit(Stream(1), "x")
	huge.Events = []events.Event{events.SiteDeletionRequested{Reason: strings.Repeat("x", events.MaxCommitBytes)}}
	for _, commit := range []events.Commit{none, wrongKind, badID, huge} {
		if _, err := log.Append(t.Context(), events.Tip{}, commit); err == nil || errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("append of %.80v: %v, want an error of the codec", commit, err)
		}
	}
	if got := head(t, log); got != 0 {
		t.Errorf("a refused append has written: head %d", got)
	}
}

func testLargest(t *testing.T, log eventlog.Log) {
	commit := Commit(Stream(1), "x")
	reason := strings.Repeat("x", events.MaxCommitBytes-1024)
	commit.Events = []events.Event{events.SiteDeletionRequested{Reason: reason}}
	Append(t, log, events.Tip{}, commit)
	got := Collect(t, log.All(t.Context(), 0))
	if len(got) != 1 || got[0].Events[0] != commit.Events[0] {
		t.Error("the largest commit did not come back")
	}
}

// fill appends n commits round robin over the streams and gives their texts'
// tips.
func fill(t testing.TB, log eventlog.Log, n, streams int) []events.Tip {
	t.Helper()
	tips := make([]events.Tip, streams)
	var all []events.Tip
	for i := range n {
		s := i % streams
		tips[s] = Append(t, log, tips[s], Commit(Stream(s), fmt.Sprint(i)))
		all = append(all, tips[s])
	}
	return all
}

func testAfter(t *testing.T, log eventlog.Log) {
	tips := fill(t, log, 9, 3)
	for i, tip := range tips {
		rest := Collect(t, log.All(t.Context(), tip.Position))
		if len(rest) != len(tips)-1-i {
			t.Errorf("%d commits stand after commit %d of %d", len(rest), i+1, len(tips))
		}
	}
	for after, want := range map[events.Revision]string{0: "1 4 7", 1: "4 7", 2: "7", 3: "", 99: ""} {
		if got := texts(Collect(t, log.Stream(t.Context(), Stream(1), after))); got != want {
			t.Errorf("after revision %d stands %q, want %q", after, got, want)
		}
	}
}

func testBreak(t *testing.T, log eventlog.Log) {
	fill(t, log, 9, 3)
	ctx := t.Context()
	for _, seq := range []iter.Seq2[events.Envelope, error]{log.All(ctx, 0), log.Stream(ctx, Stream(0), 0), log.Tail(ctx, 0)} {
		for range 2 { // an iterator may be used again
			count := 0
			for _, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				if count++; count == 2 {
					break
				}
			}
			if count != 2 {
				t.Errorf("read %d commits", count)
			}
		}
	}
}

func testCancelled(t *testing.T, log eventlog.Log) {
	fill(t, log, 3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Append(ctx, events.Tip{}, Commit(Stream(7), "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	for name, seq := range map[string]iter.Seq2[events.Envelope, error]{
		"All": log.All(ctx, 0), "Stream": log.Stream(ctx, Stream(0), 0), "Tail": log.Tail(ctx, 0),
	} {
		var last error
		for _, err := range seq {
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("%s ended with %v", name, last)
		}
	}
	if got := head(t, log); int(got) == 0 || len(Collect(t, log.Stream(t.Context(), Stream(7), 0))) != 0 {
		t.Errorf("a cancelled append has written")
	}
}

// tail reads a log in a goroutine until the context ends; the last thing in
// the channel is the error it ended with.
func tail(ctx context.Context, log eventlog.Log, after events.Position) <-chan result {
	out := make(chan result, 4096)
	go func() {
		defer close(out)
		for envelope, err := range log.Tail(ctx, after) {
			out <- result{envelope, err}
		}
	}()
	return out
}

type result struct {
	envelope events.Envelope
	err      error
}

func receive(t *testing.T, from <-chan result) result {
	t.Helper()
	select {
	case got, open := <-from:
		if !open {
			t.Fatal("the tail ended without an error")
		}
		return got
	case <-time.After(waitFor):
		t.Fatalf("nothing came within %v", waitFor)
	}
	return result{}
}

func testTail(t *testing.T, log eventlog.Log) {
	from := tail(t.Context(), log, 0)
	var tip events.Tip
	for i := range 50 {
		tip = Append(t, log, tip, Commit(Stream(1), fmt.Sprint(i)))
		got := receive(t, from)
		if got.err != nil || got.envelope.Tip() != tip {
			t.Fatalf("the tail gave %v (%v), want %v", got.envelope.Tip(), got.err, tip)
		}
	}
	late := receive(t, tail(t.Context(), log, tip.Position-1))
	if late.err != nil || late.envelope.Tip() != tip {
		t.Fatalf("a late tail gave %v (%v)", late.envelope.Tip(), late.err)
	}
}

func testTailEnds(t *testing.T, log eventlog.Log) {
	tips := fill(t, log, 3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	from := tail(ctx, log, tips[1].Position)
	receive(t, from)
	cancel()
	if got := receive(t, from); !errors.Is(got.err, context.Canceled) {
		t.Errorf("the tail ended with %v", got.err)
	}
}

func testClosed(t *testing.T, log eventlog.Log) {
	fill(t, log, 3, 1)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	ctx := t.Context()
	if _, err := log.Append(ctx, events.Tip{}, Commit(Stream(7), "x")); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := log.Head(ctx); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("head: %v", err)
	}
	for name, seq := range map[string]iter.Seq2[events.Envelope, error]{
		"All": log.All(ctx, 0), "Stream": log.Stream(ctx, Stream(0), 0), "Tail": log.Tail(ctx, 0),
	} {
		var last error
		for _, err := range seq {
			last = err
		}
		if !errors.Is(last, eventlog.ErrClosed) {
			t.Errorf("%s ended with %v", name, last)
		}
	}
}

func testCloseEndsTail(t *testing.T, log eventlog.Log) {
	tips := fill(t, log, 3, 1)
	from := tail(t.Context(), log, tips[1].Position)
	receive(t, from)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, from); !errors.Is(got.err, eventlog.ErrClosed) {
		t.Errorf("the tail ended with %v", got.err)
	}
}

// Each tip of one stream has exactly one winner, and who lost can read why.
func testWriters(t *testing.T, log eventlog.Log) {
	var (
		mu   sync.Mutex
		wins = map[events.Revision][]string{}
		all  sync.WaitGroup
	)
	for w := range raceWriters {
		all.Go(func() {
			var tip events.Tip
			for tip.Revision < raceCommits {
				text := fmt.Sprintf("%d.%d", w, tip.Revision+1)
				next, err := log.Append(t.Context(), tip, Commit(Stream(1), text))
				switch {
				case err == nil:
					mu.Lock()
					wins[next.Revision] = append(wins[next.Revision], text)
					mu.Unlock()
					tip = next
				case errors.Is(err, eventlog.ErrConflict):
					for envelope, err := range log.Stream(t.Context(), Stream(1), tip.Revision) {
						if err != nil {
							t.Error(err)
							return
						}
						tip = envelope.Tip()
					}
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, envelope := range Collect(t, log.Stream(t.Context(), Stream(1), 0)) {
		if got := wins[envelope.Revision]; len(got) != 1 || got[0] != Text(envelope) {
			t.Errorf("revision %d was won by %v and holds %q", envelope.Revision, got, Text(envelope))
		}
	}
}

// All readers see one order, each commit once, while writers write.
func testReadersAgree(t *testing.T, log eventlog.Log) {
	readers := []<-chan result{tail(t.Context(), log, 0), tail(t.Context(), log, 0)}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			var tip events.Tip
			for i := range readerCommits / 4 {
				var err error
				if tip, err = log.Append(t.Context(), tip, Commit(Stream(w), fmt.Sprintf("%d.%d", w, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var seen [2][]events.Tip
	for r, from := range readers {
		var last events.Position
		for range readerCommits {
			got := receive(t, from)
			if got.err != nil || got.envelope.Position <= last {
				t.Fatalf("reader %d got position %d after %d (%v)", r, got.envelope.Position, last, got.err)
			}
			last = got.envelope.Position
			seen[r] = append(seen[r], got.envelope.Tip())
		}
	}
	writers.Wait()
	var stored []events.Tip
	for _, envelope := range Collect(t, log.All(t.Context(), 0)) {
		stored = append(stored, envelope.Tip())
	}
	if !reflect.DeepEqual(seen[0], seen[1]) || !reflect.DeepEqual(seen[0], stored) {
		t.Error("two readers saw different logs")
	}
}

// What Append acknowledged, every reader that begins afterwards sees.
func testVisible(t *testing.T, log eventlog.Log) {
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			var tip events.Tip
			for i := range 10 {
				text := fmt.Sprintf("%d.%d", w, i)
				next, err := log.Append(t.Context(), tip, Commit(Stream(w), text))
				if err != nil {
					t.Error(err)
					return
				}
				if position, err := log.Head(t.Context()); err != nil || position < next.Position {
					t.Errorf("the head is %d after a commit at %d (%v)", position, next.Position, err)
				}
				for _, seq := range []iter.Seq2[events.Envelope, error]{
					log.Stream(t.Context(), Stream(w), tip.Revision), log.All(t.Context(), next.Position-1),
				} {
					got := events.Tip{}
					for envelope, err := range seq {
						if err != nil {
							t.Error(err)
						}
						got = envelope.Tip()
						break
					}
					if got != next {
						t.Errorf("after its append %v a reader saw %v", next, got)
					}
				}
				tip = next
			}
		})
	}
	writers.Wait()
}

func testReopen(t *testing.T, adapter Adapter) {
	log := adapter.Open(t)
	tips := fill(t, log, 100, 7)
	before := Collect(t, log.All(t.Context(), 0))
	log = adapter.Reopen(t, log)
	if after := Collect(t, log.All(t.Context(), 0)); !reflect.DeepEqual(before, after) {
		t.Fatalf("%d commits before, %d other ones after", len(before), len(after))
	}
	if head(t, log) != tips[99].Position {
		t.Errorf("the head is %d, want %d", head(t, log), tips[99].Position)
	}
	if _, err := log.Append(t.Context(), tips[92-7], Commit(Stream(1), "x")); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("append after an old tip: %v", err)
	}
	Append(t, log, tips[99], Commit(Stream(99%7), "more"))
	log = adapter.Reopen(t, log)
	if got := Collect(t, log.All(t.Context(), 0)); len(got) != 101 || Text(got[100]) != "more" {
		t.Errorf("%d commits after the second time", len(got))
	}
}
