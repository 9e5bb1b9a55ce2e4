package simulations

import (
	"slices"
	"time"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/simulations/check"
)

// node is one process of the control plane: it runs actors, and perhaps the
// policies. Several nodes may run the same actor; the log keeps them apart.
type node struct {
	*World
	port     endpoint
	boot     int // counts starts; 0 while it is down for the first time
	up       bool
	entities map[events.StreamID]*resident
	reactor  *reactor      // nil while down, or where it runs none
	policies bool          // this node runs policies
	random   chance        // of its disk
	saved    snapshot      // on its disk
	before   snapshot      // the one before
	clock    time.Duration // how far its clock is off
	other    Node          // in the place of entities and reactor; nil at the first level
}

func newNode(w *World, port endpoint, policies bool) *node {
	n := &node{World: w, port: port, policies: policies, random: newChance(w.options.Seed, "node "+w.names[port])}
	if w.options.Level != nil {
		n.other = w.options.Level.Node(Port{w, port}, policies)
	}
	return n
}

// resident is one live actor.
type resident struct {
	entity  *actors.Entity
	used    time.Duration
	tickets actors.Ticket
	replies map[actors.Ticket]func(events.Receipt, error)
	op      uint64 // of the append or load under way
}

func (n *node) start() {
	n.up = true
	n.boot++
	n.entities = map[events.StreamID]*resident{}
	n.trace.step(n.now, "node up", n.names[n.port], "", int64(n.boot))
	switch {
	case n.other != nil:
		n.other.Start()
	case n.policies:
		n.reactor = n.startReactor()
	}
}

// crash forgets everything but the disk.
func (n *node) crash() {
	n.up = false
	n.entities = nil
	if n.other != nil {
		n.other.Crash()
	}
	if n.reactor != nil {
		n.reactor.stop()
		n.reactor = nil
		n.tearSnapshot()
	}
	n.trace.step(n.now, "node down", n.names[n.port], "", int64(n.boot))
}

// command takes one command; reply is called at most once.
func (n *node) command(meta events.Meta, to events.StreamID, command any, reply func(events.Receipt, error)) {
	if !n.up {
		return
	}
	if n.other != nil {
		n.other.Command(meta, to, command, reply)
		return
	}
	r, err := n.resident(to)
	if err != nil {
		reply(events.Receipt{}, err)
		return
	}
	if r.entity.Waiting() >= mailboxCommands {
		reply(events.Receipt{}, problem.New(problem.Busy, "cannot carry out %T: %s has too many commands waiting", command, to))
		return
	}
	meta.Time = n.wall().Add(n.clock)
	r.tickets++
	r.replies[r.tickets] = reply
	n.input(to, r, actors.CommandReceived{Ticket: r.tickets, Meta: meta, Command: command})
}

func (n *node) resident(to events.StreamID) (*resident, error) {
	r := n.entities[to]
	if r == nil {
		entity, err := actors.NewEntityWith(to, n.seams.decide)
		if err != nil {
			return nil, err
		}
		r = &resident{entity: entity, replies: map[actors.Ticket]func(events.Receipt, error){}}
		n.entities[to] = r
	}
	r.used = n.now
	return r, nil
}

// input steps the actor and performs what follows.
func (n *node) input(to events.StreamID, r *resident, in actors.Input) {
	effects, fault := stepped(r.entity, in)
	if fault != nil {
		n.violate("panic", "%v", fault)
		return
	}
	for _, effect := range effects {
		switch e := effect.(type) {
		case actors.AppendCommit:
			n.append(to, r, e)
		case actors.LoadCommits:
			n.load(to, r, e)
		case actors.AnswerCommand:
			reply := r.replies[e.Ticket]
			delete(r.replies, e.Ticket)
			reply(e.Receipt, n.seams.answer(e.Err))
		}
	}
}

// stepped catches what a decider or a fold panics with.
func stepped(entity *actors.Entity, in actors.Input) (effects []actors.Effect, fault any) {
	defer func() { fault = recover() }()
	return entity.Step(in), nil
}

