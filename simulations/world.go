package simulations

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/simulations/check"
)

// Options of a run. Seed, Hosts, Sites and Duration are required; a Past brings
// its own hosts and sites.
type Options struct {
	Seed     uint64
	Hosts    int
	Sites    int
	Duration time.Duration // of the safety phase
	// Scenario: nil draws faults from the seed.
	Scenario *Scenario
	// Past is a real cell's log that the world begins with; nil begins an empty
	// one. Nothing fails then but what the scenario says.
	Past *Past
	// From says where the past was read, for the command that repeats the run.
	From string
	// VisitsPerSiteHour is the mean number of requests to a site; 0 leaves what
	// is drawn, or what the past tells.
	VisitsPerSiteHour float64
	// CommandEvery has an operator send a harmless command so often; 0 for
	// nobody.
	CommandEvery time.Duration
	Seams        Seams
	// Repeat has the first steps run twice instead of once: the trace has to be
	// the same. Not at another level, whose goroutines leave no trace.
	Repeat bool
	// Thin simulates a large cell: it is there when the run begins, and of the
	// visits to a DROP that is awake most are counted, not simulated. More than
	// ThinSites sites are always simulated so, where there is neither a Past nor
	// a Level.
	Thin bool
	// Level stands for the control plane; nil is this package's own twins.
	Level Level
	// Trace gets a line for each step; nil for none.
	Trace io.Writer
	// Progress is called a few hundred times with the share of the run that is
	// done; nil for nobody.
	Progress func(done float64, at time.Duration)

	founded  *founded // what a large cell begins with; nil for none
	unplaced bool     // every site wants two DROPs, and none is there yet

	beginning bool   // only the first steps are run
	expect    string // the hash of the trace after them; empty for any
}

// thin says whether the cell is a large one.
func (o Options) thin() bool { return o.Thin || o.Sites > ThinSites && o.Past == nil && o.Level == nil }

// resolved fills in what the past brings.
func (o Options) resolved() Options {
	if o.Past != nil {
		o.Hosts, o.Sites = len(o.Past.hosts), len(o.Past.sites)
		if o.Scenario == nil {
			o.Scenario = &Scenario{}
		}
	}
	return o
}

// oneName is of how many sites the names of one are followed.
func (o Options) oneName() int {
	if o.thin() {
		return thinNames
	}
	return 1
}

func (o Options) check() error {
	least := 1
	if o.Past != nil {
		least = 0
	}
	if err := o.checkLevel(); err != nil {
		return err
	}
	switch {
	case o.Hosts < 1 || o.Hosts > MaxHosts:
		return problem.New(problem.Invalid, "cannot simulate %d hosts: between 1 and %d are possible", o.Hosts, MaxHosts)
	case o.Sites < least || o.Sites > MaxSites:
		return problem.New(problem.Invalid, "cannot simulate %d sites: between 1 and %d are possible", o.Sites, MaxSites)
	case o.Duration < time.Minute || o.Duration > MaxDays*24*time.Hour:
		return problem.New(problem.Invalid, "cannot simulate %s: between a minute and %d days are possible", o.Duration, MaxDays)
	case !(o.VisitsPerSiteHour >= 0 && o.VisitsPerSiteHour <= MaxVisitsPerSiteHour): // not a number is neither
		return problem.New(problem.Invalid, "cannot simulate %g visits an hour: up to %g to each site are possible", o.VisitsPerSiteHour, MaxVisitsPerSiteHour)
	}
	if o.Scenario == nil {
		return nil
	}
	return o.Scenario.check(o)
}

// knobs of the run: calm ones where a scenario says what fails.
func (o Options) knobs() Knobs {
	var k Knobs
	if o.Scenario == nil || o.Scenario.Drawn {
		k = drawn(o.Seed, o)
	} else {
		k = calm()
		k.HostMiB = max(k.HostMiB, 1024+2*k.DropMiB*o.Sites/o.Hosts)
	}
	if o.thin() {
		k = k.large(o)
	}
	if o.unplaced {
		k.TwoDrops = 1
	}
	if o.VisitsPerSiteHour > 0 {
		k.VisitsPerSiteHour = o.VisitsPerSiteHour
	}
	if o.Past != nil {
		k.CrowdEvery, k.CrawlEvery, k.ActEvery = 0, 0, 0 // people do what the scenario says
	}
	return k
}

