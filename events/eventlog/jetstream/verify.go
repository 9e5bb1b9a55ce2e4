package jetstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"

	"pantheon/events"
	"pantheon/events/problem"
)

// Verify reads the whole log of a data folder's log directory, which no process
// has open, and changes nothing: checksums, order, chains, checkpoint, and that
// every event can be decoded. It gives the last position, and an
// *eventlog.BrokenError naming the position where the log breaks.
func Verify(ctx context.Context, dir string) (events.Position, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	v, err := verify(ctx, dir, true)
	if err != nil {
		return 0, err
	}
	return events.Position(v.index.last), nil
}

// verification goes over a log in order.
type verification struct {
	index  *index
	tips   map[streamKey]streamMark
	digest digest
	point  checkpoint
	torn   string // what an unfinished record at the end looks like
}

// streamKey is a subject's SHA-256, cut: a million names would be most of the
// memory.
type streamKey [16]byte

// streamMark is the end of one stream. Half a hash keeps accidents and forgery
// out as well as the whole one would, for the price of half.
type streamMark struct {
	revision uint64
	hash     [16]byte
}

// digest folds the hashes of all commits in order of their positions.
type digest events.Hash

func (d digest) next(commit events.Hash) digest {
	var both [64]byte
	copy(both[:32], d[:])
	copy(both[32:], commit[:])
	return sha256.Sum256(both[:])
}

// verify checks a log; deep decodes every event too.
func verify(ctx context.Context, dir string, deep bool) (*verification, error) {
	point, err := readCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	numbers, err := blockNumbers(dir)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the log in %s", dir)
	}
	v := &verification{index: &index{dir: dir}, tips: map[streamKey]streamMark{}, point: point}
	if err := v.blocks(ctx, numbers, deep); err != nil {
		return nil, err
	}
	v.tips = nil
	if v.index.last < point.Position {
		return nil, broken(v.index.last+1, fmt.Sprintf("the log ends here, but position %d was acknowledged", point.Position))
	}
	return v, nil
}

// blocks scans the files on all cores and takes their results in order.
func (v *verification) blocks(ctx context.Context, numbers []int, deep bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pending := make(chan chan scanned, runtime.GOMAXPROCS(0))
	go func() {
		defer close(pending)
		for _, number := range numbers {
			result := make(chan scanned, 1)
			select {
			case pending <- result:
				go func() { result <- scanBlock(v.index.dir, number, deep) }()
			case <-ctx.Done():
				return
			}
		}
	}()
	for i := range numbers {
		result, open := <-pending
		if !open {
			return ctx.Err()
		}
		if err := v.take(<-result, i == len(numbers)-1); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// scanned is one block file as a scan found it.
type scanned struct {
	block   *block
	commits []scannedCommit
	// err is why the scan ended before the file did; atEnd says that nothing
	// follows that could be a record.
	err   error
	atEnd bool
}

type scannedCommit struct {
	position uint64
	stream   streamKey
	revision uint64
	previous events.Hash
	hash     events.Hash
}

// scanBlock reads one file and checks what can be checked without the others.
func scanBlock(dir string, number int, deep bool) scanned {
	result := scanned{block: &block{number: number, sum: blockHash(number)}}
	file, err := os.Open(blockPath(dir, number))
	if err != nil {
		result.err = err
		return result
	}
	defer file.Close()
	s := &scanner{file: file, sum: blockHash(number), chunk: chunkBytes}
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return result
		}
		if err != nil {
			result.err, result.atEnd = err, s.nothingFollows()
			return result
		}
		if r.position&tombstoneFlag != 0 {
			result.block.size += uint32(r.bytes)
			continue
		}
		commit, err := scanRecord(r, deep)
		if err == nil && len(result.commits) > 0 && commit.position != result.commits[len(result.commits)-1].position+1 {
			err = fmt.Errorf("position %d stands in its place", commit.position&^erasedFlag)
		}
		if err != nil {
			result.err = err
			return result
		}
		result.commits = append(result.commits, commit)
		result.block.offsets = append(result.block.offsets, result.block.size)
		result.block.size += uint32(r.bytes)
	}
}

