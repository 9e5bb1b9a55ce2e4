package jetstream

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Head implements [eventlog.Reader]. It is what the leader says: it fails where
// no majority can be asked. A leader that was voted out and has not heard of it
// says what it knows for lostQuorum at most; it cannot take commits.
func (c *Client) Head(ctx context.Context) (events.Position, error) {
	if err := c.usable(ctx); err != nil {
		return 0, err
	}
	info, err := c.info(ctx)
	if err != nil {
		return 0, c.failure(ctx, err, "the end of the log")
	}
	c.head.rise(info.State.Last)
	return positionOf(c.head.get()), nil
}

func (c *Client) usable(ctx context.Context) error {
	if c.closing.Err() != nil {
		return eventlog.ErrClosed
	}
	return ctx.Err()
}

// Stream implements [eventlog.Reader].
func (c *Client) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		left := false
		err := c.usable(ctx)
		if err == nil {
			err = c.readStream(ctx, stream, after, func(envelope events.Envelope) bool {
				left = !yield(envelope, nil)
				return !left
			})
		}
		if err = c.failure(ctx, err, stream.String()); err != nil && !left {
			yield(events.Envelope{}, err)
		}
	}
}

// readStream asks the leader for the newest commit and walks back to the
// revision, which for most readers is near; a reader that wants much gets the
// beginning in batches.
func (c *Client) readStream(ctx context.Context, stream events.StreamID, after events.Revision, yield func(events.Envelope) bool) error {
	last, err := c.lastOf(ctx, stream)
	if errors.Is(err, errNotThere) {
		return nil
	}
	if err != nil {
		return err
	}
	c.head.rise(last.position)
	walk := walkedBack{stream: stream}
	for r := last; ; {
		envelope, err := decodeRecord(r)
		if err != nil {
			return err
		}
		if envelope.Revision <= after {
			walk.previous = envelope.Tip()
			break
		}
		if err := walk.add(envelope); err != nil {
			return err
		}
		before, err := r.previous()
		if err != nil {
			return &eventlog.BrokenError{Position: envelope.Position, Stream: stream, Reason: err.Error()}
		}
		if before == 0 {
			break
		}
		if len(walk.envelopes) == walkCommits {
			if goOn, err := c.readBeginning(ctx, &walk, after, before, yield); err != nil || !goOn {
				return err
			}
			break
		}
		if r, err = c.known(ctx, question{Sequence: before}); err != nil {
			return err
		}
	}
	return walk.give(yield)
}

// known gives a message that is there for certain.
func (c *Client) known(ctx context.Context, q question) (record, error) {
	r, err := c.direct(ctx, q)
	if errors.Is(err, errNotThere) { // of a replica that is behind
		r, err = c.ask(ctx, q)
	}
	if errors.Is(err, errNotThere) {
		return r, broken(q.Sequence, "the record is missing")
	}
	return r, err
}

// walkedBack is the end of a stream, newest first.
type walkedBack struct {
	stream    events.StreamID
	envelopes []events.Envelope
	previous  events.Tip // that the oldest must follow
}

func (w *walkedBack) add(envelope events.Envelope) error {
	if envelope.Stream != w.stream {
		return &eventlog.BrokenError{Position: envelope.Position, Stream: w.stream, Reason: "no commit of its stream stands there"}
	}
	w.envelopes = append(w.envelopes, envelope)
	return nil
}

// give yields oldest first what was walked, each checked against the one
// before it.
func (w *walkedBack) give(yield func(events.Envelope) bool) error {
	for _, envelope := range slices.Backward(w.envelopes) {
		if err := follows(envelope, w.stream, w.previous); err != nil {
			return err
		}
		w.previous = envelope.Tip()
		if !yield(envelope) {
			return nil
		}
	}
	return nil
}

func follows(envelope events.Envelope, stream events.StreamID, previous events.Tip) error {
	if envelope.Stream != stream || envelope.Revision != previous.Revision+1 || envelope.Previous != previous.Hash {
		return &eventlog.BrokenError{Position: envelope.Position, Stream: stream, Reason: "it does not follow the commit before it in its stream"}
	}
	return nil
}

// readBeginning gives the commits of a stream up to position limit, from its
// first one on, and leaves the last of them in walk; false when the reader has
// left.
func (c *Client) readBeginning(ctx context.Context, walk *walkedBack, after events.Revision, limit uint64, yield func(events.Envelope) bool) (bool, error) {
	for next := uint64(1); next <= limit; {
		q := question{Sequence: next, NextOf: subject(walk.stream), Batch: fetchCommits, MaxBytes: fetchBytes}
		var records []record
		err := c.persist(ctx, clientPatience, func(ctx context.Context, patience time.Duration) (bool, error) {
			asking, cancel := within(ctx, patience)
			defer cancel()
			var err error
			records, err = c.fetch(asking, q)
			return len(records) > 0, err
		})
		if err != nil {
			return false, err
		}
		for _, r := range records {
			if next = r.position + 1; r.position > limit {
				return true, nil
			}
			envelope, err := decodeRecord(r)
			if err == nil {
				err = follows(envelope, walk.stream, walk.previous)
			}
			if err != nil {
				return false, err
			}
			walk.previous = envelope.Tip()
			if envelope.Revision > after && !yield(envelope) {
				return false, nil
			}
		}
	}
	return true, nil
}

