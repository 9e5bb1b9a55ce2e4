package actors

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/environment"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// world drives entities as the simulator does: no protoactor, no goroutine.
// Several copies of one actor share one log; every append and load may lose
// its answer, fail, or wait while others go on.
type world struct {
	t        *rapid.T
	log      []events.Envelope // of the one stream
	copies   []*copyOfActor
	tickets  Ticket
	answers  map[Ticket][]AnswerCommand
	commands map[Ticket]events.CommandID
}

type copyOfActor struct {
	entity  *Entity
	pending Effect // the append or load under way
}

func (w *world) restart(c *copyOfActor) {
	entity, err := NewEntity(testEnvironment.Stream())
	if err != nil {
		w.t.Fatal(err)
	}
	c.entity, c.pending = entity, nil
}

func (w *world) step(c *copyOfActor, input Input) {
	for _, effect := range c.entity.Step(input) {
		switch e := effect.(type) {
		case AnswerCommand:
			w.answers[e.Ticket] = append(w.answers[e.Ticket], e)
		case AppendCommit, LoadCommits:
			if c.pending != nil {
				w.t.Fatalf("%T while %T is under way", e, c.pending)
			}
			c.pending = e
		}
	}
}

// perform ends what is under way, well or badly.
func (w *world) perform(c *copyOfActor, faults bool) {
	effect := c.pending
	c.pending = nil
	fails := faults && rapid.IntRange(0, 4).Draw(w.t, "fails") == 0
	switch e := effect.(type) {
	case AppendCommit:
		if fails && rapid.Bool().Draw(w.t, "lost before") {
			w.step(c, CommitAppended{Err: errors.New("lost")})
			return
		}
		tip, err := w.append(e)
		if fails && err == nil {
			err = errors.New("lost after it was written")
		}
		w.step(c, CommitAppended{tip, err})
	case LoadCommits:
		if fails {
			w.step(c, CommitsLoaded{Err: errors.New("unreadable")})
			return
		}
		rest := w.log[e.After:]
		n := rapid.IntRange(min(1, len(rest)), len(rest)).Draw(w.t, "loaded")
		w.step(c, CommitsLoaded{Envelopes: rest[:n], End: n == len(rest)})
	}
}

func (w *world) append(e AppendCommit) (events.Tip, error) {
	var tip events.Tip
	if len(w.log) > 0 {
		tip = w.log[len(w.log)-1].Tip()
	}
	if tip != e.Tip {
		return events.Tip{}, eventlog.ErrConflict
	}
	_, hash, err := events.Encode(e.Commit, tip)
	if err != nil {
		w.t.Fatal(err)
	}
	envelope := events.Envelope{Commit: e.Commit, Revision: tip.Revision + 1, Position: tip.Position + 1, Previous: tip.Hash, Hash: hash}
	w.log = append(w.log, envelope)
	return envelope.Tip(), nil
}

func (w *world) send(c *copyOfActor, id events.CommandID, command any) {
	w.tickets++
	w.commands[w.tickets] = id
	w.step(c, CommandReceived{w.tickets, events.Meta{Command: id}, command})
}

// Whatever the schedule and the faults: every command is answered once, an
// acknowledged one is in the log once, counts have no gap, and all copies end
// in one state.
func TestEntityUnderFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, copies: []*copyOfActor{{}, {}, {}}, answers: map[Ticket][]AnswerCommand{}, commands: map[Ticket]events.CommandID{}}
		for _, c := range w.copies {
			w.restart(c)
		}
		w.send(w.copies[0], "create", createEnvironment())
		w.finish(w.copies[0])
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			c := rapid.SampledFrom(w.copies).Draw(t, "copy")
			if c.pending != nil && rapid.Bool().Draw(t, "perform") {
				w.perform(c, true)
				continue
			}
			if c.entity.Waiting() == 0 && rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				w.restart(c)
			}
			id := events.CommandID(fmt.Sprintf("rotate/%d", rapid.IntRange(0, 20).Draw(t, "id")))
			w.send(c, id, environment.RotateSeed{})
		}
		w.settle()
		w.check()
	})
}

// settle heals everything and lets it come to an end.
func (w *world) settle() {
	for _, c := range w.copies {
		w.finish(c)
	}
	for _, c := range w.copies {
		w.send(c, "fulfilled", createEnvironment()) // makes each copy read to the end
		w.finish(c)
	}
}

