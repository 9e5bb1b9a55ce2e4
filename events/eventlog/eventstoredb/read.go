package eventstoredb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
)

// The types of the events in a log's stream.
const (
	commitType = "pantheon-commit"
	gapType    = "pantheon-gap" // a position that the log has no commit at
)

// readPages gives the entries of a stream with positions above after, up to its
// end; the Wire of a gap is nil.
func readPages(ctx context.Context, server *server, stream string, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		for {
			n, more, err := readPage(ctx, server, stream, after, pageCommits, func(entry eventlog.Entry) bool { return yield(entry, nil) })
			if err != nil {
				yield(eventlog.Entry{}, err)
				return
			}
			if !more || n < pageCommits {
				return
			}
			after += events.Position(n)
		}
	}
}

// readPage reads up to count entries, and says how many; more is false where
// visit wanted no more.
func readPage(ctx context.Context, server *server, stream string, after events.Position, count int, visit func(eventlog.Entry) bool) (n int, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	var broken error
	more = true
	err = server.read(ctx, readRequest(stream, uint64(after), false), uint64(count), func(e event) bool {
		var entry eventlog.Entry
		if entry, broken = entryOf(e); broken != nil {
			return false
		}
		if want := after + events.Position(n) + 1; entry.Position != want {
			broken = &eventlog.BrokenError{Position: want, Reason: "the server does not have it: the stream was truncated"}
			return false
		}
		n++
		more = visit(entry)
		return more
	})
	if errors.Is(err, errNoStream) {
		err = nil
	}
	return n, more, errors.Join(err, broken)
}

func entryOf(e event) (eventlog.Entry, error) {
	entry := eventlog.Entry{Position: events.Position(e.revision) + 1}
	switch e.kind {
	case commitType:
		entry.Wire = e.data
	case gapType:
	default:
		return entry, &eventlog.BrokenError{Position: entry.Position, Reason: fmt.Sprintf("somebody else has written an event of type %.60q to the stream of the log", e.kind)}
	}
	return entry, nil
}

// serverHead asks the server for the last position.
func (l *Log) serverHead(ctx context.Context) (head events.Position, err error) {
	err = l.server.read(ctx, readRequest(l.stream, 0, true), 1, func(e event) bool {
		head = events.Position(e.revision) + 1
		return true
	})
	if errors.Is(err, errNoStream) {
		err = nil
	}
	return head, err
}

// catchUp gives the end of the log as of the call, when all up to there is
// known.
func (l *Log) catchUp(ctx context.Context) (events.Position, error) {
	if _, _, err := l.state(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	head, err := l.serverHead(ctx)
	if err != nil {
		return 0, l.failed(ctx, err, "read the end of the log")
	}
	known, _, err := l.state()
	if err != nil || known >= head {
		return max(head, known), err
	}
	for entry, err := range readPages(ctx, l.server, l.stream, known) {
		if err == nil {
			err = l.advance(entry)
		}
		if err != nil {
			return 0, l.failed(ctx, err, "read the end of the log")
		}
	}
	return head, nil
}

// Head implements [eventlog.Reader].
func (l *Log) Head(ctx context.Context) (events.Position, error) { return l.catchUp(ctx) }

// Entries implements [eventlog.EntryReader].
func (l *Log) Entries(ctx context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		head, err := l.catchUp(ctx)
		if err != nil {
			yield(eventlog.Entry{}, err)
			return
		}
		l.entries(ctx, after, head, yield)
	}
}

// entries reads from the server.
func (l *Log) entries(ctx context.Context, after, upTo events.Position, yield func(eventlog.Entry, error) bool) {
	for after < upTo {
		n, more, err := readPage(ctx, l.server, l.stream, after, int(min(pageCommits, uint64(upTo-after))), func(entry eventlog.Entry) bool {
			return entry.Wire == nil || l.ctx.Err() == nil && ctx.Err() == nil && yield(entry, nil)
		})
		ended := l.ctx.Err() != nil || ctx.Err() != nil
		switch {
		case err == nil && !more && !ended:
			return
		case err == nil && n == 0:
			err = &eventlog.BrokenError{Position: after + 1, Reason: "the server does not have it any more"}
		}
		if err != nil || ended {
			yield(eventlog.Entry{}, l.failed(ctx, err, "read the log"))
			return
		}
		after += events.Position(n)
	}
}

// All implements [eventlog.Reader].
func (l *Log) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return l.Between(ctx, after, math.MaxUint64)
}

