package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
)

// Log is what a Runner reads.
type Log interface {
	All(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
	Head(ctx context.Context) (events.Position, error)
}

// Options of a Runner.
type Options struct {
	// Log is read; required.
	Log Log
	// Store keeps snapshots. Default: none are kept, and every start replays
	// the whole log.
	Store Store
	// Logger is told of snapshots that cannot be used or written. Default:
	// slog.Default().
	Logger *slog.Logger
	// Observe is called by the fold's goroutine with every position that a view
	// publishes, for a metric of the lag. Default: nothing.
	Observe func(view string, position events.Position)
}

// Runner feeds views from the log. Add them, then Run once.
type Runner struct {
	options Options
	folds   []fold
	newer   map[string]bool // events of newer versions that were told of
	ready   chan struct{}   // closed when the log as of the start is folded
	ended   chan struct{}
	failure error
}

// fold is one view as its runner sees it. Only the runner's goroutine calls it,
// save for save, which works on what was published.
type fold interface {
	name() string
	restore(ctx context.Context, options Options, head events.Position) error
	position() events.Position
	apply(events.Envelope)
	publish()
	save(ctx context.Context, store Store, since events.Position) (events.Position, error)
	end(error)
}

// NewRunner gives a runner without views.
func NewRunner(options Options) *Runner {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Observe == nil {
		options.Observe = func(string, events.Position) {}
	}
	return &Runner{options: options, newer: map[string]bool{}, ready: make(chan struct{}), ended: make(chan struct{})}
}

// Add gives the runner one more projection, before Run.
func Add[S State[S]](r *Runner, projection Projection[S]) *View[S] {
	view := newView(projection.Empty)
	r.folds = append(r.folds, &folding[S]{
		projection: projection, view: view, observe: r.options.Observe, newest: published[S]{state: projection.Empty},
	})
	return view
}

// Ready returns when the views hold the log as it was when Run began.
func (r *Runner) Ready(ctx context.Context) error {
	select {
	case <-r.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ended:
		return r.failure
	}
}

// Run feeds the views until ctx ends or the log cannot be read, saves them, and
// gives the reason: ctx's error, or the log's.
func (r *Runner) Run(ctx context.Context) error {
	saver := newSaver(r.options, r.folds)
	err := r.run(ctx, saver)
	saver.close()
	if ctx.Err() == nil {
		err = fmt.Errorf("cannot follow the log: %w", err)
	}
	r.failure = problem.Wrap(problem.Unavailable, err, "the view has ended")
	for _, f := range r.folds {
		f.end(r.failure)
	}
	close(r.ended)
	return err
}

func (r *Runner) run(ctx context.Context, saver *saver) error {
	head, err := r.options.Log.Head(ctx)
	if err != nil {
		return err
	}
	if err := r.restore(ctx, head); err != nil {
		return err
	}
	start := head
	for _, f := range r.folds {
		start = min(start, f.position())
		saver.saved[f.name()] = f.position()
	}
	replaying := start < head
	if !replaying {
		close(r.ready)
	}
	folded, unsaved := 0, 0
	for envelope, err := range r.options.Log.Tail(ctx, start) {
		if err != nil {
			r.publish()
			return err
		}
		for _, f := range r.folds {
			f.apply(envelope)
		}
		r.tellNewer(envelope)
		folded++
		unsaved++
		if envelope.Position >= head || folded%publishCommits == 0 {
			r.publish()
		}
		if replaying && envelope.Position >= head {
			replaying = false
			close(r.ready)
		}
		// A snapshot written during a replay would only slow it down.
		if !replaying && unsaved >= snapshotCommits {
			unsaved = 0
			saver.request()
		}
	}
	return errors.New("the log has ended")
}

// tellNewer says it once for each kind of event that a newer version of the
// platform has written.
func (r *Runner) tellNewer(envelope events.Envelope) {
	for _, event := range envelope.Events {
		unknown, newer := event.(events.Unknown)
		if !newer {
			continue
		}
		key := unknown.Name + " " + strconv.Itoa(int(unknown.Version))
		if r.newer[key] || len(r.newer) >= maxNewerTold {
			continue
		}
		r.newer[key] = true
		r.options.Logger.Warn("the log holds an event of a newer version of pantheon: views skip it, and actors with one in their history take no commands; run that version",
			"event", unknown.Name, "version", unknown.Version, "position", envelope.Position, "stream", envelope.Stream.String())
	}
}

// restore brings every view to its snapshot, at once.
func (r *Runner) restore(ctx context.Context, head events.Position) error {
	if r.options.Store == nil {
		return nil
	}
	var all sync.WaitGroup
	for _, f := range r.folds {
		all.Go(func() {
			err := f.restore(ctx, r.options, head)
			if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoSnapshot) {
				r.options.Logger.Warn("a view is rebuilt from the whole log: its snapshot cannot be used", "view", f.name(), "error", err)
			}
		})
	}
	all.Wait()
	return ctx.Err()
}

func (r *Runner) publish() {
	for _, f := range r.folds {
		f.publish()
	}
}