// pending makes the callback of an operation: it counts once, and not after
// the node has crashed.
func pending[T any](n *node, r *resident, then func(T)) func(T) {
	r.op++
	op, boot := r.op, n.boot
	return func(result T) {
		if n.up && n.boot == boot && r.op == op {
			r.op++
			r.used = n.now
			then(result)
		}
	}
}

func (n *node) append(to events.StreamID, r *resident, e actors.AppendCommit) {
	done := pending(n, r, func(in actors.CommitAppended) { n.input(to, r, in) })
	n.log.append(n.port, e.Tip, e.Commit, func(tip events.Tip, err error) {
		done(actors.CommitAppended{Tip: tip, Err: err})
	})
	n.after(logTimeout, func() {
		done(actors.CommitAppended{Err: problem.New(problem.Unavailable, "no answer within %s", logTimeout)})
	})
}

func (n *node) load(to events.StreamID, r *resident, e actors.LoadCommits) {
	done := pending(n, r, func(in actors.CommitsLoaded) { n.input(to, r, in) })
	n.log.load(n.port, to, e.After, done)
	n.after(logTimeout, func() {
		done(actors.CommitsLoaded{Err: problem.New(problem.Unavailable, "no answer within %s", logTimeout)})
	})
}

// evict stops actors that nobody has asked for a while. Which ones depends on
// nothing but time, so the order of the map does not matter.
func (n *node) evict() {
	for to, r := range n.entities {
		if r.entity.Waiting() == 0 && n.now-r.used >= n.knobs.EvictAfter {
			delete(n.entities, to)
		}
	}
}

// do sends a command to a node that runs its actor. done is called once: with
// the answer, or with an error that says that none came.
func (w *World) do(from endpoint, meta events.Meta, to events.StreamID, command any, done func(events.Receipt, error)) {
	finished := false
	op := w.log.placements.Begin(to, meta.Command, command, w.now)
	finish := func(receipt events.Receipt, err error) {
		if !finished {
			finished = true
			w.log.placements.End(op, receipt, err, w.now)
			done(receipt, err)
		}
	}
	n := w.owner(to)
	w.net.send(from, n.port, func() {
		n.command(meta, to, command, func(receipt events.Receipt, err error) {
			w.net.send(n.port, from, func() { finish(receipt, err) })
		})
	})
	w.after(callTimeout, func() {
		finish(events.Receipt{}, problem.New(problem.Unavailable, "no answer within %s; the command may still happen", callTimeout))
	})
}

// owner gives the node that is believed to run an actor; at times it is
// another one than everybody else believes.
func (w *World) owner(to events.StreamID) *node {
	if w.random.yes(w.knobs.StaleOwner) {
		return w.nodes[w.random.IntN(len(w.nodes))]
	}
	first := int(hashText(1, to.ID) % uint64(len(w.nodes)))
	for i := range w.nodes {
		if n := w.nodes[(first+i)%len(w.nodes)]; n.up {
			return n
		}
	}
	return w.nodes[first]
}

// policiesAt gives how far the policies have folded the log; false where the
// node runs none.
func (n *node) policiesAt() (at events.Position, runs bool) {
	switch {
	case n.other != nil:
		return n.other.Policies()
	case n.reactor != nil:
		return n.reactor.agenda.Position(), true
	}
	return 0, false
}

// foldsAs says whether the policies' fold is the one that is wanted; afterwards
// they may not go on.
func (n *node) foldsAs(want check.Folds) (same bool, at events.Position, err error) {
	if n.other == nil {
		same, err = want.Policies(n.reactor.agenda.State())
		return same, n.reactor.agenda.Position(), err
	}
	saved, at, err := n.other.Saved()
	if err == nil {
		same, err = want.SavedPolicies(saved)
	}
	return same, at, err
}

// residents lists the actors of a node in a fixed order.
func (n *node) residents() []events.StreamID {
	list := make([]events.StreamID, 0, len(n.entities))
	for to := range n.entities {
		list = append(list, to)
	}
	slices.SortFunc(list, func(a, b events.StreamID) int {
		if a.Kind != b.Kind {
			return compareText(string(a.Kind), string(b.Kind))
		}
		return compareText(a.ID, b.ID)
	})
	return list
}
