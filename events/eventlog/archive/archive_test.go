package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

var update = flag.Bool("update", false, "write the golden file")

// small gives a log of n commits in three streams.
func small(t testing.TB, n int) *memory.Log {
	t.Helper()
	log := memory.New()
	var tips [3]events.Tip
	for i := range n {
		s := i * i % 3
		tips[s] = eventlogtest.Append(t, log, tips[s], eventlogtest.Commit(eventlogtest.Stream(s), fmt.Sprint("commit ", i+1)))
	}
	return log
}

// fleet gives a log of a cell with that many sites.
func fleet(t testing.TB, sites int) *memory.Log {
	t.Helper()
	log := memory.New()
	tips := map[events.StreamID]events.Tip{}
	for commit := range eventlogtest.Fleet(sites) {
		tips[commit.Stream] = eventlogtest.Append(t, log, tips[commit.Stream], commit)
	}
	return log
}

func heads(last events.Position) ([]string, string) {
	return []string{fmt.Sprintf("a signed head of %d", last)}, "a key"
}

func export(t testing.TB, log eventlog.EntryReader, start Start) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(t.Context(), &out, start, log, heads); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// entries gives all of a log, copied.
func entries(t testing.TB, log eventlog.EntryReader) []eventlog.Entry {
	t.Helper()
	var all []eventlog.Entry
	for entry, err := range log.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, eventlog.Entry{Position: entry.Position, Wire: bytes.Clone(entry.Wire)})
	}
	return all
}

// given is a log that has these entries.
type given []eventlog.Entry

func (g given) Entries(_ context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		for _, entry := range g {
			if entry.Position > after && !yield(entry, nil) {
				return
			}
		}
	}
}

func (g given) Head(context.Context) (events.Position, error) {
	if len(g) == 0 {
		return 0, nil
	}
	return g[len(g)-1].Position, nil
}

func same(a, b eventlog.Entry) bool { return a.Position == b.Position && bytes.Equal(a.Wire, b.Wire) }

// read gives what a reader makes of an archive.
func read(t testing.TB, data []byte) ([]eventlog.Entry, Trailer, error) {
	t.Helper()
	r := NewReader(bytes.NewReader(data))
	var all []eventlog.Entry
	for batch, err := range r.Batches(t.Context()) {
		if err != nil {
			return all, Trailer{}, err
		}
		all = append(all, batch.Entries...)
	}
	return all, r.Trailer(), nil
}

// unpacked gives the frames of an archive: how well they are packed is not part
// of the format.
func unpacked(t *testing.T, data []byte) (frames []string) {
	t.Helper()
	s := scanner{in: bufio.NewReader(bytes.NewReader(data))}
	for {
		f, err := s.next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		plain, err := decoder.DecodeAll(f.packed, nil)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, string(f.kind)+string(plain))
	}
}

// TestGolden pins the format. The file is added to when there is a new format,
// and never changed.
func TestGolden(t *testing.T) {
	const file = "testdata/format-1.archive"
	log := small(t, 7)
	got := export(t, log, Start{})
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(unpacked(t, got), unpacked(t, want)) {
		t.Errorf("the archive is written otherwise than %s", file)
	}
	all, trailer, err := read(t, want)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(all, entries(t, log), same) {
		t.Error("the golden file holds other commits")
	}
	if trailer.Commits != 7 || trailer.Last != 7 {
		t.Errorf("trailer %+v", trailer)
	}
	for batch := range NewReader(bytes.NewReader(want)).Batches(t.Context()) {
		if batch.Heads == nil || len(batch.Heads.Notes) != 1 || batch.Heads.Notes[0] != "a signed head of 7" || batch.Heads.Key != "a key" {
			t.Errorf("heads %+v", batch.Heads)
		}
		break
	}
}

func TestEmptyLog(t *testing.T) {
	all, trailer, err := read(t, export(t, memory.New(), Start{}))
	if err != nil || len(all) != 0 || trailer.Commits != 0 || trailer.Last != 0 {
		t.Errorf("%d commits, %+v, %v", len(all), trailer, err)
	}
}

