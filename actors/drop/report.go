package drop

import (
	"pantheon/events"
	"pantheon/events/problem"
)

// report takes a fact from the DROP's host, gives nothing for one that is
// stale or known, and refuses one from any other host.
func report(s State, c Report) ([]events.Event, error) {
	drop, host, known := subject(c.Fact)
	switch {
	case !known:
		return nil, problem.New(problem.Invalid, "cannot take the report: %s is no fact about a DROP", events.NameOf(c.Fact))
	case drop != s.Requested.Drop || host != c.Host:
		return nil, problem.New(problem.Invalid, "cannot take the report: %s is about DROP %.40q on host %.40q, it was sent to DROP %s by host %.40q", events.NameOf(c.Fact), drop, host, s.Requested.Drop, c.Host)
	case s.Retired || s.Host != c.Host || c.Host == "":
		return nil, problem.New(problem.Conflict, "cannot take %s from host %s: it does not hold DROP %s", events.NameOf(c.Fact), c.Host, s.Requested.Drop)
	}
	if news(s, c.Fact) {
		return []events.Event{fit(c.Fact)}, nil
	}
	return nil, nil
}

// subject says which DROP and host a fact is about.
func subject(fact events.Event) (drop events.DropID, host events.HostID, known bool) {
	switch e := fact.(type) {
	case events.DropReady:
		return e.Drop, e.Host, e.Generation > 0
	case events.DropPrepareFailed:
		return e.Drop, e.Host, e.Generation > 0
	case events.DropAwoke:
		return e.Drop, e.Host, true
	case events.DropSlept:
		return e.Drop, e.Host, true
	case events.DropCrashed:
		return e.Drop, e.Host, true
	case events.DropStartFailed:
		return e.Drop, e.Host, true
	}
	return "", "", false
}

// news says whether the fact adds to what is known.
func news(s State, fact events.Event) bool {
	switch e := fact.(type) {
	case events.DropReady:
		return e.Generation > s.generation() || (e.Generation == s.generation() && s.Failed.Generation != 0)
	case events.DropPrepareFailed:
		return e.Generation >= s.generation() && fit(e) != s.Failed
	case events.DropAwoke:
		return !s.Awake
	case events.DropSlept, events.DropCrashed:
		return s.Awake
	case events.DropStartFailed:
		return !s.Awake && fit(e) != s.StartFailed
	}
	return false
}

// fit bounds the fact's free text.
func fit(fact events.Event) events.Event {
	switch e := fact.(type) {
	case events.DropPrepareFailed:
		e.Reason = events.Reason(e.Reason)
		return e
	case events.DropCrashed:
		e.Reason = events.Reason(e.Reason)
		return e
	case events.DropStartFailed:
		e.Reason = events.Reason(e.Reason)
		return e
	case events.DropAwoke:
		e.Trigger = events.Reason(e.Trigger)
		return e
	case events.DropSlept:
		e.Trigger = events.Reason(e.Trigger)
		return e
	}
	return fact
}
