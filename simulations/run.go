package simulations

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/simulations/check"
)

// Result is what came of a run.
type Result struct {
	Seed      uint64   `json:"seed,string"`
	Hosts     int      `json:"hosts"`
	Sites     int      `json:"sites"`
	Days      float64  `json:"days"` // asked for, of the safety phase
	Simulated float64  `json:"simulated_hours"`
	Scenario  string   `json:"scenario,omitzero"`
	Added     []string `json:"added_steps,omitzero"`          // to the scenario
	From      string   `json:"from,omitzero"`                 // the log that it began with
	At        uint64   `json:"at,omitzero"`                   // the position of that log
	Asked     float64  `json:"visits_per_site_hour,omitzero"` // where it was given
	Knobs     string   `json:"knobs"`
	Hash      string   `json:"trace_hash"`
	Repeated  string   `json:"repeated_trace_hash,omitzero"` // after the steps that were run twice
	// Thinned says what of a large cell was not simulated as of a small one.
	Thinned []string `json:"thinned,omitzero"`
	Steps   uint64   `json:"steps"`
	Commits int      `json:"commits"`
	Visits  int64    `json:"visits"`
	// Counted are those of the visits to a large cell that were not simulated
	// one by one: see Options.Thin.
	Counted  int64 `json:"visits_counted_only,omitzero"`
	Served   int64 `json:"served"`
	Unserved int64 `json:"unserved"`
	// Dataless are those of the unserved whose database or files were out of
	// reach, on a machine that is down or lost: nobody else could have served
	// them.
	Dataless int64 `json:"unserved_without_data"`
	NotReady int64 `json:"not_ready"`
	// Degraded requests got a page, but a service of their environment was out
	// of reach: a database on a machine that is down.
	Degraded  int64      `json:"degraded"`
	Retries   int64      `json:"retries"`
	Woken     int64      `json:"requests_that_woke"`
	P50MS     float64    `json:"serve_p50_ms"`
	P99MS     float64    `json:"serve_p99_ms"`
	Moves     int        `json:"moves"`
	Converged float64    `json:"converged_seconds"` // after everything was healed
	Histories int        `json:"histories_checked"`
	Undecided int        `json:"histories_undecided,omitzero"` // it would have taken too long to tell
	Expected  []string   `json:"expectations,omitzero"`        // with what came
	Failed    []string   `json:"failed_expectations,omitzero"`
	Violation *Violation `json:"violation,omitzero"`
	Answer    *Answer    `json:"answer,omitzero"` // of a run that begins with a past
	Outcome   Outcome    `json:"outcome"`
	// Happened counts the steps of the trace by their kind.
	Happened map[string]int `json:"happened"`
	Series   []Sample       `json:"series"`
}

// OK says whether nothing was wrong.
func (r *Result) OK() bool { return r.Violation == nil && len(r.Failed) == 0 }

// Again gives the flags of the command that repeats the run.
func (r *Result) Again() string {
	size := fmt.Sprintf("--hosts %d --sites %d", r.Hosts, r.Sites)
	if r.From != "" {
		size = fmt.Sprintf("--from-log %s --at %d", quoted(r.From), r.At)
	}
	text := fmt.Sprintf("--seed %d %s --days %s", r.Seed, size, strconv.FormatFloat(r.Days, 'g', -1, 64))
	if r.Asked > 0 {
		text += " --visits " + strconv.FormatFloat(r.Asked, 'g', -1, 64)
	}
	if len(r.Thinned) > 0 && r.Sites <= ThinSites {
		text += " --thin"
	}
	if r.Scenario != "" {
		text += " --scenario " + quoted(r.Scenario)
	}
	for _, step := range r.Added {
		text += " --step " + quoted(step)
	}
	return text
}

// quoted is a word for the shell.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:_-@") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// KnobsOf gives what a run would draw, to be printed before it.
func KnobsOf(o Options) (Knobs, error) {
	o = o.resolved()
	if err := o.check(); err != nil {
		return Knobs{}, err
	}
	return o.knobs(), nil
}

// Run simulates a cell. An error means that the options are wrong or ctx has
// ended; what the simulation found is in the Result.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.resolved()
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.thin() {
		var err error
		if o.founded, err = found(o); err != nil {
			return nil, err
		}
	}
	if o.Repeat && o.Level == nil {
		var err error
		if o.expect, err = repeated(ctx, o); err != nil {
			return nil, err
		}
	}
	r, err := runOnce(ctx, o)
	if err != nil {
		return nil, err
	}
	r.Repeated = o.expect
	return r, nil
}

func runOnce(ctx context.Context, o Options) (*Result, error) {
	if o.Past != nil {
		return whatIf(ctx, o)
	}
	_, r, err := simulate(ctx, o)
	return r, err
}

