package api

import (
	"context"
	"strconv"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// Why is the chain of causes of one commit.
type Why struct {
	// Chain is the commit that was asked for, what led to it, and so on to the
	// commit that nothing in the log led to.
	Chain []Link `json:"chain"`
	// By names who stands at the end of the chain.
	By string `json:"by"`
	// Person: By is a person's account, not a machine or a policy by itself.
	Person bool `json:"person"`
	// More: the chain is longer than what is shown.
	More bool `json:"more,omitzero"`
}

// Link is one commit of a chain of causes.
type Link struct {
	Commit
	// Name of the principal, for people: an account's or a host's.
	Name string `json:"name,omitzero"`
}

// showWhy answers ?of= with "<position>", "<kind>/<id>" (its last commit), or
// "<kind>/<id>@<revision>".
func showWhy(c *call) (reply, error) {
	ctx := c.request.Context()
	query := c.request.URL.Query()
	start, err := c.server.findCommit(ctx, query.Get("of"), c.moment)
	if err != nil {
		return reply{}, err
	}
	why := Why{Chain: []Link{c.link(start)}}
	for last := start; last.Meta.Cause != 0; {
		if len(why.Chain) == maxCauses {
			why.More = true
			break
		}
		if last.Meta.Cause >= last.Position {
			return reply{}, problem.New(problem.Unavailable, "cannot follow the causes: position %d names the later position %d", last.Position, last.Meta.Cause)
		}
		if last, err = c.server.commitAt(ctx, last.Meta.Cause); err != nil {
			return reply{}, err
		}
		why.Chain = append(why.Chain, c.link(last))
	}
	end := why.Chain[len(why.Chain)-1]
	why.By = end.Principal
	if end.Name != "" {
		why.By = end.Name
	}
	why.Person = !why.More && strings.HasPrefix(end.Principal, "account/")
	return reply{body: why}, nil
}

func (c *call) link(envelope events.Envelope) Link {
	link := Link{Commit: commitRecord(envelope)}
	kind, id, _ := strings.Cut(envelope.Meta.Principal, "/")
	switch events.Kind(kind) {
	case events.KindAccount:
		if account, known := c.view.account(events.AccountID(id)); known {
			link.Name = account.Profile.FullName
		}
	case events.KindHost:
		link.Name = c.view.hostName(events.HostID(id))
	default: // policies are their own names
	}
	return link
}

// findCommit finds what showWhy is asked for; of a stream, its last commit at
// the moment.
func (s *Server) findCommit(ctx context.Context, of string, at moment) (events.Envelope, error) {
	if of == "" {
		return events.Envelope{}, problem.New(problem.Invalid, "cannot say why of nothing").WithHint("give ?of=POSITION or ?of=KIND/ID")
	}
	if position, err := strconv.ParseUint(of, 10, 64); err == nil {
		return s.commitAt(ctx, events.Position(position))
	}
	name, digits, one := strings.Cut(of, "@")
	stream, err := events.ParseStreamID(name)
	if err != nil {
		return events.Envelope{}, problem.Wrap(problem.Invalid, err, "cannot tell which commit is meant").
			WithHint("write a position (1234), a stream (drop/…) or a revision of it (drop/…@3)")
	}
	var revision uint64
	if one {
		if revision, err = strconv.ParseUint(digits, 10, 64); err != nil || revision == 0 {
			return events.Envelope{}, problem.New(problem.Invalid, "cannot read revision %.20q: it must be a number from 1 on", digits)
		}
	}
	var found events.Envelope
	for envelope, err := range s.options.Log.Stream(ctx, stream, events.Revision(max(revision, 1)-1)) {
		if err != nil {
			return found, problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		if at.past && envelope.Position > at.position {
			break
		}
		if found = envelope; one {
			break
		}
	}
	if found.Position == 0 {
		return found, problem.New(problem.NotFound, "cannot find %.360s in the log", of).WithHint("pantheon events tail")
	}
	return found, nil
}

// commitAt reads one commit.
func (s *Server) commitAt(ctx context.Context, position events.Position) (events.Envelope, error) {
	if position > 0 {
		for envelope, err := range s.options.Log.All(ctx, position-1) {
			if err != nil {
				return envelope, problem.Wrap(problem.Unavailable, err, "cannot read the log")
			}
			if envelope.Position == position {
				return envelope, nil
			}
			break
		}
	}
	return events.Envelope{}, problem.New(problem.NotFound, "cannot find position %d in the log", position).WithHint("pantheon events tail")
}
