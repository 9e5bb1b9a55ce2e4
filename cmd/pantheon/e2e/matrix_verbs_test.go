package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/simulations"
)

// part gives what a step of a scenario is on the stage.
func (s *stage) part(step simulations.Step) (part, error) {
	words := step.Words
	switch words[0] {
	case "crash", "pause", "isolate", "lose", "drain":
		return s.onHosts(words[0], words[1:], step.For > 0)
	case "cut":
		return s.cutsOff(words[1:])
	case "log":
		if words[1] == "outage" {
			return s.logless(), nil
		}
	case "scale":
		drops, err := strconv.Atoi(words[2])
		return part{begin: func(t testing.TB) { t.Helper(); s.scale(t, drops) }}, err
	case "crowd", "traffic", "crawl":
		return s.crowds(words)
	case "operators":
		return s.noise(words[2])
	case "restart":
		return part{begin: s.restartAgents}, nil
	}
	return part{}, fmt.Errorf("%s cannot be played", words[0])
}

// logless: the machine with the log stands still, unless it is down anyway.
func (s *stage) logless() part {
	paused := s.pauses(s.all[0])
	down := false
	return part{
		begin: func(t testing.TB) {
			t.Helper()
			if down = s.away(s.all[0]); !down {
				paused.begin(t)
			}
		},
		end: func(t testing.TB) {
			t.Helper()
			if !down {
				paused.end(t)
			}
		},
	}
}

// onHosts has several machines do the same.
func (s *stage) onHosts(verb string, words []string, ends bool) (part, error) {
	if strings.HasPrefix(words[0], "node") { // the actors are where the log is
		return s.crashes(s.all[0]), nil
	}
	if words[1] == "busiest" {
		return part{begin: func(t testing.TB) { t.Helper(); s.part1(verb, s.busiest(t), ends).begin(t) }}, nil
	}
	var parts []part
	for name := range strings.SplitSeq(words[1], ",") {
		m := s.named(name)
		if m == nil || m == s.all[0] {
			return part{}, fmt.Errorf("%q is no host", name)
		}
		parts = append(parts, s.part1(verb, m, ends))
	}
	all := func(of func(part) func(testing.TB)) func(testing.TB) {
		return func(t testing.TB) {
			t.Helper()
			for _, one := range parts {
				of(one)(t)
			}
		}
	}
	whole := part{begin: all(func(p part) func(testing.TB) { return p.begin })}
	if parts[0].end != nil {
		whole.end = all(func(p part) func(testing.TB) { return p.end })
	}
	return whole, nil
}

// part1 is what one machine does.
func (s *stage) part1(verb string, m *machine, ends bool) part {
	switch verb {
	case "pause":
		return s.pauses(m)
	case "isolate":
		return part{begin: s.cable(m, false), end: s.cable(m, true)}
	case "lose":
		return part{begin: s.crashes(m).begin}
	case "drain":
		return s.drained(m, ends)
	}
	return s.crashes(m)
}

// drained: it takes DROPs again at the end, or is switched off when it is empty.
func (s *stage) drained(m *machine, ends bool) part {
	drain := func(t testing.TB) {
		t.Helper()
		s.drains[m] = true
		s.asked.ok(t, "host", "drain", m.name, "--wait=false")
	}
	if !ends {
		return part{begin: func(t testing.TB) { t.Helper(); drain(t); s.rests(t); s.crashes(m).begin(t) }}
	}
	return part{begin: drain, end: func(t testing.TB) {
		t.Helper()
		s.asked.ok(t, "host", "undrain", m.name)
		delete(s.drains, m)
	}}
}

// cutsOff reads "host web-2 to log" and "log to host web-2"; what is said of
// leases goes with the log.
func (s *stage) cutsOff(words []string) (part, error) {
	party := func(words []string) *machine {
		switch {
		case len(words) == 1 && (words[0] == "log" || words[0] == "leases"):
			return s.all[0]
		case len(words) == 2 && words[0] == "host":
			return s.named(words[1])
		}
		return nil
	}
	text := strings.Join(words, " ")
	left, right, _ := strings.Cut(text, " to ")
	from, to := party(strings.Fields(left)), party(strings.Fields(right))
	if from == nil || to == nil || from == to {
		return part{}, fmt.Errorf("%s is no cut between a host and the log", text)
	}
	if strings.Contains(text, "leases") {
		return part{begin: func(testing.TB) {}}, nil
	}
	host := from
	if from == s.all[0] {
		host = to
	}
	return part{
		begin: func(t testing.TB) {
			t.Helper()
			s.vanishes(host)
			s.cutWays(1)
			s.net.mute(t, from.number, to.number)
		},
		end: func(t testing.TB) {
			t.Helper()
			s.net.unmute(t, from.number, to.number)
			s.returns(t, host)
			s.cutWays(-1)
		},
	}, nil
}

// cutWays notes that the first machine does not reach all hosts, so that visitors
// come in by another one.
func (s *stage) cutWays(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.cuts[s.all[0]]
	s.cuts[s.all[0]] += change
	switch {
	case before == 0:
		s.ways = append(s.ways, span{from: time.Now()})
	case s.cuts[s.all[0]] == 0:
		s.ways[len(s.ways)-1].to = time.Now()
	}
}

// crowds has more visitors come.
func (s *stage) crowds(words []string) (part, error) {
	sites, last := s.sites, words[len(words)-1]
	switch words[0] {
	case "crawl":
		return part{begin: func(testing.TB) { s.audience.crawl(s.sites) }}, nil
	case "crowd":
		n, err := strconv.Atoi(words[2])
		if err != nil || len(s.sites) == 0 {
			return part{}, err
		}
		sites = []string{s.sites[(n-1)%len(s.sites)]}
	}
	factor, err := strconv.ParseFloat(strings.TrimPrefix(last, "x"), 64)
	more := min(int(factor), crowdAtMost) / len(append(sites, "")) // together no more than that
	return part{begin: func(testing.TB) { s.audience.grow(sites, max(more, 1)) }, end: func(testing.TB) { s.audience.shrink() }}, err
}

// restartAgents ends the processes of the hosts, one after the other, and starts
// them again; what they run goes on.
func (s *stage) restartAgents(t testing.TB) {
	t.Helper()
	for _, m := range s.all[1:] {
		s.vanishes(m)
		if err := m.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-m.ended
		if err := m.up(); err != nil {
			t.Fatal(err)
		}
		s.returns(t, m)
	}
}
