package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
	"pantheon/runtime/lease/terms"
	"pantheon/simulations"
)

const (
	// stageSites are played with, placed as the cell likes.
	stageSites = 6
	// restAfter is how long a state lasts at least that a scenario holds for
	// longer than a lease.
	restAfter = 2 * terms.LostAfter
	// crowdAtMost is how many visitors more than one a site may have here.
	crowdAtMost = 24
)

// stage is a cell of real machines on which scenarios are played. The first
// machine has no DROPs; the others are the hosts 1 to stageHosts.
//
// Time is folded: what a scenario lets pass between two of its moments, begins
// and ends of steps, is as long on the stage as it takes to come to rest if it
// is longer than the simulator's lease, and in proportion to the leases if it is
// shorter.
type stage struct {
	*cell
	all    []*machine
	sites  []string
	api    *client
	token  string
	dataOf map[string][]*machine // by site
	// audience of the scenario that is played.
	audience *audience

	mu     sync.Mutex
	spans  map[*machine][]span // when it was out of reach
	cuts   map[*machine]int    // ways to or from it that are cut
	ways   []span              // when some of the first machine's were
	drains map[*machine]bool
}

// span is a time that ends when to is set.
type span struct{ from, to time.Time }

func (one span) meets(from, to time.Time) bool {
	return one.from.Before(to) && (one.to.IsZero() || one.to.After(from))
}

// newStage adds a host to the shared cell, and sites.
func newStage(t *testing.T) *stage {
	t.Helper()
	c := matrix(t)
	s := &stage{cell: c, all: append(slices.Clone(c.machines), c.guest(t, dataFolder(t))),
		dataOf: map[string][]*machine{}, spans: map[*machine][]span{}, cuts: map[*machine]int{}, drains: map[*machine]bool{}}
	s.token = strings.TrimSpace(c.asked.ok(t, "token", "create", "--field", "token"))
	s.api = c.client(t, s.all[0], s.token)
	c.asked.ok(t, "host", "drain", s.all[0].name)
	t.Cleanup(func() { c.asked.ok(t, "host", "undrain", s.all[0].name) })
	c.asked.ok(t, "upstream", "add", "scene", folder(t, map[string]string{"index.php": whoAmI}), "--framework", "php")
	s.sites = names("scene", stageSites)
	made := sideBySide(s.sites, func(name string) ran { return c.asked.run("site", "create", name, "--upstream", "scene") })
	t.Cleanup(func() {
		sideBySide(s.sites, func(name string) ran { return c.asked.run("site", "delete", name, "--yes") })
		c.asked.run("upstream", "remove", "scene")
	})
	for i, r := range made {
		if r.code != 0 {
			t.Fatalf("site create %s: exit code %d\n%s", s.sites[i], r.code, r.said)
		}
		for _, binding := range decode[[]api.Binding](t, c.asked.platform, "binding", "list", s.sites[i]+".dev") {
			s.dataOf[s.sites[i]] = append(s.dataOf[s.sites[i]], s.named(binding.HostName))
		}
	}
	return s
}

func (s *stage) named(name string) *machine {
	for _, m := range s.all {
		if m.name == name {
			return m
		}
	}
	return nil
}

// setScene has all sites serve before anything happens.
func (s *stage) setScene(t testing.TB) {
	t.Helper()
	s.rests(t)
	for _, site := range s.sites {
		s.all[0].visitor(site).sees(t, http.StatusOK, "/", "sum=42")
	}
}

// restored ends what a scenario has left.
func (s *stage) restored(t testing.TB) {
	t.Helper()
	for _, m := range s.all {
		if m.hasEnded() {
			if err := m.up(); err != nil {
				t.Fatal(err)
			}
		}
		if s.drains[m] {
			s.asked.ok(t, "host", "undrain", m.name)
			delete(s.drains, m)
		}
		s.awaits(t, m, map[bool]string{true: "draining", false: "ready"}[m == s.all[0]])
		s.reached(m)
	}
	s.scale(t, 1)
	s.rests(t)
}

