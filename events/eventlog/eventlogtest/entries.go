package eventlogtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
)

// Restoring is how the suite fills the logs of an adapter. Each call of a
// function is about the same place, which is empty at first.
type Restoring struct {
	// Begin gives a restorer, as a process that starts does.
	Begin func() (eventlog.Restorer, error)
	// Open opens the place as a log, which the test closes.
	Open func() eventlog.Log
	// Keeps: what a restorer that was closed had put is kept for the next one.
	Keeps bool
}

// entriesOf reads entries to their end and copies them.
func entriesOf(t testing.TB, seq iter.Seq2[eventlog.Entry, error]) []eventlog.Entry {
	t.Helper()
	var all []eventlog.Entry
	for entry, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, eventlog.Entry{Position: entry.Position, Wire: bytes.Clone(entry.Wire)})
	}
	return all
}

func entryReader(t *testing.T, log eventlog.Log) eventlog.EntryReader {
	t.Helper()
	reader, can := log.(eventlog.EntryReader)
	if !can {
		t.Skip("this adapter gives no entries")
	}
	return reader
}

// testEntries: entries are the bytes whose hash a commit is known by.
func testEntries(t *testing.T, log eventlog.Log) {
	reader := entryReader(t, log)
	if got := entriesOf(t, reader.Entries(t.Context(), 0)); len(got) != 0 {
		t.Errorf("an empty log has %d entries", len(got))
	}
	fill(t, log, 9, 3)
	all := Collect(t, log.All(t.Context(), 0))
	for after := range len(all) + 1 {
		position := events.Position(0)
		if after > 0 {
			position = all[after-1].Position
		}
		got := entriesOf(t, reader.Entries(t.Context(), position))
		if len(got) != len(all)-after {
			t.Fatalf("after position %d stand %d entries and %d commits", position, len(got), len(all)-after)
		}
		for i, entry := range got {
			if want := all[after+i]; entry.Position != want.Position || sha256.Sum256(entry.Wire) != want.Hash {
				t.Errorf("the entry at %d is not the commit at %d", entry.Position, want.Position)
			}
		}
	}
	if got := entriesOf(t, reader.Entries(t.Context(), all[8].Position+1000)); len(got) != 0 {
		t.Errorf("behind the end stand %d entries", len(got))
	}
}

