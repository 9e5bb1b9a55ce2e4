package simulations

import (
	"slices"
	"time"

	"pantheon/events"
	"pantheon/gateways/styx/upstream"
	"pantheon/projections/routing"
	"pantheon/runtime/drop/machine"
)

// styx is one router: its own view of the routes, what it remembers of
// failures, and the request loop around gateways/styx/upstream.
type styx struct {
	*World
	n      int // among the routers
	port   endpoint
	random chance
	routes *table[routing.State]
	memory upstream.Memory
	load   map[events.DropID]int
	boot   int // counts its ends
	down   bool
	open   int64 // requests that have no answer yet
}

func newStyx(w *World, n int, port endpoint) *styx {
	return &styx{World: w, n: n, port: port, random: newChance(w.options.Seed, "styx "+w.names[port]),
		routes: newRoutes(w, port), load: map[events.DropID]int{}}
}

// crash ends the process: what it knew is gone, who waited gets no answer.
func (s *styx) crash() {
	s.trace.step(s.now, "router down", s.names[s.port], "", s.open)
	s.boot++
	s.down = true
	s.stats.unserved += s.open
	s.memory, s.load, s.open = upstream.Memory{}, map[events.DropID]int{}, 0
	if s.routes.other == nil { // at another level the view is not the router's
		s.routes.follower.stop()
	}
}

// restart reads the log, and takes requests when it has.
func (s *styx) restart() {
	if s.routes.other == nil {
		s.routes = newRoutes(s.World, s.port)
	}
	boot := s.boot
	var look func()
	look = func() {
		switch {
		case s.boot != boot:
		case s.routes.position() < s.log.head():
			s.after(10*time.Millisecond, look)
		default:
			s.trace.step(s.now, "router up", s.names[s.port], "", int64(s.boot))
			s.down = false
		}
	}
	look()
}

// Outstanding is the load that upstream balances by.
func (s *styx) Outstanding(id events.DropID) int { return s.load[id] }

// request is one visit, or stands for several.
type request struct {
	styx      *styx
	site      *site
	visits    int64
	began     time.Duration
	work      time.Duration // of PHP
	targets   []upstream.Target
	resort    bool          // they are the last resort: their hosts are lost
	bereft    bool          // the site's data was out of reach at some time
	looked    time.Duration // when the route gave them
	connected time.Duration // since when the router had heard of everything then
	attempts  upstream.Attempts
	current   int
	host      *host // that the attempt went to
	turn      int   // counts attempts
	refreshed bool
	writes    bool // a POST: it is not repeated after a 502
	open      bool // an attempt is under way
	boot      int  // of the router
	held      bool // at its host, until a start is done

	process *process
	slot    int
}

// result is how an attempt ended.
type result struct {
	refused bool // nothing was begun
	busy    bool
	status  int
}

// arrive is a request at the router. Visits to what is not there yet, or any
// more, or was switched off by its operator, are counted apart.
func (s *styx) arrive(to *site, visits int64, work time.Duration, writes bool) {
	if s.down {
		s.unserved(to, visits, "the router is down")
		return
	}
	route, found := s.routes.now().Lookup(to.hostName)
	switch {
	case !found || route.State != routing.Serving, route.Settings != nil && route.Settings.Drops == 0:
		s.stats.notReady += visits
		return
	case len(route.Drops) == 0:
		s.ledger.Unready(to.env, s.now, s.faults.calmSince())
		if len(route.LastResort) == 0 {
			s.unserved(to, visits, "no DROP is ready")
			return
		}
	}
	s.open += visits
	r := &request{styx: s, boot: s.boot, site: to, visits: visits, began: s.now, work: work, writes: writes, bereft: s.faults.any() && s.dataAway(to)}
	r.heads(route)
	r.next()
}

// heads takes the targets of a route.
func (r *request) heads(route *routing.Route) {
	s := r.styx
	r.targets, r.resort, r.attempts = route.Targets(), len(route.Drops) == 0, upstream.Attempts{}
	r.looked, r.connected = s.now, s.routes.follower.connected()
}

