package api

import (
	"context"
	"encoding/json"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
)

// Commit is one commit of the log as the API shows it.
type Commit struct {
	Position  events.Position `json:"position"`
	Stream    string          `json:"stream"`
	Revision  events.Revision `json:"revision"`
	Time      time.Time       `json:"time"`
	Principal string          `json:"principal"`
	Gateway   string          `json:"gateway,omitzero"`
	Address   string          `json:"address,omitzero"`
	Command   string          `json:"command"`
	Cause     events.Position `json:"cause,omitzero"`
	Hash      string          `json:"hash"`
	Events    []CommitEvent   `json:"events"`
}

// CommitEvent is one event of a commit. Payload is null for an event of a
// newer version of the platform.
type CommitEvent struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// Commits is one page of the log.
type Commits struct {
	Commits []Commit `json:"commits"`
	// Next is the position to go on after; More says whether there may be
	// something there now.
	Next events.Position `json:"next"`
	More bool            `json:"more"`
}

func commitRecord(e events.Envelope) Commit {
	record := Commit{
		Position: e.Position, Stream: e.Stream.String(), Revision: e.Revision, Time: e.Meta.Time,
		Principal: e.Meta.Principal, Gateway: e.Meta.Gateway, Address: e.Meta.Address,
		Command: string(e.Meta.Command), Cause: e.Meta.Cause, Hash: e.Hash.String(),
		Events: make([]CommitEvent, len(e.Events)),
	}
	for i, event := range e.Events {
		record.Events[i] = CommitEvent{Type: events.NameOf(event), Payload: payload(event)}
	}
	return record
}

// payload writes an event as it stands in the log. It was read from there, so
// it can be written.
func payload(event events.Event) json.RawMessage {
	if _, unknown := event.(events.Unknown); unknown {
		return json.RawMessage("null")
	}
	text, err := jsonv2.Marshal(event, jsonv2.Deterministic(true))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// filter says which commits are wanted. Its zero value wants all.
type filter struct {
	stream    events.StreamID     // zero: every stream
	kind      events.Kind         // empty: every kind
	types     []string            // a commit with one of them; none: every type
	principal string              // exact, or the part before "/"
	gateway   string              // exact; empty: every one
	address   string              // exact, or the address without its port
	open      func(string) string // gives a sealed address in clear; needed with address
	command   string              // exact
	cause     events.Position     // 0: every one
	upTo      events.Position     // 0: the log's end
	since     time.Time           // wall clock of the decider, inclusive
	until     time.Time           // exclusive
}

func (f filter) wants(e events.Envelope) bool {
	switch {
	case f.stream != (events.StreamID{}) && e.Stream != f.stream,
		f.gateway != "" && e.Meta.Gateway != f.gateway,
		f.address != "" && !f.isFrom(e.Meta.Address),
		f.command != "" && string(e.Meta.Command) != f.command,
		f.cause != 0 && e.Meta.Cause != f.cause,
		f.kind != "" && e.Stream.Kind != f.kind,
		!f.since.IsZero() && e.Meta.Time.Before(f.since),
		!f.until.IsZero() && !e.Meta.Time.Before(f.until),
		f.principal != "" && e.Meta.Principal != f.principal && !strings.HasPrefix(e.Meta.Principal, f.principal+"/"):
		return false
	}
	return len(f.types) == 0 || slices.ContainsFunc(e.Events, func(event events.Event) bool {
		return slices.Contains(f.types, events.NameOf(event))
	})
}

// isFrom says whether a commit's address, which may stand sealed in the log, is
// the wanted one.
func (f filter) isFrom(sealed string) bool {
	address := f.open(sealed)
	host, _, err := net.SplitHostPort(address)
	return address == f.address || err == nil && host == f.address
}

// eventQuery is the query of GET /api/events.
type eventQuery struct {
	filter
	after events.Position
	limit int
	last  bool // the newest limit commits instead of the oldest
}

func parseEventQuery(query url.Values) (eventQuery, error) {
	q := eventQuery{limit: defaultPageItems}
	for name, values := range query {
		for _, value := range values {
			if err := q.set(name, value); err != nil {
				return q, err
			}
		}
	}
	return q, nil
}

func (q *eventQuery) set(name, value string) error {
	var err error
	switch name {
	case "stream":
		err = q.setStream(value)
	case "type":
		if !slices.Contains(events.Names(), value) {
			return problem.New(problem.Invalid, "cannot filter by type %.60q: there is no such event", value)
		}
		q.types = append(q.types, value)
	case "principal":
		q.principal = value
	case "gateway":
		q.gateway = value
	case "address":
		q.address = value
	case "command":
		q.command = value
	case "cause":
		q.cause, err = parsePosition(value)
	case "at": // the call's moment
	case "since":
		q.since, err = time.Parse(time.RFC3339, value)
	case "until":
		q.until, err = time.Parse(time.RFC3339, value)
	case "after":
		q.after, err = parsePosition(value)
	case "limit":
		q.limit, err = parseLimit(value)
	case "last":
		q.last, err = strconv.ParseBool(value)
	default:
		return problem.New(problem.Invalid, "cannot filter events by %.40q", name).
			WithHint("filters are stream, type, principal, gateway, address, command, cause, since, until, after, limit, last and at")
	}
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot read filter %s=%.60s", name, value)
	}
	return nil
}