// Positions with gaps, commits that this version cannot decode, frames beyond
// one: all come back byte for byte.
func TestRoundTrip(t *testing.T) {
	var all []eventlog.Entry
	position := events.Position(0)
	for i, entry := range entries(t, fleet(t, 250)) {
		position += events.Position(1 + i%3*i)
		all = append(all, eventlog.Entry{Position: position, Wire: entry.Wire})
	}
	unknown := []byte(`{"format":1,"stream":"site/00000000-0000-4000-8000-00000000ffff","revision":1,"previous":"","command":"x","principal":"policy/newer","time":"2027-01-01T00:00:00Z"}` +
		"\nSiteCloned 7 {\"from\":\"x\"}\n")
	all = append(all, eventlog.Entry{Position: position + 1<<40, Wire: unknown})
	var out bytes.Buffer
	trailer, err := Write(t.Context(), &out, Start{}, given(all), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, read, err := read(t, out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, all, same) || read.Commits != uint64(len(all)) || read.Last != trailer.Last {
		t.Errorf("%d commits written, %d read, %+v", len(all), len(got), read)
	}
	if ratio := float64(len(entriesBytes(all))) / float64(out.Len()); ratio < 3 {
		t.Errorf("packed to a %.1fth only", ratio)
	}

	log := memory.New()
	restore(t, log, out.Bytes())
	if !slices.EqualFunc(entries(t, log), all, same) {
		t.Error("the log in memory holds something else")
	}
	if head, _ := log.Head(t.Context()); head != trailer.Last {
		t.Errorf("its head is %d", head)
	}
	if got := eventlogtest.Collect(t, log.All(t.Context(), trailer.Last-1)); len(got) != 1 || got[0].Position != trailer.Last {
		t.Errorf("behind the gap stands %v", got)
	}
}

func entriesBytes(all []eventlog.Entry) (data []byte) {
	for _, entry := range all {
		data = append(data, entry.Wire...)
	}
	return data
}

func restore(t testing.TB, log *memory.Log, data []byte) {
	t.Helper()
	into, err := memory.Restore(log)
	if err == nil {
		_, err = Import(t.Context(), NewReader(bytes.NewReader(data)), into, collect{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// From memory to disk to memory, through three archives that are the same
// bytes; and the log on disk goes on where the first one ended.
func TestOverAdapters(t *testing.T) {
	first := fleet(t, 60)
	archived := export(t, first, Start{})
	dir := filepath.Join(t.TempDir(), "log")
	into, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), NewReader(bytes.NewReader(archived)), into, collect{}); err != nil {
		t.Fatal(err)
	}
	if err := into.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if again := export(t, log, Start{}); !bytes.Equal(again, archived) {
		t.Error("the archive of the imported log is another one")
	}
	second := memory.New()
	restore(t, second, export(t, log, Start{}))
	if !bytes.Equal(export(t, second, Start{}), archived) {
		t.Error("the archive of the log in memory is another one")
	}
	stream := eventlogtest.FleetSite(3).Stream()
	was := eventlogtest.Collect(t, first.Stream(t.Context(), stream, 0))
	is := eventlogtest.Collect(t, log.Stream(t.Context(), stream, 0))
	if len(is) != len(was) || is[len(is)-1].Tip() != was[len(was)-1].Tip() {
		t.Fatalf("stream of %d commits, was %d", len(is), len(was))
	}
	for _, l := range []eventlog.Log{log, second} {
		tip := eventlogtest.Append(t, l, is[len(is)-1].Tip(), eventlogtest.Commit(stream, "next"))
		if head, _ := first.Head(t.Context()); tip.Position != head+1 {
			t.Errorf("the next commit stands at %d, the archive ends at %d", tip.Position, head)
		}
	}
	if _, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("restored into an open log: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir}); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restored into a log with commits: %v", err)
	}
	if _, err := memory.Restore(second); problem.KindOf(err) != problem.Conflict {
		t.Errorf("restored into a log with commits: %v", err)
	}
}

// A log whose positions have no gaps refuses an archive that has some, and
// stays empty.
func TestGapsRefused(t *testing.T) {
	all := entries(t, small(t, 5))
	all[4].Position = 9
	var out bytes.Buffer
	if _, err := Write(t.Context(), &out, Start{}, given(all), nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "log")
	into, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	_, err = Import(t.Context(), NewReader(&out), into, collect{})
	if problem.KindOf(err) != problem.Unsupported || !strings.Contains(err.Error(), "position 9 after 4") {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{dir, dir + ".import"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", filepath.Base(path), err)
		}
	}
}

// cutReader fails, or ends a context, behind n bytes.
type cutReader struct {
	in   io.Reader
	left int
	cut  func() error
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.cut()
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// An import that is interrupted goes on where it was, in another process too;
// of an archive that turns out to be damaged nothing is left.
func TestImportInterrupted(t *testing.T) {
	log := fleet(t, 400)
	archived := export(t, log, Start{})
	dir := filepath.Join(t.TempDir(), "log")
	try := func(ctx context.Context, in io.Reader) (int, error) {
		into, err := jetstream.Restore(ctx, jetstream.Options{Dir: dir})
		if err != nil {
			return 0, err
		}
		defer into.Close()
		counting := &counter{Restorer: into}
		_, err = Import(ctx, NewReader(in), counting, collect{})
		return counting.put, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, part := range []int{3, 2} {
		put, err := try(ctx, &cutReader{bytes.NewReader(archived), len(archived) * 9 / 10 / part, func() error { return errors.New("the cable was pulled") }})
		if problem.KindOf(err) != problem.Unavailable || put == 0 {
			t.Fatalf("%d commits, then %v", put, err)
		}
	}
	cancel()
	if _, err := try(ctx, bytes.NewReader(archived)); err == nil {
		t.Fatal("a cancelled import succeeded")
	}
	head, _ := log.Head(t.Context())
	put, err := try(t.Context(), bytes.NewReader(archived))
	if err != nil {
		t.Fatal(err)
	}
	if put >= int(head) {
		t.Errorf("all %d commits were written again", put)
	}
	files, err := jetstream.OpenFiles(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if !bytes.Equal(export(t, files, Start{}), archived) {
		t.Error("the log is another one")
	}
}

type counter struct {
	eventlog.Restorer
	put int
}

func (c *counter) Put(ctx context.Context, entry eventlog.Entry) error {
	c.put++
	return c.Restorer.Put(ctx, entry)
}

// Another archive than the one whose import was interrupted is refused, and
// what was kept stays.
func TestImportOfAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	one, other := export(t, fleet(t, 300), Start{}), export(t, small(t, 900), Start{})
	for i, data := range [][]byte{one, other} {
		into, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		in := io.Reader(bytes.NewReader(data))
		if i == 0 {
			in = &cutReader{in, len(data) * 3 / 4, func() error { return io.ErrNoProgress }}
		}
		_, err = Import(t.Context(), NewReader(in), into, collect{})
		_ = into.Close()
		if want := []problem.Kind{problem.Unavailable, problem.Conflict}[i]; problem.KindOf(err) != want {
			t.Errorf("import %d: %v", i, err)
		}
	}
	if _, err := os.Stat(dir + ".import"); err != nil {
		t.Error("what was kept is gone")
	}
}

// refused is a check that finds fault at the end.
type refused struct{ Check }

func (refused) Finish() error { return problem.New(problem.Conflict, "the heads do not fit") }

func TestImportRefusedByCheck(t *testing.T) {
	archived := export(t, small(t, 20), Start{})
	dir := filepath.Join(t.TempDir(), "log")
	into, err := jetstream.Restore(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	if _, err := Import(t.Context(), NewReader(bytes.NewReader(archived)), into, refused{collect{}}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
}

// An export is interrupted behind any byte: what Scan finds, and another part
// behind it, is the whole log again.
func TestExportInterrupted(t *testing.T) {
	log := small(t, 40)
	var parts [][]byte
	var start Start
	for _, until := range []events.Position{15, 27, 40} {
		var out bytes.Buffer
		all := entries(t, log)[:until]
		if _, err := Write(t.Context(), &out, start, given(all), nil); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, out.Bytes())
		extent, err := Scan(bytes.NewReader(slices.Concat(parts...)))
		if err != nil || !extent.Complete || extent.Start.After != until || extent.Bytes != int64(len(slices.Concat(parts...))) {
			t.Fatalf("%+v, %v", extent, err)
		}
		start = extent.Start
	}
	whole := slices.Concat(parts...)
	want := entries(t, log)
	if all, _, err := read(t, whole); err != nil || !slices.EqualFunc(all, want, same) {
		t.Fatalf("%d commits in three parts, %v", len(all), err)
	}
	for cut := range len(whole) {
		extent, err := Scan(bytes.NewReader(whole[:cut]))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		resumed := slices.Concat(whole[:extent.Bytes], export(t, log, extent.Start))
		all, trailer, err := read(t, resumed)
		if err != nil || !slices.EqualFunc(all, want, same) || trailer.Last != 40 {
			t.Fatalf("cut at %d, gone on at %d after %d: %d commits, %v", cut, extent.Bytes, extent.Start.After, len(all), err)
		}
	}
}

// A part that is put behind another log's, or leaves something out, is noticed.
func TestPartsThatDoNotFit(t *testing.T) {
	log := small(t, 30)
	all := entries(t, log)
	part := func(start Start, all []eventlog.Entry) []byte {
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, start, given(all), nil); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	first := part(Start{}, all[:10])
	extent, err := Scan(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	second := part(extent.Start, all[10:20])
	wrong := extent.Start
	wrong.Hash[3] ^= 1
	for name, data := range map[string][]byte{
		"the first left out":   second,
		"twice":                slices.Concat(first, second, second),
		"the wrong way round":  slices.Concat(second, first),
		"of another log":       slices.Concat(first, part(wrong, all[10:])),
		"a gap":                slices.Concat(first, part(Start{events.Position(11), extent.Start.Hash}, all[11:])),
		"the first once more":  slices.Concat(first, first),
		"something behind it":  slices.Concat(first, []byte("x")),
		"a line behind it":     slices.Concat(first, []byte(magic)),
		"a newer part":         slices.Concat(first, []byte("pantheon archive 2\n")),
		"an older log's start": slices.Concat(first, part(Start{}, all[10:])),
	} {
		if _, _, err := read(t, data); err == nil {
			t.Errorf("%s: nobody noticed", name)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	for text, want := range map[string]problem.Kind{
		"":                               problem.Invalid,
		"PK\x03\x04 and a zip":           problem.Invalid,
		"pantheon archive":               problem.Invalid,
		"pantheon archive x\n":           problem.Invalid,
		"pantheon archive 1\n":           problem.Conflict,
		"pantheon archive 2\nwho knows":  problem.Unsupported,
		"pantheon archive 17\nwho knows": problem.Unsupported,
	} {
		_, _, err := read(t, []byte(text))
		if text == "pantheon archive" && problem.KindOf(err) == problem.Conflict {
			continue // a beginning of one
		}
		if problem.KindOf(err) != want || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v (%s), want %s", text, err, problem.KindOf(err), want)
		}
	}
}
