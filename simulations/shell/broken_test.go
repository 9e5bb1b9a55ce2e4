package shell_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors"
	"pantheon/actors/name"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/simulations"
	"pantheon/simulations/shell"
)

// TestBrokenActorsAreFound: the checkers notice at this level too. Machines are
// the first level's own code; what is broken there is looked for there.
func TestBrokenActorsAreFound(t *testing.T) {
	for _, broken := range []struct {
		what  string
		rules string // one of them notices
		world simulations.Seams
		shell actors.Seams
	}{
		{"a name's actor gives it to whoever asks", "names liveness", simulations.Seams{}, actors.Seams{Decide: takenName}},
		{"a DROP's actor forgets where it is", "placement ready liveness", simulations.Seams{}, actors.Seams{Evolve: forgetful}},
	} {
		t.Run(broken.what, func(t *testing.T) {
			const seeds = 25
			for seed := range uint64(seeds) {
				cell := simulations.Options{Seed: seed + 1, Hosts: 4, Sites: 24, Duration: 4 * time.Hour, Seams: broken.world}
				r := run(t, cell, shell.Options{Seams: broken.shell})
				if r.Violation == nil {
					continue
				}
				if !strings.Contains(broken.rules, r.Violation.Rule) {
					t.Errorf("seed %d: rule %s noticed, not one of %s: %s", r.Seed, r.Violation.Rule, broken.rules, r.Violation.Text)
				}
				t.Logf("seed %d: %s: %s", r.Seed, r.Violation.Rule, r.Violation.Text)
				return
			}
			t.Errorf("not found within %d seeds", seeds)
		})
	}
}

func takenName(production actors.Decide) actors.Decide {
	return func(state, command any) ([]events.Event, error) {
		if _, claiming := command.(name.Claim); claiming {
			state = name.State{}
		}
		return production(state, command)
	}
}

func forgetful(production actors.Evolve) actors.Evolve {
	return func(state any, event events.Event) any {
		if _, placed := event.(events.DropPlaced); placed {
			return state
		}
		return production(state, event)
	}
}

// crashes makes actors panic: one in a hundred decisions and folds at any
// time, and for a while every fold of one kind of event.
type crashes struct {
	mu     sync.Mutex
	random *rand.Rand
	began  time.Time
	until  time.Duration
}

func (c *crashes) now(one int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.began) < c.until && c.random.IntN(one) == 0
}

func (c *crashes) decide(production actors.Decide) actors.Decide {
	return func(state, command any) ([]events.Event, error) {
		if c.now(100) {
			panic("a decision")
		}
		return production(state, command)
	}
}

func (c *crashes) evolve(production actors.Evolve) actors.Evolve {
	return func(state any, event events.Event) any {
		at := time.Since(c.began)
		_, placed := event.(events.DropPlaced)
		if c.now(100) || placed && at > 20*time.Minute && at < 30*time.Minute {
			panic("a fold")
		}
		return production(state, event)
	}
}

// TestActorsCrash: whatever panics in an actor ends commands with an error and
// nothing else; what was asked for comes about all the same. For ten minutes
// the streams of DROPs cannot be read at all.
func TestActorsCrash(t *testing.T) {
	for seed := range seedsOf(3) {
		c := &crashes{random: rand.New(rand.NewPCG(uint64(seed), 2)), until: time.Hour}
		cell := simulations.Options{Seed: uint64(seed + 1), Hosts: 3, Sites: 20, Duration: 2 * time.Hour, Seams: simulations.Seams{CalmAfter: c.until}}
		r := runWith(t, cell, func() shell.Options {
			c.began = time.Now() // the bubble's
			return shell.Options{Bounds: shell.DrawBounds(cell.Seed), Seams: actors.Seams{Decide: c.decide, Evolve: c.evolve}}
		})
		report(t, r)
		if r.Happened["actor crashed"] == 0 || r.Happened["converged"] != 1 {
			t.Errorf("seed %d: %d actors crashed, converged %d times", r.Seed, r.Happened["actor crashed"], r.Happened["converged"])
		}
		t.Logf("%d actors crashed, %d commits, converged in %.0fs", r.Happened["actor crashed"], r.Commits, r.Converged)
	}
}

// TestOptionsAreChecked: seams of the twins are no seams of this level.
func TestOptionsAreChecked(t *testing.T) {
	cell := simulations.Options{Seed: 1, Hosts: 1, Sites: 1, Duration: time.Hour}
	if _, err := shell.Run(t.Context(), cell, shell.Options{}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("without Quiesce: %v", err)
	}
	cell.Seams.Decide = func(production actors.Decide) actors.Decide { return production }
	if _, err := shell.Run(t.Context(), cell, shell.Options{Quiesce: func() {}}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("with a seam of the twins: %v", err)
	}
	cell.Seams.Decide, cell.Past = nil, &simulations.Past{}
	if _, err := shell.Run(t.Context(), cell, shell.Options{Quiesce: func() {}}); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "begin with an empty one") {
		t.Errorf("with a past: %v", err)
	}
}
