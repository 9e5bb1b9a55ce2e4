package projections_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/pmap"
)

// tally is a small view: how often each stream was seen, and how many commits
// in all. Its fold counts how often it was called.
type tally struct {
	edit    *pmap.Edit
	streams pmap.Map[string, int]
	commits uint64
	calls   *atomic.Int64
}

func (s tally) Apply(envelope events.Envelope) tally {
	if s.calls != nil {
		s.calls.Add(1)
	}
	s.streams = s.streams.Set(s.edit, envelope.Stream.String(), s.streams.At(envelope.Stream.String())+1)
	s.commits++
	return s
}

func (s tally) Edit() tally { s.edit = &pmap.Edit{}; return s }
func (s tally) Seal() tally { s.edit = nil; return s }

func (s tally) Save() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for stream, n := range s.streams.All() {
			if !yield(fmt.Appendf(nil, "%d %s", n, stream), nil) {
				return
			}
		}
	}
}

func (s tally) Load(records iter.Seq2[[]byte, error]) (tally, error) {
	for record, err := range records {
		if err != nil {
			return s, err
		}
		var n int
		var stream string
		if _, err := fmt.Sscanf(string(record), "%d %s", &n, &stream); err != nil {
			return s, err
		}
		s.streams = s.streams.Set(nil, stream, n)
		s.commits += uint64(n)
	}
	return s, nil
}

// sum adds up what the streams were seen; it must be commits in every state a
// reader gets.
func (s tally) sum() (n uint64) {
	for _, seen := range s.streams.All() {
		n += uint64(seen)
	}
	return n
}

func fill(t testing.TB, log *memory.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		stream := eventlogtest.Stream(i % 7)
		var tip events.Tip
		for envelope, err := range log.Stream(t.Context(), stream, 0) {
			if err != nil {
				t.Fatal(err)
			}
			tip = envelope.Tip()
		}
		eventlogtest.Append(t, log, tip, eventlogtest.Commit(stream, fmt.Sprint(i)))
	}
}

// bench is a runner of one tally under test.
type bench struct {
	t      *testing.T
	view   *projections.View[tally]
	runner *projections.Runner
	calls  atomic.Int64
	logged bytes.Buffer
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, log projections.Log, store projections.Store, version int) *bench {
	t.Helper()
	b := &bench{t: t, done: make(chan error, 1)}
	b.runner = projections.NewRunner(projections.Options{
		Log: log, Store: store, Logger: slog.New(slog.NewTextHandler(&b.logged, nil)),
	})
	b.view = projections.Add(b.runner, projections.Projection[tally]{Name: "tally", Version: version, Empty: tally{calls: &b.calls}})
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() { b.done <- b.runner.Run(ctx) }()
	t.Cleanup(cancel)
	if err := b.runner.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// stop ends the runner, and gives what it logged.
func (b *bench) stop() string {
	b.t.Helper()
	b.cancel()
	if err := <-b.done; !errors.Is(err, context.Canceled) {
		b.t.Fatalf("the runner ended with %v", err)
	}
	return b.logged.String()
}

func TestLive(t *testing.T) {
	log := memory.New()
	b := start(t, log, nil, 1)
	for i := range 50 {
		fill(t, log, i, i+1)
		position, _ := log.Head(t.Context())
		if err := b.view.Wait(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		if state, at := b.view.Load(); at != position || state.commits != uint64(i+1) || b.view.Snapshot().commits != state.commits {
			t.Fatalf("%d commits at position %d, want %d", state.commits, at, i+1)
		}
	}
	b.stop()
}

func TestReplayThenLive(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 500)
	b := start(t, log, nil, 1)
	if state, at := b.view.Load(); at != 500 || state.commits != 500 || state.sum() != 500 {
		t.Fatalf("ready with %d commits at %d", state.commits, at)
	}
	old := b.view.Snapshot()
	fill(t, log, 500, 510)
	if err := b.view.Wait(t.Context(), 510); err != nil {
		t.Fatal(err)
	}
	if old.commits != 500 || old.sum() != 500 {
		t.Fatal("what a reader holds has changed")
	}
	b.stop()
}

// newerLog gives its commits with one more event, of a newer version.
type newerLog struct{ *memory.Log }

func (l newerLog) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range l.Log.Tail(ctx, after) {
			envelope.Events = append(slices.Clip(envelope.Events), events.Unknown{Name: "HostLevitated", Version: 3})
			if !yield(envelope, err) {
				return
			}
		}
	}
}

