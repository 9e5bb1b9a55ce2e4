package eventstoredb

import (
	"context"
	"crypto/sha256"
	"errors"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// request is an append that waits.
type request struct {
	ctx    context.Context
	key    chain.Key
	tip    events.Tip
	wire   []byte
	hash   events.Hash
	answer chan answer // of one
}

type answer struct {
	tip events.Tip
	err error
}

func (r *request) give(tip events.Tip, err error) { r.answer <- answer{tip, err} }

// Append implements [eventlog.Appender].
func (l *Log) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	if err := ctx.Err(); err != nil {
		return events.Tip{}, err
	}
	if _, _, err := l.state(); err != nil {
		return events.Tip{}, err
	}
	wire, hash, err := events.Encode(commit, tip)
	if err != nil {
		return events.Tip{}, err
	}
	r := &request{ctx: ctx, key: keyOf(commit.Stream), tip: tip, wire: wire, hash: hash, answer: make(chan answer, 1)}
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return events.Tip{}, ctx.Err()
	case <-l.ctx.Done():
		return events.Tip{}, eventlog.ErrClosed
	}
	select {
	case given := <-r.answer:
		return given.tip, given.err
	case <-l.ctx.Done():
		return events.Tip{}, eventlog.ErrClosed
	}
}

// write is the one writer, until the log is closed.
func (l *Log) write() {
	for {
		select {
		case first := <-l.requests:
			l.writeBatch(l.collect(first))
		case <-l.ctx.Done():
			return
		}
	}
}

// collect takes what waits beside a first one.
func (l *Log) collect(first *request) []*request {
	batch, size := []*request{first}, len(first.wire)
	for len(batch) < MaxBatchCommits && size < maxBatchBytes {
		select {
		case next := <-l.requests:
			batch, size = append(batch, next), size+len(next.wire)
		default:
			return batch
		}
	}
	return batch
}

// writeBatch answers every request.
func (l *Log) writeBatch(batch []*request) {
	for range maxConflicts {
		head, _, err := l.state()
		if err != nil {
			refuse(batch, err)
			return
		}
		good, late := l.decide(batch)
		if len(good) == 0 {
			return
		}
		batch = append(good, late...)
		err = l.server.append(l.ctx, l.stream, uint64(head), eventsOf(good))
		switch {
		case err == nil:
			l.settle(head, good)
			refuse(late, eventlog.ErrConflict)
			return
		case !errors.Is(err, errConflict):
			// They may be there or not; the next batch begins where the log ends.
			refuse(batch, l.failed(l.ctx, err, "append to the log"))
			_, _ = l.catchUp(l.ctx)
			return
		}
		if _, err := l.catchUp(l.ctx); err != nil {
			refuse(batch, err)
			return
		}
	}
	refuse(batch, problem.New(problem.Busy, "cannot append to the log: other machines were first %d times", maxConflicts))
}

func eventsOf(batch []*request) []event {
	list := make([]event, len(batch))
	for i, r := range batch {
		list[i] = event{kind: commitType, data: r.wire}
	}
	return list
}

func refuse(batch []*request, err error) {
	for _, r := range batch {
		r.give(events.Tip{}, err)
	}
}

// decide answers those that have been given up or were decided on an old tip,
// and gives those that may be sent. Late are those that will have been decided
// on an old tip when the ones before them in the batch are there; there can be
// none where nothing is good.
func (l *Log) decide(batch []*request) (good, late []*request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ahead := map[chain.Key]bool{}
	for _, r := range batch {
		switch {
		case r.ctx.Err() != nil:
			r.give(events.Tip{}, r.ctx.Err())
		case l.tips[r.key] != r.tip:
			r.give(events.Tip{}, eventlog.ErrConflict)
		case ahead[r.key]:
			late = append(late, r)
		default:
			ahead[r.key] = true
			good = append(good, r)
		}
	}
	return good, late
}

// sumOf is what an event's id is made of.
func sumOf(e event) [sha256.Size]byte { return sha256.Sum256(append([]byte(e.kind+"\n"), e.data...)) }

// settle takes what was written and answers.
func (l *Log) settle(head events.Position, batch []*request) {
	for i, r := range batch {
		position := head + events.Position(i) + 1
		if err := l.advance(eventlog.Entry{Position: position, Wire: r.wire}); err != nil {
			refuse(batch[i:], err)
			return
		}
		r.give(events.Tip{Revision: r.tip.Revision + 1, Position: position, Hash: r.hash}, nil)
	}
}
