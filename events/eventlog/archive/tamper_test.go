package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

// collect is a check that accepts everything.
type collect struct{}

func (collect) Add([]chain.Link) error { return nil }
func (collect) Finish() error          { return nil }
func (collect) Heads(Heads) error      { return nil }

// manyFrames writes an archive with a frame for each commits commits.
func manyFrames(t testing.TB, all []eventlog.Entry, commits int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := &writer{out: &out}
	if err := w.begin(Start{}, nil, 0); err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(all, commits) {
		var b batch
		for _, entry := range chunk {
			b.add(entry)
		}
		plain := b.plain()
		if err := w.frame(frame{kindCommits, len(plain), compress(plain)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.json(kindTrailer, Trailer{Commits: uint64(len(all)), Last: all[len(all)-1].Position}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// boundaries gives where each frame of an archive of one part begins, and its
// end.
func boundaries(data []byte) []int {
	at := []int{0, len(magic)}
	for at[len(at)-1] < len(data) {
		start := at[len(at)-1]
		at = append(at, start+frameHeadBytes+int(binary.LittleEndian.Uint32(data[start+1:])))
	}
	return at
}

// mustNotice reads what was done to an archive: an error, and nothing given
// that the archive did not hold in this order.
func mustNotice(t *testing.T, what string, data []byte, was []eventlog.Entry) error {
	t.Helper()
	all, _, err := read(t, data)
	if err == nil {
		t.Errorf("%s: nobody noticed", what)
		return nil
	}
	if len(all) > len(was) || !slices.EqualFunc(all, was[:len(all)], same) {
		t.Errorf("%s: %d commits were given that do not stand there", what, len(all))
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: more than one line: %v", what, err)
	}
	log := memory.New()
	into, _ := memory.Restore(log)
	if _, err := Import(t.Context(), NewReader(bytes.NewReader(data)), into, collect{}); err == nil {
		t.Errorf("%s: it was imported", what)
	}
	if head, _ := log.Head(t.Context()); head != 0 {
		t.Errorf("%s: the log holds %d commits", what, head)
	}
	return err
}

func TestEveryByteFlipped(t *testing.T) {
	all := entries(t, small(t, 12))
	data := manyFrames(t, all, 3)
	for i := range data {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(data)
			changed[i] ^= bit
			mustNotice(t, fmt.Sprintf("bit %02x of byte %d", bit, i), changed, all)
		}
	}
}

// Cut anywhere, and at every boundary with one byte less and one more.
func TestTruncated(t *testing.T) {
	all := entries(t, small(t, 12))
	data := manyFrames(t, all, 3)
	cuts := []int{}
	for _, at := range boundaries(data) {
		cuts = append(cuts, at-1, at, at+1)
	}
	for i := range 200 {
		cuts = append(cuts, i*len(data)/200)
	}
	for _, cut := range cuts {
		if cut >= 0 && cut < len(data) {
			mustNotice(t, fmt.Sprintf("cut at %d of %d", cut, len(data)), data[:cut], all)
		}
	}
	mustNotice(t, "a byte more", append(bytes.Clone(data), 0), all)
}

func TestFramesMoved(t *testing.T) {
	all := entries(t, small(t, 12))
	data := manyFrames(t, all, 3)
	at := boundaries(data)
	var frames [][]byte
	for i := range len(at) - 1 {
		frames = append(frames, data[at[i]:at[i+1]])
	}
	for i := range frames {
		mustNotice(t, fmt.Sprintf("piece %d left out", i), slices.Concat(slices.Concat(frames[:i]...), slices.Concat(frames[i+1:]...)), all)
		mustNotice(t, fmt.Sprintf("piece %d twice", i), slices.Concat(slices.Concat(frames[:i+1]...), slices.Concat(frames[i:]...)), all)
		for j := range i {
			swapped := slices.Clone(frames)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			mustNotice(t, fmt.Sprintf("pieces %d and %d swapped", i, j), slices.Concat(swapped...), all)
		}
	}
}

// brokenAt gives the position that an error names.
func brokenAt(err error) events.Position {
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) {
		return 0
	}
	return broken.Position
}

// forge makes a right archive, checksums and all, of commits that were tampered
// with, but keeps the hashes that they were written with.
func forge(t *testing.T, all []eventlog.Entry, written []eventlog.Entry) []byte {
	t.Helper()
	var b batch
	for _, entry := range all {
		b.add(entry)
	}
	plain := b.plain()
	for i := range all {
		sum := sha256.Sum256(written[i].Wire)
		copy(plain[1+8*i:], sum[:8])
	}
	var out bytes.Buffer
	w := &writer{out: &out}
	err := errors.Join(w.begin(Start{}, nil, 0), w.frame(frame{kindCommits, len(plain), compress(plain)}),
		w.json(kindTrailer, Trailer{Commits: uint64(len(all)), Last: all[len(all)-1].Position}))
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Somebody who knows the format, but not that it holds the commits' hashes: the
// very commit is named.
func TestChangedCommitIsNamed(t *testing.T) {
	written := entries(t, small(t, 30))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range written {
		changed := slices.Clone(written)
		wire := bytes.Clone(written[i].Wire)
		wire[random.IntN(len(wire))] ^= byte(1 << random.IntN(7))
		changed[i].Wire = wire
		if at := brokenAt(mustNotice(t, fmt.Sprint("commit ", i+1), forge(t, changed, written), written)); at != written[i].Position {
			t.Errorf("commit %d changed, position %d named", written[i].Position, at)
		}
	}
}

// Somebody who knows all of the format: whatever has a successor in its stream
// is still found, by the chain.
func TestChainFindsForgery(t *testing.T) {
	written := entries(t, small(t, 30))
	forged := func(all []eventlog.Entry) []byte { return forge(t, all, all) }
	numbered := func(all []eventlog.Entry) []eventlog.Entry {
		for i := range all {
			all[i].Position = events.Position(i + 1)
		}
		return all
	}
	for i := range len(written) - 6 { // the newest commits of the streams have no successor
		changed := slices.Clone(written)
		changed[i].Wire = bytes.Replace(changed[i].Wire, []byte("policy/"), []byte("person/"), 1)
		if _, _, err := read(t, forged(changed)); brokenAt(err) <= written[i].Position {
			t.Errorf("commit %d changed: %v", i+1, err)
		}
		if _, _, err := read(t, forged(numbered(slices.Delete(slices.Clone(written), i, i+1)))); brokenAt(err) == 0 {
			t.Errorf("commit %d removed: %v", i+1, err)
		}
		if _, _, err := read(t, forged(numbered(slices.Insert(slices.Clone(written), i, written[i])))); brokenAt(err) == 0 {
			t.Errorf("commit %d repeated: %v", i+1, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	build := func(frames ...frame) []byte {
		data, sum := []byte(magic), checksum{}
		for _, f := range frames {
			data, sum = f.appendTo(data, sum)
		}
		return data
	}
	pack := func(kind byte, text string) frame { return frame{kind, len(text), compress([]byte(text))} }
	head, end := pack(kindHeader, `{"after":0}`), pack(kindTrailer, `{"commits":0,"last":0}`)
	if _, _, err := read(t, build(head, end)); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"no header":            build(end),
		"two headers":          build(head, head, end),
		"an unknown kind":      build(head, pack('x', "?"), end),
		"a kind of a newer h":  build(pack(kindHeader, `{"after":0,"moon":true}`), end),
		"a wrong count":        build(head, pack(kindTrailer, `{"commits":1,"last":0}`)),
		"a wrong end":          build(head, pack(kindTrailer, `{"commits":0,"last":7}`)),
		"a trailer that isn't": build(head, pack(kindTrailer, `[]`)),
		"an empty batch":       build(head, pack(kindCommits, "\x00"), end),
		"a huge batch":         build(head, pack(kindCommits, "\xff\xff\xff\xff\x7f"), end),
		"no content":           build(head, pack(kindCommits, ""), end),
		"a wrong plain length": build(head, frame{kindTrailer, end.plain + 1, end.packed}),
		"a bomb":               build(head, frame{kindCommits, maxPlainBytes, compress(make([]byte, 64<<20))}, end),
		"nothing but bytes":    build(head, frame{kindCommits, 100, []byte("not zstd at all")}, end),
	} {
		if _, _, err := read(t, data); problem.KindOf(err) != problem.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReader: whatever stands in a file, reading it ends with a word on it, and
// what it gives can be written and read again.
func FuzzReader(f *testing.F) {
	all := entries(f, small(f, 9))
	whole := manyFrames(f, all, 4)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Scan(bytes.NewReader(data))
		got, _, err := read(t, data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, Start{}, given(got), nil); err != nil {
			t.Fatal(err)
		}
		if again, _, err := read(t, out.Bytes()); err != nil || !slices.EqualFunc(again, got, same) {
			t.Fatalf("%d commits read, then %d, %v", len(got), len(again), err)
		}
	})
}

// FuzzBatch: the same for the content of a frame, which a checksum keeps the
// fuzzer of whole files out of.
func FuzzBatch(f *testing.F) {
	var b batch
	for _, entry := range entries(f, small(f, 5)) {
		b.add(entry)
	}
	f.Add(b.plain())
	f.Fuzz(func(t *testing.T, data []byte) {
		all, seals, err := parseBatch(data)
		if err != nil {
			return
		}
		var b batch
		for _, entry := range all {
			b.add(entry)
		}
		again, _, err := parseBatch(b.plain())
		if err != nil || len(seals) != len(all) || !slices.EqualFunc(again, all, same) {
			t.Fatalf("%d entries, then %d, %v", len(all), len(again), err)
		}
	})
}
