package actors

import (
	"context"
	"runtime/debug"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"pantheon/events"
)

// entityActor is the protoactor side of one resident: it feeds its entity and
// performs the effects. protoactor calls Receive for one message at a time and
// makes a new entityActor when the supervisor restarts it; the resident stays.
type entityActor struct {
	*System
	resident *resident
	crash    **crash // set by the incarnation that panicked, for the next one
}

// spawnActor makes the actor of a resident.
func (s *System) spawnActor(r *resident, incarnation uint64) (*actor.PID, error) {
	row, known := s.kinds[r.stream.Kind]
	if !known {
		_, err := NewEntity(r.stream)
		return nil, err
	}
	r.entity = newEntity(r.stream, row)
	var crashed *crash
	props := actor.PropsFromProducer(func() actor.Actor { return &entityActor{s, r, &crashed} })
	// The number makes the name new: an evicted actor of the same stream may
	// not have left the registry yet.
	return s.root.SpawnNamed(props, r.stream.String()+"$"+strconv.FormatUint(incarnation, 10))
}

// Receive takes one message of the mailbox.
func (a *entityActor) Receive(ctx actor.Context) {
	switch message := ctx.Message().(type) {
	case Input:
		a.step(message)
	case *actor.Started:
		if crashed := *a.crash; crashed != nil {
			*a.crash = nil
			a.step(DecisionPanicked{crashed.problem()})
		}
	case *actor.Stopped:
		a.stopped()
	}
}

// step has the entity take an input, and performs the effects.
func (a *entityActor) step(input Input) {
	defer func() {
		if value := recover(); value != nil {
			crashed := newCrash(a.resident, value, debug.Stack())
			*a.crash = crashed
			panic(crashed) // for the supervisor
		}
	}()
	for _, effect := range a.resident.entity.Step(input) {
		a.perform(effect)
	}
}

func (a *entityActor) perform(effect Effect) {
	r := a.resident
	switch e := effect.(type) {
	case AnswerCommand:
		a.answer(r, e)
	case AppendCommit:
		a.workers.do(func() { a.post(r, a.appendCommit(e)) })
	case LoadCommits:
		a.workers.do(func() { a.post(r, a.loadCommits(r.stream, e.After)) })
	}
}

func (s *System) appendCommit(e AppendCommit) CommitAppended {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.LogTimeout)
	defer cancel()
	tip, err := s.options.Log.Append(ctx, e.Tip, e.Commit)
	return CommitAppended{tip, err}
}

func (s *System) loadCommits(stream events.StreamID, after events.Revision) CommitsLoaded {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.LogTimeout)
	defer cancel()
	var envelopes []events.Envelope
	for envelope, err := range s.options.Log.Stream(ctx, stream, after) {
		if err != nil {
			return CommitsLoaded{Err: err}
		}
		if envelopes = append(envelopes, envelope); len(envelopes) == MaxLoadCommits {
			return CommitsLoaded{Envelopes: envelopes}
		}
	}
	return CommitsLoaded{Envelopes: envelopes, End: true}
}
