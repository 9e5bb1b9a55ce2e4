package simulations

import (
	"fmt"
	"slices"
	"time"

	actorhost "pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/styx/upstream"
	"pantheon/runtime/agent/desired"
)

// host is one machine: what is on its disk, what runs, and its agent.
type host struct {
	*World
	port      endpoint
	random    chance
	id        events.HostID
	memoryMiB int
	// registered is what a past says that the machine offers.
	registered events.HostRegistered
	// gone machines never come back; draining ones give up what they hold first.
	gone, draining bool
	drained        emptied

	// On disk: outlives everything.
	revision events.Revision // orders carried out up to here
	drops    map[events.DropID]dropMarker
	bindings map[events.BindingID]bindingMarker

	powered  bool
	paused   bool
	deferred []func() // what came while it was paused
	// stoodStill is when it went on last, pausedAt when it was paused last.
	stoodStill time.Duration
	pausedAt   time.Duration
	slow       float64 // factor on all that it does
	rate       float64 // of its clock
	full, hung int     // faults of its disk and of php-fpm that go on
	diskDelay  time.Duration
	unsynced   []unsynced
	stopped    time.Duration // when it was switched off last
	peakKiB    int64         // the most that awake DROPs had set aside at one time
	power      int           // counts power-ups: what an earlier one began is gone
	boot       int           // counts agents
	address    int           // counts its addresses
	agent      *agent        // nil while none runs
	processes  map[events.DropID]*process
	runningKiB int64 // that they may use

	renewed   time.Duration // the last renewal of its lease, as it knows
	renewing  bool          // renewals can arrive now
	lapsing   bool          // none has arrived since the one at renewed
	believed  bool          // the keeper believes that it lives
	leaseTurn int           // counts changes of renewing
	fence     bool          // its lease ran out, and it has not caught up since
}

type dropMarker struct {
	generation int
	reported   bool
}

type bindingMarker struct {
	spec     events.BindingSpec
	reported bool
}

func newHost(w *World, n int, at endpoint, id events.HostID, memoryMiB int) *host {
	return &host{
		World: w, port: at, random: newChance(w.options.Seed, "host "+string(id)), id: id, memoryMiB: memoryMiB, slow: 1, rate: 1,
		drops: map[events.DropID]dropMarker{}, bindings: map[events.BindingID]bindingMarker{},
		processes: map[events.DropID]*process{}, believed: true, renewing: true,
	}
}

// later runs something on the machine: not if it was switched off meanwhile,
// and when it goes on if it is paused.
func (m *host) later(delay time.Duration, run func()) {
	power := m.power
	m.after(delay, func() {
		switch {
		case !m.powered || m.power != power:
		case m.paused:
			m.deferred = append(m.deferred, run)
		default:
			run()
		}
	})
}

// takes is how long the machine needs for something.
func (m *host) takes(d time.Duration) time.Duration { return time.Duration(float64(d) * m.slow) }

func (m *host) powerOn() {
	if m.powered || m.gone {
		return
	}
	m.powered = true
	m.power++
	m.trace.step(m.now, "host up", string(m.id), "", int64(m.power))
	if m.power > 1 && m.random.yes(m.knobs.NewAddress) {
		m.address++
	}
	m.checkLease()
	boot := m.takes(m.random.between(time.Second, 20*time.Second))
	if m.power == 1 && (m.registered.Host != "" || m.options.founded != nil) {
		boot = 0 // it has run all the time
	}
	m.later(boot, m.startAgent)
}

// powerOff ends everything but the disk.
func (m *host) powerOff() {
	if !m.powered {
		return
	}
	m.powered, m.stopped = false, m.now
	m.paused, m.deferred = false, nil
	m.trace.step(m.now, "host down", string(m.id), "", int64(m.power))
	m.stopAgent()
	for _, id := range sortedKeys(m.processes) {
		m.processes[id].die(true)
	}
	clear(m.processes)
	m.runningKiB = 0
	m.tear()
	m.checkLease()
}

func (m *host) pause() {
	if m.powered && !m.paused {
		m.paused, m.pausedAt = true, m.now
		m.trace.step(m.now, "host paused", string(m.id), "", 0)
		m.World.at(m.now+connectionSilence, m.silent)
		m.checkLease()
	}
}

// silent: routers give up the connection to a machine that stands still, and
// with it the requests that it has begun. They may repeat those that only read.
func (m *host) silent() {
	if !m.paused || m.now-m.pausedAt < connectionSilence {
		return
	}
	for _, id := range sortedKeys(m.processes) {
		p := m.processes[id]
		for _, r := range append(slices.Clone(p.running), p.queue...) {
			if r.open && r.host == m {
				r.givenUp().ended(result{status: upstream.StatusBadGateway})
			}
		}
	}
}

// standsStill is a request at a machine that is paused. While its silence has not
// been noticed the request is sent, and the machine finds it when it goes on.
func (m *host) standsStill(r *request, id events.DropID) {
	turn, noticed := r.turn, m.pausedAt+connectionSilence
	if m.now >= noticed {
		m.after(0, func() {
			if r.turn == turn && r.open {
				r.ended(result{refused: true})
			}
		})
		return
	}
	m.later(0, func() {
		if r.turn == turn {
			m.serve(r, id)
		}
	})
	m.World.at(noticed, func() {
		if r.turn == turn && r.open && r.process == nil && !r.held {
			r.givenUp().ended(result{status: upstream.StatusBadGateway})
		}
	})
}

// givenUp gives the request to its router again. The machine has the old one, and
// goes on with it for nobody.
func (r *request) givenUp() *request {
	again := *r
	r.open, again.process = false, nil
	return &again
}