func (w *world) finish(c *copyOfActor) {
	for c.pending != nil {
		w.perform(c, false)
	}
}

func (w *world) check() {
	times := map[events.CommandID]int{}
	for i, envelope := range w.log {
		times[envelope.Meta.Command]++
		rotated, ok := envelope.Events[0].(events.SeedRotated)
		if i > 0 && (!ok || rotated.Generation != i+1) {
			w.t.Fatalf("revision %d holds %v", envelope.Revision, envelope.Events[0])
		}
	}
	for id, n := range times {
		if n != 1 {
			w.t.Fatalf("command %s is %d times in the log", id, n)
		}
	}
	for ticket, id := range w.commands {
		answers := w.answers[ticket]
		if len(answers) != 1 {
			w.t.Fatalf("command %s was answered %d times", id, len(answers))
		}
		if answers[0].Err == nil && id != "fulfilled" && times[id] != 1 {
			w.t.Fatalf("command %s was acknowledged and is not in the log", id)
		}
	}
	for _, c := range w.copies {
		if got := c.entity.State().(environment.State); got.Seed != len(w.log) || c.entity.Tip() != w.log[len(w.log)-1].Tip() {
			w.t.Fatalf("a copy ends at seed %d and %v, the log at %d", got.Seed, c.entity.Tip(), len(w.log))
		}
	}
}

func TestNewEntityOfNoKind(t *testing.T) {
	_, err := NewEntity(events.StreamID{Kind: "ship", ID: "1"})
	wantKind(t, err, problem.Invalid, "no such kind")
}

// wantEffects compares what a step gives.
func wantEffects(t *testing.T, got []Effect, want ...Effect) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("effects are %+v\nwant        %+v", got, want)
	}
}

// A load that began before a command came in may miss what was written in
// between, so a refusal needs another one.
func TestRefusalNeedsALoadThatBeganLater(t *testing.T) {
	e, err := NewEntity(testEnvironment.Stream())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(ticket Ticket) Input {
		return CommandReceived{ticket, events.Meta{Command: events.CommandID(fmt.Sprint(ticket))}, environment.RotateSeed{}}
	}
	answered := func(ticket Ticket) Effect {
		_, err := environment.Decide(environment.State{}, environment.RotateSeed{})
		return AnswerCommand{Ticket: ticket, Err: err}
	}
	wantEffects(t, e.Step(refused(1)), LoadCommits{0})
	wantEffects(t, e.Step(refused(2)))
	wantEffects(t, e.Step(refused(3)))
	wantEffects(t, e.Step(CommitsLoaded{End: true}), answered(1), LoadCommits{0})
	wantEffects(t, e.Step(CommitsLoaded{End: true}), answered(2), answered(3))
}

// After a panic the entity trusts nothing it knew.
func TestPanicReadsAgain(t *testing.T) {
	e, err := NewEntity(testEnvironment.Stream())
	if err != nil {
		t.Fatal(err)
	}
	decide := e.behaviour.decide
	e.behaviour.decide = func(state, command any) ([]events.Event, error) {
		if _, panics := command.(environment.Deploy); panics {
			panic("deciding")
		}
		return decide(state, command)
	}
	created := events.Envelope{
		Commit:   events.Commit{Stream: testEnvironment.Stream(), Events: []events.Event{events.EnvironmentCreated(createEnvironment())}},
		Revision: 1, Position: 7, Hash: events.Hash{1},
	}
	e.Step(CommandReceived{1, events.Meta{Command: "1"}, environment.Deploy{}})
	e.Step(CommandReceived{2, events.Meta{Command: "2"}, environment.RotateSeed{}})
	func() {
		defer func() {
			fault, ok := recover().(*Fault)
			if !ok || !fault.Deciding || fault.What != "environment.Deploy" || fault.Value != "deciding" {
				t.Errorf("Step panicked with %v", fault)
			}
		}()
		e.Step(CommitsLoaded{Envelopes: []events.Envelope{created}, End: true})
	}()
	failure := errors.New("incident")
	wantEffects(t, e.Step(DecisionPanicked{failure}), AnswerCommand{Ticket: 1, Err: failure}, LoadCommits{0})
	effects := e.Step(CommitsLoaded{Envelopes: []events.Envelope{created}, End: true})
	if append, ok := effects[0].(AppendCommit); !ok || append.Tip != created.Tip() {
		t.Errorf("effects are %+v", effects)
	}
}