// All implements [eventlog.Reader].
func (c *Client) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return c.Between(ctx, after, math.MaxUint64)
}

// Between implements [eventlog.RangeReader]. The leader is asked for the end of
// the log only where the part may reach behind it.
func (c *Client) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		limit, err := c.boundOf(ctx, upTo)
		if err != nil {
			yield(events.Envelope{}, err)
			return
		}
		_, left, err := c.upTo(ctx, uint64(after), limit, func(envelope events.Envelope) bool { return yield(envelope, nil) })
		if err = c.failure(ctx, err, "the log"); err != nil && !left {
			yield(events.Envelope{}, err)
		}
	}
}

// boundOf gives the last position to read for a reader who wants no more than
// upTo.
func (c *Client) boundOf(ctx context.Context, upTo events.Position) (uint64, error) {
	if uint64(upTo) <= c.head.get() {
		return uint64(upTo), c.usable(ctx)
	}
	head, err := c.Head(ctx)
	return uint64(min(head, upTo)), err
}

// upTo gives the commits after a position up to limit; it gives the last
// position given and whether the reader has left.
func (c *Client) upTo(ctx context.Context, after, limit uint64, yield func(events.Envelope) bool) (last uint64, left bool, err error) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	batches := make(chan *fetched, fetchAhead)
	go c.fetchAll(reading, after, limit, true, batches)
	for f := range batches {
		<-f.done
		for _, envelope := range f.envelopes {
			if !yield(envelope) {
				return after, true, nil
			}
			after = uint64(envelope.Position)
			if err := reading.Err(); err != nil {
				return after, false, err
			}
		}
		if f.err != nil {
			return after, false, f.err
		}
	}
	return after, false, reading.Err()
}

// Entries implements [eventlog.EntryReader].
func (c *Client) Entries(ctx context.Context, after events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		head, err := c.Head(ctx)
		if err != nil {
			yield(eventlog.Entry{}, err)
			return
		}
		if err := c.failure(ctx, c.entries(ctx, uint64(after), uint64(head), func(entry eventlog.Entry) bool { return yield(entry, nil) }), "the log"); err != nil {
			yield(eventlog.Entry{}, err)
		}
	}
}

// entries gives the bytes of the commits after a position up to limit; no
// error when the reader has left.
func (c *Client) entries(ctx context.Context, after, limit uint64, yield func(eventlog.Entry) bool) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	batches := make(chan *fetched, fetchAhead)
	go c.fetchAll(reading, after, limit, false, batches)
	for f := range batches {
		if f.err != nil {
			return f.err
		}
		for _, r := range f.records {
			if !yield(eventlog.Entry{Position: positionOf(r.position), Wire: r.message}) {
				return nil
			}
		}
	}
	return reading.Err()
}

// Stale reads what the servers at hand have, without asking whether that is
// all: for those who are cut off from a majority. Its Tail is that of the log.
func (c *Client) Stale() eventlog.Reader { return stale{c} }

type stale struct{ *Client }

// Head implements [eventlog.Reader]: the newest position this client knows of.
func (s stale) Head(ctx context.Context) (events.Position, error) {
	return positionOf(s.head.get()), s.usable(ctx)
}

// All implements [eventlog.Reader].
func (s stale) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return s.read(ctx, question{Sequence: uint64(after) + 1}, func(events.Envelope) bool { return true })
}

// Stream implements [eventlog.Reader].
func (s stale) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return s.read(ctx, question{Sequence: 1, NextOf: subject(stream)}, func(envelope events.Envelope) bool { return envelope.Revision > after })
}

func (s stale) read(ctx context.Context, q question, wanted func(events.Envelope) bool) iter.Seq2[events.Envelope, error] {
	q.Batch, q.MaxBytes = fetchCommits, fetchBytes
	return func(yield func(events.Envelope, error) bool) {
		for err := s.usable(ctx); ; {
			var records []record
			if err == nil {
				records, err = s.fetchOnce(ctx, q)
			}
			if errors.Is(err, errNotThere) {
				return
			}
			if err != nil {
				yield(events.Envelope{}, s.failure(ctx, err, "the log"))
				return
			}
			for _, r := range records {
				envelope, err := decodeRecord(r)
				if err != nil {
					yield(events.Envelope{}, err)
					return
				}
				if wanted(envelope) && !yield(envelope, nil) {
					return
				}
			}
			q.Sequence = records[len(records)-1].position + 1
		}
	}
}

func (s stale) fetchOnce(ctx context.Context, q question) ([]record, error) {
	asking, cancel := within(ctx, readTimeout)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	records, err := s.fetch(asking, q)
	if err == nil && len(records) == 0 {
		err = errNotThere
	}
	return records, err
}