// nothingFollows says whether the record that could not be read is the last
// thing in the file: incomplete, reaching exactly to the end, or zeros, which a
// file system may give for bytes that were not written before the power went.
func (s *scanner) nothingFollows() bool {
	for !s.ended {
		if err := s.fill(); err != nil {
			return false
		}
	}
	_, err := parseRecord(s.buf[s.start:], s.sum)
	if errors.Is(err, errShort) {
		return true
	}
	rest := s.buf[s.start:]
	if len(bytes.Trim(rest, "\x00")) == 0 {
		return true
	}
	return len(rest) >= 4 && int(uint32(rest[0])|uint32(rest[1])<<8|uint32(rest[2])<<16|uint32(rest[3]&0x7f)<<24) == len(rest)
}

func scanRecord(r record, deep bool) (scannedCommit, error) {
	commit := scannedCommit{position: r.position, hash: sha256.Sum256(r.message)}
	name, fast := commit.chain(r.message)
	if !fast || deep {
		envelope, err := events.Decode(r.message)
		if err != nil {
			return commit, err
		}
		name = []byte(envelope.Stream.String())
		commit.revision, commit.previous = uint64(envelope.Revision), envelope.Previous
	}
	kind, id, _ := bytes.Cut(name, []byte{'/'})
	if !r.isOf(events.StreamID{Kind: events.Kind(kind), ID: string(id)}) {
		return commit, fmt.Errorf("a commit of %s stands under the subject %s", name, r.subject)
	}
	full := sha256.Sum256(name)
	commit.stream = streamKey(full[:])
	return commit, nil
}

// chain reads stream, revision and previous hash from a header exactly as
// Encode writes it; false means that Decode must tell.
func (c *scannedCommit) chain(message []byte) (name []byte, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte(`{"format":1,"stream":"`))
	if !ok {
		return nil, false
	}
	name, rest, ok = bytes.Cut(rest, []byte(`","revision":`))
	if !ok || bytes.ContainsAny(name, "\"\\\n") {
		return nil, false
	}
	digits, rest, ok := bytes.Cut(rest, []byte(`,"previous":"`))
	if !ok {
		return nil, false
	}
	revision, err := strconv.ParseUint(string(digits), 10, 64)
	text, _, ok := bytes.Cut(rest, []byte{'"'})
	if err != nil || !ok || revision == 0 || (revision == 1) != (len(text) == 0) {
		return nil, false
	}
	if len(text) > 0 {
		if len(text) != 2*len(c.previous) {
			return nil, false
		}
		if _, err := hex.Decode(c.previous[:], text); err != nil {
			return nil, false
		}
	}
	c.revision = revision
	return name, true
}

// take adds the result of the next file; an error in the last one may be what
// a crash left of a commit nobody was told of.
func (v *verification) take(result scanned, isLast bool) error {
	for i := range result.commits {
		if err := v.commit(&result.commits[i]); err != nil {
			return err
		}
	}
	result.block.first = v.index.last + 1 - uint64(len(result.commits))
	v.index.blocks = append(v.index.blocks, result.block)
	switch {
	case result.err == nil:
		return nil
	case isLast && result.atEnd && v.index.last >= v.point.Position:
		v.torn = result.err.Error()
		return nil
	}
	return broken(v.index.last+1, result.err.Error())
}

// commit checks the next commit against the end of its stream.
func (v *verification) commit(c *scannedCommit) error {
	if c.position != v.index.last+1 {
		return broken(v.index.last+1, fmt.Sprintf("position %d stands in its place", c.position&^erasedFlag))
	}
	mark := v.tips[c.stream]
	switch {
	case c.revision != mark.revision+1:
		return broken(c.position, fmt.Sprintf("it has revision %d, its stream stood at %d", c.revision, mark.revision))
	case [16]byte(c.previous[:16]) != mark.hash:
		return broken(c.position, "it does not follow the commit before it in its stream: the hash chain is broken")
	}
	v.tips[c.stream] = streamMark{c.revision, [16]byte(c.hash[:16])}
	v.index.last = c.position
	v.digest = v.digest.next(c.hash)
	if c.position == v.point.Position && v.digest.String() != v.point.Digest {
		return broken(c.position, "the commits up to here are not those that were acknowledged")
	}
	return nil
}

func (d digest) String() string { return events.Hash(d).String() }
