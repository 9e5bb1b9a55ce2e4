package simulations

import (
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// lived simulates a quiet cell and gives its log: the log of a real one, as far
// as a simulation can tell. Steps are what its operators did.
func lived(t *testing.T, hosts, sites int, hours time.Duration, steps ...string) []events.Envelope {
	t.Helper()
	s := &Scenario{}
	if err := s.Add(steps...); err != nil {
		t.Fatal(err)
	}
	w, r, err := simulate(t.Context(), Options{Seed: 11, Hosts: hosts, Sites: sites, Duration: hours * time.Hour,
		Scenario: s, VisitsPerSiteHour: 3}.resolved())
	if err != nil || !r.OK() {
		t.Fatal(err, r)
	}
	return w.log.all
}

func each(log []events.Envelope) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for _, envelope := range log {
			if !yield(envelope, nil) {
				return
			}
		}
	}
}

func pastOf(t *testing.T, log []events.Envelope, until Moment) *Past {
	t.Helper()
	past, err := ReadPast(each(log), until)
	if err != nil {
		t.Fatal(err)
	}
	return past
}

func asked(t *testing.T, past *Past, steps ...string) *Result {
	t.Helper()
	s := &Scenario{Name: "test"}
	if err := s.Add(steps...); err != nil {
		t.Fatal(err)
	}
	r := run(t, Options{Seed: 5, Duration: 4 * time.Hour, Past: past, Scenario: s})
	report(t, r)
	if r.Violation == nil {
		t.Logf("%s:\n%s", strings.Join(steps, "; "), strings.Join(r.Answer.Lines, "\n"))
	}
	return r
}

// TestWhatIf asks a cell of four machines what would become of it.
func TestWhatIf(t *testing.T) {
	log := lived(t, 4, 40, 12, "at 4h scale all 2 over 1h") // the second ones are not beside their data
	past := pastOf(t, log, Moment{})
	before := len(log)

	// Nothing happens: it goes on as it is, and the figures are the same.
	calm := asked(t, past)
	a := calm.Answer
	if !a.OK || a.With != a.Without || len(a.Moves)+len(a.Homeless)+len(a.Bereft) > 0 || calm.Served == 0 {
		t.Errorf("a cell that goes on: %+v", a)
	}

	// A machine dies: what its services held is gone, DROPs beside that stay
	// with it, the others move.
	lost := asked(t, past, "at 1h lose host busiest").Answer
	if lost.OK || len(lost.Bereft) == 0 || len(lost.Moves) == 0 || len(lost.Homeless) > 0 || !strings.HasPrefix(lost.Lines[0], "no") {
		t.Errorf("a machine that dies: %+v", lost)
	}
	var gone HostAnswer
	for _, h := range lost.Hosts {
		if h.Gone {
			gone = h
		}
	}
	if len(lost.Moves) == 0 || gone.Drops == 0 || len(lost.Moves)+gone.Drops != gone.DropsBefore {
		t.Errorf("%d moves from %+v", len(lost.Moves), gone)
	}
	for _, move := range lost.Moves {
		if move.From != gone.Name || move.To == gone.Name || move.AwaySeconds < lease.Seconds()-2 || move.AwaySeconds > 60 {
			t.Errorf("%+v", move)
		}
	}

	// All but one are drained: there is room, because what sleeps is small.
	drained := asked(t, past, "at 30m drain hosts host-001,3-4").Answer
	if len(drained.Homeless) > 0 || len(drained.Drained) != 3 || drained.With.Unserved > drained.Without.Unserved || drained.Drained[0].Drops == 0 || drained.Drained[0].Left > 0 || drained.Hosts[0].Drops+drained.Hosts[2].Drops+drained.Hosts[3].Drops > 0 {
		t.Errorf("three machines of four are drained: %+v", drained)
	}

	// Ten times the traffic.
	busy := asked(t, past, "at 0s traffic x10").Answer
	if got := busy.With.PerHour / busy.Without.PerHour; got < 7 || got > 13 {
		t.Errorf("ten times the traffic is %.1f times", got)
	}
	if len(past.commits) != before || past.position != events.Position(before) {
		t.Error("the past was changed")
	}
	if text, err := json.Marshal(busy); err != nil || !strings.Contains(string(text), `"starts_refused_for_memory":0`) {
		t.Errorf("%v %s", err, text)
	}
	again := asked(t, past, "at 1h lose host busiest")
	if once := asked(t, past, "at 1h lose host busiest"); again.Hash != once.Hash || again.Again() != once.Again() {
		t.Errorf("the same question has the traces %s and %s", again.Hash, once.Hash)
	}
}

