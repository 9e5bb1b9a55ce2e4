package check

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	actordrop "pantheon/actors/drop"
	"pantheon/events"
)

const (
	one  = events.HostID("00000000000000000000000000000001")
	two  = events.HostID("00000000000000000000000000000002")
	drp  = events.DropID("0000000000000000000000000000000d")
	bind = events.BindingID("0000000000000000000000000000000b")
	ste  = events.SiteID("00000000-0000-4000-8000-000000000001")
	env  = events.EnvironmentID("dev." + ste)
)

// book is a ledger that a test fills.
type book struct {
	*Ledger
	n     int
	found []string
}

func newBook() *book {
	b := &book{}
	b.Ledger = NewLedger(func(rule, format string, args ...any) {
		b.found = append(b.found, rule+": "+fmt.Sprintf(format, args...))
	}, Bounds{Serve: 15 * time.Second, Route: 5 * time.Second})
	return b
}

func (b *book) at(now time.Duration, stream events.StreamID, list ...events.Event) {
	for _, event := range list {
		b.n++
		b.Commit(events.Envelope{Commit: events.Commit{Stream: stream, Meta: events.Meta{
			Command: events.CommandID(fmt.Sprint("c", b.n)), Principal: "policy/placement"}, Events: []events.Event{event}},
			Position: events.Position(b.n)}, now)
	}
}

func (b *book) hosts() {
	b.at(0, one.Stream(), events.HostRegistered{Host: one, MemoryMiB: 1024})
	b.at(0, two.Stream(), events.HostRegistered{Host: two, MemoryMiB: 1024})
}

func admitted(on events.HostID, memoryMiB int) events.DropAdmitted {
	return events.DropAdmitted{Host: on, Drop: drp, Spec: events.DropSpec{Generation: 1, Environment: env, Settings: events.EnvironmentSettings{MemoryMiB: memoryMiB}}}
}

// serve puts the DROP on a host, ready.
func (b *book) serve(on events.HostID) {
	b.at(0, drp.Stream(), events.DropRequested{Drop: drp, Environment: env})
	b.at(0, on.Stream(), admitted(on, 512))
	b.at(0, drp.Stream(), events.DropPlaced{Drop: drp, Environment: env, Host: on}, events.DropReady{Drop: drp, Host: on, Generation: 1})
}

func TestEveryRuleIsNoticed(t *testing.T) {
	for rule, broken := range map[string]func(*book){
		"capacity: host 0": func(b *book) { b.at(0, one.Stream(), admitted(one, 2048)) },
		"capacity: lost":   func(b *book) { b.at(0, one.Stream(), events.HostLost{Host: one}, admitted(one, 64)) },
		"placement: DROP 0000000000000000000000000000000d is placed": func(b *book) {
			b.serve(one)
			b.at(0, drp.Stream(), events.DropPlaced{Drop: drp, Host: two})
		},
		"placement: DROP 0000000000000000000000000000000d is ready": func(b *book) {
			b.serve(one)
			b.at(0, drp.Stream(), events.DropReady{Drop: drp, Host: two, Generation: 1})
		},
		"serving: host": func(b *book) {
			b.serve(one)
			b.at(time.Minute, one.Stream(), events.DropDismissed{Host: one, Drop: drp})
			b.Served(one, b.Book(drp), time.Minute+16*time.Second, false)
		},
		"serving: host 0": func(b *book) {
			b.serve(one)
			b.at(time.Minute, one.Stream(), events.DropDismissed{Host: one, Drop: drp})
			b.at(time.Minute, two.Stream(), admitted(two, 64))
			b.Served(one, b.Book(drp), time.Minute, true)
		},
		"routing: a route names DROP": func(b *book) { b.serve(one); b.Routed(b.Book(drp), two, time.Hour, 0) },
		"routing: a route names host": func(b *book) {
			b.serve(one)
			b.at(time.Minute, one.Stream(), events.HostLost{Host: one})
			b.Routed(b.Book(drp), one, time.Minute+6*time.Second, 0)
		},
		"memory: host": func(b *book) { b.serve(one); b.Awake(one, 2, 2<<20, 0) },
		"once: command": func(b *book) {
			b.at(0, one.Stream(), events.HostLost{Host: one})
			b.n--
			b.at(0, one.Stream(), events.HostReturned{Host: one})
		},
		"once: one wish": func(b *book) {
			for n := range 2 {
				b.Commit(events.Envelope{Commit: events.Commit{Stream: env.Stream(), Meta: events.Meta{Command: events.CommandID(fmt.Sprint(n)), Address: "a:1"}}}, 0)
			}
		},
		"refused: command": func(b *book) {
			b.Refused(one.Stream(), "later", errors.New("no"))
			b.Commit(events.Envelope{Commit: events.Commit{Stream: one.Stream(), Meta: events.Meta{Command: "later"}}}, 0)
			b.Final(0)
		},
		"names: site:blog is claimed": func(b *book) {
			b.at(0, events.NameID("site:blog").Stream(), events.NameClaimed{Name: "site:blog", By: "site/a"}, events.NameClaimed{Name: "site:blog", By: "site/b"})
		},
		"names: site:blog is held": func(b *book) {
			b.at(0, events.NameID("site:blog").Stream(), events.NameClaimed{Name: "site:blog", By: "site/" + string(ste)})
			b.Final(0)
		},
		"twice: host": func(b *book) {
			b.serve(one)
			b.at(0, env.Stream(), events.EnvironmentCreated{Environment: env, Settings: events.EnvironmentSettings{Drops: 1}}, events.CodeDeployed{Environment: env})
			b.at(0, two.Stream(), admitted(two, 512))
			b.Final(0)
		},
		"twice: binding": func(b *book) {
			b.at(0, bind.Stream(), events.BindingRequested{Binding: bind})
			b.at(0, one.Stream(), events.BindingAdmitted{Host: one, Binding: bind})
			b.at(0, two.Stream(), events.BindingAdmitted{Host: two, Binding: bind})
			b.Final(0)
		},
	} {
		noticed(t, rule, broken)
	}
}

