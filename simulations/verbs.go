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
	needs int
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

// hosts reads "host 3" or "hosts 1-5".
func (a *arguments) hosts() func(*World) []*host {
	if word := a.next("host"); word != "host" && word != "hosts" {
		a.fail("%.30q is no host", word)
	}
	first, last := a.numbers("host", MaxHosts)
	a.needs = max(a.needs, last)
	return func(w *World) []*host { return w.hosts[first-1 : last] }
}

func (a *arguments) factor() float64 {
	if word := a.next("x"); word != "x" {
		a.fail("%.30q is not x", word)
	}
	word := a.next("a factor")
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
	"deploy":    verbDeploy,
	"scale":     verbScale,
	"operators": verbOperators,
	"restart":   verbRestart,
}

// crash host N | hosts N-M | node N | nodes N-M [for DURATION]
func verbCrash(a *arguments) func(*World) {
	if len(a.words) > 0 && strings.HasPrefix(a.words[0], "node") {
		a.next("node")
		first, last := a.numbers("node", 3)
		d := a.during("for", forEver)
		return func(w *World) {
			for _, n := range w.nodes[min(first-1, len(w.nodes)):min(last, len(w.nodes))] {
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

// pause host N | hosts N-M [for DURATION]
func verbPause(a *arguments) func(*World) {
	hosts, d := a.hosts(), a.during("for", forEver)
	return func(w *World) {
		for _, m := range hosts(w) {
			m.pause()
			w.faults.during(d, m.resume)
		}
	}
}

// isolate host N | hosts N-M [for DURATION]: they reach nobody
func verbIsolate(a *arguments) func(*World) {
	hosts, d := a.hosts(), a.during("for", forEver)
	return func(w *World) {
		for _, m := range hosts(w) {
			w.faults.isolate(m.port, d)
		}
	}
}

// log outage [for DURATION] | log slow DURATION [for DURATION]
func verbLog(a *arguments) func(*World) {
	switch word := a.next("outage or slow"); word {
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
		a.fail("%.30q is neither outage nor slow", word)
	}
	return nil
}

// crowd site N x FACTOR [for DURATION]
func verbCrowd(a *arguments) func(*World) {
	if word := a.next("site"); word != "site" {
		a.fail("%.30q is no site", word)
	}
	n, _ := a.numbers("site", MaxSites)
	factor, d := a.factor(), a.during("for", forEver)
	return func(w *World) { w.visitors.crowd(w.sites[(n-1)%len(w.sites)], factor, d) }
}

// crawl [every DURATION]
func verbCrawl(a *arguments) func(*World) {
	every := a.during("every", 100*time.Millisecond)
	return func(w *World) { w.visitors.crawl(every) }
}

// load x FACTOR [for DURATION]
func verbLoad(a *arguments) func(*World) {
	factor, d := a.factor(), a.during("for", forEver)
	return func(w *World) {
		w.visitors.multiply(factor)
		w.faults.during(d, func() { w.visitors.multiply(1) })
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
