package simulations

import (
	"fmt"
	"math"
	"time"

	"pantheon/gateways/styx/upstream"
	"pantheon/projections/routing"
	"pantheon/runtime/drop/machine"
	"pantheon/simulations/check"
)

// What follows thins the visits to a large cell. What a visit changes is that a
// DROP wakes, or does not fall asleep. So of the visits that come while a DROP is
// surely awake only the last is looked at, and stands for those since the one
// before: if it finds the DROP awake and all ways open, all of them count as
// served, as fast as a request is there and back; if it does not, it is simulated
// from end to end, and all of them end as it does. A visit after a longer pause is
// simulated by itself. How many come, and when the last, is drawn from the site's
// rate as ever. Not seen are requests that wait for one another in php-fpm, and
// faults that begin and end between two looks.

// thinExactly is up to how many expected visits each is drawn; the number of more
// comes from a normal distribution.
const thinExactly = 64

// longestWindow is how long visits may be counted without a look.
const longestWindow = time.Hour

// windowOf gives how long after a request a DROP is surely awake.
func windowOf(idleAfter time.Duration) time.Duration {
	if idleAfter <= 0 || idleAfter > longestWindow {
		idleAfter = longestWindow
	}
	return idleAfter - idleAfter/10
}

// planThin plans the next look at a site, whose next visit comes at an instant;
// known is until when its DROP is surely awake. The rate changes with the time of
// its day, so it looks at the clock once an hour at least.
func (v *visitors) planThin(s *site, turn int, next, known time.Duration) {
	visits, follows := int64(0), time.Duration(0)
	switch {
	case next-v.now > longestWindow:
		next = v.now + longestWindow
	case next > known:
		visits, follows = 1, next+v.gap(s)
	default:
		next, visits, follows = v.last(s, next, known)
	}
	v.at(next, func() {
		switch {
		case s.turn != turn || s.leaving || v.stop:
		case visits == 0:
			v.planThin(s, turn, v.now+v.gap(s), known)
		default:
			v.look(s, visits)
			v.planThin(s, turn, follows, v.now+s.window)
		}
	})
}

// gap draws the time between two visits, at the rate of now.
func (v *visitors) gap(s *site) time.Duration {
	const never = 1000 * time.Hour
	rate := s.rate * s.flash * v.factor * v.daily(s)
	seconds := v.random.ExpFloat64() / rate
	if !(seconds < never.Seconds()) { // also where the rate is 0
		return never
	}
	return time.Duration(seconds * float64(time.Second))
}

// last draws the visits from a first one until an end: when the last one comes,
// how many there are, and when the one after them comes.
func (v *visitors) last(s *site, first, end time.Duration) (at time.Duration, visits int64, follows time.Duration) {
	expected := s.rate * s.flash * v.factor * v.daily(s) * (end - first).Seconds()
	if expected > thinExactly {
		more := math.Round(expected + math.Sqrt(expected)*v.random.NormFloat64())
		return max(end-v.gap(s), first), 1 + int64(max(more, 0)), end + v.gap(s)
	}
	at, visits, follows = first, 1, first+v.gap(s)
	for follows <= end {
		at, visits, follows = follows, visits+1, follows+v.gap(s)
	}
	return at, visits, follows
}

// look is the last of some visits.
func (v *visitors) look(s *site, visits int64) {
	v.stats.visits += visits
	v.stats.counted += visits
	router := v.router()
	left := router.touchAll(s, visits)
	if left == 0 {
		return
	}
	v.stats.counted--
	work := time.Duration(float64(s.work) * (0.5 + v.random.ExpFloat64()/2))
	writes := v.random.yes(0.05)
	v.after(v.knobs.NetDelay, func() { router.arrive(s, left, work, writes) })
}

// way is what a router knows of the way to a site, as long as its routes are the
// same. To look it all up at every look would be most of what one costs.
type way struct {
	turn  uint64 // of the routes; 0 where nothing is known
	route *routing.Route
	stops []stop // of the route's DROPs
}

// stop is one DROP of a way: where to find it.
type stop struct {
	machine *host
	agent   *agent // that entry belongs to
	entry   *entry
	book    check.Booked
}