// part is one step: how it begins, and how it ends.
type part struct{ begin, end func(testing.TB) }

// play has visitors and operators come while a scenario is played, and gives
// what was seen.
func (s *stage) play(t testing.TB, scenario *simulations.Scenario) *simulations.Seen {
	t.Helper()
	type moment struct {
		at   time.Duration
		what string
		do   func(testing.TB)
	}
	var moments []moment
	for _, step := range scenario.Steps() {
		one, err := s.part(step)
		if err != nil {
			t.Fatal(err)
		}
		what := strings.Join(step.Words, " ")
		moments = append(moments, moment{step.At, what, one.begin})
		if step.For > 0 && one.end != nil {
			moments = append(moments, moment{step.At + step.For, "the end of " + what, one.end})
		}
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	a := s.opens(t)
	now := time.Duration(0)
	for _, one := range moments {
		s.passes(t, one.at-now)
		now = one.at
		t.Logf("%s: %s", now, one.what)
		one.do(t)
	}
	s.passes(t, time.Hour)
	return a.closes(t)
}

// passes lets some of a scenario's time pass.
func (s *stage) passes(t testing.TB, d time.Duration) {
	t.Helper()
	if d < simulations.Lease {
		<-time.After(d * (terms.LostAfter - terms.RenewEvery) / simulations.Lease)
		return
	}
	from := time.Now()
	<-time.After(restAfter)
	s.rests(t)
	eventually(t, "every visitor has heard what there is to hear", func() bool { return s.audience.heardSince(from) })
}

// rests waits until the cell knows what has happened and has done what there is
// to do.
func (s *stage) rests(t testing.TB) {
	t.Helper()
	if s.away(s.all[0]) {
		return // nobody can be asked
	}
	reason := "nothing was looked at"
	if err := wait(2*patience, func() (bool, error) { reason = s.unrest(); return reason == "", nil }); err != nil {
		t.Fatalf("the cell has not come to rest: %v: %s", err, reason)
	}
}

// unrest says what is not as it should be; empty where everything is.
func (s *stage) unrest() string {
	var hosts []api.Host
	var drops []api.Drop
	if err := s.api.do(http.MethodGet, "hosts", nil, &hosts); err != nil {
		return err.Error()
	}
	if err := s.api.do(http.MethodGet, "drops", nil, &drops); err != nil {
		return err.Error()
	}
	lost := map[string]bool{"": true} // a DROP that waits for its data has no host
	for _, host := range hosts {
		m := s.named(host.Name)
		want := "ready"
		switch {
		case m == nil:
			continue
		case s.away(m):
			want = "lost"
		case s.drains[m] || m == s.all[0]:
			want = "draining"
		}
		if host.State != want {
			return fmt.Sprintf("%s is %s and should be %s", host.Name, host.State, want)
		}
		lost[host.Name] = want == "lost"
	}
	waits := 0
	for _, drop := range drops {
		m := s.named(drop.HostName)
		switch {
		case slices.ContainsFunc(s.dataOf[drop.SiteName], s.away): // it waits for its data where it is
		case drop.Moving || m != nil && s.drains[m] && !lost[drop.HostName]:
			return fmt.Sprintf("DROP %s of %s is still on %s", drop.ID, drop.SiteName, drop.HostName)
		case drop.HostName == "":
			waits++
		case !lost[drop.HostName] && !slices.Contains(restful, drop.State):
			return fmt.Sprintf("DROP %s of %s on %s is %s: %s", drop.ID, drop.SiteName, drop.HostName, drop.State, drop.Reason)
		}
	}
	if waits > 0 && !slices.ContainsFunc(s.all, s.away) {
		return fmt.Sprintf("%d DROPs have no host", waits)
	}
	return ""
}

// away says whether a machine is out of reach.
func (s *stage) away(m *machine) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spans := s.spans[m]
	return len(spans) > 0 && spans[len(spans)-1].to.IsZero()
}

