package jetstream

import (
	"context"
	"iter"
	"os"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

var (
	_ eventlog.RangeReader = (*Log)(nil)
	_ eventlog.EntryReader = (*Log)(nil)
	_ eventlog.EntryReader = (*Files)(nil)
	_ eventlog.Restorer    = (*Restoring)(nil)
)

// Entries implements [eventlog.EntryReader]. It reads the block files and
// takes no lock that an append waits for.
func (l *Log) Entries(ctx context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		head, _, closed := l.head.watch()
		if closed {
			yield(eventlog.Entry{}, eventlog.ErrClosed)
			return
		}
		l.index.entries(ctx, uint64(after), head, yield)
	}
}

// entries gives the messages of records as they are.
func (x *index) entries(ctx context.Context, after, limit uint64, yield func(eventlog.Entry, error) bool) {
	if after >= limit {
		return
	}
	for r, err := range x.records(after, limit) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(eventlog.Entry{}, err)
			return
		}
		if !yield(eventlog.Entry{Position: positionOf(r.position), Wire: r.message}, nil) {
			return
		}
	}
}

// Files is a log on disk that no process has open: no server runs, nothing is
// changed, and nobody else can open it until Close.
type Files struct {
	lock  *os.File
	index *index
}

// OpenFiles verifies the log in dir as Open does and opens it for reading. see,
// which may be nil, is given the link of every commit meanwhile, in order; an
// error of it ends the opening.
func OpenFiles(ctx context.Context, dir string, see func(chain.Link) error) (*Files, error) {
	if _, err := os.Stat(messagesDir(dir)); err != nil {
		return nil, problem.New(problem.NotFound, "cannot find a log in %s", dir).
			WithHint("--data names the platform's data folder")
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	v, err := verify(ctx, dir, false, see)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Files{lock, v.index}, nil
}

// Entries implements [eventlog.EntryReader].
func (f *Files) Entries(ctx context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		f.index.entries(ctx, uint64(after), f.index.last, yield)
	}
}

// Head implements [eventlog.EntryReader].
func (f *Files) Head(ctx context.Context) (events.Position, error) {
	return positionOf(f.index.last), ctx.Err()
}

// Close lets others open the log.
func (f *Files) Close() error { return f.lock.Close() }
