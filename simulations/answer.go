package simulations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/simulations/check"
)

// Answer is what came of a "what if": the same hours of a real cell with the
// scenario's steps and without.
type Answer struct {
	Position events.Position `json:"position"` // that the cell was taken from
	Time     time.Time       `json:"time"`
	// OK: what served goes on serving, about as fast as before.
	OK bool `json:"ok"`
	// Lines say it in words, the most important first.
	Lines   []string     `json:"lines"`
	Without Figures      `json:"without"`
	With    Figures      `json:"with"`
	Hosts   []HostAnswer `json:"hosts"`
	// Homeless environments have no ready DROP at the end, though their data is
	// there.
	Homeless []string `json:"homeless"`
	// Bereft environments have a service on a machine that is gone.
	Bereft []string `json:"bereft"`
	// Moves of DROPs from machines that were lost or drained.
	Moves []MoveAnswer `json:"moves"`
	// Drained machines, and how they were emptied.
	Drained []DrainAnswer `json:"drained"`
	// Open is what had not come to its end at last; empty where everything had.
	Open string `json:"open,omitzero"`
	// Environments that serve, and of how many the log tells the traffic.
	Environments int `json:"environments"`
	Measured     int `json:"environments_measured"`
}

// Figures of one run.
type Figures struct {
	Served      int64   `json:"served"`
	Unserved    int64   `json:"unserved"`
	Degraded    int64   `json:"degraded"`
	PerHour     float64 `json:"requests_per_hour"`
	P50MS       float64 `json:"serve_p50_ms"`
	P99MS       float64 `json:"serve_p99_ms"`
	ShortOfRoom int64   `json:"starts_refused_for_memory"`
}

// HostAnswer is one machine at the end.
type HostAnswer struct {
	Name        string `json:"name"`
	Gone        bool   `json:"gone"`
	Drops       int    `json:"drops"`
	DropsBefore int    `json:"drops_before"`
	MemoryMiB   int    `json:"memory_mib"`
	ReservedMiB int    `json:"reserved_mib"`
	// PeakAwakeMiB is the most that awake DROPs could use at one time, of what
	// is not reserved; PeakBefore is that without the scenario.
	PeakAwakeMiB int `json:"peak_awake_mib"`
	PeakBefore   int `json:"peak_awake_mib_before"`
}

// DrainAnswer is one machine that was emptied: its DROPs are replaced first, and
// end when the new ones are ready.
type DrainAnswer struct {
	Host    string  `json:"host"`
	Drops   int     `json:"drops"`
	Left    int     `json:"left"` // for want of room elsewhere, or of their files there
	Seconds float64 `json:"seconds"`
}

// MoveAnswer is one DROP that was placed again.
type MoveAnswer struct {
	Environment string  `json:"environment"`
	From        string  `json:"from"`
	To          string  `json:"to"`
	AwaySeconds float64 `json:"away_seconds"` // from the loss to being ready
}

// whatIf runs the hours of a past twice: as they would go on, and with the
// scenario.
func whatIf(ctx context.Context, o Options) (*Result, error) {
	as := o // as it is
	as.expect = ""
	quiet := *o.Scenario
	quiet.steps, quiet.expected = nil, nil
	as.Scenario, as.Trace = &quiet, nil
	progress := o.Progress
	half := func(from float64) func(float64, time.Duration) {
		return func(done float64, at time.Duration) {
			if progress != nil {
				progress(from+done/2, at)
			}
		}
	}
	as.Progress = half(0)
	without, base, err := simulate(ctx, as)
	if err != nil || base.Violation != nil {
		return base, err
	}
	o.Progress = half(0.5)
	with, result, err := simulate(ctx, o)
	if err != nil {
		return nil, err
	}
	result.Answer = with.answer(without, base, result)
	return result, nil
}