// next tries one target after the other; if all refuse, the route is looked up
// once more.
func (r *request) next() {
	s := r.styx
	index, ok := r.attempts.Next(r.targets, &s.memory, s, s.wall(), s.random.Uint64())
	if !ok && !r.refreshed {
		r.refreshed = true
		fresh, found := s.routes.now().Lookup(r.site.hostName)
		if found && fresh.State == routing.Serving && !slices.Equal(fresh.Targets(), r.targets) {
			r.heads(fresh)
			index, ok = r.attempts.Next(r.targets, &s.memory, s, s.wall(), s.random.Uint64())
		}
	}
	if !ok {
		r.failed("every DROP refused")
		return
	}
	r.try(index)
}

func (r *request) try(index int) {
	s := r.styx
	r.current = index
	r.turn++
	turn := r.turn
	target := r.targets[index]
	s.load[target.Drop]++
	r.open, r.held = true, false
	r.host = s.machineOf[target.Host]
	if !r.resort {
		s.ledger.Routed(s.ledger.Book(target.Drop), target.Host, r.looked, r.connected)
	}
	sent := s.net.stream(s.port, r.host.port, func() {
		if r.turn == turn {
			r.host.serve(r, target.Drop)
		}
	})
	if !sent {
		s.after(connectLimit, func() {
			if r.turn == turn && r.open {
				r.ended(result{refused: true})
			}
		})
	}
}

// answer brings a result back to the router.
func (r *request) answer(with result) {
	s, turn := r.styx, r.turn
	if s.net.stream(r.host.port, s.port, func() {
		if r.turn == turn && r.open {
			r.ended(with)
		}
	}) {
		return
	}
	with = result{status: upstream.StatusBadGateway} // the connection broke
	s.after(connectLimit, func() {
		if r.turn == turn && r.open {
			r.ended(with)
		}
	})
}

// ended looks at how the attempt ended.
func (r *request) ended(with result) {
	s := r.styx
	r.open = false
	if r.boot != s.boot {
		return
	}
	id := r.targets[r.current].Drop
	if s.load[id]--; s.load[id] == 0 {
		delete(s.load, id)
	}
	outcome := upstream.Result{Refused: with.refused, Status: with.status}
	if upstream.CountsAgainst(outcome) && !with.busy && s.memory.Stale(id, s.wall()) {
		s.memory = s.memory.Failed(id, s.wall())
	}
	method := "GET"
	if r.writes {
		method = "POST"
	}
	switch {
	case with.status == 200:
		s.served(r)
	case s.now-r.began >= requestLimit:
		r.failed("it took too long")
	case upstream.Retryable(upstream.Request{Method: method}, outcome) && r.left(with):
		s.stats.retries++
		r.next()
	default:
		r.failed("its DROP failed")
	}
}

func (r *request) failed(why string) {
	s := r.styx
	s.open -= r.visits
	if r.bereft && !(s.faults.any() && s.dataAway(r.site)) { // it is back meanwhile
		s.stats.dataless += r.visits
	}
	s.unserved(r.site, r.visits, why)
}

// left says whether there is somewhere else to go; a refusal goes on to the
// look-up of a fresh route.
func (r *request) left(with result) bool {
	return with.refused || r.attempts.Left(r.targets, &r.styx.memory, r.styx.wall())
}

func (s *styx) served(r *request) {
	s.open -= r.visits
	s.count(r.site, r.host, r.visits, s.now-r.began, r.work)
}

// count books visits that got a page.
func (s *styx) count(to *site, from *host, visits int64, took, work time.Duration) {
	s.stats.served += visits
	to.served += visits
	if s.faults.any() && s.serviceAway(to, from) {
		s.stats.degraded += visits
		to.degraded += visits
	}
	s.stats.times.add(took-work, visits)
	if s.stats.detailed {
		s.trace.step(s.now, "served", to.name, "", int64(took/time.Microsecond))
	}
}

