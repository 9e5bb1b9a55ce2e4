package simulations

import (
	"strings"
	"time"

	"pantheon/actors"
	"pantheon/actors/policy"
	"pantheon/events"
)

// reactor is the twin of actors.Reactor: another loop around the same Agenda.
type reactor struct {
	*World
	node     *node
	agenda   *actors.Agenda
	follower *follower
	armed    time.Duration // when the next Wake is due; 0 where none is
	woke     time.Duration // the last one
	stopped  bool
}

// snapshot is what a node keeps of the policies' fold.
type snapshot struct {
	state []byte
	at    events.Position
	when  time.Duration // it was written
	torn  bool
}

// tearSnapshot is what the loss of power does to the newest snapshot: it is the
// one before, or half of it is there.
func (n *node) tearSnapshot() {
	if n.saved.at == 0 || n.now-n.saved.when > syncWithin || !n.random.yes(n.knobs.TornWrite) {
		return
	}
	n.trace.step(n.now, "torn snapshot", n.names[n.port], "", int64(n.saved.at))
	if n.random.yes(0.5) {
		n.saved, n.before = n.before, snapshot{}
		return
	}
	n.saved.state, n.saved.torn = n.saved.state[:len(n.saved.state)/2], true
}

// startReactor restores the newest snapshot and folds what came after it.
func (n *node) startReactor() *reactor {
	state, at := policy.New(), events.Position(0)
	if n.saved.at > 0 {
		restored, err := policy.Restore(n.saved.state)
		switch {
		case err == nil:
			state, at = restored, n.saved.at
		case !n.saved.torn:
			n.violate("refold", "the policies' snapshot cannot be restored: %v", err)
			return nil
		}
	}
	r := &reactor{World: n.World, node: n, agenda: actors.NewAgenda(state, at)}
	r.follower = n.log.follow(n.port, at, r.agenda.Apply, r.act)
	return r
}

func (r *reactor) stop() {
	r.stopped = true
	r.follower.stop()
}

// act sends what the agenda asks for.
func (r *reactor) act() {
	if r.stopped {
		return
	}
	for _, intent := range r.agenda.Next(r.wall()) {
		sent := r.seams.intent(r.World, intent)
		for _, one := range sent {
			r.send(one)
		}
		if len(sent) == 0 {
			r.agenda.Settle(intent, events.Receipt{}, nil, r.wall())
		}
	}
	r.save()
	r.arm()
}

func (r *reactor) send(intent policy.Intent) {
	if strings.HasPrefix(intent.Key, "stray/") {
		r.trace.step(r.now, "stray", intent.To.ID, intent.Key, 0)
	}
	r.trace.step(r.now, "intent", r.names[r.node.port], intent.Key, int64(intent.Cause))
	r.do(r.node.port, actors.MetaOf(intent), intent.To, intent.Command, func(receipt events.Receipt, err error) {
		if r.stopped {
			return
		}
		r.acknowledged(actors.MetaOf(intent).Command, receipt, err)
		if r.agenda.Settle(intent, receipt, err, r.wall()) {
			r.trace.step(r.now, "intent failed", intent.Key, err.Error(), 0)
		}
		r.act()
	})
}

// arm wakes the agenda when its next retry is due.
func (r *reactor) arm() {
	next, any := r.agenda.NextWake()
	if !any {
		return
	}
	at := max(r.since(next), r.now, r.woke+retryResolution)
	if r.armed != 0 && r.armed <= at {
		return
	}
	r.armed = at
	r.at(at, func() {
		if r.stopped || r.armed != at {
			return
		}
		r.armed, r.woke = 0, r.now
		r.agenda.Wake(r.wall())
		r.act()
	})
}

func (r *reactor) save() {
	if at := r.agenda.Position(); int(at-r.node.saved.at) >= r.knobs.SnapshotEvery {
		state, err := r.agenda.State().Snapshot()
		if err != nil {
			r.violate("refold", "the policies' state cannot be saved: %v", err)
			return
		}
		r.node.before, r.node.saved = r.node.saved, snapshot{state: state, at: at, when: r.now}
	}
}
