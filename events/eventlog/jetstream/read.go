package jetstream

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// Head implements [eventlog.Reader].
func (l *Log) Head(ctx context.Context) (events.Position, error) {
	if err := l.askOthers(ctx); err != nil {
		return 0, err
	}
	position, _, closed := l.head.watch()
	if closed {
		return 0, eventlog.ErrClosed
	}
	return positionOf(position), ctx.Err()
}

// Stream implements [eventlog.Reader].
func (l *Log) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		if err := l.readStream(ctx, stream, after, yield); err != nil {
			yield(events.Envelope{}, err)
		}
	}
}

func (l *Log) readStream(ctx context.Context, stream events.StreamID, after events.Revision, yield func(events.Envelope, error) bool) error {
	last, err := l.lastOf(ctx, stream)
	if err != nil || last == 0 {
		return err
	}
	// Back along the pointers, then forward with the commits. The way back
	// reads headers only; positions are all it keeps.
	positions, previous, err := l.walkBack(ctx, stream, last, after)
	if err != nil {
		return err
	}
	var buf []byte
	for i := len(positions) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		var r record
		if r, buf, err = l.index.read(positions[i], buf); err != nil {
			return err
		}
		envelope, err := decodeRecord(r)
		if err != nil {
			return err
		}
		if envelope.Stream != stream || envelope.Revision != previous.Revision+1 || envelope.Previous != previous.Hash {
			return &eventlog.BrokenError{Position: envelope.Position, Stream: stream, Reason: "it does not follow the commit before it in its stream"}
		}
		previous = envelope.Tip()
		if !yield(envelope, nil) {
			return nil
		}
	}
	return nil
}

// walkBack lists the positions of a stream's commits with revisions above
// after, newest first, and the tip that the oldest of them must follow.
func (l *Log) walkBack(ctx context.Context, stream events.StreamID, last uint64, after events.Revision) ([]uint64, events.Tip, error) {
	var positions []uint64
	var buf []byte
	for position := last; position > 0; {
		if err := ctx.Err(); err != nil {
			return nil, events.Tip{}, err
		}
		r, grown, err := l.index.read(position, buf)
		if err != nil {
			return nil, events.Tip{}, err
		}
		buf = grown
		c, err := scanRecord(r, false)
		if err != nil || !r.isOf(stream) {
			return nil, events.Tip{}, &eventlog.BrokenError{Position: positionOf(position), Stream: stream, Reason: "no commit of its stream stands there"}
		}
		if c.Revision <= after {
			return positions, events.Tip{Revision: c.Revision, Position: positionOf(position), Hash: c.Hash}, nil
		}
		positions = append(positions, position)
		if position, err = r.previous(); err != nil {
			return nil, events.Tip{}, &eventlog.BrokenError{Position: positionOf(r.position), Stream: stream, Reason: err.Error()}
		}
	}
	return positions, events.Tip{}, nil
}

// lastOf asks the server for the last position of a stream, 0 for none.
func (l *Log) lastOf(ctx context.Context, stream events.StreamID) (uint64, error) {
	if _, _, closed := l.head.watch(); closed {
		return 0, eventlog.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e := l.wire.current.Load()
	asking, cancel := within(ctx, readTimeout)
	defer cancel()
	defer context.AfterFunc(e.failed, cancel)()
	message, err := l.stream.GetLastMsgForSubject(asking, subject(stream))
	switch {
	case err == nil:
		l.head.rise(message.Sequence)
		return message.Sequence, nil
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	}
	return 0, problem.Wrap(problem.Unavailable, err, "cannot read %s", stream)
}

func decodeRecord(r record) (events.Envelope, error) {
	envelope, err := events.Decode(r.message)
	if err := tooNew(r.position, err); err != nil {
		return events.Envelope{}, err
	}
	if err == nil && !r.isOf(envelope.Stream) {
		err = errors.New("it stands under the subject of another stream")
	}
	if err != nil {
		return events.Envelope{}, &eventlog.BrokenError{Position: positionOf(r.position), Stream: streamOf(r.subject), Reason: err.Error()}
	}
	envelope.Position = positionOf(r.position)
	return envelope, nil
}

// All implements [eventlog.Reader].
func (l *Log) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return l.Between(ctx, after, math.MaxUint64)
}

// Between implements [eventlog.RangeReader].
func (l *Log) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		if err := l.askOthers(ctx); err != nil {
			yield(events.Envelope{}, err)
			return
		}
		head, _, closed := l.head.watch()
		if closed {
			yield(events.Envelope{}, eventlog.ErrClosed)
			return
		}
		l.upTo(ctx, uint64(after), min(head, uint64(upTo)), yield)
	}
}

