package terms

import (
	"slices"
	"strings"
	"time"

	"pantheon/events"
)

// Member is a host as the log knows it.
type Member struct {
	Host events.HostID
	Lost bool
}

// Effect is what a watch wants done: one of Revoke, Grant, ReportLost and
// ReportReturned.
type Effect interface{ isEffect() }

// Revoke takes a host's lease away. If the bucket has done so, the watch is
// told by Revoked.
type Revoke struct {
	Host events.HostID
	Write
}

// Grant gives a host a lease.
type Grant struct {
	Host events.HostID
	Write
}

// ReportLost tells the host's actor. It may be done again, but not later than
// Before: by then somebody else may have granted the host a lease.
type ReportLost struct {
	Host   events.HostID
	Before time.Duration
}

// ReportReturned tells the host's actor that the host is back.
type ReportReturned struct{ Host events.HostID }

func (Revoke) isEffect()         {}
func (Grant) isEffect()          {}
func (ReportLost) isEffect()     {}
func (ReportReturned) isEffect() {}

// Watch decides who is lost; make one with NewWatch.
type Watch struct {
	hosts map[events.HostID]watched
	// read: the round before could read the bucket, and began then.
	read  bool
	began time.Duration
}

// watched is what is known of one host's entry.
type watched struct {
	revision uint64
	entry    Entry
	since    time.Duration // it has been seen unchanged, all the time
}

// NewWatch begins without knowing of anybody.
func NewWatch() Watch { return Watch{hosts: map[events.HostID]watched{}} }

// Failed says that the bucket could not be read.
func (w *Watch) Failed() { w.read = false }

// Round takes a reading of the whole bucket that was asked for at one time and
// answered at another, and the hosts as the log knew them before it.
func (w *Watch) Round(began, ended time.Duration, members []Member, records []Record) []Effect {
	anew := !w.read || began-w.began > MaxGap || ended-began > MaxGap
	w.read, w.began = true, began
	found := make(map[events.HostID]Record, len(records))
	for _, record := range records {
		found[record.Host] = record
	}
	next := make(map[events.HostID]watched, len(members))
	var effects []Effect
	for _, member := range members {
		seen := w.look(member.Host, found[member.Host], ended, anew)
		next[member.Host] = seen
		if effect := seen.judge(member, began); effect != nil {
			effects = append(effects, effect)
		}
	}
	w.hosts = next
	slices.SortFunc(effects, func(a, b Effect) int { return strings.Compare(order(a), order(b)) })
	return effects
}

// look takes one host's entry in.
func (w *Watch) look(host events.HostID, record Record, ended time.Duration, anew bool) watched {
	seen, known := w.hosts[host]
	if !known || anew || seen.revision != record.Revision || seen.entry != record.Entry {
		seen.since = ended
	}
	seen.revision, seen.entry = record.Revision, record.Entry
	return seen
}

// judge says what one host's entry asks for.
func (s watched) judge(member Member, began time.Duration) Effect {
	host, silent := member.Host, began-s.since >= LostAfter
	if s.revision == 0 {
		if silent {
			return Revoke{host, Write{Entry{State: Revoked}, 0}}
		}
		return nil
	}
	granted := s.entry
	granted.State = Held
	switch s.entry.State {
	case Held:
		revoked := s.entry
		revoked.State = Revoked
		switch {
		case silent:
			return Revoke{host, Write{revoked, s.revision}}
		case member.Lost:
			return ReportReturned{host}
		}
	case Revoked:
		if !member.Lost {
			return ReportLost{host, began + ReportWithin}
		}
	case Asking, Returning:
		switch {
		case member.Lost:
			return ReportReturned{host}
		case s.entry.State == Asking || began-s.since >= GrantAfter:
			return Grant{host, Write{granted, s.revision}}
		}
	}
	return nil
}

// Revoked says that a revocation that was sent at a time was written at a
// revision: the host is to be reported.
func (w *Watch) Revoked(sent time.Duration, done Revoke, revision uint64) Effect {
	w.hosts[done.Host] = watched{revision: revision, entry: done.Entry, since: sent}
	return ReportLost{done.Host, sent + ReportWithin}
}

// order makes a round's effects the same in every run: revocations first.
func order(e Effect) string {
	switch e := e.(type) {
	case Revoke:
		return "1" + string(e.Host)
	case ReportLost:
		return "2" + string(e.Host)
	case ReportReturned:
		return "3" + string(e.Host)
	case Grant:
		return "4" + string(e.Host)
	}
	return ""
}
