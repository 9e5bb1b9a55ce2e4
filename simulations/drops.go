package simulations

import (
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/machine"
)

// entry is one DROP as the agent knows it: the twin of an entry of
// runtime/agent with its runner of runtime/drop, around the same machine.Step.
type entry struct {
	*agent
	id        events.DropID
	spec      events.DropSpec
	dismissed bool
	live      int             // generation that is served; 0 for none
	prepared  events.DropSpec // of that generation
	state     machine.State
	process   *process
	waits     []*request // held until a start is done
	preparing []func(error)
	check     uint64 // the valid idle check
	gone      func() // a removal waits for the process to end
	orders    int    // wakes of an operator that wait
}

// process is one php-fpm. It outlives the agent.
type process struct {
	host       *host
	drop       events.DropID
	generation int
	idleAfter  time.Duration
	memoryMiB  int
	workers    int
	ownData    bool // its database or files are on the same machine
	running    []*request
	queue      []*request
	stopping   bool
	dead       bool
	entry      *entry // of the agent that watches it; nil while none does
}

func (a *agent) newEntry(id events.DropID, spec events.DropSpec) *entry {
	return &entry{agent: a, id: id, spec: spec, state: machine.State{Drop: id, Host: a.host.id}}
}

// abandon is the end of the agent: what was held is cut off.
func (e *entry) abandon() {
	for _, r := range e.waits {
		r.answer(result{refused: true})
	}
	e.waits = nil
	if e.process != nil {
		e.process.entry = nil
	}
}

func sleepOrdered(trigger string) machine.Input { return machine.SleepOrdered{Trigger: trigger} }

// step lets something happen and carries out what follows; it gives the answer
// to a WakeRequested.
func (e *entry) step(in machine.Input) (answer machine.Effect) {
	var effects []machine.Effect
	before := e.state.Phase
	e.state, effects = e.seams.drop(e.state, in, e.wall())
	if e.state.Phase != before {
		e.trace.step(e.now, "drop", string(e.id), e.state.Phase.String(), int64(e.state.Generation))
	}
	for _, effect := range effects {
		switch f := effect.(type) {
		case machine.Start:
			e.start()
		case machine.Stop:
			e.process.stop()
		case machine.CheckIdle:
			e.checkAt(f.At)
		case machine.Report:
			if _, ready := f.Fact.(events.DropReady); !ready {
				e.report(e.id.Stream(), f.Fact, nil)
			}
		case machine.Dismiss:
			e.refuseWaiting()
		case machine.Admit, machine.Hold, machine.Refuse:
			answer = f
		}
	}
	return answer
}

func (e *entry) checkAt(at time.Time) {
	e.check++
	check := e.check
	e.soon(e.since(at)-e.now, func() {
		if e.check == check {
			e.step(machine.IdleCheck{})
		}
	})
}

func (e *entry) refuseWaiting() {
	waiting := e.waits
	e.waits, e.orders = nil, 0
	for _, r := range waiting {
		r.answer(result{refused: true})
	}
}

// use has the entry prepared for requests, after a restart of the agent too.
func (e *entry) use(then func(error)) {
	switch {
	case e.dismissed:
		then(errNotHere)
	case e.live != 0:
		then(nil)
	default:
		e.prepare(func(err error) {
			if err == nil && e.dismissed {
				err = errNotHere
			}
			then(err)
		})
	}
}

var errDiskFull error = problem.New(problem.Unavailable, "no space is left on the disk")

var errNoFiles error = problem.New(problem.Unavailable, "the host of the files cannot be reached")

var errNotHere error = problem.New(problem.Unavailable, "the DROP is not on this host")

// prepare brings the entry to the newest generation.
func (e *entry) prepare(then func(error)) {
	if e.live == e.spec.Generation {
		then(nil)
		return
	}
	e.preparing = append(e.preparing, then)
	if len(e.preparing) > 1 {
		return
	}
	spec := e.spec
	e.step(machine.PrepareBegan{})
	duration := e.random.between(20*time.Millisecond, 2*time.Second)
	e.soon(e.takesIO(duration), func() {
		var err error
		switch {
		case e.full > 0 || e.random.yes(e.knobs.PrepareFails):
			err = errDiskFull
		case !e.mounts(spec):
			err = errNoFiles
		}
		if err != nil {
			e.step(machine.PrepareFailed{Generation: spec.Generation, Reason: err.Error()})
		} else {
			e.live, e.prepared = spec.Generation, spec
			e.step(machine.Prepared{Generation: spec.Generation, IdleAfter: time.Duration(spec.Settings.IdleAfterSeconds) * time.Second})
		}
		waiting := e.preparing
		e.preparing = nil
		for _, then := range waiting {
			if err == nil && !e.dismissed { // what was wanted may be newer by now
				e.prepare(then)
				continue
			}
			then(err)
		}
	})
}