// Events of a newer version count as seen, and are told of once.
func TestEventsOfANewerVersion(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 20)
	b := start(t, newerLog{log}, nil, 1)
	if state, at := b.view.Load(); at != 20 || state.commits != 20 {
		t.Errorf("%d commits at %d", state.commits, at)
	}
	said := b.stop()
	if strings.Count(said, "HostLevitated") != 1 || !strings.Contains(said, "version=3") || !strings.Contains(said, "run that version") {
		t.Errorf("it said:\n%s", said)
	}
}

func TestSnapshot(t *testing.T) {
	log, store := memory.New(), projections.Files{Dir: filepath.Join(t.TempDir(), "views")}
	fill(t, log, 0, 100)
	start(t, log, store, 1).stop()
	fill(t, log, 100, 130)
	b := start(t, log, store, 1)
	if state, at := b.view.Load(); at != 130 || state.commits != 130 || state.sum() != 130 {
		t.Fatalf("%d commits at %d", state.commits, at)
	}
	if calls := b.calls.Load(); calls != 30 {
		t.Errorf("%d commits were folded again, want 30", calls)
	}
	if logged := b.stop(); logged != "" {
		t.Errorf("logged %s", logged)
	}
	// Nothing new: all from the snapshot, at once.
	b = start(t, log, store, 1)
	if state, at := b.view.Load(); at != 130 || state.commits != 130 || b.calls.Load() != 0 {
		t.Errorf("%d commits at %d after %d calls", state.commits, at, b.calls.Load())
	}
	b.stop()
}

// A snapshot that does not fit is as good as none, and the log says why.
func TestSnapshotThatDoesNotFit(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string, log *memory.Log) (*memory.Log, int){
		"another version": func(_ *testing.T, _ string, log *memory.Log) (*memory.Log, int) { return log, 2 },
		"another log": func(t *testing.T, _ string, _ *memory.Log) (*memory.Log, int) {
			other := memory.New()
			fill(t, other, 1, 101)
			return other, 1
		},
		"a shorter log": func(t *testing.T, _ string, _ *memory.Log) (*memory.Log, int) {
			other := memory.New()
			fill(t, other, 0, 50)
			return other, 1
		},
		"an empty file": func(t *testing.T, file string, log *memory.Log) (*memory.Log, int) {
			return log, write(t, file, nil)
		},
		"another view's file": func(t *testing.T, file string, log *memory.Log) (*memory.Log, int) {
			return log, write(t, file, bytes.Replace(read(t, file), []byte("tally"), []byte("talli"), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, store := memory.New(), projections.Files{Dir: t.TempDir()}
			fill(t, log, 0, 100)
			start(t, log, store, 1).stop()
			log, version := spoil(t, filepath.Join(store.Dir, "tally.snapshot"), log)
			checkRebuilt(t, log, store, version)
		})
	}
}

// checkRebuilt starts on a snapshot that must not be used.
func checkRebuilt(t *testing.T, log *memory.Log, store projections.Store, version int) {
	t.Helper()
	b := start(t, log, store, version)
	head, _ := log.Head(t.Context())
	if state, at := b.view.Load(); at != head || state.commits != uint64(head) || b.calls.Load() != int64(head) {
		t.Errorf("%d commits at %d, %d calls, want %d", state.commits, at, b.calls.Load(), head)
	}
	if logged := b.stop(); !strings.Contains(logged, "rebuilt") {
		t.Errorf("logged %q", logged)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// write replaces a file; it gives version 1 for the table above.
func write(t *testing.T, file string, data []byte) int {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return 1
}

// Whichever byte of a snapshot is wrong or missing, it is not used.
func TestSnapshotDamaged(t *testing.T) {
	log, store := memory.New(), projections.Files{Dir: t.TempDir()}
	fill(t, log, 0, 30)
	start(t, log, store, 1).stop()
	file := filepath.Join(store.Dir, "tally.snapshot")
	whole := read(t, file)
	load := func() error {
		return store.Load(t.Context(), "tally", func(header projections.Header, records iter.Seq2[[]byte, error]) error {
			if header.Position != 30 {
				return errors.New("another position")
			}
			_, err := tally{}.Load(records)
			return err
		})
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		write(t, file, damaged)
		if load() == nil {
			t.Errorf("byte %d of %d flipped, and nobody noticed", i, len(whole))
		}
		write(t, file, whole[:i])
		if load() == nil {
			t.Errorf("cut at %d of %d, and nobody noticed", i, len(whole))
		}
	}
	// A length that claims the memory of the machine.
	head, _, _ := bytes.Cut(whole, []byte{'\n'})
	write(t, file, binary.AppendUvarint(append(head, '\n'), 1<<60))
	if load() == nil {
		t.Error("a record of 2^60 bytes")
	}
}

// A store that cannot be written costs a replay, nothing else.
func TestStoreThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "views")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log := memory.New()
	fill(t, log, 0, 10)
	b := start(t, log, projections.Files{Dir: dir}, 1)
	if logged := b.stop(); !strings.Contains(logged, "cannot save a view") {
		t.Errorf("logged %q", logged)
	}
}

