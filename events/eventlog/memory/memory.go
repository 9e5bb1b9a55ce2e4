// Package memory is the log in memory: the twin that other adapters are
// compared with, and the log of the simulator.
//
// Commits enter through Append, which encodes and decodes each one, so that a
// reader sees exactly what it would see in a log on disk. A mutex orders them;
// readers work on a prefix of a slice that only grows, without the mutex. The
// log has no goroutine, no clock and no chance of its own: the same calls give
// the same log. Nothing survives the process.
package memory

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Log is a log in memory; make one with New.
type Log struct {
	mu      sync.Mutex
	commits []events.Envelope
	// wires are the bytes of the first commits, those that were restored; of
	// the others Encode gives them again.
	wires   [][]byte
	streams map[events.StreamID][]int // indexes into commits
	// earlier is shared with clones and does not change: what streams does not
	// hold is there.
	earlier map[events.StreamID][]int
	// changed is closed by the next append, and by Close; nil where nobody waits
	// for it.
	changed chan struct{}
	closed  bool
}

var (
	_ eventlog.Log         = (*Log)(nil)
	_ eventlog.RangeReader = (*Log)(nil)
)

// New gives an empty log.
func New() *Log {
	return &Log{streams: map[events.StreamID][]int{}}
}

// Append implements [eventlog.Appender].
func (l *Log) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	if err := ctx.Err(); err != nil {
		return events.Tip{}, err
	}
	wire, _, err := events.Encode(commit, tip)
	if err != nil {
		return events.Tip{}, err
	}
	envelope, err := events.Decode(wire)
	if err != nil {
		return events.Tip{}, err
	}
	return l.append(tip, envelope)
}

// Write is Append without the decoding, for who fills a log with what it has
// made itself: readers get the commit's own events, which nobody may change any
// more. Times have to be in UTC, as those of the wire are.
func (l *Log) Write(tip events.Tip, commit events.Commit) (events.Tip, error) {
	_, hash, err := events.Encode(commit, tip)
	if err != nil {
		return events.Tip{}, err
	}
	return l.append(tip, events.Envelope{Commit: commit, Revision: tip.Revision + 1, Previous: tip.Hash, Hash: hash})
}

// append adds a commit that was decided on a tip.
func (l *Log) append(tip events.Tip, envelope events.Envelope) (events.Tip, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return events.Tip{}, eventlog.ErrClosed
	}
	if l.tip(envelope.Stream) != tip {
		return events.Tip{}, eventlog.ErrConflict
	}
	envelope.Position = l.last() + 1
	l.add(envelope)
	l.wake()
	return envelope.Tip(), nil
}

// wake tells those who wait; the caller holds the mutex.
func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Grow makes room for as many further commits.
func (l *Log) Grow(commits int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits = slices.Grow(l.commits, commits)
}

// Commits gives all commits so far, which nobody may change.
func (l *Log) Commits() []events.Envelope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits
}

// Clone gives a log that begins as this one is now; what is appended to one of
// them is not in the other.
func (l *Log) Clone() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.streams) > 0 {
		if l.earlier != nil {
			l.earlier = maps.Clone(l.earlier)
			maps.Copy(l.earlier, l.streams)
		} else {
			l.earlier = l.streams
		}
		l.streams = map[events.StreamID][]int{}
	}
	return &Log{commits: slices.Clip(l.commits), wires: slices.Clip(l.wires), streams: map[events.StreamID][]int{}, earlier: l.earlier}
}

// add takes the next commit; the caller holds the mutex.
func (l *Log) add(envelope events.Envelope) {
	l.streams[envelope.Stream] = append(l.stream(envelope.Stream), len(l.commits))
	l.commits = append(l.commits, envelope)
}

// stream gives the indexes of a stream's commits; the caller holds the mutex.
func (l *Log) stream(id events.StreamID) []int {
	if indexes, known := l.streams[id]; known {
		return indexes
	}
	return slices.Clip(l.earlier[id])
}