// Between implements [eventlog.RangeReader].
func (l *Log) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		head, err := l.catchUp(ctx)
		if err != nil {
			yield(events.Envelope{}, err)
			return
		}
		l.between(ctx, after, min(head, upTo), yield)
	}
}

// between gives commits out of memory where they are there, and says whether
// more are wanted.
func (l *Log) between(ctx context.Context, after, upTo events.Position, yield func(events.Envelope, error) bool) (more bool) {
	for _, envelope := range l.remembered(after, upTo) {
		if err := ctx.Err(); err != nil {
			return yield(events.Envelope{}, err) && false
		}
		if !yield(envelope, nil) {
			return false
		}
		after = upTo
	}
	more = true
	l.entries(ctx, after, upTo, func(entry eventlog.Entry, err error) bool {
		var envelope events.Envelope
		if err == nil {
			envelope, err = decode(entry)
		}
		more = yield(envelope, err) && err == nil
		return more
	})
	return more
}

// decode gives an entry's commit.
func decode(entry eventlog.Entry) (events.Envelope, error) {
	envelope, err := events.Decode(entry.Wire)
	envelope.Position = entry.Position
	if err != nil {
		return events.Envelope{}, &eventlog.BrokenError{Position: entry.Position, Reason: err.Error()}
	}
	return envelope, nil
}

// remembered gives the commits of a part of the log that is in memory whole.
func (l *Log) remembered(after, upTo events.Position) []events.Envelope {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == 0 || after >= upTo || after+1 < l.recent[0].Position {
		return nil
	}
	behind := func(position events.Position) int {
		i, _ := slices.BinarySearchFunc(l.recent, position+1, func(e events.Envelope, p events.Position) int { return cmp.Compare(e.Position, p) })
		return i
	}
	first, last := behind(after), behind(upTo)
	return l.recent[first:last:last]
}

// Tail implements [eventlog.Reader].
func (l *Log) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for {
			head, changed, err := l.state()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(events.Envelope{}, err)
				return
			}
			if head > after {
				if !l.between(ctx, after, head, yield) {
					return
				}
				after = head
				continue
			}
			l.await(ctx, changed)
		}
	}
}

// await waits until the log has moved, or will not.
func (l *Log) await(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
}

// Stream implements [eventlog.Reader].
func (l *Log) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		if _, err := l.catchUp(ctx); err != nil {
			yield(events.Envelope{}, err)
			return
		}
		l.streamKnown(ctx, stream, after, yield)
	}
}

// streamKnown gives what is known of a stream, and the revision behind which it
// ended; false where no more is wanted.
func (l *Log) streamKnown(ctx context.Context, stream events.StreamID, after events.Revision, yield func(events.Envelope, error) bool) (events.Revision, bool) {
	l.mu.Lock()
	positions := l.where[keyOf(stream)]
	l.mu.Unlock()
	positions = positions[min(uint64(after), uint64(len(positions))):] // revisions are dense
	var before events.Tip
	for len(positions) > 0 {
		near := 1
		for near < len(positions) && positions[near]-positions[near-1] <= nearCommits {
			near++
		}
		next, run := 0, positions[:near]
		more := l.between(ctx, run[0]-1, run[near-1], func(envelope events.Envelope, err error) bool {
			if err != nil {
				return yield(envelope, err) && false
			}
			if next < near && envelope.Position != run[next] {
				return true // another stream's
			}
			if broken := follows(before, after, envelope, stream); broken != nil {
				return yield(events.Envelope{}, broken) && false
			}
			next, before, after = next+1, envelope.Tip(), envelope.Revision
			return yield(envelope, nil)
		})
		if !more {
			return after, false
		}
		positions = positions[near:]
	}
	return after, true
}

// follows checks the chain of a stream that is read.
func follows(before events.Tip, after events.Revision, envelope events.Envelope, stream events.StreamID) error {
	if envelope.Stream != stream || envelope.Revision != after+1 || before.Revision > 0 && envelope.Previous != before.Hash {
		return &eventlog.BrokenError{Position: envelope.Position, Stream: stream, Reason: "it does not follow the commit before it in its stream"}
	}
	return nil
}

// Follow is Stream without an end: it waits for more until ctx ends.
func (l *Log) Follow(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for {
			_, changed, err := l.state()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(events.Envelope{}, err)
				return
			}
			next, more := l.streamKnown(ctx, stream, after, yield)
			if !more {
				return
			}
			after = next
			l.await(ctx, changed)
		}
	}
}

func keyOf(stream events.StreamID) chain.Key { return chain.KeyOf(stream.String()) }
