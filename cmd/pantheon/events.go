package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) eventsCommand() *cobra.Command {
	return noun("events", "Read the log: everything that has happened",
		c.eventsTailCommand(), c.eventsShowCommand(), c.eventsWhyCommand())
}

func commitColumns() []column[api.Commit] {
	return []column[api.Commit]{
		{"position", func(r api.Commit) string { return fmt.Sprint(uint64(r.Position)) }},
		{"time", func(r api.Commit) string { return timeText(r.Time) }},
		{"stream", func(r api.Commit) string { return r.Stream }},
		{"events", commitTypes},
		{"principal", func(r api.Commit) string { return r.Principal }},
	}
}

func commitDetails() []column[api.Commit] {
	return append(commitColumns(),
		column[api.Commit]{"revision", func(r api.Commit) string { return fmt.Sprint(uint64(r.Revision)) }},
		column[api.Commit]{"gateway", func(r api.Commit) string { return r.Gateway }},
		column[api.Commit]{"address", func(r api.Commit) string { return r.Address }},
		column[api.Commit]{"command", func(r api.Commit) string { return r.Command }},
		column[api.Commit]{"cause", func(r api.Commit) string {
			if r.Cause == 0 {
				return ""
			}
			return fmt.Sprint(uint64(r.Cause))
		}},
		column[api.Commit]{"hash", func(r api.Commit) string { return r.Hash }},
	)
}

func commitTypes(r api.Commit) string {
	types := make([]string, len(r.Events))
	for i, event := range r.Events {
		types[i] = event.Type
	}
	return strings.Join(types, " ")
}

// eventFilter is what the flags of `events tail` ask for.
type eventFilter struct {
	stream, principal, since, until string
	gateway, address, command       string
	cause                           uint64
	types                           []string
	limit                           int
	follow                          bool
}

func (c *cli) eventsTailCommand() *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the newest commits, and with --follow those to come", Args: arguments(0, 0),
		Example: "  pantheon events tail --follow\n  pantheon events tail --type DropCrashed --since 24h\n  pantheon events tail --stream site/…",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := f.query(time.Now())
			if err != nil {
				return err
			}
			return c.tail(cmd.Context(), query, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.stream, "stream", "", "only of one actor: `KIND/ID`, or of all of a KIND")
	flags.StringSliceVar(&f.types, "type", nil, "only commits with one of these `EVENTS`, for example DropAwoke,DropSlept")
	flags.StringVar(&f.principal, "principal", "", "only what `WHO` decided: account/ID, host/ID, policy/NAME, or the part before the slash")
	flags.StringVar(&f.gateway, "gateway", "", "only what came in through `WAY`: cli, api, agent, policy, start")
	flags.StringVar(&f.address, "address", "", "only what came from the network `ADDRESS`, with or without its port")
	flags.StringVar(&f.command, "command", "", "only the commit of the command `ID`")
	flags.Uint64Var(&f.cause, "cause", 0, "only what the commit at `POSITION` led to")
	flags.StringVar(&f.since, "since", "", "only from `TIME` on: RFC 3339, or how long ago (90s, 2h)")
	flags.StringVar(&f.until, "until", "", "only before `TIME`")
	flags.IntVar(&f.limit, "limit", 20, "how many, 1 to 1000")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until interrupted")
	return cmd
}

func (f eventFilter) query(now time.Time) (url.Values, error) {
	query := url.Values{}
	filters := map[string]string{
		"stream": f.stream, "principal": f.principal, "gateway": f.gateway, "address": f.address, "command": f.command,
	}
	if f.cause > 0 {
		filters["cause"] = fmt.Sprint(f.cause)
	}
	for name, value := range filters {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]string{"since": f.since, "until": f.until} {
		if value == "" {
			continue
		}
		at, err := momentOf(value, now)
		if err != nil {
			return nil, err
		}
		query.Set(name, at.Format(time.RFC3339))
	}
	for _, event := range f.types {
		query.Add("type", event)
	}
	return query, nil
}

