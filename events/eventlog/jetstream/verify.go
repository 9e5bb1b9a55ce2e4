package jetstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
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
	v, err := verify(ctx, dir, true, nil)
	if err != nil {
		return 0, err
	}
	return events.Position(v.index.last), nil
}

// verification goes over a log in order.
type verification struct {
	index  *index
	chain  *chain.Checker
	see    func(chain.Link) error // every link, in order; nil for nobody
	digest digest
	point  checkpoint
	torn   string // what an unfinished record at the end looks like
}

// digest folds the hashes of all commits in order of their positions.
type digest events.Hash

func (d digest) next(commit events.Hash) digest {
	var both [64]byte
	copy(both[:32], d[:])
	copy(both[32:], commit[:])
	return sha256.Sum256(both[:])
}

// verify checks a log; deep decodes every event too, and see, which may be nil,
// is given every link that was checked.
func verify(ctx context.Context, dir string, deep bool, see func(chain.Link) error) (*verification, error) {
	point, err := readCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	numbers, err := blockNumbers(dir)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the log in %s", dir)
	}
	v := &verification{index: &index{dir: dir}, chain: chain.NewChecker(), see: see, point: point}
	if err := v.blocks(ctx, numbers, deep); err != nil {
		return nil, err
	}
	v.chain = nil
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
	commits []chain.Link
	// err is why the scan ended before the file did; atEnd says that nothing
	// follows that could be a record.
	err   error
	atEnd bool
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
		if err == nil && len(result.commits) > 0 && commit.Position != result.commits[len(result.commits)-1].Position+1 {
			err = fmt.Errorf("position %d stands in its place", uint64(commit.Position)&^erasedFlag)
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

// scanRecord reads the place of a record in its stream; deep decodes its events
// too.
func scanRecord(r record, deep bool) (chain.Link, error) {
	read := chain.Read
	if deep {
		read = chain.ReadWhole
	}
	link, name, err := read(eventlog.Entry{Position: positionOf(r.position), Wire: r.message})
	if err != nil {
		return link, err
	}
	kind, id, _ := bytes.Cut(name, []byte{'/'})
	if !r.isOf(events.StreamID{Kind: events.Kind(kind), ID: string(id)}) {
		return link, fmt.Errorf("a commit of %s stands under the subject %s", name, r.subject)
	}
	return link, nil
}

// take adds the result of the next file; an error in the last one may be what
// a crash left of a commit nobody was told of.
func (v *verification) take(result scanned, isLast bool) error {
	for i := range result.commits {
		if err := v.commit(result.commits[i]); err != nil {
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
	if err := tooNew(v.index.last+1, result.err); err != nil {
		return err
	}
	return broken(v.index.last+1, result.err.Error())
}

// tooNew says of a commit that cannot be read that a newer version has written it;
// nil where something else is wrong.
func tooNew(position uint64, reason error) error {
	var newer *events.NewerError
	if !errors.As(reason, &newer) {
		return nil
	}
	return problem.Wrap(problem.Unsupported, newer, "cannot read position %d of the log", position).
		WithHint("run the newer version of pantheon that wrote it; nothing was changed")
}

// commit checks the next commit against the end of its stream.
func (v *verification) commit(link chain.Link) error {
	if position := uint64(link.Position); position != v.index.last+1 {
		return broken(v.index.last+1, fmt.Sprintf("position %d stands in its place", position&^erasedFlag))
	}
	if _, err := v.chain.Add(link); err != nil {
		return err
	}
	v.index.last = uint64(link.Position)
	v.digest = v.digest.next(link.Hash)
	if v.index.last == v.point.Position && v.digest.String() != v.point.Digest {
		return broken(v.index.last, "the commits up to here are not those that were acknowledged")
	}
	if v.see != nil {
		return v.see(link)
	}
	return nil
}

func (d digest) String() string { return events.Hash(d).String() }