// testEntriesEnd: a reader of entries leaves early, is cancelled, and finds the
// log closed, as any other.
func testEntriesEnd(t *testing.T, log eventlog.Log) {
	reader := entryReader(t, log)
	fill(t, log, 5, 2)
	for range 2 {
		count := 0
		for _, err := range reader.Entries(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count == 2 {
				break
			}
		}
		if count != 2 {
			t.Errorf("read %d entries", count)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := endOf(reader.Entries(ctx, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reading ended with %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := endOf(reader.Entries(t.Context(), 0)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("a reading of a closed log ended with %v", err)
	}
}

func endOf[T any](seq iter.Seq2[T, error]) error {
	var last error
	for _, err := range seq {
		last = err
	}
	return last
}

// testBetween: a part of the log is what All gives of it.
func testBetween(t *testing.T, log eventlog.Log) {
	reader, can := log.(eventlog.RangeReader)
	if !can {
		t.Skip("this adapter reads to the end only")
	}
	tips := fill(t, log, 9, 3)
	for from := range tips {
		for to := range tips {
			got := Collect(t, reader.Between(t.Context(), tips[from].Position, tips[to].Position))
			if len(got) != max(0, to-from) || len(got) > 0 && got[len(got)-1].Tip() != tips[to] {
				t.Errorf("from commit %d to %d stand %q", from+1, to+1, texts(got))
			}
		}
	}
	if got := Collect(t, reader.Between(t.Context(), tips[6].Position, tips[8].Position+1000)); texts(got) != "7 8" {
		t.Errorf("beyond the end stand %q", texts(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := endOf(reader.Between(ctx, 0, tips[8].Position)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reading ended with %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := endOf(reader.Between(t.Context(), 0, tips[8].Position)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("a reading of a closed log ended with %v", err)
	}
}

// original gives a log to restore, and its entries.
func original(t *testing.T) (*memory.Log, []eventlog.Entry) {
	t.Helper()
	log := memory.New()
	fill(t, log, 9, 3)
	return log, entriesOf(t, log.Entries(t.Context(), 0))
}

// begin gives a restorer that has been asked what was kept.
func (r Restoring) begin(t *testing.T) (eventlog.Restorer, []eventlog.Entry) {
	t.Helper()
	into, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return into, entriesOf(t, into.Kept(t.Context()))
}

func put(t *testing.T, into eventlog.Restorer, entries []eventlog.Entry) {
	t.Helper()
	for _, entry := range entries {
		if err := into.Put(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
}

// holds checks that the place holds these entries and no others.
func (r Restoring) holds(t *testing.T, want []eventlog.Entry) {
	t.Helper()
	log := r.Open()
	got := entriesOf(t, entryReader(t, log).Entries(t.Context(), 0))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the log holds %d entries, %d were put", len(got), len(want))
	}
}

// testRestore: a log that was restored is the original, byte for byte, and goes
// on like it.
func testRestore(t *testing.T, r Restoring) {
	from, entries := original(t)
	into, kept := r.begin(t)
	if len(kept) != 0 {
		t.Fatalf("an empty place has kept %d entries", len(kept))
	}
	put(t, into, entries)
	if err := errors.Join(into.Finish(t.Context()), into.Close()); err != nil {
		t.Fatal(err)
	}
	r.holds(t, entries)
	log := r.Open()
	want := Collect(t, from.All(t.Context(), 0))
	if got := Collect(t, log.All(t.Context(), 0)); texts(got) != texts(want) || got[8].Tip() != want[8].Tip() {
		t.Errorf("the log reads %q", texts(got))
	}
	if got := Collect(t, log.Stream(t.Context(), Stream(1), 0)); texts(got) != "1 4 7" {
		t.Errorf("a stream reads %q", texts(got))
	}
	if _, err := log.Append(t.Context(), want[3].Tip(), Commit(Stream(0), "late")); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("an append after an old tip gave %v", err)
	}
	if tip := Append(t, log, want[6].Tip(), Commit(Stream(0), "next")); tip.Position <= want[8].Position || tip.Revision != want[6].Revision+1 {
		t.Errorf("the next commit is at %v", tip)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// testRestoreFull: a log that holds commits is not replaced.
func testRestoreFull(t *testing.T, r Restoring) {
	log := r.Open()
	fill(t, log, 2, 1)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if into, err := r.Begin(); err == nil {
		t.Error("a log that holds commits may be restored into")
		_ = into.Close()
	}
}

// testRestoreDiscarded: what was discarded is not there, and the place may be
// used.
func testRestoreDiscarded(t *testing.T, r Restoring) {
	_, entries := original(t)
	into, _ := r.begin(t)
	put(t, into, entries[:5])
	if err := errors.Join(into.Discard(), into.Close()); err != nil {
		t.Fatal(err)
	}
	again, kept := r.begin(t)
	if len(kept) != 0 {
		t.Errorf("%d entries were kept of what was discarded", len(kept))
	}
	put(t, again, entries)
	if err := errors.Join(again.Finish(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	r.holds(t, entries)
}

// testRestoreInterrupted: nobody sees a part; where it is kept it is the
// beginning of what was put, and the next restorer goes on behind it.
func testRestoreInterrupted(t *testing.T, r Restoring) {
	_, entries := original(t)
	into, _ := r.begin(t)
	put(t, into, entries[:5])
	if err := into.Close(); err != nil {
		t.Fatal(err)
	}
	again, kept := r.begin(t)
	if len(kept) > 5 || !r.Keeps && len(kept) > 0 || len(kept) > 0 && fmt.Sprint(kept) != fmt.Sprint(entries[:len(kept)]) {
		t.Fatalf("%d entries were kept of 5", len(kept))
	}
	put(t, again, entries[len(kept):])
	if err := errors.Join(again.Finish(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	r.holds(t, entries)
}
