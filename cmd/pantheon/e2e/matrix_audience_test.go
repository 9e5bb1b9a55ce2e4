package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/gateways/api"
	"pantheon/simulations"
	"pantheon/simulations/check"
)

const (
	// commandEvery is how often somebody commands on the stage, and commandWithin
	// how long an answer may take.
	commandEvery  = 200 * time.Millisecond
	commandWithin = 5 * time.Second
	// stillServed is how long after its dismissal a DROP may be served: the host
	// hears of it, or its lease runs out.
	stillServed = 5 * time.Second
)

// audience is who comes to the stage while a scenario is played: a visitor of
// each site, and somebody who commands.
type audience struct {
	*stage
	ctx  context.Context
	end  context.CancelFunc
	all  sync.WaitGroup
	more []context.CancelFunc // of those who came later

	mu       sync.Mutex
	seen     simulations.Seen
	served   []serving
	failures []failure
	labels   []string // acknowledged
	refused  []string
	begun    time.Time
	after    events.Position      // of the log, when it began: times in the log need not grow
	heard    map[string]time.Time // when a request began that has ended, by site
}

// heardSince says whether a request to each site, and a command, that began
// after an instant has ended.
func (a *audience) heardSince(instant time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, of := range append(a.sites, "") {
		if !a.heard[of].After(instant) {
			return false
		}
	}
	return true
}

// serving is an answer: which DROP on which host gave it, when it was asked.
type serving struct {
	at   time.Time
	drop events.DropID
	host events.HostID
}

// opens lets them in; everybody has been answered once when it returns.
func (s *stage) opens(t testing.TB) *audience {
	t.Helper()
	a := &audience{stage: s, begun: time.Now(), heard: map[string]time.Time{}}
	a.ctx, a.end = context.WithCancel(t.Context())
	newest := decode[[]api.Commit](t, s.asked.platform, "events", "tail", "--limit", "1")
	a.after = newest[len(newest)-1].Position
	s.audience = a
	for _, site := range s.sites {
		a.all.Go(func() { a.visit(a.ctx, site) })
	}
	location := folder(t, map[string]string{"index.php": helloPage})
	a.all.Go(func() { a.command(t, location) })
	eventually(t, "visitors and commands are answered", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.served) > 2*len(s.sites) && len(a.labels) > 0
	})
	return a
}

// grow has more visitors of each site come, shrink ends them.
func (a *audience) grow(sites []string, more int) {
	ctx, end := context.WithCancel(a.ctx)
	a.more = append(a.more, end)
	for _, site := range sites {
		for range more {
			a.all.Go(func() { a.visit(ctx, site) })
		}
	}
}

func (a *audience) shrink() {
	for _, end := range a.more {
		end()
	}
}

// crawl asks each site once.
func (a *audience) crawl(sites []string) {
	a.all.Go(func() {
		for _, site := range sites {
			a.ask(a.stage.visitorsOf(site), site, false)
		}
	})
}

// visitorsOf gives a browser of a site by each machine that visitors come in by.
func (s *stage) visitorsOf(site string) map[*machine]*visitor {
	browsers := map[*machine]*visitor{}
	for _, m := range s.all {
		browsers[m] = m.visitor(site)
		browsers[m].client.Timeout = answerWithin
	}
	return browsers
}

// visit asks for a site again and again.
func (a *audience) visit(ctx context.Context, site string) {
	browsers := a.visitorsOf(site)
	breath := time.NewTicker(pollEvery)
	defer breath.Stop()
	bereft := false
	for ctx.Err() == nil {
		bereft = a.ask(browsers, site, bereft)
		select {
		case <-breath.C:
		case <-ctx.Done():
		}
	}
}

// entry is the machine that visitors come in by: the first one that is reached
// and reaches all others, as the addresses of a name are tried.
func (s *stage) entry() *machine {
	for _, m := range s.all {
		s.mu.Lock()
		cut := s.cuts[m] > 0
		s.mu.Unlock()
		if !cut && !s.away(m) {
			return m
		}
	}
	return s.all[0]
}