// reconcileDrop brings one DROP to what the stream says.
func (a *agent) reconcileDrop(id events.DropID, done func(error)) {
	e := a.entries[id]
	switch {
	case e == nil:
		done(nil)
		return
	case e.dismissed:
		e.remove(done)
		return
	}
	e.prepare(func(err error) {
		if err != nil {
			done(err)
			return
		}
		generation := e.live
		a.report(id.Stream(), events.DropReady{Drop: id, Host: a.host.id, Generation: generation}, func(err error) {
			switch {
			case err != nil || e.dismissed:
			case a.full > 0:
				err = errDiskFull
			default:
				a.markDrop(id, dropMarker{generation, true})
			}
			done(err)
		})
	})
}

// remove ends a dismissed DROP. One that was admitted again meanwhile begins
// anew.
func (e *entry) remove(done func(error)) {
	e.live = 0
	e.wakeless()
	if e.process != nil || e.state.Phase == machine.Starting || e.state.Phase == machine.Stopping {
		e.gone = func() { e.remove(done) }
		e.step(sleepOrdered("shutdown"))
		return
	}
	delete(e.entries, e.id)
	delete(e.drops, e.id)
	if spec, wanted := e.desired.Drops[e.id]; wanted {
		e.entries[e.id] = e.newEntry(e.id, spec)
		e.add("drop/" + string(e.id))
	}
	done(nil)
}

// wakeless turns away those who wait for a DROP that is being removed.
func (e *entry) wakeless() {
	for range e.waits {
		e.step(machine.WaitAbandoned{})
	}
	e.refuseWaiting()
}

// adopt takes over a process of an earlier agent.
func (e *entry) adopt(p *process) {
	e.process, p.entry = p, e
	e.hold(int64(p.memoryMiB) * 1024)
	e.step(machine.Adopted{Generation: p.generation, IdleAfter: p.idleAfter})
}

// wakeOnce is an operator's wake.
func (e *entry) wakeOnce() {
	switch e.step(machine.WakeRequested{Trigger: "operator"}).(type) {
	case machine.Admit:
		e.step(machine.RequestDone{})
	case machine.Hold:
		e.orders++
	default: // refused: the order is void
	}
}

// start is the effect Start: memory first, then php-fpm.
func (e *entry) start() {
	spec := e.prepared
	e.reserve(spec, func(granted bool) {
		if !granted {
			e.stats.noRoom++
			e.startFailed("all memory for awake DROPs is in use")
			return
		}
		e.launch(spec)
	})
}

func (e *entry) launch(spec events.DropSpec) {
	duration := e.random.between(15*time.Millisecond, 80*time.Millisecond)
	reason := ""
	switch {
	case e.random.yes(e.knobs.StartFails):
		reason = "exit status 78: cannot read the configuration"
	case e.random.yes(e.knobs.StartHangs):
		duration, reason = machine.StartTimeout, "no answer within 10s"
	case e.random.yes(e.knobs.StartSlow):
		duration = e.random.between(time.Second, 9*time.Second)
	}
	if duration = e.takes(duration); duration >= machine.StartTimeout {
		duration, reason = machine.StartTimeout, "no answer within 10s"
	}
	power := e.power
	e.later(duration, func() {
		if e.stopped {
			return // the start dies with the agent, and php-fpm with it
		}
		if reason == "" && e.power == power {
			e.started(spec)
			return
		}
		e.release()
		e.startFailed(reason)
	})
}

func (e *entry) started(spec events.DropSpec) {
	p := &process{host: e.host, drop: e.id, generation: e.state.Running, memoryMiB: spec.Settings.MemoryMiB,
		idleAfter: e.state.IdleAfter, workers: max(spec.Settings.Workers, 1), ownData: e.hasDataOf(spec), entry: e}
	e.process = p
	e.runs(p)
	e.checkMemory()
	waiting := e.waits
	orders := e.orders
	e.waits, e.orders = nil, 0
	e.step(machine.Started{})
	for range orders {
		e.step(machine.RequestDone{})
	}
	for _, r := range waiting {
		if e.dismissed { // meanwhile
			p.done(r, result{refused: true})
			continue
		}
		p.run(r)
	}
	if e.knobs.CrashEvery > 0 {
		e.later(e.random.exp(e.knobs.CrashEvery), func() {
			if !p.dead && e.knobs.CrashEvery > 0 { // not when all is healed meanwhile
				p.die(true)
			}
		})
	}
}

