package shell

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
	"pantheon/simulations"
)

// Options of the level. Quiesce is required.
type Options struct {
	// Quiesce returns when no goroutine but the caller's can go on:
	// synctest.Wait.
	Quiesce func()
	// Bounds of every node's System: its zero fields have production's values.
	Bounds Bounds
	// Seams break the actors on purpose.
	Seams actors.Seams
	// Logger of the nodes. Default: none.
	Logger *slog.Logger
}

// Bounds are those of actors.Options.
type Bounds struct {
	ResidentActors, MailboxCommands, LogWorkers int
	IdleAfter                                   time.Duration
}

// DrawBounds draws bounds from a seed, narrow ones in most runs: where nothing
// has to be evicted or refused nothing is found about it.
func DrawBounds(seed uint64) Bounds {
	random := rand.New(rand.NewPCG(seed, 0x5be11))
	one := func(of ...int) int { return of[random.IntN(len(of))] }
	return Bounds{
		ResidentActors:  one(4, 16, 64, actors.DefaultResidentActors),
		MailboxCommands: one(1, 4, 16, actors.DefaultMailboxCommands),
		LogWorkers:      one(1, 4, actors.DefaultLogWorkers),
		IdleAfter:       time.Duration(one(1, 10, 60, 600)) * time.Second,
	}
}

// level implements simulations.Level.
type level struct {
	options Options
	ctx     context.Context
	end     context.CancelFunc
	began   time.Time
	timer   *time.Timer
	running sync.WaitGroup // every goroutine that was started here
	nodes   []*node

	mu     sync.Mutex
	queue  []func()
	posted chan struct{} // holds one while the queue may hold something
}

// Run simulates a cell at this level. It has to be called in a bubble of
// testing/synctest, and leaves no goroutine behind.
func Run(ctx context.Context, cell simulations.Options, o Options) (*simulations.Result, error) {
	if o.Quiesce == nil {
		return nil, problem.New(problem.Invalid, "cannot simulate at the level of the shell: Options.Quiesce is nil")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &level{options: o, began: time.Now(), timer: time.NewTimer(0), posted: make(chan struct{}, 1)}
	l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	defer l.close()
	cell.Level = l
	return simulations.Run(ctx, cell)
}

// close ends everything; nobody runs what is posted any longer.
func (l *level) close() {
	l.timer.Stop()
	for _, n := range l.nodes {
		n.Crash()
	}
	l.end()
	l.running.Wait()
}

func (l *level) now() time.Duration { return time.Since(l.began) }

// post has something done on the World's goroutine.
func (l *level) post(do func()) {
	l.mu.Lock()
	l.queue = append(l.queue, do)
	l.mu.Unlock()
	select {
	case l.posted <- struct{}{}:
	default:
	}
}

func (l *level) take() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		return nil
	}
	do := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return do
}

// Await implements simulations.Level.
func (l *level) Await(at time.Duration) (time.Duration, func()) {
	for {
		l.options.Quiesce()
		if do := l.take(); do != nil {
			return l.now(), do
		}
		wait := at - l.now()
		if wait <= 0 {
			return l.now(), nil
		}
		l.timer.Reset(wait)
		select {
		case <-l.posted:
		case <-l.timer.C:
		}
	}
}

// ask has begin run on the World's goroutine and waits for what it gives to
// done, or for the end of a context. begin does not run after that.
func ask[T any](ctx context.Context, l *level, begin func(done func(T))) (T, error) {
	answer := make(chan T, 1)
	l.post(func() {
		if ctx.Err() != nil {
			return
		}
		begin(func(value T) {
			select {
			case answer <- value:
			default: // a second answer
			}
		})
	})
	var value T
	select {
	case value = <-answer:
		return value, nil
	case <-ctx.Done():
	}
	select {
	case value = <-answer:
		return value, nil
	default:
		return value, problem.Wrap(problem.Unavailable, context.Cause(ctx), "no answer came")
	}
}

// Routes implements simulations.Level.
func (l *level) Routes(domain string) (simulations.View[routing.State], func(events.Envelope)) {
	return addView(l, projections.Projection[routing.State]{Name: "routing", Version: routing.Version, Empty: routing.Empty(domain)})
}

// Inventory implements simulations.Level.
func (l *level) Inventory() (simulations.View[inventory.State], func(events.Envelope)) {
	return addView(l, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version})
}

// Node implements simulations.Level.
func (l *level) Node(at simulations.Port, policies bool) simulations.Node {
	n := &node{level: l, port: at, policies: policies, disk: &disk{}}
	l.nodes = append(l.nodes, n)
	return n
}
