package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/simulations"
	"pantheon/simulations/check"
	"pantheon/simulations/scenarios"
)

// simulateFlags are what `pantheon simulate` was told.
type simulateFlags struct {
	seed     uint64
	hosts    int
	sites    int
	days     float64
	scenario string
	steps    []string
	visits   float64
	fromLog  string
	at       string
	report   string
	trace    bool
	thin     bool
	list     bool
	show     string
}

// violationExitCode says that a simulated cell broke a promise, or a
// scenario's expectation failed, or that a question was answered with no.
const violationExitCode = 1

func (c *cli) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Rehearse failures: run a whole cell in virtual time",
		Long: `simulate runs a cell of many machines and sites in virtual time, on the very code that decides, places, routes and wakes in production. Network, log, machines, php-fpm, visitors and operators are modelled, and fail as the seed says; the same seed gives the same run. Checkers watch all the time.

With --from-log the cell begins as the log of a real one says, up to --at, and goes on from there: what if this host dies, what if traffic is ten times this, can these two hosts be drained? The same hours are simulated without the scenario too, and the answer compares them. How much traffic there is, the log tells only roughly, from what woke and what slept.

A cell of more than 5,000 sites is simulated with less, and the result says with what: its sites are there when it begins, and of the visits to a DROP that is surely awake most are counted only. A day of 1,000 hosts and 100,000 sites was seen to take more than eleven gigabytes of memory, and many minutes.

Nothing that runs is touched. The exit code is 1 if a promise was broken, an expectation of the scenario failed, or the answer is no.`,
		Example: `  pantheon simulate --seed 7
  pantheon simulate --scenario rack-loss --report rack-loss.html
  pantheon simulate --scenario ./my-scenario.txt --hosts 5 --sites 100 --days 2
  pantheon simulate --from-log data --scenario lose-busiest
  pantheon simulate --from-log data --step 'at 10m drain hosts web-1,web-2' --days 0.1
  pantheon simulate --hosts 1000 --sites 100000 --days 1
  pantheon simulate --list`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.list:
				return c.listScenarios()
			case f.show != "":
				text, err := simulations.ScenarioText(f.show)
				if err == nil {
					_, err = io.WriteString(c.out, text)
				}
				return err
			}
			return c.simulate(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", 0, "`NUMBER` that everything is drawn from; the clock's if it is not given")
	flags.IntVar(&f.hosts, "hosts", 20, "machines of the cell")
	flags.IntVar(&f.sites, "sites", 1000, "sites of the cell")
	flags.Float64Var(&f.days, "days", 1, "days to simulate before everything is healed")
	flags.StringVar(&f.scenario, "scenario", "", "`NAME` of a scenario, or the path of a file; without one, faults are drawn from the seed")
	flags.StringArrayVar(&f.steps, "step", nil, "a further `LINE` of the scenario, like 'at 1h lose host web-1'; can be repeated")
	flags.Float64Var(&f.visits, "visits", 0, "requests an hour to a site at the mean; without it, what is drawn or what the log tells")
	flags.StringVar(&f.fromLog, "from-log", "", "begin with the log of a real cell: a platform's data `FOLDER`, an exported log, or the URL of its API")
	flags.StringVar(&f.at, "at", "", "with --from-log: only up to this `POSITION` or time, or how long ago: 2h")
	flags.StringVar(&f.report, "report", "", "`FILE` to write a report with plots to, in HTML")
	flags.BoolVar(&f.trace, "trace", false, "print every step; the result goes to standard error then")
	flags.BoolVar(&f.thin, "thin", false, fmt.Sprintf("simulate less of each site, as of every cell with more than %d: its sites are there at the beginning, and most visits are only counted", simulations.ThinSites))
	flags.BoolVar(&f.list, "list", false, "list the scenarios, and say how one is written")
	flags.StringVar(&f.show, "show", "", "print the scenario of this `NAME`, to begin one of your own with")
	return cmd
}

type scenarioRecord struct {
	Name  string  `json:"name"`
	Title string  `json:"title"`
	Hosts int     `json:"hosts"`
	Sites int     `json:"sites"`
	Days  float64 `json:"days"`
}

func (c *cli) listScenarios() error {
	var records []scenarioRecord
	for _, name := range simulations.ScenarioNames() {
		s, err := simulations.FindScenario(name)
		if err != nil {
			return err
		}
		records = append(records, scenarioRecord{name, s.Title, s.Hosts, s.Sites, s.Duration.Hours() / 24})
	}
	if c.format == "" || c.format == "table" {
		defer fmt.Fprintf(c.out, "\nHow one is written (--show NAME prints one):\n\n%s", scenarios.Grammar)
	}
	return show(c, records, []column[scenarioRecord]{
		{"name", func(r scenarioRecord) string { return r.Name }},
		{"hosts", func(r scenarioRecord) string { return number(r.Hosts) }},
		{"sites", func(r scenarioRecord) string { return number(r.Sites) }},
		{"days", func(r scenarioRecord) string { return fmt.Sprintf("%g", r.Days) }},
		{"title", func(r scenarioRecord) string { return r.Title }},
	})
}