func simulate(ctx context.Context, o Options) (*World, *Result, error) {
	w := newWorld(o)
	knobs := w.knobs
	w.begin()
	interval := max(o.Duration/samples, time.Second)
	for at := interval; at <= o.Duration && w.violation == nil; at += interval {
		w.until(ctx, at)
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if w.over {
			return w, nil, w.differs()
		}
		w.sample(interval)
		if o.Progress != nil {
			o.Progress(float64(at)/float64(o.Duration+LivenessBound), w.now)
		}
	}
	if w.mark(); w.over {
		return w, nil, w.differs()
	}
	converged := w.live(ctx)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	histories := w.final()
	return w, w.result(knobs, converged, histories), nil
}

// live is the liveness phase: everything is healed and must come to what was
// asked for; then nothing may go wrong for visitors.
func (w *World) live(ctx context.Context) time.Duration {
	if w.violation != nil {
		return 0
	}
	healed := w.now
	w.operators.stop = true
	w.faults.heal()
	reason := "nothing was looked at"
	for reason != "" {
		w.until(ctx, w.now+5*time.Second)
		if w.violation != nil || ctx.Err() != nil {
			return 0
		}
		if reason = w.unsettled(); reason != "" && w.now-healed > LivenessBound {
			if w.options.Past != nil {
				// A real log may ask for what is not modelled.
				w.open = reason
				return w.now - healed
			}
			w.violate("liveness", "%s after everything was healed: %s", LivenessBound, reason)
			return 0
		}
	}
	took := w.now - healed
	w.trace.step(w.now, "converged", "", "", int64(took/time.Second))
	w.until(ctx, w.now+requestLimit+hungRequest) // what began earlier may still end badly
	w.strict = true
	w.until(ctx, w.now+calmAfter)
	w.visitors.stop = true
	w.until(ctx, w.now+2*requestLimit)
	return took
}

// final compares everything with what the log says.
func (w *World) final() (checked check.Checked) {
	if w.violation != nil {
		return checked
	}
	if w.open == "" {
		w.ledger.Final(w.now)
	}
	w.zone.Final()
	w.checkViews(check.Refold(w.log.all, w.options.founded.base()))
	for _, n := range w.nodes {
		for _, to := range n.residents() {
			tip := n.entities[to].entity.Tip()
			if tip.Position > 0 && (tip.Position > w.log.head() || w.log.all[tip.Position-1].Tip() != tip) {
				w.violate("order", "the actor %s on %s believes in a commit that is not in the log", to, w.names[n.port])
			}
		}
	}
	appends, placements := w.log.history.Check(), w.log.placements.Check()
	if appends.Broken != "" {
		w.violate("linearizable", "the appends of %s are not linearizable", appends.Broken)
	}
	if placements.Broken != "" {
		w.violate("linearizable", "what was told about the placement of %s is not linearizable", placements.Broken)
	}
	return check.Checked{Histories: appends.Histories + placements.Histories, Undecided: appends.Undecided + placements.Undecided}
}

func (w *World) checkViews(want check.Folds) {
	compare := func(what string, at events.Position, same bool, err error) {
		switch {
		case err != nil:
			w.violate("refold", "%s cannot be saved: %v", what, err)
		case at != w.log.head():
			w.violate("refold", "%s has stopped at position %d of %d", what, at, w.log.head())
		case !same:
			w.violate("refold", "%s is not what a refold of the log gives", what)
		}
	}
	for _, s := range w.routers {
		compare("the routing table of "+w.names[s.port], s.routes.position(), want.Routing(*s.routes.now()), nil)
	}
	compare("the inventory", w.inventory.position(), want.Inventory(*w.inventory.now()), nil)
	for _, n := range w.nodes {
		if _, runs := n.policiesAt(); runs {
			same, at, err := n.foldsAs(want)
			compare("the policies' state on "+w.names[n.port], at, same, err)
		}
	}
}

func (w *World) result(knobs Knobs, converged time.Duration, histories check.Checked) *Result {
	s := &w.stats
	r := &Result{
		Seed: w.options.Seed, Hosts: w.options.Hosts, Sites: w.options.Sites, Days: float64(w.options.Duration) / float64(24*time.Hour), Simulated: w.now.Hours(), Knobs: knobs.String(),
		Hash: fmt.Sprintf("%016x", w.trace.hash), Steps: w.steps, Commits: len(w.log.all),
		Visits: s.visits, Counted: s.counted, Served: s.served, Unserved: s.unserved, Dataless: s.dataless, NotReady: s.notReady, Degraded: s.degraded, Retries: s.retries, Woken: s.held,
		P50MS: milliseconds(s.times.quantile(0.5)), P99MS: milliseconds(s.times.quantile(0.99)),
		Moves: w.ledger.Moves(), Converged: converged.Seconds(), Histories: histories.Histories, Undecided: histories.Undecided, Violation: w.violation, Happened: w.trace.happened(), Series: s.series,
	}
	r.Thinned, r.Outcome = w.thinned(), w.seen().Outcome()
	r.From, r.Asked = w.options.From, w.options.VisitsPerSiteHour
	if w.options.Past != nil {
		r.At = uint64(w.options.Past.position)
	}
	if w.options.Scenario != nil {
		r.Scenario, r.Added = w.options.Scenario.file, w.options.Scenario.added
		w.options.Scenario.judge(r)
	}
	return r
}
