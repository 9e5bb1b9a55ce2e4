package actors

import (
	"context"
	"log/slog"
	"maps"
	"unicode/utf8"

	"github.com/asynkron/protoactor-go/actor"

	"pantheon/events"
	"pantheon/events/problem"
)

// System runs every actor of one node.
type System struct {
	options Options
	kinds   map[events.Kind]behaviour
	root    *actor.RootContext // protoactor; spawns under our supervisor
	workers *workers
	*directory
}

// New makes a System. It starts nothing before the first command.
func New(options Options) (*System, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	s := &System{options: options, kinds: maps.Clone(kinds), workers: newWorkers(options.LogWorkers)}
	for kind, row := range s.kinds {
		s.kinds[kind] = options.Seams.wrap(row)
	}
	quiet := slog.New(slog.DiscardHandler) // what matters of it the supervisor logs
	protoactor := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	s.root = protoactor.Root.Copy().WithGuardian(&supervisor{s})
	s.root.Self() // registers the supervisor; two first spawns would race for it
	s.directory = newDirectory(options, engine{s.spawnActor, s.root.Send, s.root.Stop})
	return s, nil
}

// Do carries out one command: decides, writes the events to the log and says
// where they are. The same meta.Command again has no second effect: the receipt
// then has Repeated set. A wish that is fulfilled already gives a receipt
// without events.
//
// ctx ending ends the waiting only: the command may still happen, and sending
// the same id again tells.
func (s *System) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	switch {
	case meta.Command == "" || len(meta.Command) > MaxCommandIDBytes || !utf8.ValidString(string(meta.Command)):
		return events.Receipt{}, problem.New(problem.Invalid, "cannot carry out %T: it needs a command id of 1 to %d bytes", command, MaxCommandIDBytes)
	case command == nil:
		return events.Receipt{}, problem.New(problem.Invalid, "cannot carry out nothing for %s", to)
	}
	if _, err := events.ParseStreamID(to.String()); err != nil {
		return events.Receipt{}, problem.Wrap(problem.Invalid, err, "cannot carry out %T", command)
	}
	if err := ctx.Err(); err != nil {
		return events.Receipt{}, problem.Wrap(problem.Unavailable, err, "cannot carry out %T for %s", command, to)
	}
	if meta.Time.IsZero() {
		meta.Time = s.options.Now()
	}
	meta.Time = meta.Time.UTC().Round(0)

	answered, err := s.deliver(to, meta, command)
	if err != nil {
		return events.Receipt{}, err
	}
	select {
	case answer := <-answered:
		return answer.Receipt, answer.Err
	case <-ctx.Done():
		return events.Receipt{}, problem.Wrap(problem.Unavailable, ctx.Err(), "cannot wait for %s any longer; the command may still happen", to).WithHint("send the same command again; it has one effect at most")
	}
}

// Close refuses further commands, waits until those under way are answered,
// and stops all actors. It does not close the log.
func (s *System) Close() error {
	s.directory.close()
	s.workers.close()
	return nil
}