// unserved counts a request that got an error page. While all is well none
// does.
func (s *styx) unserved(to *site, visits int64, why string) {
	s.stats.unserved += visits
	to.unserved += visits
	to.window = 0
	if s.faults.any() && s.dataAway(to) {
		s.stats.dataless += visits
	}
	s.trace.step(s.now, "unserved", to.name, why, 0)
	if s.strict && !s.starved(to) {
		s.violate("availability", "a request to %s was not served although everything is healed: %s", to.name, why)
	}
}

// serviceAway says whether a service of the environment is out of the reach of
// the DROP that answered: PHP gives a page then, but one that says so. Services
// hold data and stay where they are.
func (s *styx) serviceAway(to *site, from *host) bool {
	for _, service := range s.ledger.Services(to.env) {
		kind, m := service.Kind, s.machineOf[service.Host]
		if kind != events.CodeServer && m != nil && (!m.reachable() || m != from && !m.net.open(from.port, m.port)) {
			return true
		}
	}
	return false
}

// dataAway says whether the machine with the site's database or files is out of
// reach.
func (s *styx) dataAway(of *site) bool {
	if s.ledger.DataLost(of.env) {
		return true
	}
	for _, service := range s.ledger.Services(of.env) {
		kind, m := service.Kind, s.machineOf[service.Host]
		if (kind == events.DBServer || kind == events.FileServer) && m != nil && (!m.reachable() || !s.net.open(s.port, m.port) || !s.net.open(m.port, s.port)) {
			return true
		}
	}
	return false
}

// reachable says whether what is on the machine can be reached from elsewhere:
// that goes through its agent.
func (m *host) reachable() bool { return m.powered && !m.paused && m.agent != nil }

// mounts says whether the machine can have the files of a DROP: they are its own,
// or those of a machine that it reaches while it has its lease. Without them no DROP
// is prepared.
func (m *host) mounts(spec events.DropSpec) bool {
	for _, service := range spec.Services {
		if service.Kind == events.FileServer && service.Host != m.id {
			of := m.machineOf[service.Host]
			return of != nil && of.reachable() && m.connected(of.port) && !m.fenced()
		}
	}
	return true
}

// serve is a request at the machine.
func (m *host) serve(r *request, id events.DropID) {
	turn := r.turn
	switch {
	case !m.powered: // nobody answers
		m.after(connectLimit, func() {
			if r.turn == turn && r.open {
				r.ended(result{refused: true})
			}
		})
		return
	case m.paused:
		m.standsStill(r, id)
		return
	case m.agent == nil || m.agent.entries[id] == nil, m.fenced() && !m.hasDataOf(m.agent.entries[id].spec):
		r.answer(result{refused: true})
		return
	}
	e := m.agent.entries[id]
	e.use(func(err error) {
		if err != nil || r.turn != turn {
			r.answer(result{refused: true})
			return
		}
		e.admit(r)
	})
}

// admit asks the DROP's machine.
func (e *entry) admit(r *request) {
	switch e.step(wakeByVisit).(type) {
	case machine.Admit:
		e.process.run(r)
	case machine.Hold:
		e.stats.held++
		r.held = true
		e.waits = append(e.waits, r)
		turn := r.turn
		since := e.now
		e.soon(requestLimit-(e.now-r.began), func() { e.giveUp(r, turn, since) })
	case machine.Refuse:
		r.answer(result{refused: true})
	default:
		e.violate("wake", "a wake of %s was not answered", e.id)
	}
}

// giveUp ends the waiting of a request whose time is over. A start takes ten
// seconds at most and a stop thirty, so nobody waits for so long.
func (e *entry) giveUp(r *request, turn int, since time.Duration) {
	i := slices.Index(e.waits, r)
	if i < 0 || r.turn != turn {
		return
	}
	if waited := e.now - since; waited > holdLimit && e.stoodStill < since {
		e.violate("wake", "a request to %s was held for %s and DROP %s did not wake (%s)", r.site.name, waited, e.id, e.state.Phase)
	}
	e.waits = slices.Delete(e.waits, i, i+1)
	e.step(machine.WaitAbandoned{})
	r.answer(result{refused: true})
}
