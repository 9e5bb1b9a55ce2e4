package simulations

import (
	"time"

	actorhost "pantheon/actors/host"
	"pantheon/events"
)

// calmSince gives since when nothing has been failing: now, while something is.
func (f *faults) calmSince() time.Duration {
	if len(f.undo) > 0 {
		return f.now
	}
	return max(f.changed, f.seams.CalmAfter)
}

// any says whether something is failing now.
func (f *faults) any() bool { return len(f.undo) > 0 || f.lost+f.agentless > 0 }

// beginMore schedules the faults of this file.
func (f *faults) beginMore() {
	k := f.knobs
	f.every(k.LogFailoverEvery, func() { f.logFailover(f.random.spreadTime(200*time.Millisecond, 20*time.Second)) })
	f.every(k.LogFullEvery, func() { f.logFull(f.random.spreadTime(time.Second, 10*time.Minute)) })
	f.every(k.DiskFullEvery, func() { f.diskFull(f.someHost(), f.random.spreadTime(time.Second, 30*time.Minute)) })
	f.every(k.DiskSlowEvery, func() {
		f.diskSlow(f.someHost(), f.random.spreadTime(10*time.Millisecond, 5*time.Second), f.random.spreadTime(time.Second, 10*time.Minute))
	})
	f.every(k.OutOfMemoryEvery, func() { f.outOfMemory(f.someHost()) })
	f.every(k.RouterCrashEvery, func() {
		f.crashRouter(f.routers[f.random.IntN(len(f.routers))], f.random.spreadTime(100*time.Millisecond, 2*time.Minute))
	})
	f.every(k.HangEvery, func() { f.hangSome(f.someHost(), f.random.spreadTime(time.Second, 5*time.Minute)) })
	f.every(k.ClockEvery, func() {
		off := f.random.spreadTime(time.Second, 10*365*24*time.Hour)
		if f.random.yes(0.5) {
			off = -off
		}
		f.setClock(f.nodes[f.random.IntN(len(f.nodes))], off, f.random.spreadTime(time.Minute, 6*time.Hour))
	})
	for _, m := range f.hosts {
		m.rate = 1 + (2*f.random.Float64()-1)*k.ClockDrift
	}
}

// logFailover is a change of the log's leader: for a while there is none, and
// of what was on its way to the old one some was written, some was not, and
// nobody is told.
func (f *faults) logFailover(d time.Duration) {
	f.trace.step(f.now, "log fail-over", "", "", int64(d/time.Millisecond))
	f.log.term++
	f.log.outages++
	f.rechecked()
	f.during(d, func() {
		f.trace.step(f.now, "log leader", "", "", int64(f.log.term))
		f.log.outages--
		f.rechecked()
	})
}

// logFull: the log's disk takes nothing more; it can be read.
func (f *faults) logFull(d time.Duration) {
	f.trace.step(f.now, "log full", "", "", int64(d/time.Second))
	f.log.full++
	f.during(d, func() {
		f.trace.step(f.now, "log has room", "", "", 0)
		f.log.full--
	})
}

// diskFull: the machine can neither check a release out, nor provide a service,
// nor note what it has done.
func (f *faults) diskFull(m *host, d time.Duration) {
	f.trace.step(f.now, "disk full", string(m.id), "", int64(d/time.Second))
	m.full++
	f.during(d, func() {
		f.trace.step(f.now, "disk has room", string(m.id), "", 0)
		m.full--
	})
}

// diskSlow: whatever the machine reads or writes takes so much longer.
func (f *faults) diskSlow(m *host, by, d time.Duration) {
	f.trace.step(f.now, "disk slow", string(m.id), "", int64(by/time.Millisecond))
	m.diskDelay += by
	f.during(d, func() { m.diskDelay -= by })
}

// outOfMemory: the kernel kills a process to get some: the largest, or at times
// the agent.
func (f *faults) outOfMemory(m *host) {
	if !m.powered || m.paused {
		return
	}
	if m.agent != nil && (len(m.processes) == 0 || f.random.yes(0.2)) {
		f.trace.step(f.now, "out of memory", string(m.id), "agent", 0)
		m.stopAgent()
		m.later(m.random.between(100*time.Millisecond, 5*time.Second), m.startAgent)
		f.changed = f.now
		return
	}
	var victim *process
	for _, id := range sortedKeys(m.processes) {
		if p := m.processes[id]; victim == nil || p.memoryMiB*(1+len(p.running)) > victim.memoryMiB*(1+len(victim.running)) {
			victim = p
		}
	}
	if victim != nil {
		f.trace.step(f.now, "out of memory", string(m.id), string(victim.drop), 0)
		victim.die(true)
		f.changed = f.now
	}
}

// hangSome: php-fpm of some DROPs of a machine takes requests and answers none,
// as behind a service that does not answer; its watchdog ends the workers.
func (f *faults) hangSome(m *host, d time.Duration) {
	f.trace.step(f.now, "php hangs", string(m.id), "", int64(d/time.Second))
	m.hung++
	f.during(d, func() {
		f.trace.step(f.now, "php goes on", string(m.id), "", 0)
		m.hung--
	})
}