// wayTo finds the way to a site.
func (s *styx) wayTo(to *site) *way {
	if to.ways == nil {
		to.ways = make([]way, len(s.routers))
	}
	w, routes := &to.ways[s.n], s.routes.now()
	if turn := routes.Turn() + 1; w.turn != turn {
		w.turn = turn
		if route, _ := routes.Lookup(to.hostName); route != w.route {
			w.route, w.stops = route, s.stopsOf(route, w.stops[:0])
		}
	}
	return w
}

// stopsOf finds the DROPs of a route; nil has none.
func (s *styx) stopsOf(route *routing.Route, stops []stop) []stop {
	if route == nil {
		return stops
	}
	for _, target := range route.Drops {
		stops = append(stops, stop{machine: s.machineOf[target.Host], book: s.ledger.Book(target.Drop)})
	}
	return stops
}

// touchAll serves visits as far as DROPs are awake; several are shared among all
// DROPs of the route. It gives how many are left.
func (s *styx) touchAll(to *site, visits int64) (left int64) {
	if s.down {
		return visits
	}
	w := s.wayTo(to)
	if w.route == nil || w.route.State != routing.Serving || len(w.route.Drops) == 0 {
		return visits
	}
	targets, stops := w.route.Drops, w.stops
	if visits < 2*int64(len(targets)) && len(targets) > 1 {
		var attempts upstream.Attempts
		index, ok := attempts.Next(targets, &s.memory, s, s.wall(), s.random.Uint64())
		if !ok {
			return visits
		}
		targets, stops = targets[index:index+1], stops[index:index+1]
	}
	left = visits
	for i := range targets {
		share := visits / int64(len(targets))
		if i == 0 {
			share += visits % int64(len(targets))
		}
		if s.touch(to, targets[i], &stops[i], share) {
			left -= share
		}
	}
	return left
}

// touch serves visits by one DROP, if it is awake and nothing is in the way.
func (s *styx) touch(to *site, target upstream.Target, at *stop, visits int64) bool {
	m := at.machine
	if !m.powered || m.paused || m.slow > 1 || m.agent == nil || !s.net.open(s.port, m.port) || !s.net.open(m.port, s.port) {
		return false
	}
	if at.agent != m.agent || at.entry == nil || at.entry.dismissed {
		at.agent, at.entry = m.agent, m.agent.entries[target.Drop]
	}
	e := at.entry
	if e == nil || e.dismissed || e.live == 0 || e.state.Phase != machine.Awake || e.process == nil || e.process.stopping ||
		len(e.process.running) >= e.process.workers || m.hangs(target.Drop) {
		return false
	}
	fenced := m.fenced()
	if fenced && !e.process.ownData {
		return false
	}
	s.ledger.Routed(at.book, target.Host, s.now, s.routes.follower.connected())
	s.ledger.Served(m.id, at.book, s.now, fenced)
	if _, admitted := e.step(wakeByVisit).(machine.Admit); !admitted {
		s.violate("wake", "a wake of %s, which is awake, was not admitted", e.id)
		return false
	}
	e.step(machine.RequestDone{})
	to.window = windowOf(e.state.IdleAfter)
	s.count(to, m, visits, s.net.delay(s.port, m.port)+s.net.delay(m.port, s.port), 0)
	return true
}

// wakeByVisit is the input of every request; boxed once.
var wakeByVisit machine.Input = machine.WakeRequested{Trigger: "http"}

// thinned says what was left out.
func (w *World) thinned() []string {
	if !w.options.thin() {
		return nil
	}
	s := &w.stats
	return []string{
		fmt.Sprintf("%d of %d visits were counted, not simulated: they came while their DROP was surely awake, and a look at it stands for those of up to %s", s.counted, s.visits, windowOf(0)),
		fmt.Sprintf("%d sites were there when the run began, all of them asleep", w.options.founded.sites),
		fmt.Sprintf("the zone was followed for one site in %d", thinNames),
		fmt.Sprintf("drawn knobs are bounded: DROPs sleep after %s at least, crashes of nodes and routers and crawlers come less often", time.Hour),
	}
}