func TestViewsAtDifferentPositions(t *testing.T) {
	log, store := memory.New(), projections.Files{Dir: t.TempDir()}
	fill(t, log, 0, 40)
	start(t, log, store, 1).stop()
	fill(t, log, 40, 50)
	runner := projections.NewRunner(projections.Options{Log: log, Store: store})
	old := projections.Add(runner, projections.Projection[tally]{Name: "tally", Version: 1})
	var calls atomic.Int64
	fresh := projections.Add(runner, projections.Projection[tally]{Name: "fresh", Version: 1, Empty: tally{calls: &calls}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	if err := errors.Join(old.Wait(t.Context(), 50), fresh.Wait(t.Context(), 50)); err != nil {
		t.Fatal(err)
	}
	if old.Snapshot().commits != 50 || fresh.Snapshot().commits != 50 || calls.Load() != 50 {
		t.Errorf("%d and %d commits", old.Snapshot().commits, fresh.Snapshot().commits)
	}
	cancel()
	<-done
}

// brokenLog fails behind some position.
type brokenLog struct {
	*memory.Log
	after int
}

var errBroken = errors.New("broken on purpose")

func (l brokenLog) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		n := 0
		for envelope, err := range l.Log.Tail(ctx, after) {
			if n++; n > l.after {
				yield(events.Envelope{}, errBroken)
				return
			}
			if !yield(envelope, err) {
				return
			}
		}
	}
}

// When the log breaks, the views stay as they are, and nobody waits for ever.
func TestLogBreaks(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 20)
	runner := projections.NewRunner(projections.Options{Log: brokenLog{log, 10}})
	view := projections.Add(runner, projections.Projection[tally]{Name: "tally", Version: 1})
	waited := make(chan error, 1)
	go func() { waited <- view.Wait(t.Context(), 15) }()
	if err := runner.Run(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("Run ended with %v", err)
	}
	for what, err := range map[string]error{"a wait before": <-waited, "a wait after": view.Wait(t.Context(), 11), "Ready": runner.Ready(t.Context())} {
		if !errors.Is(err, errBroken) || problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s gave %v", what, err)
		}
	}
	if err := view.Wait(t.Context(), 10); err != nil || view.Snapshot().commits != 10 {
		t.Errorf("the view holds %d commits (%v)", view.Snapshot().commits, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	log := memory.New()
	b := start(t, log, nil, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := b.view.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	fill(t, log, 0, 1)
	if err := b.view.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.stop()
}

// Readers on all sides see whole states while the fold goes on, and each
// writer its own commit.
func TestReadersAndWriters(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 7)
	b := start(t, log, nil, 1)
	ended := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var last events.Position
			for {
				state, at := b.view.Load()
				if state.commits != uint64(at) || state.sum() != state.commits || at < last {
					t.Errorf("position %d after %d with %d commits, of which %d are in the streams", at, last, state.commits, state.sum())
					return
				}
				last = at
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			stream := eventlogtest.Stream(100 + w)
			var tip events.Tip
			for i := range 100 {
				var err error
				if tip, err = log.Append(t.Context(), tip, eventlogtest.Commit(stream, fmt.Sprint(i))); err == nil {
					err = b.view.Wait(t.Context(), tip.Position)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if got := b.view.Snapshot().streams.At(stream.String()); got != i+1 {
					t.Errorf("a writer sees %d of its %d commits", got, i+1)
				}
			}
		})
	}
	writers.Wait()
	close(ended)
	readers.Wait()
	b.stop()
}

func TestObserve(t *testing.T) {
	log := memory.New()
	fill(t, log, 0, 3)
	var mu sync.Mutex
	seen := map[string]events.Position{}
	runner := projections.NewRunner(projections.Options{Log: log, Observe: func(view string, position events.Position) {
		mu.Lock()
		defer mu.Unlock()
		seen[view] = position
	}})
	view := projections.Add(runner, projections.Projection[tally]{Name: "tally", Version: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	if err := view.Wait(ctx, 3); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	mu.Lock()
	defer mu.Unlock()
	if seen["tally"] != 3 {
		t.Errorf("observed %v", seen)
	}
}
