package simulations

import (
	"strings"
	"testing"
	"time"

	"pantheon/events/problem"
	"pantheon/simulations/scenarios"
)

// TestScenarios runs each scenario that comes with the program, in a smaller
// cell; what it expects has to come.
func TestScenarios(t *testing.T) {
	for _, name := range ScenarioNames() {
		t.Run(name, func(t *testing.T) {
			s, err := FindScenario(name)
			if err != nil {
				t.Fatal(err)
			}
			if s.Title == "" || s.Hosts == 0 || s.Sites == 0 || s.Duration == 0 || len(s.expected) == 0 {
				t.Errorf("the scenario lacks a title, a size or an expectation: %+v", s)
			}
			r := run(t, Options{Seed: 7, Hosts: s.Hosts, Sites: s.Sites / 10, Duration: s.Duration, Scenario: s})
			report(t, r)
			if r.Served == 0 || r.Undecided > 0 {
				t.Errorf("%d requests served, %d parts of histories undecided", r.Served, r.Undecided)
			}
			for _, line := range r.Failed {
				t.Error(line)
			}
			t.Log(strings.Join(r.Expected, "; "))
		})
	}
}

func TestScenarioMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"hosts none":                           "no number",
		"hosts 0":                              "no number",
		"sites":                                "one number",
		"for ever":                             "no duration",
		"faults some":                          "none or drawn",
		"at 1h":                                "a step is written",
		"at noon crash host 1":                 "no duration",
		"at 1h explode host 1":                 "is no step",
		"at 1h crash host":                     "is missing",
		"at 1h crash host 0":                   "is no number of a host",
		"at 1h crash hosts 5-1":                "is no number of a host",
		"at 1h crash host 1 for":               "duration is missing",
		"at 1h crash host 1 for 1h again":      "one word too many",
		"at 1h log jam":                        "none of outage",
		"at 1h crowd site 1 x many":            "no factor",
		"at 1h operators":                      "every 2s",
		"at 1h lose":                           "is missing",
		"at 1h lose host":                      "is missing",
		"at 1h traffic 10":                     "is not x",
		"at 1h traffic x-1":                    "no factor",
		"at 1h cut host 1 log":                 "is not to",
		"at 1h cut host 1 to":                  "is missing",
		"at 1h clock host 1":                   "nodes have",
		"at 1h crash router 4":                 "is no number of a router",
		"expect unserved <= 200%":              "no share from 0% to 100%",
		"expect unserved <= 5":                 "is a share",
		"expect p99 <= nan":                    "is no bound",
		"expect moves >= inf":                  "is no bound",
		"expect unserved < 1":                  "is written",
		"expect luck >= 1":                     "cannot be expected",
		"expect p99 <= soon":                   "no duration",
		"once upon a time":                     "is no word of a scenario",
		strings.Repeat("# long\n", 1<<14):      "longer than",
		"at 1h crash host 1\nat 1h fly host 1": "line 2",
	} {
		_, err := ParseScenario("test", strings.NewReader(text))
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want …%s…", text, err, want)
		}
	}
	if _, err := FindScenario("doomsday"); problem.KindOf(err) != problem.NotFound || problem.HintOf(err) == "" {
		t.Errorf("a scenario that is not there: %v", err)
	}
	s, err := ParseScenario("test", strings.NewReader("at 1h crash host 4"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Options{Seed: 1, Hosts: 3, Sites: 1, Duration: 2 * time.Hour, Scenario: s}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a step with host 4 of 3: %v", err)
	}
}

func FuzzScenario(f *testing.F) {
	for _, name := range ScenarioNames() {
		s, err := FindScenario(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Title)
	}
	f.Add("at 1h crash hosts 1-5 for 12h\nexpect p99 <= 2s\nat 1d operators every 1s")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseScenario("fuzz", strings.NewReader(text)); err == nil {
			for _, step := range s.steps {
				if step.at < 0 || step.run == nil {
					t.Errorf("a step at %s", step.at)
				}
			}
		} else if problem.KindOf(err) != problem.Invalid && !strings.Contains(err.Error(), "token too long") {
			t.Errorf("%v", err)
		}
	})
}

// TestGrammarIsWhole: what people are told of how scenarios are written has
// every step and everything that can be expected.
func TestGrammarIsWhole(t *testing.T) {
	for word := range verbs {
		if !strings.Contains(scenarios.Grammar, " "+word+" ") {
			t.Errorf("the grammar says nothing of %q", word)
		}
	}
	for word := range measures {
		if !strings.Contains(strings.ReplaceAll(scenarios.Grammar, ",", ""), " "+word) {
			t.Errorf("the grammar does not say that %q can be expected", word)
		}
	}
}

// TestScenarioOfWhatIsNotThere: a step that names what the cell lacks is refused
// before anything runs.
func TestScenarioOfWhatIsNotThere(t *testing.T) {
	for line, want := range map[string]string{
		"at 1h crash host 6":          "it names host 6 of 5",
		"at 1h crowd site 11 x 10":    "it names site 11 of 10",
		"at 1h crash router 3":        "it names node or router 3 of 2",
		"at 1h crash node 3 for 1m":   "it names node or router 3 of 2",
		"at 30h crash host 1 for 10m": "it begins after the end",
	} {
		s := &Scenario{Name: "test"}
		if err := s.Add(line); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Options{Seed: 1, Hosts: 5, Sites: 10, Duration: 24 * time.Hour, Scenario: s})
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