// siteCount is how many environments have visitors.
func (o Options) siteCount() int {
	if o.Past != nil {
		return len(o.Past.sites)
	}
	return o.Sites
}

// hostNames lists the machines by the names that scenarios use.
func (o Options) hostNames() []string {
	if o.Past != nil {
		return o.Past.hostNames()
	}
	names := make([]string, o.Hosts)
	for n := range names {
		names[n] = fmt.Sprintf("host-%03d", n+1)
	}
	return names
}

// The endpoints that every cell has; nodes, routers and machines follow.
const (
	logEndpoint endpoint = iota
	leaseEndpoint
	operatorEndpoint
	firstNode
)

// World is one simulated cell.
type World struct {
	loop
	options   Options
	start     time.Time // of virtual time, as a clock shows it
	ids       string    // before the ids of all commands: those of a past are taken
	seams     *Seams
	knobs     Knobs
	random    chance
	trace     trace
	names     []string // of endpoints
	net       *network
	log       *cellLog
	nodes     []*node
	routers   []*styx
	hosts     []*host
	machineOf map[events.HostID]*host
	sites     []*site
	keeper    *keeper
	visitors  *visitors
	operators *operators
	faults    *faults
	inventory *table[inventory.State]
	ledger    *check.Ledger
	zone      *check.Names
	stats     stats
	strict    bool   // everything is healed: every request has to be served
	open      string // what had not settled at the end, where that is no fault
	marked    string // the hash of the trace after the first steps
	over      bool   // the run ends there

	violation *Violation
}

// Violation is a broken promise.
type Violation struct {
	Rule     string          `json:"rule"`
	Text     string          `json:"text"`
	At       string          `json:"at"`
	Position events.Position `json:"position"`
	Trace    []string        `json:"trace"` // the newest steps
}

func newWorld(o Options) *World {
	w := &World{options: o, start: beginning(), seams: &o.Seams, random: newChance(o.Seed, "world"), machineOf: map[events.HostID]*host{}}
	w.trace.out, w.trace.hash, w.trace.kind = o.Trace, o.Seed, map[string]int{}
	w.stats.detailed = true
	w.knobs = o.knobs()
	if o.Past != nil {
		w.start, w.ids = o.Past.end, "what-if:"
	}
	w.names = []string{"log", "leases", "operators"}
	for n := range w.knobs.Nodes {
		w.names = append(w.names, fmt.Sprintf("node-%d", n+1))
	}
	for n := range w.knobs.Routers {
		w.names = append(w.names, fmt.Sprintf("styx-%02d", n+1))
	}
	w.names = append(w.names, o.hostNames()...)
	w.ledger = check.NewLedger(w.violate, check.Bounds{Serve: ServeBound, Route: RouteBound, Ready: ReadyBound})
	w.zone = check.NewNames(w.violate, domain, o.oneName(), w.seams.Zone)
	w.net = newNetwork(w, len(w.names))
	w.log = newCellLog(w)
	switch {
	case o.Past != nil:
		w.log.remember(o.Past)
	case o.founded != nil:
		w.log.found(o.founded)
	}
	w.build()
	return w
}

// build makes everything that is there at the beginning.
func (w *World) build() {
	o := w.options
	port := firstNode
	for n := range w.knobs.Nodes {
		w.nodes = append(w.nodes, newNode(w, port, n < w.knobs.Reactors))
		port++
	}
	for n := range w.knobs.Routers {
		w.routers = append(w.routers, newStyx(w, n, port))
		port++
	}
	for n := range o.Hosts {
		var m *host
		if o.Past != nil {
			m = newPastHost(w, n, port, &o.Past.hosts[n])
		} else {
			m = newHost(w, n, port, hostIDOf(n), w.knobs.HostMiB)
		}
		if o.founded != nil {
			m.has(o.founded)
		}
		w.hosts = append(w.hosts, m)
		w.machineOf[m.id] = m
		port++
	}
	for n := range o.Sites {
		if o.Past != nil {
			w.sites = append(w.sites, o.Past.sites[n].newSite(n))
		} else {
			w.sites = append(w.sites, newSite(n))
		}
	}
	w.keeper = &keeper{World: w}
	w.visitors = &visitors{World: w, random: newChance(o.Seed, "visitors"), factor: 1, thin: o.thin()}
	w.operators = &operators{World: w, random: newChance(o.Seed, "operators")}
	w.faults = &faults{World: w, random: newChance(o.Seed, "faults"), undo: map[uint64]func(){}}
	w.inventory = newInventory(w)
}