func (m *host) resume() {
	if !m.paused {
		return
	}
	m.paused, m.stoodStill = false, m.now
	m.trace.step(m.now, "host resumed", string(m.id), "", 0)
	waiting := m.deferred
	m.deferred = nil
	for _, run := range waiting {
		m.later(0, run)
	}
	m.checkLease()
}

// stopAgent ends the agent; what runs goes on running.
func (m *host) stopAgent() {
	if m.agent != nil {
		m.agent.stop()
		m.agent = nil
		m.faults.agentless++
	}
}

// startAgent reads the host's stream from its beginning, then takes over what
// runs and follows the stream.
func (m *host) startAgent() {
	if m.agent != nil || !m.powered {
		return
	}
	if m.boot++; m.boot > 1 {
		m.faults.agentless--
	}
	m.trace.step(m.now, "agent up", string(m.id), "", int64(m.boot))
	a := &agent{host: m, boot: m.boot, desired: desired.New(), entries: map[events.DropID]*entry{},
		failures: map[string]int{}, queued: map[string]bool{}, busy: map[string]bool{}, delayed: map[string]uint64{},
		held: map[events.DropID]int64{}}
	m.agent = a
	a.register()
}

func (m *host) connected(to endpoint) bool { return m.net.open(m.port, to) && m.net.open(to, m.port) }

// canRenew says whether signs of life reach the keeper. A machine that cannot
// follow its stream gives none: it would not hear what it has to give up.
// The leases are kept by the log's own machines: without a leader of the log
// nobody can renew.
func (m *host) canRenew() bool {
	return m.powered && !m.paused && m.connected(leaseEndpoint) && m.connected(logEndpoint) && m.log.outages == 0
}

// checkLease is called whenever something has changed that renewals depend on.
// The keeper hears of a machine in the moment it should: renewals themselves
// are not simulated, only their absence.
func (m *host) checkLease() {
	can := m.canRenew()
	if can == m.renewing {
		return
	}
	m.renewing = can
	m.leaseTurn++
	turn := m.leaseTurn
	if !can {
		if !m.lapsing {
			m.lapsing, m.renewed = true, m.now-m.random.between(0, renewEvery)
		}
		m.lapses(turn, m.renewed+lease)
		return
	}
	m.after(m.random.between(0, renewEvery), func() {
		if m.leaseTurn != turn {
			return
		}
		if m.leaseOver() {
			m.fence = true
		}
		m.renewed, m.lapsing = m.now, false
		if !m.believed {
			m.believed = true
			m.keeper.returned(m)
		}
		if m.agent != nil {
			m.agent.catchUp()
		}
	})
}

// lapses has the keeper give the machine up, unless it renews until then. A
// keeper that cannot read the leases at that time waits for another one.
func (m *host) lapses(turn int, at time.Duration) {
	m.World.at(at, func() {
		switch {
		case m.leaseTurn != turn:
		case m.log.outages > 0:
			m.lapses(turn, m.now+lease)
		default:
			m.believed = false
			m.keeper.lost(m)
		}
	})
}

// fenced says whether the machine must not serve: its lease may be over, and
// what it holds elsewhere by now.
func (m *host) fenced() bool {
	if m.seams.Unfenced {
		return false
	}
	return m.fence || m.lapsing && m.leaseOver()
}

// hasDataOf says whether the database or the files of a DROP are on the machine:
// the fence does not concern it, because nobody else could serve it.
func (m *host) hasDataOf(spec events.DropSpec) bool {
	return slices.ContainsFunc(spec.Services, func(service events.BoundService) bool {
		return (service.Kind == events.DBServer || service.Kind == events.FileServer) && service.Host == m.id
	})
}

// leaseOver is what the machine believes, by its own clock.
func (m *host) leaseOver() bool {
	return float64(m.now-m.renewed)*m.rate > float64(lease-fenceMargin)
}

// takesIO is how long something takes that uses the disk.
func (m *host) takesIO(d time.Duration) time.Duration { return m.takes(d) + m.diskDelay }

// hear is called when the host's stream has grown.
func (m *host) hear() {
	if m.agent != nil {
		m.agent.hear()
	}
}

// keeper watches the leases and tells the hosts' actors.
type keeper struct {
	*World
	serial int
}

func (k *keeper) lost(m *host)     { k.tell(m, false) }
func (k *keeper) returned(m *host) { k.tell(m, true) }

// tell goes on until the host's actor has heard it, or it is true no longer.
func (k *keeper) tell(m *host, lives bool) {
	k.serial++
	k.attempt(m, lives, k.serial, m.leaseTurn, time.Second)
}

func (k *keeper) attempt(m *host, lives bool, serial, turn int, delay time.Duration) {
	if m.believed != lives {
		return
	}
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("%skeeper:%d", k.ids, serial)), Principal: "policy/lease", Gateway: "policy"}
	var command any = actorhost.ReportReturned{}
	if !lives {
		command = actorhost.ReportLost{Reason: "its lease ran out"}
	}
	k.do(leaseEndpoint, meta, m.id.Stream(), command, func(receipt events.Receipt, err error) {
		k.acknowledged(meta.Command, receipt, err)
		kind := problem.KindOf(err)
		if err != nil && (retriable(kind) || kind == problem.NotFound) {
			k.after(delay, func() { k.attempt(m, lives, serial, turn, min(2*delay, lease)) })
		}
	})
}

// retriable says whether a command may be sent again after an error.
func retriable(kind problem.Kind) bool {
	return kind == problem.Busy || kind == problem.Unavailable || kind == problem.Internal
}