func (e *entry) startFailed(reason string) {
	e.refuseWaiting()
	e.step(machine.StartFailed{Reason: reason})
	e.ended()
}

// ended tells a removal that there is no process any longer.
func (e *entry) ended() {
	if gone := e.gone; gone != nil && e.process == nil {
		e.gone = nil
		e.soon(0, gone)
	}
}

// checkMemory is rule (B): what is awake fits, or is alone.
func (e *entry) checkMemory() {
	e.ledger.Awake(e.host.id, len(e.processes), e.runningKiB, e.now)
}

// runs adds a process to those of the machine.
func (m *host) runs(p *process) {
	if old := m.processes[p.drop]; old != nil {
		m.runningKiB -= old.kib()
	}
	m.processes[p.drop] = p
	m.runningKiB += p.kib()
}

// kib is what a process may use.
func (p *process) kib() int64 { return int64(p.memoryMiB) * 1024 }

// run lets a request into php-fpm, or into its backlog.
func (p *process) run(r *request) {
	if p.dead {
		r.answer(result{status: 502})
		return
	}
	if fenced := p.host.fenced(); !fenced || p.ownData {
		p.host.ledger.Served(p.host.id, p.host.ledger.Book(p.drop), p.host.now, fenced)
	}
	if len(p.running) >= p.workers {
		if len(p.queue) >= backlog {
			p.done(r, result{status: 503})
			return
		}
		p.queue = append(p.queue, r)
		return
	}
	p.work(r)
}

// work begins a request. What was held or queued while the machine stood still
// is refused here: its lease may be over by now.
func (p *process) work(r *request) {
	if p.host.fenced() && !p.ownData {
		p.done(r, result{refused: true})
		return
	}
	r.site.window = windowOf(p.idleAfter)
	r.slot = len(p.running)
	r.process = p
	p.running = append(p.running, r)
	duration, status := p.host.takes(r.work), 200
	if p.host.hangs(p.drop) || duration >= hungRequest { // its watchdog does not get slow
		duration, status = hungRequest, 502
	}
	turn := r.turn
	p.host.later(duration, func() {
		if p.dead || r.process != p || r.turn != turn {
			return
		}
		p.leave(r)
		p.done(r, result{status: status})
		for len(p.queue) > 0 && len(p.running) < p.workers {
			next := p.queue[0]
			p.queue = p.queue[1:]
			p.work(next)
		}
		if p.stopping && len(p.running) == 0 {
			p.exit()
		}
	})
}

// leave takes a request out of those that run.
func (p *process) leave(r *request) {
	last := len(p.running) - 1
	p.running[r.slot] = p.running[last]
	p.running[r.slot].slot = r.slot
	p.running[last] = nil
	p.running = p.running[:last]
	r.process = nil
}

// done ends a request that was let through.
func (p *process) done(r *request, with result) {
	if p.entry != nil {
		p.entry.step(machine.RequestDone{})
	}
	r.answer(with)
}

// stop is the effect Stop: after the requests under way, or after the grace.
// php-fpm takes nothing more from its backlog then.
func (p *process) stop() {
	p.stopping = true
	left := p.queue
	p.queue = nil
	for _, r := range left {
		p.done(r, result{status: 502})
	}
	if len(p.running) == 0 {
		p.exit()
		return
	}
	p.host.later(machine.StopGrace, func() {
		if !p.dead {
			p.die(false)
		}
	})
}

func (p *process) exit() {
	duration := p.host.random.between(2*time.Millisecond, 60*time.Millisecond)
	if p.host.random.yes(p.host.knobs.StartSlow) {
		duration = p.host.random.between(time.Second, 9*time.Second)
	}
	p.host.later(min(p.host.takes(duration), machine.StopGrace), func() {
		if !p.dead {
			p.die(false)
		}
	})
}

// die is the end of the process; what it was doing is cut off.
func (p *process) die(crashed bool) {
	p.dead = true
	if p.host.processes[p.drop] == p {
		delete(p.host.processes, p.drop)
		p.host.runningKiB -= p.kib()
	}
	cut := append(p.running, p.queue...)
	p.running, p.queue = nil, nil
	for _, r := range cut {
		r.process = nil
		p.done(r, result{status: 502})
	}
	e := p.entry
	if e == nil || !p.host.powered {
		return
	}
	p.entry, e.process = nil, nil
	e.release()
	reason := "exit status 0"
	if crashed {
		reason = "signal: killed"
	}
	e.step(machine.Exited{Reason: reason})
	e.ended()
}
