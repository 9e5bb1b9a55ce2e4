package shell

import (
	"context"
	"iter"
	"sync/atomic"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
	"pantheon/simulations"
)

// portLog is the cell's log as a process reaches it: the log in memory behind
// the World's network and failures. What a crash leaves unanswered ends at
// once.
type portLog struct {
	level *level
	port  simulations.Port
	ctx   context.Context // of the process
	last  atomic.Uint64   // position that a reader of the whole log was given
}

var _ eventlog.Log = (*portLog)(nil)

// within gives a context that ends with ctx, with the process, or when a log
// that does not answer is given up.
func (l *portLog) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, problem.New(problem.Unavailable, "no answer from the log within %s", answerTimeout))
	ends := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { ends(); cancel() }
}

// Append implements eventlog.Appender.
func (l *portLog) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	type answer struct {
		tip events.Tip
		err error
	}
	ctx, end := l.within(ctx)
	defer end()
	came, err := ask(ctx, l.level, func(done func(answer)) {
		l.port.Append(tip, commit, func(tip events.Tip, err error) { done(answer{tip, err}) })
	})
	if err != nil {
		return events.Tip{}, err
	}
	return came.tip, came.err
}

// Stream implements eventlog.Reader.
func (l *portLog) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		ctx, end := l.within(ctx)
		defer end()
		for {
			loaded, err := ask(ctx, l.level, func(done func(actors.CommitsLoaded)) { l.port.Load(stream, after, done) })
			if err == nil {
				err = loaded.Err
			}
			if err != nil {
				yield(events.Envelope{}, err)
				return
			}
			for _, envelope := range loaded.Envelopes {
				if after = envelope.Revision; !yield(envelope, nil) {
					return
				}
			}
			if loaded.End {
				return
			}
		}
	}
}

// All implements eventlog.Reader.
func (l *portLog) All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	type answer struct {
		read []events.Envelope
		err  error
	}
	return func(yield func(events.Envelope, error) bool) {
		ctx, end := l.within(ctx)
		defer end()
		came, err := ask(ctx, l.level, func(done func(answer)) {
			l.port.All(after, func(read []events.Envelope, err error) { done(answer{read, err}) })
		})
		if err == nil {
			err = came.err
		}
		if err != nil {
			yield(events.Envelope{}, err)
			return
		}
		for _, envelope := range came.read {
			l.last.Store(uint64(envelope.Position))
			if !yield(envelope, nil) {
				return
			}
		}
	}
}

// Tail implements eventlog.Reader.
func (l *portLog) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		f := newFeed()
		stop, err := ask(ctx, l.level, func(done func(func())) { done(l.port.Follow(after, f.push)) })
		if err != nil {
			yield(events.Envelope{}, err)
			return
		}
		defer l.level.post(stop)
		for envelope, err := range f.tail(ctx) {
			if err == nil {
				l.last.Store(uint64(envelope.Position))
			}
			if !yield(envelope, err) {
				return
			}
		}
	}
}

// Head implements eventlog.Reader; the nodes have no use for it.
func (l *portLog) Head(context.Context) (events.Position, error) {
	return 0, problem.New(problem.Unsupported, "cannot ask a simulated log for its head")
}

// Close implements eventlog.Log.
func (l *portLog) Close() error { return nil }

// given is the position up to which a reader of the whole log has it.
func (l *portLog) given() events.Position { return events.Position(l.last.Load()) }

func (l *portLog) startOver() { l.last.Store(0) }
