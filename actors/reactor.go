package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// Commander carries out commands; *System is one.
type Commander interface {
	Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error)
}

// Snapshot is the reactor's fold as of a commit of the log.
type Snapshot struct {
	Version  int // of the policies
	State    []byte
	Position events.Position
	Hash     events.Hash // of the commit at Position: tells one log from another
}

// Snapshots keeps the reactor's fold between starts. Load gives the zero
// Snapshot where there is none.
type Snapshots interface {
	Load(ctx context.Context) (Snapshot, error)
	Save(ctx context.Context, snapshot Snapshot) error
}

// ReactorOptions of a Reactor; all but Leads, Rebalance and Logger are required.
type ReactorOptions struct {
	Log       eventlog.Reader
	Commander Commander
	Snapshots Snapshots
	// Leads says whether this reactor is to send intents. One that does not folds
	// on, and knows at once what is to be done when it comes to lead. Two that
	// lead are harmless. Default: it leads.
	Leads func() bool
	// Rebalance is how slowly DROPs are moved for the sake of balance.
	Rebalance Pace
	Logger    *slog.Logger // default: slog.Default()
}

// Reactor drives the policies: it folds the log, asks its Agenda for intents
// and sends them as commands, with bounded concurrency and back-off. One
// goroutine owns the agenda; commands run in others and report to it. It is
// safe to run two on one log: intents have the same ids on both.
type Reactor struct {
	options ReactorOptions
	agenda  *Agenda
	hash    events.Hash // of the commit at the agenda's position
	results chan result
	// questions are answered between two reactions, by who owns the agenda.
	questions chan func(*policy.State)
	saved     events.Position
}

type result struct {
	intent  policy.Intent
	receipt events.Receipt
	err     error
}

// NewReactor makes a Reactor; Run starts it.
func NewReactor(options ReactorOptions) *Reactor {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Reactor{options: options, results: make(chan result, maxIntentsInFlight), questions: make(chan func(*policy.State))}
}

