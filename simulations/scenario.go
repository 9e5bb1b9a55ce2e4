package simulations

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pantheon/events/problem"
	"pantheon/simulations/scenarios"
)

// Scenario is a text of steps and expectations. The package comment of
// scenarios says how one is written.
type Scenario struct {
	Name     string
	Title    string
	Hosts    int           // 0: the caller chooses
	Sites    int           // 0: the caller chooses
	Duration time.Duration // 0: the caller chooses
	Drawn    bool          // faults come from the seed as well
	file     string        // where it was read; empty for none
	added    []string      // lines that were added to it
	steps    []scenarioStep
	expected []expectation
}

type scenarioStep struct {
	at   time.Duration
	text []string // the words after the time
	line int
	run  func(*World)
	// needs is the least number of hosts that the step makes sense with.
	needs int
	// sites and parts (nodes, routers) are the same of those.
	sites, parts int
	named        []string
}

type expectation struct {
	text  string
	judge func(*Result) (value string, ok bool)
}

// ScenarioNames lists the scenarios that come with the program.
func ScenarioNames() []string {
	files, err := fs.Glob(scenarios.Files, "*.txt")
	if err != nil {
		return nil // the pattern is a constant
	}
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".txt")
	}
	return files
}

// FindScenario gives one of them.
func FindScenario(name string) (*Scenario, error) {
	text, err := ScenarioText(name)
	if err != nil {
		return nil, err
	}
	return ParseScenario(name, strings.NewReader(text))
}

// ScenarioText gives the text of one by its name.
func ScenarioText(name string) (string, error) {
	if !slices.Contains(ScenarioNames(), name) {
		return "", problem.New(problem.NotFound, "cannot find scenario %.60q", name).
			WithHint("there are %s; or give the path of a file", strings.Join(ScenarioNames(), ", "))
	}
	text, err := fs.ReadFile(scenarios.Files, name+".txt")
	return string(text), err
}

// ParseScenario reads a scenario's text.
func ParseScenario(name string, text io.Reader) (*Scenario, error) {
	s := &Scenario{Name: name, file: name}
	lines := bufio.NewScanner(io.LimitReader(text, MaxScenarioBytes+1))
	read := 0
	for n := 1; lines.Scan(); n++ {
		if read += len(lines.Bytes()) + 1; read > MaxScenarioBytes || len(s.steps) > MaxScenarioSteps {
			return nil, problem.New(problem.Invalid, "cannot read scenario %s: it is longer than %d bytes or %d steps", name, MaxScenarioBytes, MaxScenarioSteps)
		}
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.parseLine(n, words); err != nil {
			return nil, problem.New(problem.Invalid, "cannot read scenario %s, line %d: %v", name, n, err).
				WithHint("pantheon simulate --list says how scenarios are written")
		}
	}
	return s, lines.Err()
}

// Add adds lines to it.
func (s *Scenario) Add(lines ...string) error {
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || len(s.steps) > MaxScenarioSteps || len(line) > MaxScenarioBytes {
			return problem.New(problem.Invalid, "cannot add %.60q to the scenario: it is empty or too much", line)
		}
		if err := s.parseLine(i+1, words); err != nil {
			return problem.New(problem.Invalid, "cannot add %.60q to the scenario: %v", line, err).
				WithHint("pantheon simulate --list says how scenarios are written")
		}
		s.added = append(s.added, line)
	}
	return nil
}

func (s *Scenario) parseLine(n int, words []string) (err error) {
	rest := words[1:]
	switch words[0] {
	case "title":
		s.Title = strings.Join(rest, " ")
	case "hosts":
		s.Hosts, err = number(rest, 1, MaxHosts)
	case "sites":
		s.Sites, err = number(rest, 1, MaxSites)
	case "for":
		s.Duration, err = duration(rest)
	case "faults":
		s.Drawn = slices.Equal(rest, []string{"drawn"})
		if !s.Drawn && !slices.Equal(rest, []string{"none"}) {
			err = fmt.Errorf("faults are none or drawn")
		}
	case "at":
		err = s.parseStep(n, rest)
	case "expect":
		err = s.parseExpectation(rest)
	default:
		err = fmt.Errorf("%.30q is no word of a scenario: title, hosts, sites, for, faults, at and expect are", words[0])
	}
	return err
}

