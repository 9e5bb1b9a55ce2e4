// Package eventlog is the port to the cell's log: one append-only sequence of
// commits, in which every actor has a stream.
//
// # What an adapter guarantees
//
//   - Append is durable when it returns: a crash of the process, or of the
//     machine where the adapter says so, does not lose the commit.
//   - Append succeeds only if the stream still ends at the given tip, else it
//     fails with ErrConflict and writes nothing. When it fails with any other
//     error the commit may or may not be there: the caller reads the stream
//     again before it decides again (the command id tells).
//   - An Append whose context ends before it was sent fails with the context's
//     error. No call waits for ever: what the adapter cannot do in its own
//     bounded time (disk full, server gone) fails with a problem.Unavailable
//     that names the reason, and works again when the cause is gone.
//   - All readers see the same commits in the same order, with rising
//     positions. A reader that begins after a position a writer was given sees
//     that commit.
//   - Every envelope read has been checked: its hash is that of its bytes, and
//     reading a stream from its beginning checks the chain and revisions. A
//     broken chain is a *BrokenError naming the position.
//
// Envelopes are shared between readers: nobody changes what an Events slice or
// an event in it refers to.
//
// An adapter proves all of it with the suite in eventlogtest.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"pantheon/events"
	"pantheon/events/problem"
)

// ErrConflict: the stream has moved past the tip the commit was decided on.
// Nothing was written; read again and decide again.
var ErrConflict = errors.New("the stream has moved on")

// ErrClosed is given by everything that is called on a closed log, and by a
// Tail that was reading when it was closed.
var ErrClosed error = problem.New(problem.Unavailable, "the log is closed")

// BrokenError says where the log stops being what was written.
type BrokenError struct {
	Position events.Position
	Stream   events.StreamID // zero where it cannot be told
	Reason   string
}

func (e *BrokenError) Error() string {
	if e.Stream == (events.StreamID{}) {
		return fmt.Sprintf("the log is broken at position %d: %s", e.Position, e.Reason)
	}
	return fmt.Sprintf("the log is broken at position %d (%s): %s", e.Position, e.Stream, e.Reason)
}

// Appender writes.
type Appender interface {
	// Append writes one commit after tip, the end of commit.Stream as the
	// caller knows it (the zero Tip for a new stream), and gives the new tip.
	Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error)
}

// Reader reads. The iterators end after the first error.
type Reader interface {
	// Stream gives the commits of one stream with revisions above after, in
	// order, up to its end at the time of the call.
	Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
	// All gives the commits with positions above after, in order, up to the
	// log's end at the time of the call.
	All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	// Tail is All without an end: it waits for further commits until ctx is
	// cancelled, and then ends with ctx's error.
	Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	// Head gives the last position of the log, 0 for an empty one.
	Head(ctx context.Context) (events.Position, error)
}

// RangeReader is an adapter that reads a part of a log without a look behind
// its end.
type RangeReader interface {
	// Between is All up to a position that may lie behind the log's end.
	Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error]
}

// Entry is one commit as it stands in the log: where, and the bytes whose hash
// it is known by. What carries a log elsewhere, or proves what is in it, reads
// entries: a commit that this version cannot decode keeps its bytes.
type Entry struct {
	Position events.Position
	Wire     []byte
}

// EntryReader reads a log byte for byte. Every adapter is one.
type EntryReader interface {
	// Entries gives the commits with positions above after, in order, up to the
	// log's end at the time of the call. Each is valid until the next. What the
	// adapter's own checksums cover has been checked, chains have not.
	Entries(ctx context.Context, after events.Position) iter.Seq2[Entry, error]
	// Head gives the last position of the log, 0 for an empty one.
	Head(ctx context.Context) (events.Position, error)
}

// Restorer fills an empty log with the entries of another one, byte for byte
// and at their positions: hashes, causes and proofs stay true. Nobody sees any
// of it before Finish. Every adapter has one.
type Restorer interface {
	// Kept gives what an earlier restoring that was interrupted has left here,
	// in order. It is read to its end before the first Put.
	Kept(ctx context.Context) iter.Seq2[Entry, error]
	// Put adds the next entry, which has been checked (see package chain). An
	// adapter that cannot keep the position fails with a problem.Unsupported.
	Put(ctx context.Context, entry Entry) error
	// Finish makes the log durable and whole.
	Finish(ctx context.Context) error
	// Discard takes away what was put; the log is empty again. A restorer that
	// is neither finished nor discarded is closed and keeps it for the next.
	Discard() error
	Close() error
}

// Log is the whole port. Close waits for appends under way.
type Log interface {
	Appender
	Reader
	Close() error
}