// options turns flags into options; what the command line says comes before
// what the scenario proposes.
func (f simulateFlags) options(cmd *cobra.Command) (simulations.Options, error) {
	if !(f.days > 0 && f.days <= simulations.MaxDays) { // not a number is neither
		return simulations.Options{}, problem.New(problem.Invalid, "cannot simulate %g days: up to %d are possible", f.days, simulations.MaxDays)
	}
	o := simulations.Options{Seed: f.seed, Hosts: f.hosts, Sites: f.sites, Duration: time.Duration(f.days * float64(24*time.Hour))}
	o.VisitsPerSiteHour, o.Thin = f.visits, f.thin
	if !cmd.Flags().Changed("seed") {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if f.at != "" && f.fromLog == "" {
		return o, problem.New(problem.Invalid, "cannot use --at without --from-log")
	}
	if f.fromLog != "" && (cmd.Flags().Changed("hosts") || cmd.Flags().Changed("sites")) {
		return o, problem.New(problem.Invalid, "cannot use --hosts or --sites with --from-log: the log says what there is")
	}
	if f.scenario == "" && len(f.steps) == 0 {
		return o, nil
	}
	scenario, err := f.openScenario()
	if err != nil {
		return o, err
	}
	o.Scenario = scenario
	if !cmd.Flags().Changed("hosts") && scenario.Hosts > 0 {
		o.Hosts = scenario.Hosts
	}
	if !cmd.Flags().Changed("sites") && scenario.Sites > 0 {
		o.Sites = scenario.Sites
	}
	if !cmd.Flags().Changed("days") && scenario.Duration > 0 {
		o.Duration = scenario.Duration
	}
	return o, nil
}

// openScenario gives the scenario that the flags name, with their steps.
func (f simulateFlags) openScenario() (*simulations.Scenario, error) {
	scenario := &simulations.Scenario{Name: "the command line"}
	if f.scenario != "" {
		var err error
		if scenario, err = findScenario(f.scenario); err != nil {
			return nil, err
		}
	}
	return scenario, scenario.Add(f.steps...)
}

// findScenario finds a scenario by its name; a path has a slash or ends in .txt.
func findScenario(name string) (*simulations.Scenario, error) {
	if !strings.ContainsRune(name, filepath.Separator) && filepath.Ext(name) != ".txt" {
		return simulations.FindScenario(name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, problem.Wrap(problem.NotFound, err, "cannot read the scenario").WithHint("pantheon simulate --list")
	}
	defer file.Close()
	return simulations.ParseScenario(name, file)
}

func (c *cli) simulate(cmd *cobra.Command, f simulateFlags) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	if f.fromLog != "" {
		if o.Past, err = c.readPast(cmd.Context(), f.fromLog, f.at); err != nil {
			return err
		}
		o.From = f.fromLog
	}
	knobs, err := simulations.KnobsOf(o)
	if err != nil {
		return err
	}
	report, err := beginReport(f.report)
	if err != nil {
		return err
	}
	defer report.discard()
	words := c.out
	switch {
	case f.trace:
		o.Trace, words = c.out, c.errors
	case c.format == "json":
		words = c.errors
	}
	r, elapsed, err := c.runSimulation(cmd.Context(), o, knobs, words)
	if err != nil {
		return err
	}
	if err := report.write(r); err != nil {
		return err
	}
	if c.format == "json" {
		out := c.out
		if f.trace {
			out = c.errors
		}
		err = writeJSON(out, r)
	} else {
		printSimulation(words, r, elapsed)
	}
	if err == nil && (!r.OK() || r.Answer != nil && !r.Answer.OK) {
		err = quietError{violationExitCode}
	}
	return err
}

// reportFile is where a report goes. It is opened before the run, because a day
// of simulation is not to be lost to a typing error; the report that was there
// stays until there is a new one.
type reportFile struct {
	name string
	file *os.File // nil: no report is wanted
}

func beginReport(name string) (*reportFile, error) {
	if name == "" {
		return &reportFile{}, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, problem.New(problem.Invalid, "cannot write the report: %s is no file", name)
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".report-")
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot write the report")
	}
	return &reportFile{name, file}, nil
}

func (f *reportFile) write(r *simulations.Result) error {
	if f.file == nil {
		return nil
	}
	err := errors.Join(simulations.WriteReport(f.file, r), f.file.Chmod(0o644), f.file.Close())
	if err == nil {
		err = os.Rename(f.file.Name(), f.name)
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the report")
	}
	return nil
}

// discard takes away what has not become a report.
func (f *reportFile) discard() {
	if f.file != nil {
		_ = f.file.Close() // was closed, or is thrown away
		_ = os.Remove(f.file.Name())
	}
}