func number(words []string, least, most int) (int, error) {
	if len(words) != 1 {
		return 0, fmt.Errorf("one number is needed")
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%.30q is no number from %d to %d", words[0], least, most)
	}
	return n, nil
}

func duration(words []string) (time.Duration, error) {
	if len(words) != 1 {
		return 0, fmt.Errorf("one duration is needed, like 90s, 10m, 6h or 2d")
	}
	return parseDuration(words[0])
}

// parseDuration knows days beside Go's units: 1d12h.
func parseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.Atoi(days)
	d := time.Duration(0)
	if err == nil && rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || n < 0 || n > MaxDays || d < 0 || d > MaxDays*24*time.Hour {
		return 0, fmt.Errorf("%.30q is no duration like 90s, 10m, 6h or 2d", text)
	}
	return time.Duration(n)*24*time.Hour + d, nil
}

// parseStep reads "<time> <verb> …".
func (s *Scenario) parseStep(n int, words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("a step is written: at TIME WHAT")
	}
	at, err := parseDuration(words[0])
	if err != nil {
		return err
	}
	verb, known := verbs[words[1]]
	if !known {
		return fmt.Errorf("%.30q is no step: %s are", words[1], strings.Join(sortedKeys(verbs), ", "))
	}
	a := &arguments{words: words[2:]}
	run := verb(a)
	if a.err == nil && len(a.words) > 0 {
		a.err = fmt.Errorf("%.30q is one word too many", a.words[0])
	}
	s.steps = append(s.steps, scenarioStep{at: at, text: words[1:], line: n, run: run, needs: a.needs, sites: a.sites, parts: a.parts, named: a.named})
	return a.err
}

// Step is one step, for those who play it elsewhere.
type Step struct {
	At  time.Duration
	For time.Duration // 0: it has no end, or is over at once
	// Words are those after the time, without "for" and how long.
	Words []string
}

// Steps lists the steps as they are written.
func (s *Scenario) Steps() []Step {
	steps := make([]Step, len(s.steps))
	for i, step := range s.steps {
		steps[i] = Step{At: step.at, Words: step.text}
		if n := len(step.text); n > 2 && step.text[n-2] == "for" {
			steps[i].For, _ = parseDuration(step.text[n-1]) // it has been read before
			steps[i].Words = step.text[:n-2]
		}
	}
	return steps
}

// check says what does not fit the cell.
func (s *Scenario) check(o Options) error {
	for _, step := range s.steps {
		switch {
		case step.needs > o.Hosts:
			return problem.New(problem.Invalid, "cannot run scenario %s, line %d: it names host %d of %d", s.Name, step.line, step.needs, o.Hosts).
				WithHint("--hosts says how many there are")
		case step.sites > o.siteCount():
			return problem.New(problem.Invalid, "cannot run scenario %s, line %d: it names site %d of %d", s.Name, step.line, step.sites, o.siteCount()).
				WithHint("--sites says how many there are; with --from-log, those that serve count")
		case step.parts > calmParts && !s.Drawn:
			return problem.New(problem.Invalid, "cannot run scenario %s, line %d: it names node or router %d of %d", s.Name, step.line, step.parts, calmParts).
				WithHint("with faults drawn there are up to %d", maxParts)
		case unknownHost(step.named, o.hostNames(), o.Past) != "":
			return problem.New(problem.Invalid, "cannot run scenario %s, line %d: there is no host %.60q", s.Name, step.line, unknownHost(step.named, o.hostNames(), o.Past)).
				WithHint("hosts are %s", shortened(o.hostNames()))
		case step.at > o.Duration:
			return problem.New(problem.Invalid, "cannot run scenario %s, line %d: it begins after the end, %s", s.Name, step.line, o.Duration)
		}
	}
	return nil
}