// setStream takes "<kind>/<id>" or a kind alone.
func (q *eventQuery) setStream(value string) error {
	if slices.Contains(events.Kinds, events.Kind(value)) {
		q.kind = events.Kind(value)
		return nil
	}
	var err error
	q.stream, err = events.ParseStreamID(value)
	return err
}

func parsePosition(value string) (events.Position, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	return events.Position(n), err
}

func parseLimit(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxPageItems {
		return 0, problem.New(problem.Invalid, "cannot use limit %.20q: it must be from 1 to %d", value, maxPageItems)
	}
	return n, nil
}

// showEvents lists commits, or follows the log where the client accepts an
// event stream.
func showEvents(c *call) (reply, error) {
	q, err := parseEventQuery(c.request.URL.Query())
	if err != nil {
		return reply{}, err
	}
	q.upTo, q.open = c.moment.position, c.open
	if strings.Contains(c.request.Header.Get("Accept"), "text/event-stream") {
		if c.moment.past {
			return reply{}, problem.New(problem.Invalid, "cannot follow the past: ?at= and an event stream exclude each other")
		}
		return c.server.follow(c, q)
	}
	page, err := c.server.readCommits(c.request.Context(), q)
	return reply{body: page}, err
}

// readCommits gives one page: the first limit commits after q.after, or the
// last ones of the log. It looks at maxScannedCommits at most.
func (s *Server) readCommits(ctx context.Context, q eventQuery) (Commits, error) {
	head, err := s.options.Log.Head(ctx)
	if err != nil {
		return Commits{}, problem.Wrap(problem.Unavailable, err, "cannot read the log")
	}
	if q.upTo != 0 {
		head = min(head, q.upTo)
	}
	if q.last && q.stream == (events.StreamID{}) && head > maxScannedCommits {
		q.after = max(q.after, head-maxScannedCommits)
	}
	page := Commits{Commits: []Commit{}, Next: q.after}
	scanned := 0
	for envelope, err := range s.commitsAfter(ctx, q) {
		if err != nil {
			return Commits{}, problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		if envelope.Position <= q.after {
			continue
		}
		if envelope.Position > head && q.upTo != 0 {
			break
		}
		if scanned++; scanned > maxScannedCommits || (!q.last && len(page.Commits) == q.limit) {
			page.More = true
			break
		}
		page.Next = envelope.Position
		if q.wants(envelope) {
			page.Commits = append(page.Commits, commitRecord(envelope))
		}
		if q.last && len(page.Commits) >= 2*q.limit {
			page.Commits = slices.Clone(page.Commits[len(page.Commits)-q.limit:])
		}
	}
	page.Commits = page.Commits[max(0, len(page.Commits)-q.limit):]
	return page, nil
}

// commitsAfter reads one stream where the filter names one: a stream is short
// and the log is long.
func (s *Server) commitsAfter(ctx context.Context, q eventQuery) iter.Seq2[events.Envelope, error] {
	if q.stream != (events.StreamID{}) {
		return s.options.Log.Stream(ctx, q.stream, 0)
	}
	return s.options.Log.All(ctx, q.after)
}

// follow answers with the log as server-sent events (HTML living standard
// §9.2): the id of each is its position, so a client that comes back with
// Last-Event-ID misses nothing and sees nothing twice.
func (s *Server) follow(c *call, q eventQuery) (reply, error) {
	if last := c.request.Header.Get("Last-Event-ID"); last != "" {
		if err := q.set("after", last); err != nil {
			return reply{}, err
		}
	}
	select {
	case s.followers <- struct{}{}:
	default:
		return reply{}, problem.New(problem.Busy, "cannot follow the events: %d clients do already", maxFollowers)
	}
	return reply{stream: func(w http.ResponseWriter) error {
		defer func() { <-s.followers }()
		s.metrics.followers.Inc()
		defer s.metrics.followers.Dec()
		return s.stream(c.request.Context(), w, q, c.openJSON)
	}}, nil
}
