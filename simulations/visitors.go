package simulations

import (
	"fmt"
	"math"
	"time"

	"pantheon/events"
)

// domain of the simulated platform.
const domain = "pantheon.test"

// site is one customer's site, as visitors and operators know it.
type site struct {
	n        int
	id       events.SiteID
	name     string
	hostName string
	env      events.EnvironmentID

	asked   bool    // its creation was asked for
	leaving bool    // its deletion was
	rate    float64 // requests a second, at the day's mean
	phase   float64 // of its day
	flash   float64 // factor while a flash crowd is there
	turn    int     // counts schedules
	work    time.Duration
	// window is how long after a visit its DROP is surely awake; 0 where nobody
	// knows.
	window time.Duration
	ways   []way // by router; of a large cell only

	served, unserved, degraded int64
}

// visitors send requests to sites.
type visitors struct {
	*World
	random chance
	factor float64 // of a scenario
	stop   bool
	thin   bool // most visits are counted only
}

// drawSites gives every site its share of the visits: a few have most.
func (v *visitors) drawSites() {
	total := 0.0
	weights := make([]float64, len(v.sites))
	for i := range v.sites {
		weights[i] = math.Exp(v.random.NormFloat64() * 1.5)
		total += weights[i]
	}
	mean := v.knobs.VisitsPerSiteHour / 3600
	defer v.remember()
	for i, s := range v.sites {
		s.rate = mean * float64(len(v.sites)) * weights[i] / total
		s.phase = v.random.Float64()
		s.flash = 1
		s.work = v.random.spreadTime(20*time.Millisecond, 400*time.Millisecond)
	}
}

// remember takes the rates that a past tells; those that it does not tell stay
// as drawn. Where a mean was asked for, all are changed to give it.
func (v *visitors) remember() {
	p := v.options.Past
	if p == nil {
		return
	}
	total := 0.0
	for i, s := range v.sites {
		if p.sites[i].measured {
			s.rate = p.sites[i].perHour / 3600
		}
		total += s.rate
	}
	if asked := v.options.VisitsPerSiteHour; asked > 0 && total > 0 {
		for _, s := range v.sites {
			s.rate *= asked / 3600 * float64(len(v.sites)) / total
		}
	}
}

// begin lets visitors come to a site.
func (v *visitors) begin(s *site) { v.schedule(s) }

// most is the highest rate until the next change.
func (v *visitors) most(s *site) float64 { return s.rate * s.flash * v.factor * 1.8 }

// schedule plans the next visit by thinning: arrivals at the highest rate, of
// which some do not happen.
func (v *visitors) schedule(s *site) {
	s.turn++
	if v.thin {
		v.planThin(s, s.turn, v.now+v.gap(s), 0)
		return
	}
	v.planNext(s, s.turn)
}

func (v *visitors) planNext(s *site, turn int) {
	most := v.most(s)
	if most <= 0 {
		return
	}
	v.after(time.Duration(v.random.ExpFloat64()/most*float64(time.Second)), func() {
		if s.turn != turn || s.leaving || v.stop {
			return
		}
		if v.random.Float64()*1.8 < v.daily(s) {
			v.visit(s)
		}
		v.planNext(s, turn)
	})
}

// daily is the load over a site's day: 0.2 at night, 1.8 in the evening.
func (v *visitors) daily(s *site) float64 {
	day := float64(v.now%(24*time.Hour))/float64(24*time.Hour) + s.phase
	return 1 - 0.8*math.Cos(2*math.Pi*day)
}

func (v *visitors) visit(s *site) {
	v.stats.visits++
	router := v.router()
	work := time.Duration(float64(s.work) * (0.5 + v.random.ExpFloat64()/2))
	writes := v.random.yes(0.05)
	v.after(v.knobs.NetDelay, func() { router.arrive(s, 1, work, writes) })
}

// router gives one that answers; visitors' browsers try the next address of a
// name.
func (v *visitors) router() *styx {
	first := v.random.IntN(len(v.routers))
	for i := range v.routers {
		if s := v.routers[(first+i)%len(v.routers)]; !s.down {
			return s
		}
	}
	return v.routers[first]
}

// crowd sends many to one site for a while.
func (v *visitors) crowd(s *site, factor float64, during time.Duration) {
	v.trace.step(v.now, "flash crowd", s.name, "", int64(factor))
	s.flash = factor
	v.schedule(s)
	v.after(during, func() {
		s.flash = 1
		v.schedule(s)
	})
}

// disperse ends every crowd.
func (v *visitors) disperse() {
	if v.factor != 1 {
		v.multiply(1)
	}
	for _, s := range v.sites {
		if s.flash != 1 {
			s.flash = 1
			v.schedule(s)
		}
	}
}

// crawl visits every site once, one after the other.
func (v *visitors) crawl(every time.Duration) {
	v.trace.step(v.now, "crawler", "", "", int64(len(v.sites)))
	var visit func(n int)
	visit = func(n int) {
		if n >= len(v.sites) || v.stop {
			return
		}
		if s := v.sites[n]; s.asked && !s.leaving {
			v.visit(s)
		}
		v.after(every, func() { visit(n + 1) })
	}
	visit(0)
}

// multiply changes the load of the whole cell.
func (v *visitors) multiply(factor float64) {
	v.factor = factor
	for _, s := range v.sites {
		if s.asked {
			v.schedule(s)
		}
	}
}

// newSite names the nth site.
func newSite(n int) *site {
	id := events.SiteID(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n))
	name := fmt.Sprintf("site-%d", n)
	return &site{n: n, id: id, name: name, hostName: "dev-" + name + "." + domain, env: events.EnvironmentOf(id, "dev"), flash: 1}
}
