package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"pantheon/events"
	"pantheon/events/problem"
)

// ReadFiles gives the commits of a data folder's log directory, in order, from
// its files alone: it takes no lock, starts no server and writes nothing, so a
// platform may run on the folder meanwhile. Every commit is checked as by
// Verify; a commit that is being written when the end is reached is left out.
// The iterator ends after the first error, an *eventlog.BrokenError where the
// log is not what was written.
func ReadFiles(ctx context.Context, dir string) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		f := files{dir: dir, tips: map[events.StreamID]events.Tip{}, yield: yield}
		if err := f.read(ctx); err != nil && !f.stopped {
			yield(events.Envelope{}, err)
		}
	}
}

// files is one reading of a log's files.
type files struct {
	dir     string
	point   checkpoint
	last    uint64
	digest  digest
	tips    map[events.StreamID]events.Tip
	yield   func(events.Envelope, error) bool
	stopped bool // the caller wants no more
}

func (f *files) read(ctx context.Context) error {
	var err error
	if f.point, err = readCheckpoint(f.dir); err != nil {
		return err
	}
	numbers, err := blockNumbers(f.dir)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the log in %s", f.dir)
	}
	if len(numbers) == 0 && f.point.Position == 0 {
		return problem.New(problem.NotFound, "cannot find a log in %s", f.dir)
	}
	for i, number := range numbers {
		if err := f.block(ctx, number, i == len(numbers)-1); err != nil || f.stopped {
			return err
		}
	}
	if !f.stopped && f.last < f.point.Position {
		return broken(f.last+1, fmt.Sprintf("the log ends here, but position %d was acknowledged", f.point.Position))
	}
	return nil
}

func (f *files) block(ctx context.Context, number int, isLast bool) error {
	file, err := os.Open(blockPath(f.dir, number))
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the log in %s", f.dir)
	}
	defer file.Close()
	s := &scanner{file: file, sum: blockHash(number), chunk: chunkBytes}
	for !f.stopped {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && isLast && s.nothingFollows():
			return nil // a commit that is being written
		case err != nil:
			return broken(f.last+1, err.Error())
		case r.position&tombstoneFlag != 0:
			continue
		}
		if err := f.record(r); err != nil {
			return err
		}
	}
	return nil
}

// record checks one record against the end of its stream, and gives it.
func (f *files) record(r record) error {
	if r.position != f.last+1 {
		return broken(f.last+1, fmt.Sprintf("position %d stands in its place", r.position&^erasedFlag))
	}
	envelope, err := events.Decode(r.message)
	if err := tooNew(r.position, err); err != nil {
		return err
	}
	if err != nil {
		return broken(r.position, err.Error())
	}
	tip := f.tips[envelope.Stream]
	switch {
	case !r.isOf(envelope.Stream):
		return broken(r.position, fmt.Sprintf("a commit of %s stands under the subject %s", envelope.Stream, r.subject))
	case envelope.Revision != tip.Revision+1 || envelope.Previous != tip.Hash:
		return broken(r.position, "it does not follow the commit before it in its stream: the hash chain is broken")
	}
	envelope.Position = events.Position(r.position)
	f.tips[envelope.Stream] = envelope.Tip()
	f.last = r.position
	f.digest = f.digest.next(envelope.Hash)
	if f.last == f.point.Position && f.digest.String() != f.point.Digest {
		return broken(f.last, "the commits up to here are not those that were acknowledged")
	}
	f.stopped = !f.yield(envelope, nil)
	return nil
}
