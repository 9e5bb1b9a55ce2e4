package shell

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/simulations"
)

// node is one process of the control plane. Its methods are called on the
// World's goroutine.
type node struct {
	level    *level
	port     simulations.Port
	policies bool
	disk     *disk
	run      *process // nil while down
}

// process is what a crash ends.
type process struct {
	*node
	ctx    context.Context // until the crash
	crash  context.CancelFunc
	system *actors.System
	log    *portLog

	stopPolicies context.CancelFunc
	policiesDone chan struct{} // nil where it runs none
}

var errCrashed = errors.New("the process has crashed")

// Start implements simulations.Node.
func (n *node) Start() {
	p := &process{node: n}
	ctx, crash := context.WithCancelCause(n.level.ctx)
	p.ctx, p.crash = ctx, func() { crash(errCrashed) }
	p.log = &portLog{level: n.level, port: n.port, ctx: ctx}
	bounds, beginning := n.level.options.Bounds, n.port.Beginning()
	system, err := actors.New(actors.Options{
		Log: p.log, Now: func() time.Time { return beginning.Add(n.level.now()) }, Logger: n.level.options.Logger, Seams: n.level.options.Seams,
		ResidentActors: bounds.ResidentActors, MailboxCommands: bounds.MailboxCommands, LogWorkers: bounds.LogWorkers, IdleAfter: bounds.IdleAfter,
	})
	if err != nil {
		n.port.Violate("shell", "a node cannot start: %v", err)
		crash(err)
		return
	}
	p.system = system
	n.run = p
	if n.policies {
		var policies context.Context
		policies, p.stopPolicies = context.WithCancel(ctx)
		p.policiesDone = make(chan struct{})
		n.level.running.Go(func() {
			defer close(p.policiesDone)
			p.runPolicies(policies)
		})
	}
}

// Crash implements simulations.Node.
func (n *node) Crash() {
	p := n.run
	if p == nil {
		return
	}
	n.run = nil
	p.crash()
	n.level.running.Go(func() { _ = p.system.Close() }) // gives no error
}

// Command implements simulations.Node.
func (n *node) Command(meta events.Meta, to events.StreamID, command any, reply func(events.Receipt, error)) {
	p := n.run
	n.level.running.Go(func() {
		receipt, err := p.system.Do(p.ctx, meta, to, command)
		n.level.post(func() {
			if n.run != p {
				return
			}
			switch kind := problem.KindOf(err); {
			case err != nil && kind == problem.Busy:
				n.port.Happened("busy", n.port.Name(), to.String())
			case err != nil && kind == problem.Internal:
				n.port.Happened("actor crashed", n.port.Name(), to.String())
			}
			reply(receipt, err)
		})
	})
}

// Policies implements simulations.Node.
func (n *node) Policies() (events.Position, bool) {
	if n.run == nil || !n.policies {
		return 0, false
	}
	n.level.options.Quiesce() // what has reached the policies is folded
	return n.run.log.given(), true
}

// Saved implements simulations.Node.
func (n *node) Saved() ([]byte, events.Position, error) {
	n.level.options.Quiesce()
	n.run.stopPolicies()
	<-n.run.policiesDone
	snapshot, err := n.disk.Load(context.Background())
	return snapshot.State, snapshot.Position, err
}

// runPolicies keeps a Reactor running, as whoever keeps the process does.
func (p *process) runPolicies(ctx context.Context) {
	for ctx.Err() == nil {
		p.log.startOver()
		reactor := actors.NewReactor(actors.ReactorOptions{Log: p.log, Commander: p, Snapshots: alive{p}, Logger: p.level.options.Logger})
		err := reactor.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		p.level.post(func() { p.port.Happened("policies ended", p.port.Name(), fmt.Sprint(err)) })
		select {
		case <-time.After(restartAfter):
		case <-ctx.Done():
		}
	}
}

// Do implements actors.Commander: the policies' commands go to the node that
// runs the actor.
func (p *process) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	type answer struct {
		receipt events.Receipt
		err     error
	}
	came, err := ask(ctx, p.level, func(done func(answer)) {
		p.port.Happened("intent", p.port.Name(), string(meta.Command))
		p.port.Do(meta, to, command, func(receipt events.Receipt, err error) { done(answer{receipt, err}) })
	})
	if err != nil {
		return events.Receipt{}, err
	}
	return came.receipt, came.err
}

// disk holds the newest snapshot of the policies; it outlives crashes.
type disk struct {
	mu    sync.Mutex
	saved actors.Snapshot
}

// Load implements actors.Snapshots.
func (d *disk) Load(context.Context) (actors.Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saved, nil
}

// alive is the disk of a process that has not crashed.
type alive struct{ *process }

func (a alive) Load(ctx context.Context) (actors.Snapshot, error) { return a.disk.Load(ctx) }

// Save implements actors.Snapshots.
func (a alive) Save(_ context.Context, snapshot actors.Snapshot) error {
	a.disk.mu.Lock()
	defer a.disk.mu.Unlock()
	if a.ctx.Err() != nil {
		return errCrashed
	}
	a.disk.saved = snapshot
	return nil
}