func (w *World) answer(before *World, base, r *Result) *Answer {
	p := w.options.Past
	a := &Answer{Position: p.position, Time: p.end, Open: w.open, Environments: len(p.sites),
		Without: before.figures(base), With: w.figures(r), Hosts: w.hostAnswers(before),
		Homeless: []string{}, Bereft: []string{}, Moves: []MoveAnswer{}, Drained: []DrainAnswer{}}
	for _, m := range w.hosts {
		if m.draining && m.gone {
			a.Drained = append(a.Drained, DrainAnswer{w.names[m.port], m.drained.held, m.drained.left, m.drained.took.Seconds()})
		}
	}
	for i, s := range w.sites {
		if p.sites[i].measured {
			a.Measured++
		}
		if before.ledger.Placed(s.env) && !w.ledger.Placed(s.env) && w.ledger.DropsWanted(s.env) > 0 && !w.ledger.DataLost(s.env) {
			a.Homeless = append(a.Homeless, s.name)
		}
		if w.bereft(s) && !before.bereft(s) {
			a.Bereft = append(a.Bereft, s.name)
		}
	}
	names := map[events.EnvironmentID]string{}
	for _, s := range w.sites {
		names[s.env] = s.name
	}
	for _, move := range w.ledger.Moved() {
		a.Moves = append(a.Moves, MoveAnswer{names[move.Environment], w.hostName(move.From), w.hostName(move.To), w.away(move).Seconds()})
	}
	a.OK = a.holds(r)
	a.Lines = a.lines()
	return a
}

// away is how long a DROP was without a host: since its machine stopped, which
// is noticed when its lease is over, or gave it up.
func (w *World) away(move check.Move) time.Duration {
	m := w.machineOf[move.From]
	if m != nil && m.gone && !m.draining {
		return move.At - m.stopped
	}
	return move.After
}

func (w *World) hostName(id events.HostID) string {
	if m := w.machineOf[id]; m != nil {
		return w.names[m.port]
	}
	return string(id)
}

// bereft says whether a service of the environment is on a machine that never
// comes back.
func (w *World) bereft(s *site) bool {
	for _, service := range w.ledger.Services(s.env) {
		if m := w.machineOf[service.Host]; m != nil && m.gone {
			return true
		}
	}
	return false
}

func (w *World) figures(r *Result) Figures {
	return Figures{
		Served: r.Served, Unserved: r.Unserved, Degraded: r.Degraded, P50MS: r.P50MS, P99MS: r.P99MS,
		PerHour: float64(r.Visits) / max(r.Simulated, 1.0/3600), ShortOfRoom: w.stats.noRoom,
	}
}