// hangs says whether a request that begins now is one that hangs: half of a
// machine's DROPs are hit.
func (m *host) hangs(id events.DropID) bool {
	return m.hung > 0 && hashText(uint64(m.power), string(id))%2 == 0 || m.random.yes(m.knobs.RequestHangs)
}

// crashRouter: every connection through it breaks, and what it remembered is
// gone. It comes back with an empty table and reads the log.
func (f *faults) crashRouter(s *styx, d time.Duration) {
	if s.down {
		return
	}
	s.crash()
	f.during(d, s.restart)
}

// setClock: a node of the control plane has a wrong time, as a machine without
// a battery has until it hears of the right one. The time in commits informs
// people; nothing may depend on it.
func (f *faults) setClock(n *node, off, d time.Duration) {
	f.trace.step(f.now, "clock lost", f.names[n.port], "", int64(off/time.Second))
	n.clock += off
	f.during(d, func() {
		f.trace.step(f.now, "clock right", f.names[n.port], "", 0)
		n.clock -= off
	})
}

// lose: the machine burns down.
func (f *faults) lose(m *host) {
	if m.gone {
		return
	}
	f.trace.step(f.now, "host lost", string(m.id), "", 0)
	m.resume()
	m.powerOff()
	m.gone = true
	f.lost++
	f.changed = f.now
}

// drain: an operator has the machine emptied, which goes on serving meanwhile;
// it is switched off when it holds no DROP, or when it has tried for long.
func (f *faults) drain(m *host) {
	if m.gone || m.draining || !m.powered {
		return
	}
	f.trace.step(f.now, "drain", string(m.id), "", int64(len(f.ledger.Held(m.id))))
	m.draining, m.drained = true, emptied{held: len(f.ledger.Held(m.id))}
	f.operators.want(m.id.Stream(), actorhost.Drain{}, nil)
	f.changed = f.now
	began := f.now
	var look func()
	look = func() {
		if m.gone {
			return
		}
		left := len(f.ledger.Held(m.id))
		if left == 0 && len(m.processes) == 0 || f.now-began > drainLimit {
			m.drained.left, m.drained.took = left, f.now-began
			f.lose(m)
			return
		}
		f.after(time.Second, look)
	}
	f.after(time.Second, look)
}

// drainFor has the machine emptied and lets it take DROPs again after a while,
// as for a repair. Nothing fails with that.
func (f *faults) drainFor(m *host, d time.Duration) {
	f.trace.step(f.now, "drain", string(m.id), "", int64(len(f.ledger.Held(m.id))))
	f.operators.want(m.id.Stream(), actorhost.Drain{}, nil)
	f.after(d, func() {
		f.trace.step(f.now, "drain ends", string(m.id), "", int64(len(f.ledger.Held(m.id))))
		f.operators.want(m.id.Stream(), actorhost.EndDrain{}, nil)
	})
}

// emptied says how a drain went.
type emptied struct {
	held, left int // DROPs, at its beginning and end
	took       time.Duration
}

// tear is what the loss of power does to the newest writes of a disk: markers
// that were not synchronised are as they were before.
func (m *host) tear() {
	for len(m.unsynced) > 0 {
		last := len(m.unsynced) - 1
		w := m.unsynced[last]
		m.unsynced = m.unsynced[:last]
		if m.now-w.at <= syncWithin && m.random.yes(m.knobs.TornWrite) {
			m.trace.step(m.now, "torn write", string(m.id), w.what, 0)
			w.undo()
		}
	}
}

// unsynced is a write that the power's loss may undo.
type unsynced struct {
	at   time.Duration
	what string
	undo func()
}

// justWriting gives a machine that a loss of power would hurt, at times: the one
// that has written last. Otherwise any.
func (f *faults) justWriting() *host {
	if f.knobs.TornWrite == 0 || f.random.yes(0.5) {
		return f.someHost()
	}
	var newest *host
	for _, m := range f.hosts {
		n := len(m.unsynced)
		if n > 0 && m.powered && (newest == nil || m.unsynced[n-1].at > newest.unsynced[len(newest.unsynced)-1].at) {
			newest = m
		}
	}
	if newest == nil {
		return f.someHost()
	}
	return newest
}

func (m *host) wrote(what string, undo func()) {
	if m.knobs.TornWrite == 0 {
		return
	}
	keep := 0
	for keep < len(m.unsynced) && m.now-m.unsynced[keep].at > syncWithin {
		keep++
	}
	m.unsynced = append(m.unsynced[keep:], unsynced{m.now, what, undo})
}

// markDrop notes on disk which generation of a DROP is prepared and reported.
func (m *host) markDrop(id events.DropID, marker dropMarker) {
	before, there := m.drops[id]
	m.drops[id] = marker
	m.wrote("drop/"+string(id), func() {
		if delete(m.drops, id); there {
			m.drops[id] = before
		}
	})
}

// markBinding notes on disk that a service is provided.
func (m *host) markBinding(id events.BindingID, marker bindingMarker) {
	before, there := m.bindings[id]
	m.bindings[id] = marker
	m.wrote("binding/"+string(id), func() {
		if delete(m.bindings, id); there {
			m.bindings[id] = before
		}
	})
}
