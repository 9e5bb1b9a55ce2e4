package jetstream

import (
	"errors"
	"slices"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog/chain"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// readFiles gives what ReadFiles gives before its first error.
func readFiles(t *testing.T, dir string) (commits []events.Envelope, err error) {
	t.Helper()
	for envelope, err := range ReadFiles(t.Context(), dir) {
		if err != nil {
			return commits, err
		}
		commits = append(commits, envelope)
	}
	return commits, nil
}

// TestReadFilesOfAnOpenLog: what the log gives, its files give, while it is
// open and written to, and nothing is changed by it.
func TestReadFilesOfAnOpenLog(t *testing.T) {
	dir := t.TempDir()
	if _, err := readFiles(t, dir); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("a folder without a log: %v", err)
	}
	log := open(t, dir)
	var tip events.Tip
	for i := range 20 {
		tip = eventlogtest.Append(t, log, tip, eventlogtest.Commit(eventlogtest.Stream(0), string(rune('a'+i))))
		files, err := readFiles(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		all := eventlogtest.Collect(t, log.All(t.Context(), 0))
		if !slices.EqualFunc(files, all, func(a, b events.Envelope) bool { return a.Tip() == b.Tip() && a.Stream == b.Stream }) {
			t.Fatalf("after commit %d the files have %d commits, the log %d", i+1, len(files), len(all))
		}
	}
	for envelope, err := range ReadFiles(t.Context(), dir) {
		if err != nil || envelope.Position != 1 {
			t.Fatalf("position %d, %v", envelope.Position, err)
		}
		break // who wants no more is not told of an error
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	if files, err := readFiles(t, dir); err != nil || len(files) != 20 {
		t.Fatalf("%d commits, %v", len(files), err)
	}
	if before != listing(t, dir) {
		t.Error("the files were changed")
	}
}

// TestReadFilesLeavesOutWhatIsBeingWritten: half a record at the end is no
// commit yet.
func TestReadFilesLeavesOutWhatIsBeingWritten(t *testing.T) {
	dir, records := fiveCommits(t)
	if err := writeCheckpoint(dir, checkpoint{}); err != nil {
		t.Fatal(err)
	}
	last := records[4]
	for _, tail := range [][]byte{last[:1], last[:len(last)/2], last[:len(last)-1], make([]byte, 100)} {
		writeBlock(t, dir, append(slices.Clone(records[:4]), tail)...)
		if commits, err := readFiles(t, dir); err != nil || len(commits) != 4 {
			t.Errorf("with %d bytes of the last record: %d commits, %v", len(tail), len(commits), err)
		}
	}
}

// TestOpenShowsEveryCommit: who sees the log while it is opened sees what is in
// it, an incomplete record at its end not among it; a refusal ends the opening
// and changes nothing.
func TestOpenShowsEveryCommit(t *testing.T) {
	dir, records := fiveCommits(t)
	if err := writeCheckpoint(dir, checkpoint{}); err != nil {
		t.Fatal(err)
	}
	writeBlock(t, dir, append(slices.Clone(records[:4]), records[4][:20])...)
	before, refusal := listing(t, dir), errors.New("refused")
	_, err := Open(t.Context(), Options{Dir: dir, See: func(link chain.Link) error {
		if link.Position == 3 {
			return refusal
		}
		return nil
	}})
	if !errors.Is(err, refusal) || before != listing(t, dir) {
		t.Fatalf("%v; the files:\n%s\nwere\n%s", err, listing(t, dir), before)
	}
	var seen []events.Tip
	log, err := Open(t.Context(), Options{Dir: dir, See: func(link chain.Link) error {
		seen = append(seen, events.Tip{Revision: link.Revision, Position: link.Position, Hash: link.Hash})
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var held []events.Tip
	for _, envelope := range eventlogtest.Collect(t, log.All(t.Context(), 0)) {
		held = append(held, envelope.Tip())
	}
	if len(held) != 4 || !slices.Equal(seen, held) {
		t.Errorf("seen %v, the log holds %v", seen, held)
	}
}