// runSimulation prints the seed and what was drawn before the run, because a
// run that does not end must be found again too.
func (c *cli) runSimulation(ctx context.Context, o simulations.Options, knobs simulations.Knobs, words io.Writer) (*simulations.Result, time.Duration, error) {
	if o.Past == nil {
		fmt.Fprintf(words, "seed %d: %d hosts, %d sites, %.4g days\n%s\n", o.Seed, o.Hosts, o.Sites, o.Duration.Hours()/24, knobs)
	} else {
		fmt.Fprintf(words, "seed %d: %s, %.4g days\n%s\n", o.Seed, o.Past, o.Duration.Hours()/24, knobs)
	}
	if isTerminal(c.errors) && o.Trace == nil {
		o.Progress = func(done float64, at time.Duration) {
			fmt.Fprintf(c.errors, "\r\x1b[K[%-40s] day %.1f", strings.Repeat("=", int(40*done)), at.Hours()/24)
		}
		defer fmt.Fprint(c.errors, "\r\x1b[K")
	}
	o.Repeat = true
	defer moreGarbage()()
	began := time.Now()
	r, err := simulations.Run(ctx, o)
	return r, time.Since(began), err
}

// moreGarbage has the collector wait while a cell is simulated, most of whose
// memory lives as long as the run: until the heap is four times what lives
// instead of twice, but with no more than half of the machine's memory. What GOGC
// and GOMEMLIMIT say is left as it is.
func moreGarbage() (undo func()) {
	offered, err := offeredMemoryMiB() // three quarters of it
	if err != nil || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	percent := debug.SetGCPercent(simulationGCPercent)
	limit := debug.SetMemoryLimit(int64(offered) << 20 / 3 * 2)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// simulationGCPercent is GOGC of a simulation.
const simulationGCPercent = 300

func printSimulation(out io.Writer, r *simulations.Result, elapsed time.Duration) {
	fmt.Fprintf(out, "%.1f days in %.1f s (%.0f times faster than the clock), %d steps, %d commits, trace %s\n",
		r.Simulated/24, elapsed.Seconds(), r.Simulated*3600/elapsed.Seconds(), r.Steps, r.Commits, r.Hash)
	fmt.Fprintf(out, "the first steps were run once more, with the same trace: %s\n", r.Repeated)
	for _, line := range r.Thinned {
		fmt.Fprintf(out, "thinned: %s\n", line)
	}
	fmt.Fprintf(out, "%d requests served, %d not (%d of them because their data was out of reach), %d without a service they need, %d woke a DROP; wait beyond PHP %.1f ms at the median, %.1f ms at the 99th percentile\n",
		r.Served, r.Unserved, r.Dataless, r.Degraded, r.Woken, r.P50MS, r.P99MS)
	fmt.Fprintf(out, "%d moves of DROPs; everything as asked for %.0f s after healing; %d histories linearizable\n", r.Moves, r.Converged, r.Histories)
	if r.Undecided > 0 {
		fmt.Fprintf(out, "%d parts of histories were too tangled to tell\n", r.Undecided)
	}
	printAnswer(out, r.Answer)
	for _, line := range r.Expected {
		fmt.Fprintf(out, "expected %s\n", line)
	}
	if v := r.Violation; v != nil {
		fmt.Fprintf(out, "\nVIOLATION of %s (%s) at %s, position %d: %s\n", v.Rule, check.Meaning(v.Rule), v.At, v.Position, printable(v.Text))
		for _, line := range v.Trace {
			fmt.Fprintf(out, "  %s\n", printable(line))
		}
	}
	for _, line := range r.Failed {
		fmt.Fprintf(out, "FAILED: expected %s\n", line)
	}
	fmt.Fprintf(out, "again: pantheon simulate %s\n%s\n", r.Again(), r.Knobs)
}

// printAnswer says what came of a "what if".
func printAnswer(out io.Writer, a *simulations.Answer) {
	if a == nil {
		return
	}
	fmt.Fprintln(out)
	for i, line := range a.Lines {
		if i > 0 {
			line = "  - " + line
		}
		fmt.Fprintln(out, printable(line))
	}
	rows := make([][]string, len(a.Hosts))
	for i, h := range a.Hosts {
		drops := fmt.Sprint(h.Drops)
		if h.Gone {
			drops = "gone"
		}
		rows[i] = []string{cell(h.Name), fmt.Sprint(h.DropsBefore), drops, fmt.Sprint(h.MemoryMiB), fmt.Sprint(h.ReservedMiB), fmt.Sprint(h.PeakBefore), fmt.Sprint(h.PeakAwakeMiB)}
	}
	fmt.Fprintln(out)
	_ = writeTable(out, []string{"host", "DROPs", "after", "memory MiB", "reserved", "awake at most", "with it"}, rows)
	fmt.Fprintln(out)
}