// Run folds and reacts until ctx ends. It returns nil then, and an error when
// the log cannot be read.
func (r *Reactor) Run(ctx context.Context) error {
	if err := r.catchUp(ctx); err != nil {
		return ignoreCancel(ctx, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	envelopes := make(chan events.Envelope, reactorBuffer)
	failed := make(chan error, 1)
	go func() { failed <- r.tail(ctx, envelopes) }()
	err := r.react(ctx, envelopes, failed)
	stop()
	for r.agenda.InFlight() > 0 {
		r.settle(<-r.results)
	}
	if saveErr := r.save(context.WithoutCancel(ctx)); err == nil {
		err = saveErr
	}
	return ignoreCancel(ctx, err)
}

func ignoreCancel(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// catchUp restores the newest snapshot and folds what came after it, before
// the first reaction: reacting to a half-read log would ask for what is there.
func (r *Reactor) catchUp(ctx context.Context) error {
	if err := r.restore(ctx); err != nil {
		r.options.Logger.Warn("the policies start from the whole log", "reason", err)
		r.agenda = NewAgenda(policy.New(), 0)
	}
	r.agenda.Rebalance(r.options.Rebalance)
	r.saved = r.agenda.Position()
	for envelope, err := range r.options.Log.All(ctx, r.agenda.Position()) {
		if err != nil {
			return fmt.Errorf("cannot fold the log for the policies: %w", err)
		}
		r.apply(envelope)
	}
	return nil
}

// restore takes the newest snapshot if it is of this log and these policies.
func (r *Reactor) restore(ctx context.Context) error {
	r.agenda = NewAgenda(policy.New(), 0)
	snapshot, err := r.options.Snapshots.Load(ctx)
	if err != nil || snapshot.Position == 0 {
		return err
	}
	if snapshot.Version != policy.Version {
		return fmt.Errorf("the snapshot is of version %d, this is %d", snapshot.Version, policy.Version)
	}
	for envelope, err := range r.options.Log.All(ctx, snapshot.Position-1) {
		if err != nil {
			return err
		}
		if envelope.Position != snapshot.Position || envelope.Hash != snapshot.Hash {
			break
		}
		state, err := policy.Restore(snapshot.State)
		if err != nil {
			return err
		}
		r.agenda, r.hash = NewAgenda(state, snapshot.Position), snapshot.Hash
		return nil
	}
	return errors.New("the snapshot is of another log")
}

func (r *Reactor) tail(ctx context.Context, into chan<- events.Envelope) error {
	for envelope, err := range r.options.Log.Tail(ctx, r.agenda.Position()) {
		if err != nil {
			return err
		}
		select {
		case into <- envelope:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (r *Reactor) react(ctx context.Context, envelopes <-chan events.Envelope, failed <-chan error) error {
	woken := time.Now()
	timer := time.NewTimer(retryLast)
	defer timer.Stop()
	for {
		r.plan(ctx)
		timer.Reset(r.untilWake(woken))
		select {
		case envelope := <-envelopes:
			r.apply(envelope)
			for range len(envelopes) {
				r.apply(<-envelopes)
			}
		case done := <-r.results:
			r.settle(done)
		case ask := <-r.questions:
			ask(r.agenda.State())
		case <-timer.C:
			woken = time.Now()
			r.agenda.Wake(woken)
			if err := r.saveWhenDue(ctx); err != nil {
				r.options.Logger.Warn("cannot save the policies' state; a restart will take longer", "error", err)
			}
		case err := <-failed:
			return err
		}
	}
}

// untilWake is how long until delays are looked at: when the next one ends, but
// no sooner than retryResolution after the last look, and no later than
// retryLast.
func (r *Reactor) untilWake(woken time.Time) time.Duration {
	at := woken.Add(retryLast)
	if next, any := r.agenda.NextWake(); any && next.Before(at) {
		at = next
	}
	if soonest := woken.Add(retryResolution); at.Before(soonest) {
		at = soonest
	}
	return time.Until(at)
}

// Explain ranks the hosts for a DROP as a placement would that is decided now;
// nil for a DROP that is not known. It waits for the reactor to run.
func (r *Reactor) Explain(ctx context.Context, id events.DropID) ([]policy.Candidate, error) {
	answer := make(chan []policy.Candidate, 1)
	select {
	case r.questions <- func(state *policy.State) { answer <- state.Explain(id) }:
		return <-answer, nil
	case <-ctx.Done():
		return nil, problem.Wrap(problem.Unavailable, context.Cause(ctx), "cannot ask the policies about DROP %s", id)
	}
}

// Spec gives the newest spec that a host has of a DROP; NotFound where none has
// one. It waits for the reactor to run.
func (r *Reactor) Spec(ctx context.Context, id events.DropID) (events.DropSpec, error) {
	type found struct {
		spec  events.DropSpec
		known bool
	}
	answer := make(chan found, 1)
	select {
	case r.questions <- func(state *policy.State) { spec, known := state.SpecOf(id); answer <- found{spec, known} }:
	case <-ctx.Done():
		return events.DropSpec{}, problem.Wrap(problem.Unavailable, context.Cause(ctx), "cannot ask the policies about DROP %s", id)
	}
	if f := <-answer; f.known {
		return f.spec, nil
	}
	return events.DropSpec{}, problem.New(problem.NotFound, "no host has DROP %s", id)
}

func (r *Reactor) apply(envelope events.Envelope) {
	r.agenda.Apply(envelope)
	r.hash = envelope.Hash
}

// plan sends what the policies ask for and is not on its way already.
func (r *Reactor) plan(ctx context.Context) {
	if r.options.Leads != nil && !r.options.Leads() {
		return
	}
	for _, intent := range r.agenda.Next(time.Now()) {
		go func() {
			receipt, err := r.options.Commander.Do(ctx, MetaOf(intent), intent.To, intent.Command)
			r.results <- result{intent, receipt, err}
		}()
	}
}

// settle learns how an intent ended.
func (r *Reactor) settle(done result) {
	failed := r.agenda.Settle(done.intent, done.receipt, done.err, time.Now())
	if failed && !errors.Is(done.err, context.Canceled) {
		r.options.Logger.Warn("a policy's command failed and will be tried again",
			"intent", done.intent.Key, "to", done.intent.To.String(), "error", done.err)
	}
}

func (r *Reactor) saveWhenDue(ctx context.Context) error {
	if r.agenda.Position()-r.saved < snapshotEvery {
		return nil
	}
	return r.save(ctx)
}

func (r *Reactor) save(ctx context.Context) error {
	at := r.agenda.Position()
	if at == r.saved {
		return nil
	}
	state, err := r.agenda.State().Snapshot()
	if err != nil {
		return err
	}
	if err := r.options.Snapshots.Save(ctx, Snapshot{policy.Version, state, at, r.hash}); err != nil {
		return err
	}
	r.saved = at
	return nil
}