// TestPastOfEveryPosition: a world can go on from the middle of anything,
// workflows and moves under way included.
func TestPastOfEveryPosition(t *testing.T) {
	w, r, err := simulate(t.Context(), Options{Seed: 3, Hosts: 3, Sites: 12, Duration: 2 * time.Hour})
	if err != nil || r.Violation != nil {
		t.Fatal(err, r.Violation)
	}
	log := w.log.all
	for at := len(log) / 7; at < len(log); at += len(log) / 7 {
		past := pastOf(t, log, Moment{Position: events.Position(at)})
		r := run(t, Options{Seed: uint64(at), Duration: 30 * time.Minute, Past: past})
		report(t, r)
		if r.Violation == nil && r.Answer.Open != "" {
			t.Errorf("from position %d: %s", at, r.Answer.Open)
		}
	}
}

// TestTrafficIsEstimated: from what woke and what slept follows roughly how
// many requests there were.
func TestTrafficIsEstimated(t *testing.T) {
	for _, perHour := range []float64{0.3, 3} {
		w, r, err := simulate(t.Context(), Options{Seed: 2, Hosts: 4, Sites: 60, Duration: 5 * 24 * time.Hour,
			Scenario: &Scenario{}, VisitsPerSiteHour: perHour}.resolved())
		if err != nil || !r.OK() {
			t.Fatal(err, r)
		}
		past := pastOf(t, w.log.all, Moment{})
		estimated := 0.0
		for _, s := range past.sites {
			if !s.measured {
				t.Errorf("nothing is known of %s", s.env.SiteName)
			}
			estimated += s.perHour
		}
		estimated /= float64(len(past.sites))
		if math.Abs(math.Log(estimated/perHour)) > math.Log(2) {
			t.Errorf("%.2f requests an hour are taken for %.2f", perHour, estimated)
		}
	}
	if rate := stayingAwake(3600*3, 3600) * 3600; math.Abs(math.Expm1(rate)/rate-3) > 1e-6 {
		t.Errorf("a DROP that stays awake for three times its idle time has %f requests in it", rate)
	}
}

// TestPastMistakes: what cannot be gone on from is refused in one line.
func TestPastMistakes(t *testing.T) {
	log := lived(t, 2, 5, 1)
	newer := slices.Clone(log)
	newer[7].Events = []events.Event{events.Unknown{Name: "HostLevitated", Version: 3}}
	hostless := slices.DeleteFunc(slices.Clone(log), func(e events.Envelope) bool { return e.Stream.Kind == events.KindHost })
	broken := func(yield func(events.Envelope, error) bool) {
		yield(events.Envelope{}, problem.New(problem.Conflict, "the file ends too early"))
	}
	for want, test := range map[string]struct {
		log   iter.Seq2[events.Envelope, error]
		until Moment
	}{
		"the log ends at":                        {each(log), Moment{Position: 1 << 30}},
		"it has no commit":                       {each(log), Moment{Time: time.Unix(0, 0)}},
		"it has 0 hosts":                         {each(hostless), Moment{}},
		"position 8 holds HostLevitated version": {each(newer), Moment{}},
		"ends too early":                         {broken, Moment{}},
	} {
		if _, err := ReadPast(test.log, test.until); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
	s := &Scenario{Name: "test"}
	if err := s.Add("at 1h lose host web-9"); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{Seed: 1, Duration: 2 * time.Hour, Past: pastOf(t, log, Moment{}), Scenario: s})
	if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), `there is no host "web-9"`) {
		t.Errorf("a host that is not there: %v", err)
	}
}
