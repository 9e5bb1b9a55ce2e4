package jetstream

import (
	"slices"
	"testing"

	"pantheon/events"
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