// momentOf reads a time, or how long ago it was.
func momentOf(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, problem.New(problem.Invalid, "cannot read time %q", text).
			WithHint("write it as 2006-01-02T15:04:05Z, or as how long ago: 90s, 2h")
	}
	return at, nil
}

func (c *cli) tail(ctx context.Context, query url.Values, f eventFilter) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	first := url.Values{"last": {"true"}, "limit": {number(f.limit)}}
	for name, values := range query {
		first[name] = values
	}
	var page api.Commits
	if err := client.do(ctx, http.MethodGet, "events?"+first.Encode(), nil, &page); err != nil {
		return err
	}
	if !f.follow {
		return show(c, page.Commits, commitColumns())
	}
	for _, record := range page.Commits {
		if err := c.printCommit(record); err != nil {
			return err
		}
	}
	query.Set("after", fmt.Sprint(uint64(page.Next)))
	return client.follow(ctx, query, c.printCommit)
}

// printCommit prints one line of a list without an end: its columns cannot be
// as wide as the widest to come, so they have the usual widths.
func (c *cli) printCommit(record api.Commit) error {
	if c.format == "json" {
		return json.NewEncoder(c.out).Encode(record)
	}
	_, err := fmt.Fprintf(c.out, "%-8d  %s  %-45s  %s  %s\n", uint64(record.Position), timeText(record.Time),
		record.Stream, commitTypes(record), record.Principal)
	return err
}

// maxEventLineBytes bounds one line of the event stream: a commit of 256 KiB,
// whose JSON may double in size.
const maxEventLineBytes = 1 << 20

// follow reads the event stream until ctx ends, and goes on where it was when
// the connection breaks.
func (c *client) follow(ctx context.Context, query url.Values, print func(api.Commit) error) error {
	for {
		last, err := c.followOnce(ctx, query, print)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if last == "" {
			return c.unreachable(io.ErrUnexpectedEOF)
		}
		query.Set("after", last)
	}
}

// followOnce gives the id of the last event it has seen.
func (c *client) followOnce(ctx context.Context, query url.Values, print func(api.Commit) error) (last string, err error) {
	response, err := c.send(ctx, http.MethodGet, "events?"+query.Encode(), nil, "text/event-stream")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxEventLineBytes))
		return "", api.ErrorOf(response.StatusCode, text)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEventLineBytes)
	for lines.Scan() {
		if id, found := strings.CutPrefix(lines.Text(), "id: "); found {
			last = id
		}
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var record api.Commit
		if err := json.Unmarshal([]byte(data), &record); err != nil {
			return last, fmt.Errorf("cannot read an event of %s: %w", c.where, err)
		}
		if err := print(record); err != nil {
			return last, err
		}
	}
	return last, nil
}

func (c *cli) eventsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show POSITION", Short: "Show one commit with all that its events say", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			position, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || position == 0 {
				return problem.New(problem.Invalid, "cannot read position %q: it must be a number from 1 on", args[0])
			}
			page, err := fetch[api.Commits](cmd.Context(), c, fmt.Sprintf("events?limit=1&after=%d", position-1))
			if err != nil {
				return err
			}
			if len(page.Commits) == 0 || uint64(page.Commits[0].Position) != position {
				return problem.New(problem.NotFound, "cannot find position %d in the log", position).WithHint("pantheon events tail")
			}
			return c.showCommit(page.Commits[0])
		},
	}
}

func (c *cli) showCommit(record api.Commit) error {
	if err := showOne(c, record, commitDetails()); err != nil || c.format != "table" || c.field != "" || len(c.fields) > 0 {
		return err
	}
	for _, event := range record.Events {
		fmt.Fprintf(c.out, "\n%s\n", event.Type)
		if err := writeJSON(c.out, event.Payload); err != nil {
			return err
		}
	}
	return nil
}