// ask books one request. It says whether the site's visitor waits for its data:
// from when that was out of reach until an answer comes.
func (a *audience) ask(browsers map[*machine]*visitor, site string, bereft bool) bool {
	by := a.entry()
	began := time.Now()
	answer, err := browsers[by].try(http.MethodGet, "/", nil)
	ended := time.Now()
	if a.wasAway(by, began, ended) || a.misses(by, began, ended) {
		return bereft // its browser asks another one
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard[site] = began
	if err == nil && answer.status == http.StatusOK && strings.Contains(answer.body, "sum=42") {
		id, _, _ := strings.Cut(strings.TrimPrefix(answer.body, "drop="), " ")
		a.served = append(a.served, serving{began, events.DropID(id), events.HostID(answer.header.Get(endpoint))})
		return false
	}
	for _, home := range a.dataOf[site] {
		bereft = bereft || a.wasAway(home, began, ended)
	}
	if bereft {
		a.seen.Bereft.Failed++
		return true
	}
	a.seen.Visitors.Failed++
	a.failures = append(a.failures, failure{began, fmt.Sprintf("%s through %s after %s: %v %d %s", site, by.name, ended.Sub(began).Round(time.Second), err, answer.status, title(answer.body))})
	return false
}

// command changes a record again and again, a number higher each time.
func (a *audience) command(t testing.TB, location string) {
	record := fmt.Sprintf("director-%x", a.begun.UnixNano())
	one := &client{url: a.api.url, session: a.api.session, http: http.Client{Timeout: commandWithin, Transport: &http.Transport{}}}
	breath := time.NewTicker(commandEvery)
	defer breath.Stop()
	method, path := http.MethodPost, "upstreams"
	for number := 0; a.ctx.Err() == nil; number++ {
		label := fmt.Sprintf("%s-%04d", record, number)
		began := time.Now()
		err := one.do(method, path, api.UpstreamChange{MachineName: record, Label: label, Framework: "php", RepositoryURL: location}, new(api.Upstream))
		a.mu.Lock()
		a.heard[""], a.seen.Commands.Open = began, err != nil
		if err != nil {
			a.seen.Commands.Failed++
			a.refused = append(a.refused, err.Error())
		} else {
			a.labels = append(a.labels, label)
			method, path = http.MethodPut, "upstreams/"+record
		}
		a.mu.Unlock()
		select {
		case <-breath.C:
		case <-a.ctx.Done():
		}
	}
	a.asked.run("upstream", "remove", record)
}

// closes ends the visit, and gives what was seen. Sites that nobody serves then
// are given some time first.
func (a *audience) closes(t testing.TB) *simulations.Seen {
	t.Helper()
	for _, site := range a.sites {
		browsers := a.visitorsOf(site)
		lost := slices.ContainsFunc(a.dataOf[site], a.away)
		limit := patience
		if lost {
			limit = restAfter
		}
		if err := wait(limit, func() (bool, error) {
			answer, err := browsers[a.entry()].try(http.MethodGet, "/", nil)
			return err == nil && answer.status == http.StatusOK && strings.Contains(answer.body, "sum=42"), nil
		}); err != nil && lost {
			a.seen.Bereft.Open = true
		} else if err != nil {
			a.seen.Visitors.Open = true
			t.Errorf("%s is not served: %v", site, err)
		}
	}
	a.end()
	a.all.Wait()
	a.book(t)
	t.Logf("the machines: %d served, %d not, %d more without their data; %d commands taken, %d refused",
		len(a.served), a.seen.Visitors.Failed, a.seen.Bereft.Failed, len(a.labels), len(a.refused))
	groups := map[string][]time.Time{}
	for _, one := range a.failures {
		groups[one.what] = append(groups[one.what], one.at)
	}
	for what, at := range groups {
		t.Logf("not served %d times from %s to %s: %s", len(at), at[0].Format("15:04:05.000"), at[len(at)-1].Format("15:04:05.000"), what)
	}
	for _, text := range a.refused[:min(3, len(a.refused))] {
		t.Logf("refused: %s", text)
	}
	return &a.seen
}

// book compares what was told with the log, by the checkers' book of the
// simulator: who served what they did not hold, and all that the log alone shows.
func (a *audience) book(t testing.TB) {
	t.Helper()
	broken := func(rule, format string, args ...any) {
		if a.seen.Broken == "" {
			a.seen.Broken = rule
			t.Logf(rule+": "+format, args...)
		}
	}
	ledger := check.NewLedger(broken, check.Bounds{Serve: stillServed, Route: stillServed, Ready: patience})
	slices.SortFunc(a.served, func(x, y serving) int { return x.at.Compare(y.at) })
	booked := 0
	books := func(until time.Time) {
		for ; booked < len(a.served) && a.served[booked].at.Before(until); booked++ {
			one := a.served[booked]
			ledger.Served(one.host, ledger.Book(one.drop), one.at.Sub(a.begun), false)
		}
	}
	for envelope, err := range jetstream.ReadFiles(t.Context(), logOf(a.stage.all[0])) {
		if err != nil {
			broken("log", "%v", err)
			break
		}
		if envelope.Position > a.after {
			books(envelope.Meta.Time)
			a.seen.Commit(envelope)
		}
		ledger.Past(envelope, envelope.Meta.Time.Sub(a.begun))
	}
	books(time.Now())
	labels := map[string]bool{} // they are sealed in the log's files
	for _, commit := range a.asked.commits(t, "--type", "UpstreamAdded") {
		for _, event := range commit.Events {
			var added struct{ Label string }
			if err := json.Unmarshal(event.Payload, &added); err != nil {
				t.Fatal(err)
			}
			labels[added.Label] = true
		}
	}
	for _, label := range a.labels {
		if !labels[label] {
			broken("acknowledged", "%s was acknowledged and is not in the log", label)
		}
	}
}