// vanishes notes that a machine gets out of reach, reached that it is back.
func (s *stage) vanishes(m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans[m] = append(s.spans[m], span{from: time.Now()})
}

func (s *stage) reached(m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.spans[m] {
		if s.spans[m][i].to.IsZero() {
			s.spans[m][i].to = time.Now()
		}
	}
}

// wasAway says whether a machine was out of reach at some time within two.
func (s *stage) wasAway(m *machine, from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.spans[m], func(one span) bool { return one.meets(from, to) })
}

// misses says whether a machine did not reach all others at some time within two:
// what was under way then may be lost, and a browser asks again.
func (s *stage) misses(m *machine, from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m == s.all[0] && slices.ContainsFunc(s.ways, func(one span) bool { return one.meets(from, to) })
}

// scale gives each site so many DROPs. One that cannot be prepared at first is
// waited for, too.
func (s *stage) scale(t testing.TB, wanted int) {
	t.Helper()
	for i, r := range sideBySide(s.sites, func(name string) ran {
		return s.asked.run("env", "scale", name+".dev", strconv.Itoa(wanted), "--no-wait")
	}) {
		if r.code != 0 {
			t.Fatalf("env scale %s: exit code %d\n%s", s.sites[i], r.code, r.said)
		}
	}
	var counts map[string]int
	if err := wait(2*patience, func() (bool, error) {
		var drops []api.Drop
		if err := s.api.do(http.MethodGet, "drops", nil, &drops); err != nil {
			return false, err
		}
		counts = map[string]int{}
		for _, drop := range drops {
			if slices.Contains(restful, drop.State) {
				counts[drop.SiteName]++
			} else {
				counts[drop.SiteName] = -stageSites // not yet
			}
		}
		return !slices.ContainsFunc(s.sites, func(name string) bool { return counts[name] != wanted }), nil
	}); err != nil {
		t.Fatalf("each site should have %d DROPs: %v: %v", wanted, err, counts)
	}
}

// restful are the states of a DROP that can serve.
var restful = []string{"ready", "awake", "asleep", "crashed"}

// busiest gives the host with the most DROPs of those that live.
func (s *stage) busiest(t testing.TB) *machine {
	t.Helper()
	counts := map[string]int{}
	for _, drop := range decode[[]api.Drop](t, s.asked.platform, "drop", "list") {
		counts[drop.HostName]++
	}
	var busiest *machine
	for _, m := range s.all[1:] {
		if !s.away(m) && !s.drains[m] && (busiest == nil || counts[m.name] > counts[busiest.name]) {
			busiest = m
		}
	}
	return busiest
}

// isolated, in both directions.
func (s *stage) cable(m *machine, plugged bool) func(testing.TB) {
	return func(t testing.TB) {
		if plugged {
			s.net.plug(t, m.number)
			s.returns(t, m)
			return
		}
		s.vanishes(m)
		s.net.unplug(t, m.number)
	}
}

// returns waits until the cell has a machine back.
func (s *stage) returns(t testing.TB, m *machine) {
	t.Helper()
	if m != s.all[0] && !s.away(s.all[0]) {
		s.awaits(t, m, map[bool]string{true: "draining", false: "ready"}[s.drains[m]])
	}
	s.reached(m)
}

func (s *stage) crashes(m *machine) part {
	return part{
		begin: func(testing.TB) { s.vanishes(m); m.crash() },
		end: func(t testing.TB) {
			t.Helper()
			if err := m.up(); err != nil {
				t.Fatal(err)
			}
			s.returns(t, m)
		},
	}
}

func (s *stage) pauses(m *machine) part {
	return part{
		begin: func(testing.TB) { s.vanishes(m); m.signal(syscall.SIGSTOP) },
		end:   func(t testing.TB) { t.Helper(); m.signal(syscall.SIGCONT); s.returns(t, m) },
	}
}

// logOf is where the machine's log is.
func logOf(m *machine) string { return filepath.Join(m.data, "log") }
