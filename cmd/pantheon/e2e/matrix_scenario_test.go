package e2e

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pantheon/events/eventlog/jetstream"
	"pantheon/simulations"
	"pantheon/simulations/scenarios"
)

// staged says how a scenario of pantheon simulate is played on real machines.
type staged struct {
	never string // why it is not
	// without are the steps that cannot be played, by how they begin, and why;
	// the simulator goes without them as well then.
	without map[string]string
	short   bool // also without PANTHEON_TEST_LONG
	// visits to each site in an hour of the simulator; visitsPerHour where 0.
	visits float64
}

// stagedScenarios has every scenario there is.
var stagedScenarios = map[string]staged{
	"bad-day": {without: map[string]string{
		"log failover":       "one machine holds the log; TestMatrixThreeControlMachines kills the leader of three",
		"fill":               "TestMatrixDiskFull fills a disk; the hosts of this cell share theirs with the tests",
		"hang":               "nothing here makes half of the php-fpm of a machine hang",
		"crash router":       "the router of a machine is in one process with its agent or the log",
		"log full":           "TestDiskFull does that; the log's disk is that of the tests",
		"cut leases to host": "leases are kept where the log is, and their messages have no way of their own",
		"clog":               "TestMatrixSlowLinks does that, with a relay",
		"oom":                "the kernel's choice cannot be made for it",
		"clock":              "TestMatrixClock does that",
	}},
	"drain-host":  {short: true},
	"drain-two":   {},
	"flash-crowd": {visits: 48}, // a crowd of 300 times as many is what one DROP can bear, as that of crowdAtMost is
	"log-outage": {without: map[string]string{
		"log slow": "nothing here makes a disk slow",
	}},
	"lose-busiest":     {},
	"lost-host":        {},
	"lost-host-of-two": {short: true},
	"noisy-operators": {without: map[string]string{
		"faults drawn": "they are drawn from the simulator's seed; here operators are all that happens",
	}},
	"partitions": {without: map[string]string{
		"cut node":   "a node is in one process with the log, which needs no network to it",
		"cut router": "the router of the machine with the log reads it without a network",
	}},
	"paused-host": {},
	"rack-loss":   {},
	"rolling-deploy": {without: map[string]string{
		"deploy": "the command line has no command that deploys a commit",
	}},
	"split-brain":     {},
	"traffic-tenfold": {visits: 360}, // ten times visitsPerHour is too much for one DROP
}

// visitsPerHour are enough that nothing is over before somebody has come.
const visitsPerHour = 3600

// stageHosts is how many hosts a scenario is played on: machines 2 to 4. The
// first machine has the log, the leases and the policies.
const stageHosts = 3

func (one staged) leavesOut(step simulations.Step) bool {
	return one.leavesOutLine(strings.Join(step.Words, " "))
}

func (one staged) leavesOutLine(line string) bool {
	for prefix := range one.without {
		if strings.HasPrefix(strings.TrimSpace(line)+" ", prefix+" ") {
			return true
		}
	}
	return false
}

// TestScenariosAreStaged: every scenario is played on real machines, or it is
// said why not; and so for every step.
func TestScenariosAreStaged(t *testing.T) {
	names := simulations.ScenarioNames()
	for name, one := range stagedScenarios {
		if !slices.Contains(names, name) {
			t.Errorf("there is no scenario %s", name)
			continue
		}
		if one.never != "" {
			continue
		}
		original, err := simulations.FindScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		for prefix := range one.without {
			alone := staged{without: map[string]string{prefix: ""}}
			if !slices.ContainsFunc(original.Steps(), alone.leavesOut) && !slices.ContainsFunc(linesOf(t, name), alone.leavesOutLine) {
				t.Errorf("%s has nothing that begins with %q", name, prefix)
			}
		}
		nowhere := &stage{cell: &cell{net: &network{}}}
		for number := range stageHosts + 1 {
			nowhere.all = append(nowhere.all, nowhere.machine(number+1))
		}
		scenario := translated(t, name, one)
		if len(scenario.Steps()) == 0 {
			t.Errorf("nothing is left of %s", name)
		}
		for _, step := range scenario.Steps() {
			if _, err := nowhere.part(step); err != nil {
				t.Errorf("%s: %v: %v", name, step.Words, err)
			}
		}
	}
	for _, name := range names {
		if _, known := stagedScenarios[name]; !known {
			t.Errorf("scenario %s is neither played on real machines nor is said why not", name)
		}
	}
}

