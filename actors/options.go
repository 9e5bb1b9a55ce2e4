package actors

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// Log is where actors read their streams and write to them; an eventlog.Log is
// one.
type Log interface {
	eventlog.Appender
	Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
}

// Options of a System. Log is required; every other field has a default.
type Options struct {
	// Log is where decisions are written. The System does not close it.
	Log Log
	// Now fills a command's Time where the caller left it zero. Default:
	// time.Now.
	Now func() time.Time
	// Logger receives what an operator should know: panics of deciders, with
	// the incident's id. Default: slog.Default().
	Logger *slog.Logger
	// ResidentActors bounds the actors in memory; the longest idle one makes
	// room for another, and while none is idle commands for others are answered
	// Busy. Default: DefaultResidentActors.
	ResidentActors int
	// IdleAfter without a command, an actor is passivated. Default:
	// DefaultIdleAfter.
	IdleAfter time.Duration
	// MailboxCommands bounds the commands that are under way for one actor;
	// further ones are answered Busy. Default: DefaultMailboxCommands.
	MailboxCommands int
	// LogWorkers bounds the appends and loads under way at once. Default:
	// DefaultLogWorkers.
	LogWorkers int
	// LogTimeout ends an append or load that takes longer; whether an append
	// has happened is then read from the log. Default: DefaultLogTimeout.
	LogTimeout time.Duration
	// Seams break the actors on purpose, for a simulator. Default: nothing.
	Seams Seams
}

func (o *Options) complete() error {
	if o.Log == nil {
		return problem.New(problem.Invalid, "cannot make the actors' system: Options.Log is nil")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, bound := range []struct {
		value *int
		or    int
	}{
		{&o.ResidentActors, DefaultResidentActors},
		{&o.MailboxCommands, DefaultMailboxCommands},
		{&o.LogWorkers, DefaultLogWorkers},
	} {
		if *bound.value <= 0 {
			*bound.value = bound.or
		}
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = DefaultIdleAfter
	}
	if o.LogTimeout <= 0 {
		o.LogTimeout = DefaultLogTimeout
	}
	return nil
}