func (w *World) hostAnswers(before *World) []HostAnswer {
	all := []HostAnswer{}
	for i, m := range w.hosts {
		if w.options.Past.hosts[i].lost {
			continue
		}
		known, _ := w.inventory.now().Host(m.id)
		held, _ := w.options.Past.now.Host(m.id)
		all = append(all, HostAnswer{
			Name: w.names[m.port], Gone: m.gone, Drops: known.Drops, DropsBefore: held.Drops, MemoryMiB: known.MemoryMiB,
			ReservedMiB: known.ReservedMiB, PeakAwakeMiB: int(m.peakKiB / 1024), PeakBefore: int(before.hosts[i].peakKiB / 1024),
		})
	}
	slices.SortFunc(all, func(a, b HostAnswer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Bounds of what counts as going on as before.
const (
	// moreUnserved is the share of requests that may get an error page beside
	// those that would have got one anyway.
	moreUnserved = 0.001
	// slower is by how much the 99th percentile may rise: this factor, and
	// slowerLeast below which nobody notices.
	slower      = 2
	slowerLeast = 100 // milliseconds
)

func (f Figures) unserved() float64 {
	return float64(f.Unserved) / float64(max(f.Served+f.Unserved, 1))
}

func (a *Answer) slow() bool {
	return a.With.P99MS > slower*a.Without.P99MS && a.With.P99MS > slowerLeast
}

func (a *Answer) holds(r *Result) bool {
	return r.OK() && len(a.Homeless)+len(a.Bereft) == 0 && a.Open == "" && !a.slow() &&
		a.With.unserved()-a.Without.unserved() <= moreUnserved
}

// lines says the answer in words.
func (a *Answer) lines() []string {
	lines := []string{"yes: everything that served goes on serving, about as fast as before"}
	if !a.OK {
		lines[0] = "no, not without harm:"
	}
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	var gone []string
	for _, h := range a.Hosts {
		if h.Gone {
			gone = append(gone, h.Name)
		}
	}
	if len(gone) > 0 {
		say("gone for good: %s", strings.Join(gone, ", "))
	}
	for _, d := range a.Drained {
		say("%s was emptied of %s within %.0f s, %d could not leave", d.Host, count(d.Drops, "DROP"), d.Seconds, d.Left)
	}
	if n := len(a.Bereft); n > 0 {
		say("%s lose database, files or cache with the machine; services hold data and do not move, and DROPs beside their data stay with it: %s", count(n, "environment"), some(a.Bereft))
	}
	if n := len(a.Homeless); n > 0 {
		say("no host has room for a DROP of %s: %s", count(n, "environment"), some(a.Homeless))
	}
	if n := len(a.Moves); n > 0 {
		p50, most := away(a.Moves)
		say("%s moved to %s; half were ready again within %.1f s, all within %.1f s", count(n, "DROP"), destinations(a.Moves), p50, most)
	}
	more := max(a.With.Unserved-a.Without.Unserved, 0)
	say("%d of %s got an error page (%.3f%%), %d more than without it; %d more were served while a database, files or a cache was out of reach",
		a.With.Unserved, count(int(a.With.Served+a.With.Unserved), "request"), 100*a.With.unserved(), more, max(a.With.Degraded-a.Without.Degraded, 0))
	say("99 of 100 requests waited at most %.0f ms beyond PHP's own work, without it %.0f ms; %.0f requests an hour, without it %.0f",
		a.With.P99MS, a.Without.P99MS, a.With.PerHour, a.Without.PerHour)
	if tightest := a.tightest(); tightest != nil {
		say("the tightest host is %s: awake DROPs could use %d of %d MiB at the most, without it %d", tightest.Name,
			tightest.PeakAwakeMiB, tightest.MemoryMiB-tightest.ReservedMiB, tightest.PeakBefore)
	}
	if n := a.With.ShortOfRoom - a.Without.ShortOfRoom; n > 0 {
		say("%d starts of a DROP found no memory within their time", n)
	}
	if a.Open != "" {
		say("it had not settled at the end: %s", a.Open)
	}
	if a.Measured == 0 {
		say("the log is too short to tell how much traffic there is; --visits says it")
	} else {
		say("how much traffic there is, the log tells from wakes and sleeps, for %d of %s; where a DROP never sleeps, that is the least it can be (--visits sets the mean)",
			a.Measured, count(a.Environments, "environment"))
	}
	return lines
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some gives the first names of a list.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func away(moves []MoveAnswer) (median, most float64) {
	times := make([]float64, len(moves))
	for i, m := range moves {
		times[i] = m.AwaySeconds
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)-1]
}

// destinations names where DROPs went, the most first.
func destinations(moves []MoveAnswer) string {
	counts := map[string]int{}
	for _, m := range moves {
		counts[m.To]++
	}
	names := sortedKeys(counts)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, counts[name])
	}
	return some(names)
}

// tightest is the host that lives whose awake DROPs came nearest to what it
// has for them.
func (a *Answer) tightest() *HostAnswer {
	var tightest *HostAnswer
	share := func(h *HostAnswer) float64 {
		return float64(h.PeakAwakeMiB) / float64(max(h.MemoryMiB-h.ReservedMiB, 1))
	}
	for i := range a.Hosts {
		if h := &a.Hosts[i]; !h.Gone && (tightest == nil || share(h) > share(tightest)) {
			tightest = h
		}
	}
	return tightest
}
