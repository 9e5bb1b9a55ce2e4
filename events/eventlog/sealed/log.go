package sealed

import (
	"context"
	"iter"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Inner is the log that Log writes to and reads from.
type Inner interface {
	eventlog.Appender
	Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
}

// Log is the log as actors see it: clear. Its methods keep the promises of
// package eventlog, with one exception: the hash of an envelope is that of the
// sealed commit.
type Log struct {
	inner Inner
	box   *Box
}

// NewLog makes a Log over another one.
func NewLog(inner Inner, box *Box) *Log { return &Log{inner, box} }

// Append implements [eventlog.Appender].
func (l *Log) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	sealed, err := l.seal(ctx, tip, commit)
	if err != nil {
		return events.Tip{}, err
	}
	return l.inner.Append(ctx, tip, sealed)
}

// Stream is [eventlog.Reader]'s, with the texts of all streams but those of
// hosts opened.
func (l *Log) Stream(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	if stream.Kind == events.KindHost {
		return l.inner.Stream(ctx, stream, after)
	}
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range l.inner.Stream(ctx, stream, after) {
			if err == nil {
				envelope.Commit = l.open(envelope.Commit)
			}
			if !yield(envelope, err) {
				return
			}
		}
	}
}

// open gives a commit in clear; the one it is given is shared and stays.
func (l *Log) open(commit events.Commit) events.Commit {
	commit.Meta.Address = l.box.Open(commit.Meta.Address)
	if !slices.ContainsFunc(commit.Events, events.HasPersonal) {
		return commit
	}
	clear := make([]events.Event, len(commit.Events))
	for i, event := range commit.Events {
		clear[i] = events.MapPersonal(event, events.Owner{}, func(_ events.Owner, text string) string { return l.box.Open(text) })
	}
	commit.Events = clear
	return commit
}

// seal gives a commit as it stands in the log; the one it is given is the
// actor's and stays.
func (l *Log) seal(ctx context.Context, tip events.Tip, commit events.Commit) (events.Commit, error) {
	person, isPerson := strings.CutPrefix(commit.Meta.Principal, "account/")
	isPerson = isPerson && commit.Meta.Address != ""
	texts := slices.ContainsFunc(commit.Events, events.HasPersonal)
	if !isPerson && !texts {
		return commit, nil
	}
	owner, err := l.owner(ctx, tip, commit)
	if err != nil {
		return commit, err
	}
	if isPerson {
		both := events.Owner{Site: owner.Site, Account: events.AccountID(person)}
		if commit.Meta.Address, err = l.box.Seal(both, commit.Meta.Address); err != nil {
			return commit, err
		}
	}
	if !texts {
		return commit, nil
	}
	var failed error
	sealed := make([]events.Event, len(commit.Events))
	for i, event := range commit.Events {
		sealed[i] = events.MapPersonal(event, owner, func(owner events.Owner, text string) string {
			now, err := l.box.Seal(owner, text)
			if err != nil {
				failed = err
			}
			return now
		})
	}
	commit.Events = sealed
	return commit, failed
}

// owner gives the owner of a stream, if need be from its first commit.
func (l *Log) owner(ctx context.Context, tip events.Tip, commit events.Commit) (events.Owner, error) {
	stream := commit.Stream
	if owner := events.OwnerOf(stream, nil); owner != (events.Owner{}) {
		return owner, nil
	}
	switch stream.Kind {
	case events.KindDrop, events.KindBinding, events.KindWorkflow:
	default: // of the cell
		return events.Owner{}, nil
	}
	if tip.Revision == 0 {
		return firstOwner(commit), nil
	}
	for envelope, err := range l.inner.Stream(ctx, stream, 0) {
		if err != nil {
			return events.Owner{}, err
		}
		return firstOwner(envelope.Commit), nil
	}
	return events.Owner{}, eventlog.ErrConflict // the tip is of no commit
}

func firstOwner(commit events.Commit) events.Owner {
	if len(commit.Events) == 0 {
		return events.Owner{}
	}
	return events.OwnerOf(commit.Stream, commit.Events[0])
}