// translated gives a scenario for a cell of stageHosts hosts: its machines by
// name, and without what cannot be played.
func translated(t testing.TB, name string, one staged) *simulations.Scenario {
	t.Helper()
	original, err := simulations.FindScenario(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	steps := original.Steps()
	for _, line := range linesOf(t, name) {
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "expect" || one.leavesOutLine(line) {
			continue // what is expected is of a cell of the size that it was written for
		}
		if len(words) == 0 || words[0] != "at" {
			lines = append(lines, line)
			continue
		}
		step := steps[0]
		steps = steps[1:]
		if one.leavesOut(step) {
			continue
		}
		for i := range words {
			if words[i] == "host" || words[i] == "hosts" {
				words[i+1] = hostNames(words[i+1], original.Hosts)
			}
			if words[i] == "site" {
				words[i+1] = "1" // one is as good as another
			}
		}
		line := strings.Join(words, " ")
		lines = append(lines, line+"\n")
		switch other := strings.ReplaceAll(line, " log", " leases"); { // the leases and the actors are where the log is
		case words[2] == "cut" && other != line:
			lines = append(lines, other+"\n")
		case words[2] == "crash" && strings.HasPrefix(words[3], "node") && step.For > 0:
			lines = append(lines, fmt.Sprintf("at %s log outage for %s\n", words[1], step.For))
		}
	}
	scenario, err := simulations.ParseScenario(name, strings.NewReader(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return scenario
}

// linesOf gives the text of a scenario.
func linesOf(t testing.TB, name string) []string {
	t.Helper()
	text, err := fs.ReadFile(scenarios.Files, name+".txt")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

// hostNames gives the machines that stand for hosts of a cell of so many: 4-6
// of 12 are the first two of three.
func hostNames(numbers string, of int) string {
	from, to, isRange := strings.Cut(numbers, "-")
	first, err := strconv.Atoi(from)
	if err != nil {
		return numbers // busiest
	}
	last := first
	if isRange {
		last, _ = strconv.Atoi(to)
	}
	if of > stageHosts && last > stageHosts || isRange {
		first, last = 1+(first-1)*stageHosts/of, 1+(last-1)*stageHosts/of
	}
	var names []string
	for number := first; number <= last; number++ {
		names = append(names, fmt.Sprintf("web-%d", number+1))
	}
	return strings.Join(names, ",")
}

// TestMatrixScenarios plays the scenarios of pantheon simulate on real machines.
// The simulator goes on from the very log of their cell, and both have to come
// to the same classes of outcome.
func TestMatrixScenarios(t *testing.T) {
	s := newStage(t)
	for _, name := range simulations.ScenarioNames() {
		one := stagedScenarios[name]
		if one.never != "" || !one.short && !long() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			scenario := translated(t, name, one)
			defer s.restored(t)
			s.setScene(t)
			past := s.past(t)
			seen := s.play(t, scenario)
			foreseen := foresee(t, past, scenario, cmp.Or(one.visits, visitsPerHour))
			if got := seen.Outcome(); got != foreseen {
				t.Errorf("the machines: %s\nthe simulator: %s", got, foreseen)
			} else {
				t.Logf("both: %s", got)
			}
		})
	}
}

// past reads the cell's log as it is.
func (s *stage) past(t testing.TB) *simulations.Past {
	t.Helper()
	past, err := simulations.ReadPast(jetstream.ReadFiles(t.Context(), logOf(s.all[0])), simulations.Moment{})
	if err != nil {
		t.Fatal(err)
	}
	return past
}

// foresee has the simulator go on from a past.
func foresee(t testing.TB, past *simulations.Past, scenario *simulations.Scenario, visits float64) simulations.Outcome {
	t.Helper()
	r, err := simulations.Run(t.Context(), simulations.Options{
		Seed: 7, Past: past, Scenario: scenario, Duration: scenario.Duration, VisitsPerSiteHour: visits, CommandEvery: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		t.Errorf("the simulator: %+v", r.Violation)
	}
	t.Logf("the simulator: %d served, %d not, %d of them without their data; %d DROPs moved", r.Served, r.Unserved, r.Dataless, r.Moves)
	return r.Outcome
}
