package simulations

import (
	"slices"
	"time"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// Level puts something else in the place of the twins of actors.System,
// actors.Reactor and projections.Runner; package shell puts the real ones. The
// World keeps its one goroutine and calls a Level on it only. What a Level does
// beside that goroutine comes in through Await.
type Level interface {
	// Await returns when it is at, or earlier with something to do on the
	// World's goroutine. It gives the time then.
	Await(at time.Duration) (now time.Duration, do func())
	// Node makes a process of the control plane, which is down.
	Node(at Port, policies bool) Node
	// Routes and Inventory make views. Every commit is given to apply, in
	// order, when it has reached the place of the view.
	Routes(domain string) (view View[routing.State], apply func(events.Envelope))
	Inventory() (view View[inventory.State], apply func(events.Envelope))
}

// Node is one process of the control plane at another level.
type Node interface {
	Start()
	// Crash ends it at once: what has not reached the log is lost.
	Crash()
	// Command has an actor carry out a command. reply is called at most once,
	// and not after a crash.
	Command(meta events.Meta, to events.StreamID, command any, reply func(events.Receipt, error))
	// Policies gives how far the policies have folded the log; false where the
	// node runs none.
	Policies() (at events.Position, runs bool)
	// Saved ends the policies and gives their fold as they saved it.
	Saved() (state []byte, at events.Position, err error)
}

// View is what readers of a projection hold.
type View[S any] interface {
	Snapshot() *S
	Position() events.Position
}

// Port is the place of a Node: the way to the log and to other nodes, with all
// their faults. Functions given to it are called on the World's goroutine, each
// at most once where nothing else is said, and never where an answer is lost.
type Port struct {
	world *World
	at    endpoint
}

// Append asks the log for an append.
func (p Port) Append(tip events.Tip, commit events.Commit, done func(events.Tip, error)) {
	p.world.log.append(p.at, tip, commit, done)
}

// Load asks the log for a part of a stream.
func (p Port) Load(stream events.StreamID, after events.Revision, done func(actors.CommitsLoaded)) {
	p.world.log.load(p.at, stream, after, done)
}

// All asks for everything after a position.
func (p Port) All(after events.Position, done func([]events.Envelope, error)) {
	p.world.log.readAll(p.at, after, done)
}

// Follow gives every commit after a position to apply, in order, until stop.
func (p Port) Follow(after events.Position, apply func(events.Envelope)) (stop func()) {
	return p.world.log.follow(p.at, after, apply, nil).stop
}

// Do sends a command to the node that runs its actor. done is called once, with
// an error where no answer came in time.
func (p Port) Do(meta events.Meta, to events.StreamID, command any, done func(events.Receipt, error)) {
	p.world.do(p.at, meta, to, command, func(receipt events.Receipt, err error) {
		p.world.acknowledged(meta.Command, receipt, err)
		if err != nil {
			p.world.trace.step(p.world.now, "command failed", string(meta.Command), err.Error(), 0)
		}
		done(receipt, err)
	})
}

// Happened notes a step in the trace.
func (p Port) Happened(what, subject, object string) {
	p.world.trace.step(p.world.now, what, subject, object, 0)
}

// Violate notes a broken promise.
func (p Port) Violate(rule, format string, args ...any) { p.world.violate(rule, format, args...) }

// Name gives the node's name.
func (p Port) Name() string { return p.world.names[p.at] }

// Beginning is what clocks show when the run begins.
func (p Port) Beginning() time.Time { return p.world.start }

// readAll asks for the log from a position on.
func (l *cellLog) readAll(from endpoint, after events.Position, done func([]events.Envelope, error)) {
	if !l.net.open(from, logEndpoint) {
		return
	}
	l.after(l.net.delay(from, logEndpoint)+l.latency(), func() {
		if l.outages > 0 {
			l.answer(from, func() { done(nil, errLogUnavailable) })
			return
		}
		read := slices.Clip(l.all[min(after, l.head()):])
		l.answer(from, func() { done(read, nil) })
	})
}

// advance runs the next task, or what a Level brings; false where nothing is
// due before end.
func (w *World) advance(end time.Duration) bool {
	if w.options.Level == nil {
		return w.step(end)
	}
	now, do := w.options.Level.Await(w.due(end))
	w.now = max(w.now, now)
	if do != nil {
		do()
		return true
	}
	return w.step(end)
}

// checkLevel says what another level cannot do.
func (o Options) checkLevel() error {
	s := &o.Seams
	if o.Level != nil && (s.Decide != nil || s.Intent != nil || s.Route != nil || s.View != nil || s.Denied) {
		return problem.New(problem.Invalid, "cannot break the control plane of another level: it has seams of its own")
	}
	if o.Level != nil && o.Past != nil {
		return problem.New(problem.Invalid, "cannot go on from a log at another level: its nodes begin with an empty one")
	}
	if o.Thin && (o.Level != nil || o.Past != nil) {
		return problem.New(problem.Invalid, "cannot thin visits at another level or from a log")
	}
	return nil
}