// unknownHost gives the first of the named that is neither a name nor an id.
func unknownHost(named, names []string, past *Past) string {
	for _, name := range named {
		isID := past != nil && slices.ContainsFunc(past.hosts, func(h pastHost) bool { return string(h.registered.Host) == name })
		if !isID && !slices.Contains(names, name) {
			return name
		}
	}
	return ""
}

// shortened lists a few of many.
func shortened(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + " …"
	}
	return strings.Join(names, ", ")
}

func (s *Scenario) schedule(w *World) {
	for _, step := range s.steps {
		w.at(step.at, func() { step.run(w) })
	}
}

// parseExpectation reads "<what> <= or >= <value>".
func (s *Scenario) parseExpectation(words []string) error {
	if len(words) != 3 || words[1] != "<=" && words[1] != ">=" {
		return fmt.Errorf("an expectation is written: expect WHAT <= VALUE, or >=")
	}
	measure, known := measures[words[0]]
	if !known {
		return fmt.Errorf("%.30q cannot be expected: %s can", words[0], strings.Join(sortedKeys(measures), ", "))
	}
	bound, err := parseBound(words[2])
	if err != nil {
		return err
	}
	if isShare := slices.Contains([]string{"unserved", "avoidable", "degraded"}, words[0]); isShare && bound > 1 {
		return fmt.Errorf("%s is a share: 0%% to 100%%, or 0 to 1", words[0])
	}
	s.expected = append(s.expected, expectation{strings.Join(words, " "), func(r *Result) (string, bool) {
		value, text := measure(r)
		if words[1] == "<=" {
			return text, value <= bound
		}
		return text, value >= bound
	}})
	return nil
}

// parseBound takes 0.1%, 250ms, 2s, 5m or a plain number; times in seconds.
func parseBound(text string) (float64, error) {
	if percent, found := strings.CutSuffix(text, "%"); found {
		value, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(value >= 0 && value <= 100) { // not a number is neither
			return 0, fmt.Errorf("%.30q is no share from 0%% to 100%%", text)
		}
		return value / 100, nil
	}
	if value, err := strconv.ParseFloat(text, 64); err == nil {
		if !(value >= 0 && value <= math.MaxInt64) {
			return 0, fmt.Errorf("%.30q is no bound", text)
		}
		return value, nil
	}
	d, err := parseDuration(text)
	return d.Seconds(), err
}

// measures are what can be expected of a run.
var measures = map[string]func(*Result) (float64, string){
	"unserved": func(r *Result) (float64, string) {
		share := float64(r.Unserved) / float64(max(r.Served+r.Unserved, 1))
		return share, fmt.Sprintf("%.4f%%", 100*share)
	},
	"avoidable": func(r *Result) (float64, string) {
		share := float64(r.Unserved-r.Dataless) / float64(max(r.Served+r.Unserved, 1))
		return share, fmt.Sprintf("%.4f%%", 100*share)
	},
	"p50":     func(r *Result) (float64, string) { return r.P50MS / 1000, fmt.Sprintf("%.1fms", r.P50MS) },
	"p99":     func(r *Result) (float64, string) { return r.P99MS / 1000, fmt.Sprintf("%.1fms", r.P99MS) },
	"moves":   func(r *Result) (float64, string) { return float64(r.Moves), strconv.Itoa(r.Moves) },
	"retries": func(r *Result) (float64, string) { return float64(r.Retries), strconv.FormatInt(r.Retries, 10) },
	"woken":   func(r *Result) (float64, string) { return float64(r.Woken), strconv.FormatInt(r.Woken, 10) },
	"degraded": func(r *Result) (float64, string) {
		share := float64(r.Degraded) / float64(max(r.Served+r.Unserved, 1))
		return share, fmt.Sprintf("%.4f%%", 100*share)
	},
	"converged": func(r *Result) (float64, string) { return r.Converged, fmt.Sprintf("%.0fs", r.Converged) },
}

// judge compares what came with what was expected.
func (s *Scenario) judge(r *Result) {
	for _, e := range s.expected {
		value, ok := e.judge(r)
		line := fmt.Sprintf("%s: %s", e.text, value)
		r.Expected = append(r.Expected, line)
		if !ok {
			r.Failed = append(r.Failed, line)
		}
	}
}