// Tail implements [eventlog.Reader].
func (l *Log) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		next := uint64(after)
		for {
			head, risen, closed := l.head.watch()
			if closed {
				yield(events.Envelope{}, eventlog.ErrClosed)
				return
			}
			if next < head {
				if !l.upTo(ctx, next, head, yield) {
					return
				}
				next = head
				continue
			}
			select {
			case <-risen:
			case <-ctx.Done():
				yield(events.Envelope{}, ctx.Err())
				return
			}
		}
	}
}

// upTo gives the commits with positions above after up to limit; false when it
// has ended before.
func (l *Log) upTo(ctx context.Context, after, limit uint64, yield func(events.Envelope, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(events.Envelope{}, err)
		return false
	}
	if after >= limit {
		return true
	}
	if limit-after <= inlineCommits {
		return l.upToInline(ctx, after, limit, yield)
	}
	// Many readers leave after the first commits: nothing is read ahead for them.
	first := after + firstCommits
	return l.upToInline(ctx, after, first, yield) && l.upToParallel(ctx, first, limit, yield)
}

func (l *Log) upToInline(ctx context.Context, after, limit uint64, yield func(events.Envelope, error) bool) bool {
	for r, err := range l.index.records(after, limit) {
		var envelope events.Envelope
		if err == nil {
			envelope, err = decodeRecord(r)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(events.Envelope{}, err)
			return false
		}
		if !yield(envelope, nil) {
			return false
		}
	}
	return true
}

// batch is consecutive records on their way through a decoder.
type batch struct {
	data      []byte
	records   []record
	envelopes []events.Envelope
	err       error // after the envelopes
	done      chan struct{}
}

// add copies a record, whose slices are the scanner's.
func (b *batch) add(r record) {
	start := len(b.data)
	b.data = append(append(b.data, r.subject...), r.message...)
	middle := start + len(r.subject)
	r.subject, r.message, r.header = b.data[start:middle:middle], b.data[middle:len(b.data):len(b.data)], nil
	b.records = append(b.records, r)
}

// upToParallel is upTo with a reader and decoders on all cores.
func (l *Log) upToParallel(ctx context.Context, after, limit uint64, yield func(events.Envelope, error) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, used := make(chan *batch, decoders), make(chan *batch, decoders)
	go l.readBatches(ctx, after, limit, batches, used)
	for b := range batches {
		<-b.done
		for i := range b.envelopes {
			if !yield(b.envelopes[i], nil) {
				return false
			}
		}
		if b.err != nil {
			yield(events.Envelope{}, b.err)
			return false
		}
		if ctx.Err() != nil {
			break
		}
		select {
		case used <- b:
		default:
		}
	}
	if err := ctx.Err(); err != nil {
		yield(events.Envelope{}, err)
		return false
	}
	return true
}

// readBatches reads, hands each batch to a decoder and to the consumer, in
// order. The channel's capacity bounds both decoders and memory. Used batches
// come back: nothing decoded refers to a batch's bytes.
func (l *Log) readBatches(ctx context.Context, after, limit uint64, batches chan<- *batch, used <-chan *batch) {
	defer close(batches)
	send := func(b *batch) bool {
		select {
		case batches <- b:
			go l.decodeBatch(b)
			return true
		case <-ctx.Done():
			return false
		}
	}
	current := newBatch(used)
	for r, err := range l.index.records(after, limit) {
		if err != nil {
			current.err = err
			break
		}
		current.add(r)
		if len(current.records) == batchCommits {
			if !send(current) {
				return
			}
			current = newBatch(used)
		}
	}
	if len(current.records) > 0 || current.err != nil {
		send(current)
	}
}

func newBatch(used <-chan *batch) *batch {
	select {
	case b := <-used:
		clear(b.envelopes)
		return &batch{data: b.data[:0], records: b.records[:0], envelopes: b.envelopes[:0], done: make(chan struct{})}
	default:
		return &batch{
			data: make([]byte, 0, batchBytes), records: make([]record, 0, batchCommits),
			envelopes: make([]events.Envelope, 0, batchCommits), done: make(chan struct{}),
		}
	}
}

func (l *Log) decodeBatch(b *batch) {
	defer close(b.done)
	for _, r := range b.records {
		envelope, err := decodeRecord(r)
		if err != nil {
			b.err = err
			return
		}
		b.envelopes = append(b.envelopes, envelope)
	}
}