// noticed lets something break one rule, and no other.
func noticed(t *testing.T, rule string, broken func(*book)) {
	t.Helper()
	b := newBook()
	b.hosts()
	broken(b)
	if len(b.found) != 1 || !strings.HasPrefix(b.found[0], rule) {
		t.Errorf("%s: noticed is %q", rule, b.found)
	}
}

// TestEffects: what is to happen once is noticed when it happens twice.
func TestEffects(t *testing.T) {
	for rule, broken := range map[string]func(*book){
		"effect: binding 0000000000000000000000000000000b is provided": func(b *book) {
			b.at(0, bind.Stream(), events.BindingRequested{Binding: bind}, events.BindingProvisioned{Binding: bind, Host: one},
				events.BindingFailed{Binding: bind, Host: one}, events.BindingProvisioned{Binding: bind, Host: one})
			b.at(0, bind.Stream(), events.BindingProvisioned{Binding: bind, Host: one})
		},
		"effect: binding 0000000000000000000000000000000b is retired": func(b *book) {
			b.at(0, bind.Stream(), events.BindingRequested{Binding: bind}, events.BindingRetired{Binding: bind, Host: one}, events.BindingRetired{Binding: bind, Host: one})
		},
		"effect: host": func(b *book) { b.Ordered(one, 7, 0); b.Ordered(one, 7, 1); b.Ordered(one, 7, 0) },
	} {
		noticed(t, rule, broken)
	}
}

// TestWhatIsAllowed: moving a DROP, with everybody within their bounds.
func TestWhatIsAllowed(t *testing.T) {
	b := newBook()
	b.hosts()
	b.serve(one)
	b.Routed(b.Book(drp), one, time.Second, 0)
	b.Served(one, b.Book(drp), time.Second, false)
	b.Awake(one, 1, 2<<20, 0)
	b.at(time.Minute, one.Stream(), events.HostLost{Host: one}, events.DropDismissed{Host: one, Drop: drp})
	b.at(time.Minute, drp.Stream(), events.DropDisplaced{Drop: drp, Host: one})
	b.Served(one, b.Book(drp), time.Minute+14*time.Second, false)
	b.Routed(b.Book(drp), one, time.Minute+4*time.Second, 0)
	b.Routed(b.Book(drp), one, time.Hour, time.Hour-time.Second) // a router that was cut off
	b.at(time.Minute, two.Stream(), admitted(two, 512))
	b.at(time.Minute, drp.Stream(), events.DropPlaced{Drop: drp, Environment: env, Host: two}, events.DropReady{Drop: drp, Host: two, Generation: 1})
	if len(b.found) > 0 || b.Moves() != 1 {
		t.Errorf("%d moves, noticed: %q", b.Moves(), b.found)
	}
}

