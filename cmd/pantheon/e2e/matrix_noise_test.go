package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

const (
	// noiseFor is how long operators act at the pace that a scenario asks for,
	// where the machine is fast enough for it: a command takes a tenth of a second
	// and more.
	noiseFor = 20 * time.Second
	// maxNoise commands by the operators of one step.
	maxNoise = 50
)

// noise has operators act on the sites of the stage and on sites of their own, as
// those of the simulator do; none leaves a site that has visitors without DROPs. It
// is over when the next thing happens.
func (s *stage) noise(every string) (part, error) {
	pace, err := time.ParseDuration(every)
	if err != nil {
		return part{}, err
	}
	return part{
		begin: func(t testing.TB) {
			t.Helper()
			number := rand.Uint64()
			t.Logf("the operators' seed is %d", number)
			o := &noisy{stage: s, random: rand.New(rand.NewPCG(number, 0)), own: map[string]bool{}}
			breath := time.NewTicker(pace)
			defer breath.Stop()
			for range min(maxNoise, int(noiseFor/pace)) {
				o.act(t)
				<-breath.C
			}
			o.leave(t)
		},
	}, nil
}

// noisy are operators.
type noisy struct {
	*stage
	random *rand.Rand
	own    map[string]bool // sites that they have made
	made   int
}

// act is one command. It is taken where it should be and refused where it has to be;
// what cannot be answered counts as a failure of commands.
func (o *noisy) act(t testing.TB) {
	t.Helper()
	environment := o.sites[o.random.IntN(len(o.sites))] + ".dev"
	switch n := o.random.IntN(100); {
	case n < 5:
		for name := range o.own {
			o.takes(t, "site", "delete", name, "--yes")
			delete(o.own, name)
			break
		}
	case n < 10:
		o.made++
		name := fmt.Sprintf("noise-%d", o.made)
		o.own[name] = true
		o.takes(t, "site", "create", name, "--upstream", "scene")
	case n < 20:
		o.takes(t, "env", "set", environment, "--idle-after", fmt.Sprintf("%dm", 10+o.random.IntN(120)))
	case n < 35:
		o.takes(t, "env", "set", environment, "--workers", strconv.Itoa(2+o.random.IntN(6)))
	case n < 45:
		o.takes(t, "env", "set", environment, "--memory-mib", strconv.Itoa(128*(1+o.random.IntN(3))))
	case n < 60:
		o.takes(t, "env", "scale", environment, strconv.Itoa(1+o.random.IntN(stageHosts)), "--no-wait")
	case n < 66:
		o.takes(t, "env", "wake", environment)
	case n < 72:
		o.takes(t, "env", "sleep", environment)
	default:
		o.mistakes(t, environment)
	}
}

// mistakes is a command that has to be refused.
func (o *noisy) mistakes(t testing.TB, environment string) {
	t.Helper()
	one := [][]string{
		{"65", "site", "create", o.sites[0], "--upstream", "scene"},
		{"66", "site", "delete", "nobody-has-this", "--yes"},
		{"66", "env", "wake", "nobody-has-this.dev"},
		{"64", "env", "set", environment, "--workers", "-1"},
		{"64", "env", "scale", environment, "many"},
		{"66", "site", "create", "noise-of-nothing", "--upstream", "nobody-has-this"},
	}
	mistake := one[o.random.IntN(len(one))]
	if r := o.asked.run(mistake[1:]...); !o.failed(r) && strconv.Itoa(r.code) != mistake[0] {
		t.Errorf("pantheon %v: exit code %d, want %s\n%s%s", mistake[1:], r.code, mistake[0], r.out, r.said)
	}
}

func (o *noisy) takes(t testing.TB, args ...string) {
	t.Helper()
	if r := o.asked.run(args...); !o.failed(r) && r.code != 0 {
		t.Errorf("pantheon %v: exit code %d\n%s%s", args, r.code, r.out, r.said)
	}
}

// failed books a command that could not be answered.
func (o *noisy) failed(r ran) bool {
	if r.code != 69 && r.code != 75 {
		return false
	}
	o.audience.mu.Lock()
	defer o.audience.mu.Unlock()
	o.audience.seen.Commands.Failed++
	o.audience.refused = append(o.audience.refused, r.said)
	return true
}

// leave takes away what they have made, and gives the sites of the stage what they
// had.
func (o *noisy) leave(t testing.TB) {
	t.Helper()
	for name := range o.own {
		o.takes(t, "site", "delete", name, "--yes")
	}
	for _, name := range o.sites {
		o.takes(t, "env", "set", name+".dev", "--workers", "4", "--memory-mib", "256", "--idle-after", "15m")
	}
}
