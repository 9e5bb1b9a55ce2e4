package simulations

import "time"

// faults begin and end at times drawn from the seed, until everything is
// healed.
type faults struct {
	*World
	random chance
	healed bool
	undo   map[uint64]func() // of faults that go on, by the order they began in
	serial uint64
	// changed is when the last fault began or ended.
	changed time.Duration
	lost    int // machines that are gone for good
	// agentless are the machines whose agent ended and has not begun again.
	agentless int
}

// every repeats something at random times with a mean distance.
func (f *faults) every(mean time.Duration, what func()) {
	if mean <= 0 {
		return
	}
	f.after(f.random.exp(mean), func() {
		if f.healed {
			return
		}
		what()
		f.every(mean, what)
	})
}

// during keeps a fault for a while; heal ends it earlier.
func (f *faults) during(d time.Duration, undo func()) {
	f.serial++
	n := f.serial
	f.undo[n] = undo
	f.changed = f.now
	f.after(d, func() {
		if undo := f.undo[n]; undo != nil {
			f.changed = f.now
			delete(f.undo, n)
			undo()
		}
	})
}

// begin schedules all faults of the knobs.
func (f *faults) begin() {
	k := f.knobs
	f.every(k.PartitionEvery, f.partition)
	f.every(k.ClogEvery, f.clog)
	f.every(k.LogOutageEvery, func() { f.logOutage(f.random.spreadTime(time.Second, 10*time.Minute)) })
	f.every(k.LogSlowEvery, f.logSlow)
	f.every(k.NodeCrashEvery, f.nodeCrash)
	f.every(k.HostCrashEvery, func() {
		m := f.justWriting()
		f.crashHost(m, f.random.spreadTime(5*time.Second, 2*time.Hour))
	})
	f.every(k.HostPauseEvery, f.hostPause)
	f.every(k.HostSlowEvery, f.hostSlow)
	f.every(k.AgentRestartEvery, f.agentRestart)
	f.every(k.CrowdEvery, func() {
		if s := f.operators.pick(); s != nil {
			f.visitors.crowd(s, f.random.spread(20, 1000), f.random.spreadTime(time.Minute, 30*time.Minute))
		}
	})
	f.every(k.CrawlEvery, func() { f.visitors.crawl(f.random.spreadTime(20*time.Millisecond, 2*time.Second)) })
	f.beginMore()
}

func (f *faults) someHost() *host { return f.hosts[f.random.IntN(len(f.hosts))] }

// partition cuts a party off, or one way between two.
func (f *faults) partition() {
	d := f.random.spreadTime(time.Second, time.Hour)
	party := f.someEndpoint()
	if f.random.yes(0.5) {
		f.isolate(party, d)
		return
	}
	other := f.someEndpoint()
	if party != other {
		f.cut(party, other, d)
	}
}

// someEndpoint is a node, a machine or a router; half of all are machines.
func (f *faults) someEndpoint() endpoint {
	if f.random.yes(0.5) {
		return f.someHost().port
	}
	return endpoint(f.random.IntN(f.net.size))
}

// cut blocks one way.
func (f *faults) cut(from, to endpoint, d time.Duration) {
	f.trace.step(f.now, "cut", f.names[from], f.names[to], int64(d/time.Second))
	f.net.block(from, to)
	f.rechecked()
	f.during(d, func() {
		f.trace.step(f.now, "cut ends", f.names[from], f.names[to], 0)
		f.net.unblock(from, to)
		f.rechecked()
	})
}

// isolate blocks all ways of a party.
func (f *faults) isolate(party endpoint, d time.Duration) {
	f.trace.step(f.now, "isolated", f.names[party], "", int64(d/time.Second))
	both := func(change func(from, to endpoint)) {
		for other := range endpoint(f.net.size) {
			if other != party {
				change(party, other)
				change(other, party)
			}
		}
		f.rechecked()
	}
	both(f.net.block)
	f.during(d, func() {
		f.trace.step(f.now, "isolation ends", f.names[party], "", 0)
		both(f.net.unblock)
	})
}

// rechecked lets every lease notice a change of the network.
func (f *faults) rechecked() {
	for _, m := range f.hosts {
		m.checkLease()
	}
}

func (f *faults) clog() {
	party, delay := f.someEndpoint(), f.random.spreadTime(10*time.Millisecond, 3*time.Second)
	f.clogBy(party, delay, f.random.spreadTime(time.Second, 30*time.Minute))
}

func (f *faults) clogBy(party endpoint, delay, d time.Duration) {
	f.trace.step(f.now, "clogged", f.names[party], "", int64(delay/time.Millisecond))
	f.net.clogged[party] += delay
	f.during(d, func() { f.net.clogged[party] -= delay })
}

func (f *faults) logOutage(d time.Duration) {
	f.trace.step(f.now, "log outage", "", "", int64(d/time.Second))
	f.log.outages++
	f.rechecked()
	f.during(d, func() {
		f.trace.step(f.now, "log outage ends", "", "", 0)
		f.log.outages--
		f.rechecked()
	})
}

func (f *faults) logSlow() {
	slow := f.random.spreadTime(20*time.Millisecond, 20*time.Second)
	f.trace.step(f.now, "log slow", "", "", int64(slow/time.Millisecond))
	f.log.slow += slow
	f.during(f.random.spreadTime(time.Second, 10*time.Minute), func() { f.log.slow -= slow })
}

func (f *faults) nodeCrash() {
	n := f.nodes[f.random.IntN(len(f.nodes))]
	if !n.up {
		return
	}
	n.crash()
	f.during(f.random.spreadTime(100*time.Millisecond, 5*time.Minute), n.start)
}

func (f *faults) crashHost(m *host, d time.Duration) {
	if !m.powered {
		return
	}
	m.powerOff()
	f.during(d, m.powerOn)
}

func (f *faults) hostPause() {
	m := f.someHost()
	if !m.powered || m.paused {
		return
	}
	m.pause()
	f.during(f.random.spreadTime(100*time.Millisecond, 10*time.Minute), m.resume)
}

func (f *faults) hostSlow() {
	m := f.someHost()
	factor := min(f.random.spread(1.5, 50), 50/m.slow) // all together at most 50
	f.trace.step(f.now, "host slow", string(m.id), "", int64(factor))
	m.slow *= factor
	f.during(f.random.spreadTime(time.Second, 30*time.Minute), func() { m.slow = max(m.slow/factor, 1) })
}

func (f *faults) agentRestart() {
	m := f.someHost()
	if m.agent == nil || m.paused {
		return
	}
	m.stopAgent()
	f.changed = f.now
	m.later(f.random.spreadTime(100*time.Millisecond, 30*time.Second), m.startAgent)
}

// heal ends every fault, in the order they began in.
func (f *faults) heal() {
	f.healed, f.changed = true, f.now
	f.trace.step(f.now, "heal", "", "", int64(len(f.undo)))
	for _, m := range f.hosts {
		m.slow = 1
	}
	for _, n := range sortedKeys(f.undo) {
		undo := f.undo[n]
		delete(f.undo, n)
		undo()
	}
	k := &f.knobs
	k.Loss, k.Duplicate, k.LostAck = 0, 0, 0
	k.StartFails, k.StartHangs, k.StartSlow, k.RequestHangs, k.CrashEvery = 0, 0, 0, 0, 0
	k.PrepareFails, k.ProvideFails, k.TornWrite = 0, 0, 0
	for _, m := range f.hosts {
		m.slow = 1
		m.powerOn()
		m.resume()
	}
	f.rechecked()
	f.visitors.disperse()
}
