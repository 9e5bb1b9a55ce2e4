package simulations

import (
	"context"
	"errors"
	"time"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
	"pantheon/simulations/check"
)

// cellLog is the log with its failures: behind the network, slow at times,
// unavailable at times, and with answers that get lost.
type cellLog struct {
	*World
	random    chance
	memory    *memory.Log
	all       []events.Envelope // by position, from 1
	outages   int
	full      int // faults of its disk that go on
	term      int // counts its leaders
	slow      time.Duration
	followers []*follower
	history   *check.History
	// placements are what senders were told of where DROPs are.
	placements *check.Placements
}

func newCellLog(w *World) *cellLog {
	return &cellLog{World: w, random: newChance(w.options.Seed, "log"), memory: memory.New(), history: check.NewHistory(), placements: check.NewPlacements()}
}

func (l *cellLog) head() events.Position { return events.Position(len(l.all)) }

// latency of one operation.
func (l *cellLog) latency() time.Duration {
	return l.knobs.LogDelay + l.random.exp(l.knobs.LogDelay) + l.slow
}

var (
	errLogUnavailable error = problem.New(problem.Unavailable, "the log has no leader")
	errLogFull        error = problem.New(problem.Unavailable, "the log's disk is full")
)

// append asks for an append; done is called with its result, and not at all
// where the answer got lost.
func (l *cellLog) append(from endpoint, tip events.Tip, commit events.Commit, done func(events.Tip, error)) {
	op := l.history.Begin(commit.Stream, tip.Revision, l.now)
	if !l.net.open(from, logEndpoint) {
		return
	}
	term := l.term
	l.after(l.net.delay(from, logEndpoint)+l.latency(), func() {
		switch {
		case l.term != term && l.random.yes(0.5): // with the old leader
			return
		case l.term != term: // the new leader has it, and nobody to tell
		case l.outages > 0:
			if l.random.yes(0.5) {
				l.answer(from, func() { done(events.Tip{}, errLogUnavailable) })
			}
			return
		case l.full > 0:
			l.answer(from, func() { done(events.Tip{}, errLogFull) })
			return
		}
		written, err := l.memory.Append(context.Background(), tip, commit)
		if err == nil {
			l.committed(written)
		} else if errors.Is(err, eventlog.ErrConflict) {
			l.trace.step(l.now, "conflict", commit.Stream.ID, string(commit.Meta.Command), int64(tip.Position))
		} else {
			l.violate("codec", "the log refuses a commit of %s: %v", commit.Stream, err)
		}
		if l.term != term {
			return
		}
		l.answer(from, func() {
			l.history.End(op, err == nil, l.now)
			done(written, err)
		})
	})
}

// answer brings a result back, or loses it.
func (l *cellLog) answer(to endpoint, deliver func()) {
	if !l.net.open(logEndpoint, to) || l.random.yes(l.knobs.LostAck) {
		l.trace.step(l.now, "answer lost", "log", l.names[to], 0)
		return
	}
	l.after(l.net.delay(logEndpoint, to), deliver)
}

// committed takes note of the newest commit and tells everybody who follows.
func (l *cellLog) committed(tip events.Tip) {
	l.all = l.memory.Commits()
	if l.head() != tip.Position || l.all[tip.Position-1].Tip() != tip {
		l.violate("log", "the log has %d commits after one was written at position %d", l.head(), tip.Position)
		return
	}
	envelope := l.all[tip.Position-1]
	for _, event := range envelope.Events {
		l.trace.step(l.now, "commit", envelope.Stream.ID, events.NameOf(event), int64(envelope.Position))
	}
	l.ledger.Commit(envelope, l.now)
	l.zone.Commit(envelope)
	l.watchLosses(envelope)
	for _, f := range l.followers {
		f.wake()
	}
	if envelope.Stream.Kind == events.KindHost {
		if m := l.machineOf[events.HostID(envelope.Stream.ID)]; m != nil {
			m.hear()
		}
	}
}

// load asks for a part of a stream.
func (l *cellLog) load(from endpoint, stream events.StreamID, after events.Revision, done func(actors.CommitsLoaded)) {
	l.read(from, stream, after, l.latency(), done)
}

// read is load with a latency of its own: whoever follows a stream is told of
// its commits, however slow the log's disks are.
func (l *cellLog) read(from endpoint, stream events.StreamID, after events.Revision, latency time.Duration, done func(actors.CommitsLoaded)) {
	if !l.net.open(from, logEndpoint) {
		return
	}
	l.after(l.net.delay(from, logEndpoint)+latency, func() {
		if l.outages > 0 {
			l.answer(from, func() { done(actors.CommitsLoaded{Err: errLogUnavailable}) })
			return
		}
		part, more := l.memory.Part(stream, after, actors.MaxLoadCommits)
		loaded := actors.CommitsLoaded{Envelopes: part, End: !more}
		l.answer(from, func() { done(loaded) })
	})
}

// actorsLoaded is a part of a stream.
type actorsLoaded = actors.CommitsLoaded

// follower reads the whole log in order, some time after it was written.
type follower struct {
	*World
	port    endpoint
	cursor  events.Position
	due     bool
	stopped bool
	since   time.Duration // connected without a break since then
	woken   time.Duration // when it was told of what it reads next, while due
	reading time.Duration // when it reads that
	apply   func(events.Envelope)
	caught  func() // after a batch
}

func (l *cellLog) follow(at endpoint, from events.Position, apply func(events.Envelope), caught func()) *follower {
	f := &follower{World: l.World, port: at, cursor: from, apply: apply, caught: caught, since: l.now}
	l.followers = append(l.followers, f)
	f.wake()
	return f
}

func (f *follower) stop() {
	f.stopped = true
	for i, other := range f.log.followers {
		if other == f {
			f.log.followers = append(f.log.followers[:i:i], f.log.followers[i+1:]...)
			return
		}
	}
}

// wake has the follower read soon.
func (f *follower) wake() {
	if f.due || f.stopped || f.cursor == f.log.head() {
		return
	}
	f.due = true
	delay := time.Duration(0)
	if f.port != logEndpoint {
		delay = f.net.delay(logEndpoint, f.port)
	}
	f.woken, f.reading = f.now, f.now+delay
	f.after(delay, f.read)
}

// connected gives since when the reader has had every commit within a second;
// a way that takes longer counts as none.
func (f *follower) connected() time.Duration {
	if f.due && f.reading-f.woken > time.Second {
		return f.now
	}
	return f.since
}

func (f *follower) read() {
	f.due = false
	if f.stopped {
		return
	}
	if f.log.outages > 0 || !f.net.open(logEndpoint, f.port) || !f.net.open(f.port, logEndpoint) {
		f.due = true
		f.since = f.now + followRetry
		f.woken, f.reading = f.now, f.since
		f.after(followRetry, f.read)
		return
	}
	for f.cursor < f.log.head() {
		envelope := f.log.all[f.cursor]
		f.cursor++
		if envelope.Position != f.cursor {
			f.violate("order", "a reader is given position %d for %d", envelope.Position, f.cursor)
			return
		}
		f.apply(envelope)
	}
	if f.caught != nil {
		f.caught()
	}
}