// TestDataOnALostHost: the host of an environment's database is lost. Its DROP
// stays there, may be served there, and nobody has to be served elsewhere; once
// the host is back that is over.
func TestDataOnALostHost(t *testing.T) {
	b := newBook()
	b.bounds.Ready = 5 * time.Minute
	b.hosts()
	b.at(0, env.Stream(), events.EnvironmentCreated{Environment: env, Settings: events.EnvironmentSettings{Drops: 1, MemoryMiB: 64}}, events.CodeDeployed{Environment: env})
	spec := events.BindingSpec{Kind: events.DBServer, Environment: env}
	b.at(0, bind.Stream(), events.BindingRequested{Binding: bind, Spec: spec})
	b.at(0, one.Stream(), events.BindingAdmitted{Host: one, Binding: bind, Spec: spec})
	b.at(0, bind.Stream(), events.BindingPlaced{Binding: bind, Host: one}, events.BindingProvisioned{Binding: bind, Host: one})
	b.at(0, one.Stream(), admitted(one, 64))
	b.serve(one)
	b.at(time.Minute, one.Stream(), events.HostLost{Host: one})
	b.Served(one, b.Book(drp), time.Hour, true)
	b.Unready(env, time.Minute, 0)
	b.Unready(env, time.Hour, 0)
	if reason := b.Unsettled(); reason != "" {
		t.Error(reason)
	}
	b.at(time.Hour, one.Stream(), events.HostReturned{Host: one})
	b.Unready(env, time.Hour, 0)
	if b.Unready(env, time.Hour+4*time.Minute, 0); len(b.found) > 0 {
		t.Errorf("noticed: %q", b.found)
	}
	if b.Unready(env, time.Hour+6*time.Minute, 0); len(b.found) != 1 {
		t.Errorf("noticed: %q", b.found)
	}
}

func TestHistories(t *testing.T) {
	name := events.NameID("site:blog").Stream()
	fill := func(ops ...func(*History)) string {
		h := NewHistory()
		for _, op := range ops {
			op(h)
		}
		broken := h.Check().Broken
		return broken
	}
	op := func(after events.Revision, begin, end time.Duration, written bool) func(*History) {
		return func(h *History) {
			o := h.Begin(name, after, begin)
			if end > 0 {
				h.End(o, written, end)
			}
		}
	}
	if broken := fill(op(0, 1, 2, true), op(0, 1, 3, false), op(1, 4, 0, false), op(2, 6, 7, true)); broken != "" {
		t.Errorf("%s: an append whose answer was lost explains this", broken)
	}
	for what, ops := range map[string][]func(*History){
		"two appends after one revision":   {op(0, 1, 2, true), op(0, 3, 4, true)},
		"a conflict that nobody caused":    {op(0, 1, 2, false)},
		"a revision that was never there":  {op(0, 1, 2, true), op(2, 3, 4, true)},
		"an effect before its own request": {op(1, 1, 2, true), op(0, 3, 4, true)},
	} {
		if fill(ops...) == "" {
			t.Errorf("%s was not noticed", what)
		}
	}
}

// TestPlacementsOfOneCommand: two senders of one command may both be told that
// it has changed something; senders of two commands may not.
func TestPlacementsOfOneCommand(t *testing.T) {
	for n := range 100 { // some of the DROPs are sampled
		id := events.DropID(fmt.Sprintf("%032x", n))
		if !sampled(id) {
			continue
		}
		place := actordrop.Place{Host: one}
		receipt := events.Receipt{Events: []events.Event{events.DropPlaced{Drop: id, Host: one}}}
		told := func(ids ...events.CommandID) string {
			p := NewPlacements()
			var ops []Op
			for _, command := range ids {
				ops = append(ops, p.Begin(id.Stream(), command, place, 1))
			}
			for i, op := range ops {
				p.End(op, receipt, nil, time.Duration(2+i))
			}
			broken := p.Check().Broken
			return broken
		}
		if broken := told("a", "a"); broken != "" {
			t.Errorf("one command twice: %s", broken)
		}
		if told("a", "b") == "" {
			t.Error("two commands placed one DROP, and nobody noticed")
		}
		return
	}
}