// begin schedules what happens by itself.
func (w *World) begin() {
	w.visitors.drawSites()
	for _, n := range w.nodes {
		n.start()
	}
	for _, m := range w.hosts {
		m.powerOn()
	}
	w.populate()
	var evict func()
	evict = func() {
		for _, n := range w.nodes {
			n.evict()
		}
		w.after(time.Minute, evict)
	}
	w.after(time.Minute, evict)
	if w.options.Scenario != nil {
		w.options.Scenario.schedule(w)
	}
	if w.options.Scenario == nil || w.options.Scenario.Drawn {
		w.faults.begin()
	}
	var act func()
	act = func() {
		if !w.operators.stop {
			w.operators.act()
			w.after(w.operators.random.exp(w.knobs.ActEvery), act)
		}
	}
	if w.knobs.ActEvery > 0 {
		w.after(w.operators.random.exp(w.knobs.ActEvery), act)
	}
	if every := w.options.CommandEvery; every > 0 {
		w.after(every, func() { w.operators.insist(every) })
	}
}

// populate lets visitors come to the sites that are there, or creates sites over
// a while; some are left for later. Half of a second for each keeps the policies
// busy without a queue.
func (w *World) populate() {
	there := 0
	switch {
	case w.options.Past != nil:
		there = len(w.sites)
	case w.options.founded != nil:
		there = w.options.founded.sites
	}
	if there > 0 || w.options.Past != nil {
		w.operators.created = there
		for _, s := range w.sites[:there] {
			s.asked = true
			if w.options.Past != nil {
				w.visitors.begin(s)
				continue
			}
			w.at(switchedOn, func() { w.visitors.begin(s) })
		}
		return
	}
	most := min(w.options.Duration/4, time.Duration(len(w.sites))*500*time.Millisecond)
	for range len(w.sites) - len(w.sites)/20 {
		w.after(switchedOn+w.operators.random.between(0, most), w.operators.create)
	}
}

// wall gives virtual time as a clock shows it.
func (w *World) wall() time.Time { return w.start.Add(w.now) }

// since is the inverse of wall.
func (w *World) since(t time.Time) time.Duration { return t.Sub(w.start) }

func beginning() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// violate notes the first broken promise; the run ends with it.
func (w *World) violate(rule, format string, args ...any) {
	if w.violation != nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	w.trace.step(w.now, "VIOLATION", rule, text, 0)
	w.violation = &Violation{Rule: rule, Text: text, At: clock(w.now), Position: w.log.head(), Trace: w.trace.tail()}
}

// acknowledged checks what a sender was told.
func (w *World) acknowledged(id events.CommandID, receipt events.Receipt, err error) {
	if err != nil || receipt.Tip.Position == 0 || (len(receipt.Events) == 0 && !receipt.Repeated) {
		return
	}
	at := receipt.Tip.Position
	if receipt.Repeated {
		w.trace.step(w.now, "repeated", string(id), "", int64(at))
	}
	if at > w.log.head() || w.log.all[at-1].Hash != receipt.Tip.Hash || w.log.all[at-1].Meta.Command != id {
		w.violate("acknowledged", "command %s was acknowledged at position %d of %s and is not there", id, at, receipt.Stream)
	}
}

// until runs tasks up to an instant, a violation, or the end of ctx.
func (w *World) until(ctx context.Context, end time.Duration) {
	for n := 0; w.violation == nil && !w.over && w.advance(end); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return
		}
		if w.steps == repeatedSteps {
			w.mark()
		}
	}
	if w.violation == nil && !w.over && ctx.Err() == nil {
		w.now = end
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func compareText(a, b string) int { return strings.Compare(a, b) }
