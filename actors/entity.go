package actors

import (
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// Entity is the core of one live actor: its state as of a tip, the commands
// that wait, and what it waits for itself. It has no clock, no I/O and no
// goroutine; it belongs to one goroutine. Step takes an input and gives the
// effects that its owner must perform: production does it with protoactor and
// workers, the simulator as it likes.
//
// At most one append or load is under way; commands are carried out in the
// order they came in.
type Entity struct {
	stream    events.StreamID
	behaviour behaviour

	// What the log says, as of tip.
	state   any
	tip     events.Tip
	unknown *events.Unknown // the first event this version does not know
	recent  recentCommands

	// stale: the log may hold more than tip, and has to be read before the next
	// decision.
	stale   bool
	pending pending
	waiting []waitingCommand
	effects []Effect
}

// pending is what an Entity waits for.
type pending uint8

const (
	nothingPending pending = iota
	loadPending
	appendPending
)

// waitingCommand is a command that is not answered yet.
type waitingCommand struct {
	received CommandReceived
	// events were decided, and their append is under way or unclear.
	events  []events.Event
	unclear error // why it is not known whether they are in the log
	retries int   // appends that lost a race
	// covered: the load or append under way began after this command came in.
	// fresh: such a one has ended well, so the state was the stream's end at
	// some moment after this command came in.
	covered, fresh bool
}

// Ticket tells the commands of one Entity apart; its owner chooses them.
type Ticket uint64

// Input is what happened to an Entity. The set of types is closed.
//
//sumtype:decl
type Input interface{ isInput() }

// CommandReceived: somebody asks. It is answered with AnswerCommand.
type CommandReceived struct {
	Ticket  Ticket
	Meta    events.Meta
	Command any // of the kind's command type
}

// CommitAppended answers AppendCommit.
type CommitAppended struct {
	Tip events.Tip
	Err error
}

// CommitsLoaded answers LoadCommits: the next commits of the stream, up to
// MaxLoadCommits. End is set when they reach to where the stream ended after
// the load had begun.
type CommitsLoaded struct {
	Envelopes []events.Envelope
	End       bool
	Err       error
}

// DecisionPanicked: Step has panicked with a Fault whose Deciding is set. The
// command is answered with Err, and everything is read again.
type DecisionPanicked struct{ Err error }

func (CommandReceived) isInput()  {}
func (CommitAppended) isInput()   {}
func (CommitsLoaded) isInput()    {}
func (DecisionPanicked) isInput() {}

// Effect is what the owner of an Entity must do. The set of types is closed.
//
//sumtype:decl
type Effect interface{ isEffect() }

// AppendCommit asks for an append; CommitAppended answers it.
type AppendCommit struct {
	Tip    events.Tip
	Commit events.Commit
}

// LoadCommits asks for the stream above a revision; CommitsLoaded answers it.
type LoadCommits struct{ After events.Revision }

// AnswerCommand ends a command.
type AnswerCommand struct {
	Ticket  Ticket
	Receipt events.Receipt
	Err     error
}

func (AppendCommit) isEffect()  {}
func (LoadCommits) isEffect()   {}
func (AnswerCommand) isEffect() {}

// Fault is what Step panics with when a decider or a fold does.
type Fault struct {
	Stream events.StreamID
	// Deciding: the command alone is at fault and DecisionPanicked mends the
	// Entity. Otherwise the Entity is of no more use.
	Deciding bool
	What     string // type of the command or name of the event
	Value    any    // of the panic
	Stack    []byte
}

func (f *Fault) Error() string {
	return fmt.Sprintf("panic in %s at %s: %v", f.Stream, f.What, f.Value)
}

// NewEntity makes the entity of a stream; it reads the log before its first
// decision.
func NewEntity(stream events.StreamID) (*Entity, error) {
	row, known := kinds[stream.Kind]
	if !known {
		return nil, problem.New(problem.Invalid, "cannot find actor %.80q: no such kind", stream)
	}
	return newEntity(stream, row), nil
}

// Decide carries out a command on a state: it gives events, or refuses.
type Decide func(state, command any) ([]events.Event, error)

// NewEntityWith is NewEntity with the kind's decider wrapped: a simulator
// breaks it on purpose, to see that the checkers notice.
func NewEntityWith(stream events.StreamID, wrap func(Decide) Decide) (*Entity, error) {
	entity, err := NewEntity(stream)
	if err == nil {
		entity.behaviour.decide = wrap(entity.behaviour.decide)
	}
	return entity, err
}

func newEntity(stream events.StreamID, row behaviour) *Entity {
	e := &Entity{stream: stream, behaviour: row}
	e.reset()
	return e
}

// reset forgets what the log said.
func (e *Entity) reset() {
	e.state, e.tip, e.unknown, e.recent, e.stale = e.behaviour.zero, events.Tip{}, nil, recentCommands{}, true
}

// State gives the actor's state as of Tip.
func (e *Entity) State() any { return e.state }

// Tip gives the end of the stream as the entity knows it.
func (e *Entity) Tip() events.Tip { return e.tip }

// Waiting gives the number of commands that are not answered yet.
func (e *Entity) Waiting() int { return len(e.waiting) }

// Step takes an input and gives the effects that follow from it.
func (e *Entity) Step(input Input) []Effect {
	switch in := input.(type) {
	case CommandReceived:
		e.waiting = append(e.waiting, waitingCommand{received: in})
	case CommitAppended:
		e.pending = nothingPending
		e.appended(in)
	case CommitsLoaded:
		e.pending = nothingPending
		e.loaded(in)
	case DecisionPanicked:
		e.reset()
		e.answer(events.Receipt{}, in.Err)
	}
	e.advance()
	effects := e.effects
	e.effects = nil
	return effects
}

// advance carries out waiting commands until one needs the log.
func (e *Entity) advance() {
	for len(e.waiting) > 0 && e.pending == nothingPending {
		if e.stale {
			e.load()
			return
		}
		head := &e.waiting[0]
		if tip, done := e.recent.find(head.received.Meta.Command); done {
			e.answer(events.Receipt{Stream: e.stream, Tip: tip, Repeated: true}, nil)
			continue
		}
		decided, err := e.decide(head.received.Command)
		switch {
		case err == nil && len(decided) > 0:
			e.append(head, decided)
		case !head.fresh:
			e.load()
		default:
			e.answer(events.Receipt{Stream: e.stream, Tip: e.tip}, err)
		}
	}
}

// decide asks the kind's decider.
func (e *Entity) decide(command any) ([]events.Event, error) {
	defer func() {
		if value := recover(); value != nil {
			panic(&Fault{e.stream, true, fmt.Sprintf("%T", command), value, debug.Stack()})
		}
	}()
	if id := e.behaviour.addressee(command); id != "" && id != e.stream.ID {
		return nil, problem.New(problem.Invalid, "cannot carry out %T: it is for %.80q and was sent to %s", command, id, e.stream)
	}
	if e.unknown != nil {
		return nil, problem.New(problem.Unsupported, "cannot decide about %s: its history holds event %.80q version %d, which this version does not know", e.stream, e.unknown.Name, e.unknown.Version).
			WithHint("run the newer version of pantheon that wrote it")
	}
	decided, err := e.behaviour.decide(e.state, command)
	if err == nil && len(decided) > events.MaxCommitEvents {
		err = problem.New(problem.Internal, "internal error: %T gave %d events, %d fit a commit", command, len(decided), events.MaxCommitEvents)
	}
	return decided, err
}

// answer ends the first waiting command.
func (e *Entity) answer(receipt events.Receipt, err error) {
	if err != nil {
		receipt = events.Receipt{}
	}
	e.effects = append(e.effects, AnswerCommand{e.waiting[0].received.Ticket, receipt, err})
	e.waiting[0] = waitingCommand{}
	if e.waiting = e.waiting[1:]; len(e.waiting) == 0 {
		e.waiting = nil
	}
}

// append asks for the commit of what the first command decided.
func (e *Entity) append(head *waitingCommand, decided []events.Event) {
	head.events = decided
	e.begin(appendPending)
	e.effects = append(e.effects, AppendCommit{e.tip, events.Commit{Stream: e.stream, Meta: head.received.Meta, Events: decided}})
}

// load asks for what the stream holds above tip.
func (e *Entity) load() {
	e.begin(loadPending)
	e.effects = append(e.effects, LoadCommits{e.tip.Revision})
}

// begin notes which commands came in before what now begins.
func (e *Entity) begin(what pending) {
	e.pending = what
	for i := range e.waiting {
		e.waiting[i].covered = true
	}
}

// caughtUp: the append or load that began last has ended at the stream's end.
func (e *Entity) caughtUp() {
	e.stale = false
	for i := range e.waiting {
		e.waiting[i].fresh = e.waiting[i].fresh || e.waiting[i].covered
	}
}

// appended takes the result of the first command's append.
func (e *Entity) appended(in CommitAppended) {
	head := &e.waiting[0]
	switch {
	case in.Err == nil:
		e.fold(in.Tip, head.received.Meta.Command, head.events)
		e.caughtUp()
		e.answer(events.Receipt{Stream: e.stream, Tip: in.Tip, Events: head.events}, nil)
	case errors.Is(in.Err, eventlog.ErrConflict):
		e.stale, head.events = true, nil
		if head.retries++; head.retries > MaxConflictRetries {
			e.answer(events.Receipt{}, problem.New(problem.Busy, "cannot carry out the command: %s changed %d times meanwhile", e.stream, head.retries).WithHint("try again"))
		}
	default:
		e.stale, head.unclear = true, in.Err
	}
}

// loaded takes further commits of the stream.
func (e *Entity) loaded(in CommitsLoaded) {
	err := in.Err
	if err == nil {
		err = e.foldAll(in.Envelopes)
	}
	if err != nil {
		e.loadFailed(err)
		return
	}
	if !in.End {
		e.pending = loadPending
		e.effects = append(e.effects, LoadCommits{e.tip.Revision})
		return
	}
	e.caughtUp()
	if len(e.waiting) > 0 && e.waiting[0].unclear != nil {
		e.clear()
	}
}

// clear answers the first command, whose append had no clear end, by what the
// stream says.
func (e *Entity) clear() {
	head := &e.waiting[0]
	if tip, there := e.recent.find(head.received.Meta.Command); there {
		e.answer(events.Receipt{Stream: e.stream, Tip: tip, Events: head.events}, nil)
		return
	}
	kind := problem.Unavailable
	if declared := problem.KindOf(head.unclear); declared != problem.Internal {
		kind = declared
	}
	e.answer(events.Receipt{}, problem.Wrap(kind, head.unclear, "cannot write to %s", e.stream).WithHint("send the same command again; it has one effect at most"))
}

// loadFailed answers everybody: who waits behind would meet the same log.
func (e *Entity) loadFailed(err error) {
	e.stale = true
	failure := problem.Wrap(problem.Unavailable, err, "cannot read %s", e.stream)
	if declared := problem.KindOf(err); declared != problem.Internal {
		failure.Kind = declared
	}
	for len(e.waiting) > 0 {
		e.answer(events.Receipt{}, failure)
	}
}

// foldAll folds envelopes that must continue the stream at tip.
func (e *Entity) foldAll(envelopes []events.Envelope) error {
	tip := e.tip
	for i := range envelopes {
		envelope := &envelopes[i]
		if envelope.Stream != e.stream || envelope.Revision != tip.Revision+1 || envelope.Previous != tip.Hash {
			e.reset()
			return fmt.Errorf("revision %d of %s does not follow revision %d of %s", envelope.Revision, envelope.Stream, tip.Revision, e.stream)
		}
		tip = envelope.Tip()
	}
	e.evolve(func(yield func(events.Event) bool) {
		for i := range envelopes {
			for _, event := range envelopes[i].Events {
				if !yield(event) {
					return
				}
			}
		}
	})
	e.tip = tip
	e.recent.grow(len(envelopes))
	for i := range envelopes {
		e.recent.add(envelopes[i].Meta.Command, envelopes[i].Tip())
	}
	return nil
}

// fold takes a commit of its own that is in the log.
func (e *Entity) fold(tip events.Tip, command events.CommandID, committed []events.Event) {
	e.evolve(slices.Values(committed))
	e.tip = tip
	e.recent.add(command, tip)
}

// evolve is the one place where state changes: by what is in the log.
func (e *Entity) evolve(committed iter.Seq[events.Event]) {
	var at events.Event
	defer func() {
		if value := recover(); value != nil {
			panic(&Fault{e.stream, false, events.NameOf(at), value, debug.Stack()})
		}
	}()
	known := func(yield func(events.Event) bool) {
		for event := range committed {
			at = event
			if unknown, ok := event.(events.Unknown); ok {
				if e.unknown == nil {
					e.unknown = &unknown
				}
				continue
			}
			if !yield(event) {
				return
			}
		}
	}
	if e.behaviour.replay != nil {
		e.state = e.behaviour.replay(e.state, known)
		return
	}
	for event := range known {
		e.state = e.behaviour.evolve(e.state, event)
	}
}
