package memory

import (
	"bytes"
	"context"
	"iter"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

var (
	_ eventlog.EntryReader = (*Log)(nil)
	_ eventlog.Restorer    = (*Restoring)(nil)
)

// Entries implements [eventlog.EntryReader].
func (l *Log) Entries(ctx context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		commits, closed := l.view()
		if closed {
			yield(eventlog.Entry{}, eventlog.ErrClosed)
			return
		}
		for i := indexAfter(commits, after); i < len(commits); i++ {
			wire, err := l.wire(commits[i], i)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(eventlog.Entry{}, err)
				return
			}
			if !yield(eventlog.Entry{Position: commits[i].Position, Wire: wire}, nil) {
				return
			}
		}
	}
}

// wire gives the bytes of the commit with index i. The slice of those restored
// is complete before the log is anybody's.
func (l *Log) wire(envelope events.Envelope, i int) ([]byte, error) {
	if i < len(l.wires) {
		return l.wires[i], nil
	}
	wire, _, err := events.Encode(envelope.Commit, events.Tip{Revision: envelope.Revision - 1, Hash: envelope.Previous})
	return wire, err
}

// Restoring fills an empty log. It keeps nothing: an interrupted one is lost
// with its process.
type Restoring struct {
	log  *Log
	done *Log
}

// Restore begins to fill log, which must be empty. Positions may have gaps.
func Restore(log *Log) (*Restoring, error) {
	log.mu.Lock()
	defer log.mu.Unlock()
	if log.closed {
		return nil, eventlog.ErrClosed
	}
	if len(log.commits) > 0 {
		return nil, problem.New(problem.Conflict, "cannot restore into this log: it holds commits up to position %d", log.last())
	}
	return &Restoring{log: New(), done: log}, nil
}

// Kept implements [eventlog.Restorer].
func (r *Restoring) Kept(context.Context) iter.Seq2[eventlog.Entry, error] {
	return func(func(eventlog.Entry, error) bool) {}
}

// Put implements [eventlog.Restorer].
func (r *Restoring) Put(ctx context.Context, entry eventlog.Entry) error {
	envelope, err := events.Decode(entry.Wire)
	if err != nil {
		return &eventlog.BrokenError{Position: entry.Position, Reason: err.Error()}
	}
	envelope.Position = entry.Position
	r.log.wires = append(r.log.wires, bytes.Clone(entry.Wire))
	r.log.add(envelope)
	return ctx.Err()
}

// Finish implements [eventlog.Restorer].
func (r *Restoring) Finish(context.Context) error {
	r.done.mu.Lock()
	defer r.done.mu.Unlock()
	if r.done.closed {
		return eventlog.ErrClosed
	}
	if len(r.done.commits) > 0 {
		return problem.New(problem.Conflict, "cannot restore into this log: it holds commits by now")
	}
	r.done.commits, r.done.wires, r.done.streams = r.log.commits, r.log.wires, r.log.streams
	r.done.wake()
	return nil
}

// Discard implements [eventlog.Restorer].
func (r *Restoring) Discard() error {
	r.log = New()
	return nil
}

// Close implements [eventlog.Restorer].
func (r *Restoring) Close() error { return nil }
