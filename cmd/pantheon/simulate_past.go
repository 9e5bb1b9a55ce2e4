package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/archive"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/simulations"
)

// readPast reads the log that a simulation begins with: the data folder of a
// platform, whether it runs or not, an exported log, or the API of a running
// platform. Nothing is written anywhere.
func (c *cli) readPast(ctx context.Context, from, at string) (*simulations.Past, error) {
	until, err := parseMoment(at, time.Now())
	if err != nil {
		return nil, err
	}
	commits, err := c.commitsOf(ctx, from)
	if err != nil {
		return nil, err
	}
	past, err := simulations.ReadPast(commits, until)
	var broken *eventlog.BrokenError
	if errors.As(err, &broken) {
		return nil, problem.Wrap(problem.Invalid, broken, "cannot start from the log in %s", from)
	}
	return past, err
}

// parseMoment reads --at as every other command does.
func parseMoment(at string, now time.Time) (simulations.Moment, error) {
	if at == "" {
		return simulations.Moment{}, nil
	}
	position, when, err := api.ParseMoment(at, now, time.Local)
	return simulations.Moment{Position: position, Time: when}, err
}

func (c *cli) commitsOf(ctx context.Context, from string) (iter.Seq2[events.Envelope, error], error) {
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		c.api = from
		client, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		return client.commits(ctx), nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, problem.Wrap(problem.NotFound, err, "cannot read the log").
			WithHint("--from-log is a platform's data folder, an exported log, or the URL of its API")
	}
	if !info.IsDir() {
		return archived(ctx, from), nil
	}
	inner, err := logFolder(from)
	if err != nil {
		return nil, err
	}
	if isFolder(inner) {
		from = inner
	}
	return jetstream.ReadFiles(ctx, from), nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// archived gives the commits of an exported log.
func archived(ctx context.Context, path string) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(events.Envelope{}, problem.Wrap(problem.Invalid, err, "cannot read the exported log"))
			return
		}
		defer file.Close()
		for batch, err := range archive.NewReader(file).Batches(ctx) {
			if err != nil {
				yield(events.Envelope{}, problem.Wrap(problem.Invalid, err, "cannot start from %s", path))
				return
			}
			for _, entry := range batch.Entries {
				envelope, err := events.Decode(entry.Wire)
				envelope.Position = entry.Position
				if err != nil {
					err = &eventlog.BrokenError{Position: entry.Position, Reason: err.Error()}
				}
				if !yield(envelope, err) || err != nil {
					return
				}
			}
		}
	}
}

// commits gives a running platform's log from its API, page by page.
func (c *client) commits(ctx context.Context) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for after, more := events.Position(0), true; more; {
			var page api.Commits
			if err := c.do(ctx, http.MethodGet, fmt.Sprintf("events?after=%d&limit=%d", after, pageItems), nil, &page); err != nil {
				yield(events.Envelope{}, err)
				return
			}
			for _, record := range page.Commits {
				envelope, err := envelopeOf(record)
				if !yield(envelope, err) || err != nil {
					return
				}
			}
			more = page.More && page.Next > after
			after = page.Next
		}
	}
}

// envelopeOf is the inverse of what the API makes of a commit; the hash of the
// one before is not in it.
func envelopeOf(record api.Commit) (envelope events.Envelope, err error) {
	envelope.Position, envelope.Revision = record.Position, record.Revision
	envelope.Meta = events.Meta{
		Command: events.CommandID(record.Command), Principal: record.Principal, Gateway: record.Gateway,
		Address: record.Address, Cause: record.Cause, Time: record.Time,
	}
	if envelope.Stream, err = events.ParseStreamID(record.Stream); err == nil {
		envelope.Hash, err = events.ParseHash(record.Hash)
	}
	for _, raw := range record.Events {
		var event events.Event
		if err == nil {
			event, err = events.DecodePayload(raw.Type, raw.Payload)
		}
		envelope.Events = append(envelope.Events, event)
	}
	if err != nil {
		err = problem.Wrap(problem.Invalid, err, "cannot read position %d of the platform's log", record.Position)
	}
	return envelope, err
}
