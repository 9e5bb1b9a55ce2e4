package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Report brings a fact to the actor it is about. An error of a kind that says
// "again" (Busy, Unavailable, Internal) is tried again; others mean that the
// actor knows better, and the fact is dropped.
type Report func(ctx context.Context, meta events.Meta, to events.StreamID, fact events.Event) error

// reporter sends facts in the order they were seen, one at a time.
type reporter struct {
	report  Report
	host    events.HostID
	boot    string // tells this run's command ids from those of other runs
	logger  *slog.Logger
	queue   chan fact
	count   atomic.Uint64
	dropped atomic.Uint64
	causes  causes
}

type fact struct {
	to    events.StreamID
	event events.Event
	cause events.Position // what had led to it when it was seen
	sent  chan<- error    // nil where nobody waits
}

func newReporter(report Report, host events.HostID, boot string, logger *slog.Logger) *reporter {
	return &reporter{report: report, host: host, boot: boot, logger: logger, queue: make(chan fact, maxFactsQueued)}
}

// note queues a fact without waiting. A full queue drops it and counts: such
// facts inform, the next one of the same DROP says more than the lost one.
func (r *reporter) note(to events.StreamID, event events.Event) {
	select {
	case r.queue <- fact{to, event, r.causes.cause(to, event), nil}:
	default:
		r.dropped.Add(1)
	}
}

// deliver queues a fact and waits until it is in the log or refused.
func (r *reporter) deliver(ctx context.Context, to events.StreamID, event events.Event) error {
	sent := make(chan error, 1)
	select {
	case r.queue <- fact{to, event, r.causes.cause(to, event), sent}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run sends until ctx ends, then makes one last attempt for what is queued.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case f := <-r.queue:
			r.send(ctx, f)
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

func (r *reporter) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for {
		select {
		case f := <-r.queue:
			r.attempt(ctx, f)
		default:
			return
		}
	}
}

func (r *reporter) send(ctx context.Context, f fact) {
	meta := r.meta(f)
	delay := retryFirst
	for {
		err := r.report(ctx, meta, f.to, f.event)
		if err == nil || !worthRetrying(problem.KindOf(err)) {
			r.answer(f, err)
			return
		}
		r.logger.Warn("cannot report a fact; trying again", "to", f.to.String(), "fact", events.NameOf(f.event), "error", err, "after", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			r.attempt(context.WithoutCancel(ctx), f)
			return
		}
		delay = min(2*delay, retryLast)
	}
}

func (r *reporter) attempt(ctx context.Context, f fact) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	r.answer(f, r.report(ctx, r.meta(f), f.to, f.event))
}

func (r *reporter) answer(f fact, err error) {
	if err != nil {
		r.logger.Info("a fact was refused", "to", f.to.String(), "fact", events.NameOf(f.event), "error", err)
	}
	if f.sent != nil {
		f.sent <- err
	}
}

func (r *reporter) meta(f fact) events.Meta {
	return events.Meta{
		Command:   events.CommandID(fmt.Sprintf("agent:%s:%s:%d", r.host, r.boot, r.count.Add(1))),
		Principal: r.host.Stream().String(),
		Gateway:   "agent",
		Cause:     f.cause,
	}
}

func worthRetrying(kind problem.Kind) bool {
	switch kind {
	case problem.Busy, problem.Unavailable, problem.Internal:
		return true
	case problem.Invalid, problem.Denied, problem.Unauthenticated, problem.NotFound, problem.Conflict, problem.Unsupported, problem.Exhausted:
	}
	return false
}