// last gives the log's last position; the caller holds the mutex.
func (l *Log) last() events.Position { return lastOf(l.commits) }

func lastOf(commits []events.Envelope) events.Position {
	if len(commits) == 0 {
		return 0
	}
	return commits[len(commits)-1].Position
}

// indexAfter gives the index of the first commit with a position above after.
// Only a restored log has gaps; in any other it is after itself.
func indexAfter(commits []events.Envelope, after events.Position) int {
	if uint64(after) <= uint64(len(commits)) && (after == 0 || commits[after-1].Position == after) {
		return int(after)
	}
	i, _ := slices.BinarySearchFunc(commits, after+1, func(e events.Envelope, position events.Position) int {
		return cmp.Compare(e.Position, position)
	})
	return i
}

// tip gives the end of a stream; the caller holds the mutex.
func (l *Log) tip(stream events.StreamID) events.Tip {
	indexes := l.stream(stream)
	if len(indexes) == 0 {
		return events.Tip{}
	}
	return l.commits[indexes[len(indexes)-1]].Tip()
}

// view gives the commits so far.
func (l *Log) view() (commits []events.Envelope, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits, l.closed
}

// wait gives the commits so far and a channel that is closed when there are more.
func (l *Log) wait() (commits []events.Envelope, changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil && !l.closed {
		l.changed = make(chan struct{})
	}
	return l.commits, l.changed, l.closed
}

// Stream implements [eventlog.Reader].
func (l *Log) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		l.mu.Lock()
		closed, commits, indexes := l.closed, l.commits, l.stream(stream)
		l.mu.Unlock()
		if closed {
			yield(events.Envelope{}, eventlog.ErrClosed)
			return
		}
		// Revisions are dense: the commit with revision r has index r-1.
		for _, i := range indexes[min(uint64(after), uint64(len(indexes))):] {
			if !yieldNext(ctx, yield, commits[i]) {
				return
			}
		}
	}
}

// Part gives at most so many commits of a stream above a revision, and whether
// there are more.
func (l *Log) Part(stream events.StreamID, after events.Revision, most int) (commits []events.Envelope, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	indexes := l.stream(stream)
	indexes = indexes[min(uint64(after), uint64(len(indexes))):]
	if more = len(indexes) > most; more {
		indexes = indexes[:most]
	}
	commits = make([]events.Envelope, len(indexes))
	for i, index := range indexes {
		commits[i] = l.commits[index]
	}
	return commits, more
}

// All implements [eventlog.Reader].
func (l *Log) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return l.Between(ctx, after, math.MaxUint64)
}

// Between implements [eventlog.RangeReader].
func (l *Log) Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		commits, closed := l.view()
		if closed {
			yield(events.Envelope{}, eventlog.ErrClosed)
			return
		}
		for i := indexAfter(commits, after); i < len(commits) && commits[i].Position <= upTo; i++ {
			if !yieldNext(ctx, yield, commits[i]) {
				return
			}
		}
	}
}

// Tail implements [eventlog.Reader].
func (l *Log) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for {
			commits, changed, closed := l.wait()
			if closed {
				yield(events.Envelope{}, eventlog.ErrClosed)
				return
			}
			for _, envelope := range commits[indexAfter(commits, after):] {
				if !yieldNext(ctx, yield, envelope) {
					return
				}
				after = envelope.Position
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(events.Envelope{}, ctx.Err())
				return
			}
		}
	}
}

func yieldNext(ctx context.Context, yield func(events.Envelope, error) bool, envelope events.Envelope) bool {
	if err := ctx.Err(); err != nil {
		yield(events.Envelope{}, err)
		return false
	}
	return yield(envelope, nil)
}

// Head implements [eventlog.Reader].
func (l *Log) Head(ctx context.Context) (events.Position, error) {
	commits, closed := l.view()
	if closed {
		return 0, eventlog.ErrClosed
	}
	return lastOf(commits), ctx.Err()
}

// Close ends every Tail and refuses what comes after.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
	return nil
}
