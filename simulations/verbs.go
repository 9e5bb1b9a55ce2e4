package simulations

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// arguments are the words of a step that are not read yet.
type arguments struct {
	words []string
	needs int      // hosts that have to be there
	sites int      // the same of sites
	parts int      // the same of nodes and of routers
	named []string // hosts that have to be there, by name or id
	err   error
}

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *arguments) next(what string) string {
	if len(a.words) == 0 {
		a.fail("%s is missing", what)
		return ""
	}
	word := a.words[0]
	a.words = a.words[1:]
	return word
}

// during reads "<preposition> DURATION", or gives the default.
func (a *arguments) during(preposition string, otherwise time.Duration) time.Duration {
	if len(a.words) == 0 || a.words[0] != preposition {
		return otherwise
	}
	a.words = a.words[1:]
	d, err := parseDuration(a.next("a duration"))
	if err != nil {
		a.fail("%v", err)
	}
	return d
}

// numbers reads 3, or 1-5.
func (a *arguments) numbers(what string, most int) (first, last int) {
	word := a.next("the number of a " + what)
	from, to, isRange := strings.Cut(word, "-")
	first, err := strconv.Atoi(from)
	last = first
	if err == nil && isRange {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 1 || last < first || last > most {
		a.fail("%.30q is no number of a %s, like 3 or 1-5", word, what)
	}
	return first, last
}

// hosts reads "host 3", "hosts 1-5", "hosts web-1,web-2" or "host busiest": one
// or several of numbers, ranges, names, ids and "busiest", which is the machine
// that holds the most DROPs when the step comes.
func (a *arguments) hosts() func(*World) []*host {
	if word := a.next("host"); word != "host" && word != "hosts" {
		a.fail("%.30q is no host", word)
	}
	var picks []func(*World) []*host
	for item := range strings.SplitSeq(a.next("the number or name of a host"), ",") {
		picks = append(picks, a.pick(item))
	}
	return func(w *World) []*host {
		var all []*host
		for _, pick := range picks {
			all = append(all, pick(w)...)
		}
		return all
	}
}

func (a *arguments) pick(item string) func(*World) []*host {
	if item == "busiest" {
		return func(w *World) []*host { return w.busiest() }
	}
	if strings.Trim(item, "0123456789-") == "" {
		words := a.words
		a.words = []string{item}
		first, last := a.numbers("host", MaxHosts)
		a.words = words
		a.needs = max(a.needs, last)
		return func(w *World) []*host { return w.hosts[first-1 : last] }
	}
	a.named = append(a.named, item)
	return func(w *World) []*host { return w.hostsNamed(item) }
}

// busiest gives the machine that holds the most DROPs of those that live.
func (w *World) busiest() []*host {
	var busiest []*host
	most := -1
	for _, m := range w.hosts {
		if held := len(w.ledger.Held(m.id)); m.powered && !m.draining && held > most {
			busiest, most = []*host{m}, held
		}
	}
	return busiest
}

// hostsNamed gives the machines of a name or id; several may have had one name,
// one after the other.
func (w *World) hostsNamed(name string) []*host {
	var named []*host
	for _, m := range w.hosts {
		if (w.names[m.port] == name || string(m.id) == name) && !m.gone {
			named = append(named, m)
		}
	}
	return named
}

// factor reads "x 10" or "x10".
func (a *arguments) factor() float64 {
	word := a.next("x")
	digits, found := strings.CutPrefix(word, "x")
	if !found {
		a.fail("%.30q is not x", word)
	}
	if word = digits; word == "" {
		word = a.next("a factor")
	}
	factor, err := strconv.ParseFloat(word, 64)
	if err != nil || factor < 0 || factor > 1e6 {
		a.fail("%.30q is no factor from 0 to a million", word)
	}
	return factor
}

// forEver is longer than any run.
const forEver = 2 * MaxDays * 24 * time.Hour

// verbs are the steps of scenarios.
var verbs = map[string]func(*arguments) func(*World){
	"crash":     verbCrash,
	"pause":     verbPause,
	"isolate":   verbIsolate,
	"log":       verbLog,
	"crowd":     verbCrowd,
	"crawl":     verbCrawl,
	"load":      verbLoad,
	"traffic":   verbLoad,
	"lose":      verbLose,
	"drain":     verbDrain,
	"cut":       verbCut,
	"clog":      verbClog,
	"fill":      verbFill,
	"hang":      verbHang,
	"oom":       verbOutOfMemory,
	"clock":     verbClock,
	"deploy":    verbDeploy,
	"scale":     verbScale,
	"operators": verbOperators,
	"restart":   verbRestart,
}

// among gives the part of a list that numbers name.
func among[T any](list []T, first, last int) []T {
	return list[min(first-1, len(list)):min(last, len(list))]
}

// crash HOSTS | node N | nodes N-M | router N | routers N-M [for DURATION]
func verbCrash(a *arguments) func(*World) {
	if len(a.words) > 0 && strings.HasPrefix(a.words[0], "router") {
		a.next("router")
		first, last := a.numbers("router", maxParts)
		a.parts = max(a.parts, last)
		d := a.during("for", forEver)
		return func(w *World) {
			for _, s := range among(w.routers, first, last) {
				w.faults.crashRouter(s, d)
			}
		}
	}
	if len(a.words) > 0 && strings.HasPrefix(a.words[0], "node") {
		a.next("node")
		first, last := a.numbers("node", maxParts)
		a.parts = max(a.parts, last)
		d := a.during("for", forEver)
		return func(w *World) {
			for _, n := range among(w.nodes, first, last) {
				if n.up {
					n.crash()
					w.faults.during(d, n.start)
				}
			}
		}
	}
	hosts, d := a.hosts(), a.during("for", forEver)
	return func(w *World) {
		for _, m := range hosts(w) {
			w.faults.crashHost(m, d)
		}
	}
}

// pause HOSTS [for DURATION]
func verbPause(a *arguments) func(*World) {
	hosts, d := a.hosts(), a.during("for", forEver)
	return func(w *World) {
		for _, m := range hosts(w) {
			m.pause()
			w.faults.during(d, m.resume)
		}
	}
}

// isolate HOSTS [for DURATION]: they reach nobody
func verbIsolate(a *arguments) func(*World) {
	hosts, d := a.hosts(), a.during("for", forEver)
	return func(w *World) {
		for _, m := range hosts(w) {
			w.faults.isolate(m.port, d)
		}
	}
}

// log outage | failover | full | slow DURATION [for DURATION]
func verbLog(a *arguments) func(*World) {
	switch word := a.next("outage, failover, full or slow"); word {
	case "failover":
		d := a.during("for", 2*time.Second)
		return func(w *World) { w.faults.logFailover(d) }
	case "full":
		d := a.during("for", forEver)
		return func(w *World) { w.faults.logFull(d) }
	case "outage":
		d := a.during("for", forEver)
		return func(w *World) { w.faults.logOutage(d) }
	case "slow":
		slow, err := parseDuration(a.next("a duration"))
		if err != nil {
			a.fail("%v", err)
		}
		d := a.during("for", forEver)
		return func(w *World) {
			w.log.slow += slow
			w.faults.during(d, func() { w.log.slow -= slow })
		}
	default:
		a.fail("%.30q is none of outage, failover, full and slow", word)
	}
	return nil
}

// crowd site N x FACTOR [for DURATION]
func verbCrowd(a *arguments) func(*World) {
	if word := a.next("site"); word != "site" {
		a.fail("%.30q is no site", word)
	}
	n, _ := a.numbers("site", MaxSites)
	a.sites = max(a.sites, n)
	factor, d := a.factor(), a.during("for", forEver)
	return func(w *World) { w.visitors.crowd(w.sites[n-1], factor, d) }
}

// crawl [every DURATION]
func verbCrawl(a *arguments) func(*World) {
	every := a.during("every", 100*time.Millisecond)
	return func(w *World) { w.visitors.crawl(every) }
}

// load x FACTOR | traffic xFACTOR [for DURATION]
func verbLoad(a *arguments) func(*World) {
	factor, d := a.factor(), a.during("for", forEver)
	return func(w *World) {
		w.visitors.multiply(factor)
		w.after(d, func() { w.visitors.multiply(1) })
	}
}

// allSites does something to each site within a time.
func allSites(a *arguments, what func(*World, *site)) func(*World) {
	over := a.during("over", 10*time.Minute)
	return func(w *World) {
		for _, s := range w.sites {
			w.after(w.operators.random.between(0, over), func() {
				if s.asked && !s.leaving {
					what(w, s)
				}
			})
		}
	}
}

// deploy all [over DURATION]
func verbDeploy(a *arguments) func(*World) {
	if word := a.next("all"); word != "all" {
		a.fail("%.30q cannot be deployed: all can", word)
	}
	return allSites(a, func(w *World, s *site) { w.operators.deploy(s, false) })
}

// scale all N [over DURATION]
func verbScale(a *arguments) func(*World) {
	if word := a.next("all"); word != "all" {
		a.fail("%.30q cannot be scaled: all can", word)
	}
	drops, _ := a.numbers("DROP count", 32)
	return allSites(a, func(w *World, s *site) { w.operators.scale(s, drops) })
}

// operators every DURATION [for DURATION]
func verbOperators(a *arguments) func(*World) {
	every := a.during("every", 0)
	if every <= 0 {
		a.fail("operators need a distance: every 2s")
	}
	d := a.during("for", forEver)
	return func(w *World) {
		on := true
		w.faults.during(d, func() { on = false })
		var act func()
		act = func() {
			if on && !w.operators.stop {
				w.operators.act()
				w.after(w.operators.random.exp(every), act)
			}
		}
		act()
	}
}

// restart agents [over DURATION]
func verbRestart(a *arguments) func(*World) {
	if word := a.next("agents"); word != "agents" {
		a.fail("%.30q cannot be restarted: agents can", word)
	}
	over := a.during("over", time.Minute)
	return func(w *World) {
		for _, m := range w.hosts {
			m.later(m.random.between(0, over), func() {
				m.stopAgent()
				m.later(time.Second, m.startAgent)
			})
		}
	}
}

// lose HOSTS: they burn down and never come back
func verbLose(a *arguments) func(*World) {
	hosts := a.hosts()
	return func(w *World) {
		for _, m := range hosts(w) {
			w.faults.lose(m)
		}
	}
}

// drain HOSTS [for DURATION]: what they hold is placed elsewhere, then they are
// switched off for good, or take DROPs again after that time
func verbDrain(a *arguments) func(*World) {
	hosts := a.hosts()
	d := a.during("for", 0)
	return func(w *World) {
		for _, m := range hosts(w) {
			if d > 0 {
				w.faults.drainFor(m, d)
			} else {
				w.faults.drain(m)
			}
		}
	}
}

// party reads "log", "leases", "operators", "node N", "router N" or a host.
func (a *arguments) party() func(*World) []endpoint {
	if len(a.words) == 0 {
		a.next("a party")
		return nil
	}
	fixed := map[string]endpoint{"log": logEndpoint, "leases": leaseEndpoint, "operators": operatorEndpoint}
	if at, known := fixed[a.words[0]]; known {
		a.next("a party")
		return func(*World) []endpoint { return []endpoint{at} }
	}
	switch a.words[0] {
	case "node", "nodes", "router", "routers":
		nodes := strings.HasPrefix(a.next("a party"), "node")
		first, last := a.numbers("party", 3)
		return func(w *World) (ports []endpoint) {
			if nodes {
				for _, n := range among(w.nodes, first, last) {
					ports = append(ports, n.port)
				}
				return ports
			}
			for _, s := range among(w.routers, first, last) {
				ports = append(ports, s.port)
			}
			return ports
		}
	}
	hosts := a.hosts()
	return func(w *World) (ports []endpoint) {
		for _, m := range hosts(w) {
			ports = append(ports, m.port)
		}
		return ports
	}
}

// cut PARTY to PARTY [for DURATION]: one way only. A party is HOSTS, node N,
// router N, log, leases or operators
func verbCut(a *arguments) func(*World) {
	from := a.party()
	if word := a.next("to"); word != "to" {
		a.fail("%.30q is not to", word)
	}
	to := a.party()
	d := a.during("for", forEver)
	return func(w *World) {
		for _, one := range from(w) {
			for _, other := range to(w) {
				if one != other {
					w.faults.cut(one, other, d)
				}
			}
		}
	}
}

// clog PARTY by DURATION [for DURATION]: its messages take so much longer
func verbClog(a *arguments) func(*World) {
	party, by := a.party(), a.during("by", time.Second)
	d := a.during("for", forEver)
	return func(w *World) {
		for _, one := range party(w) {
			w.faults.clogBy(one, by, d)
		}
	}
}

// onHosts makes a verb of something that goes on at machines for a while.
func onHosts(begin func(*faults, *host, time.Duration)) func(*arguments) func(*World) {
	return func(a *arguments) func(*World) {
		hosts, d := a.hosts(), a.during("for", forEver)
		return func(w *World) {
			for _, m := range hosts(w) {
				begin(w.faults, m, d)
			}
		}
	}
}

// fill HOSTS [for DURATION]: their disks are full
func verbFill(a *arguments) func(*World) { return onHosts((*faults).diskFull)(a) }

// hang HOSTS [for DURATION]: half of their php-fpm take requests and answer none
func verbHang(a *arguments) func(*World) { return onHosts((*faults).hangSome)(a) }

// oom HOSTS: the kernel kills what uses the most memory
func verbOutOfMemory(a *arguments) func(*World) {
	hosts := a.hosts()
	return func(w *World) {
		for _, m := range hosts(w) {
			w.faults.outOfMemory(m)
		}
	}
}

// clock node N by DURATION [for DURATION]: it is behind by so much
func verbClock(a *arguments) func(*World) {
	if word := a.next("node"); word != "node" && word != "nodes" {
		a.fail("%.30q has no clock that can be wrong: nodes have", word)
	}
	first, last := a.numbers("node", maxParts)
	a.parts = max(a.parts, last)
	by, d := a.during("by", 24*time.Hour), a.during("for", forEver)
	return func(w *World) {
		for _, n := range among(w.nodes, first, last) {
			w.faults.setClock(n, -by, d)
		}
	}
}
