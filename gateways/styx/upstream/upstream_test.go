package upstream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/gateways/styx/upstream"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func drop(i int) events.DropID { return events.DropID(fmt.Sprintf("%032x", i)) }

func targets(n int) []upstream.Target {
	list := make([]upstream.Target, n)
	for i := range list {
		list[i].Drop = drop(i)
	}
	return list
}

type loads map[events.DropID]int

func (l loads) Outstanding(d events.DropID) int { return l[d] }

// Every healthy target once, then a few unhealthy ones, then no more.
func TestOrderOfAttempts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 2*upstream.MaxTargets).Draw(t, "targets")
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 0))
		list := targets(n)
		var memory upstream.Memory
		unhealthy := map[int]bool{}
		for i := range list {
			if random.IntN(3) == 0 {
				memory = memory.Failed(list[i].Drop, start)
			}
		}
		healthy := 0
		for i := range min(n, upstream.MaxTargets) {
			if unhealthy[i] = !memory.Healthy(list[i].Drop, start); !unhealthy[i] {
				healthy++
			}
		}
		var a upstream.Attempts
		tried := map[int]bool{}
		for {
			left := a.Left(list, &memory, start)
			i, ok := a.Next(list, &memory, loads{}, start, random.Uint64())
			if ok != left {
				t.Fatalf("Left said %v, Next %v", left, ok)
			}
			if !ok {
				break
			}
			if tried[i] {
				t.Fatalf("target %d tried twice", i)
			}
			if unhealthy[i] && len(tried) < healthy {
				t.Fatalf("unhealthy target %d tried while healthy ones were left", i)
			}
			tried[i] = true
		}
		want := healthy + min(upstream.MaxUnhealthyTries, min(n, upstream.MaxTargets)-healthy)
		if len(tried) != want {
			t.Fatalf("%d targets tried, want %d", len(tried), want)
		}
	})
}

func TestLessLoadedOfTwoIsChosen(t *testing.T) {
	var memory upstream.Memory
	for seed := range uint64(100) {
		var a upstream.Attempts
		i, _ := a.Next(targets(2), &memory, loads{drop(0): 5, drop(1): 4}, start, rand.New(rand.NewPCG(seed, 1)).Uint64())
		if i != 1 {
			t.Fatalf("seed %d: target %d chosen", seed, i)
		}
	}
}

func TestChoiceIsUniformWhereLoadIs(t *testing.T) {
	var memory upstream.Memory
	random := rand.New(rand.NewPCG(7, 7))
	const n, draws = 5, 50000
	var count [n]int
	list := targets(n)
	for range draws {
		var a upstream.Attempts
		i, _ := a.Next(list, &memory, loads{}, start, random.Uint64())
		count[i]++
	}
	for i, c := range count {
		if c < draws/n*9/10 || c > draws/n*11/10 {
			t.Errorf("target %d was chosen %d times of %d", i, c, draws)
		}
	}
}

func TestFailureIsForgottenAfterTenMinutes(t *testing.T) {
	var empty upstream.Memory
	memory := empty.Failed(drop(1), start)
	if !empty.Healthy(drop(1), start) {
		t.Error("the old value changed")
	}
	for _, c := range []struct {
		after   time.Duration
		healthy bool
	}{{0, false}, {upstream.UnhealthyFor - 1, false}, {upstream.UnhealthyFor, true}} {
		if got := memory.Healthy(drop(1), start.Add(c.after)); got != c.healthy {
			t.Errorf("after %v: healthy %v", c.after, got)
		}
	}
	again := memory.Failed(drop(1), start.Add(upstream.UnhealthyFor/2))
	if again.Healthy(drop(1), start.Add(upstream.UnhealthyFor)) {
		t.Error("a second failure does not extend the first")
	}
	if again.Len() != 1 {
		t.Errorf("%d failures held, want 1", again.Len())
	}
}

func TestFrequentFailuresCostNothing(t *testing.T) {
	memory := upstream.Memory{}.Failed(drop(1), start)
	soon := start.Add(upstream.RefreshAfter - 1)
	if memory.Stale(drop(1), soon) || memory.Failed(drop(1), soon) != memory {
		t.Error("a failure right after another one changed the memory")
	}
	if !memory.Stale(drop(1), start.Add(upstream.RefreshAfter)) || !memory.Stale(drop(2), soon) {
		t.Error("a failure that matters is not asked for")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var memory upstream.Memory
	for i := range 4 * upstream.MaxRemembered {
		memory = memory.Failed(drop(i), start.Add(time.Duration(i)))
	}
	if memory.Len() > upstream.MaxRemembered {
		t.Errorf("%d failures held", memory.Len())
	}
	if last := drop(4*upstream.MaxRemembered - 1); memory.Healthy(last, start.Add(time.Second)) {
		t.Error("the newest failure was forgotten")
	}
	memory = memory.Failed(drop(0), start.Add(time.Hour))
	if memory.Len() > upstream.MaxRemembered {
		t.Errorf("%d failures held", memory.Len())
	}
}

// The rules of CONTRACT.md §3.4.
func TestRetryable(t *testing.T) {
	refused, gateway, elsewhere := upstream.Result{Refused: true}, upstream.Result{Status: 502}, upstream.Result{Status: 560}
	for _, c := range []struct {
		method string
		spent  bool
		result upstream.Result
		want   bool
	}{
		{"GET", false, refused, true},
		{"POST", false, refused, true},
		{"POST", true, refused, false},
		{"GET", true, refused, false},
		{"GET", false, gateway, true},
		{"HEAD", false, elsewhere, true},
		{"OPTIONS", false, elsewhere, true},
		{"GET", true, elsewhere, false},
		{"POST", false, elsewhere, false},
		{"PUT", false, gateway, false},
		{"PATCH", false, gateway, false},
		{"DELETE", false, elsewhere, false},
		{"GET", false, upstream.Result{Status: 500}, false},
		{"GET", false, upstream.Result{Status: 503}, false},
		{"GET", false, upstream.Result{Status: 200}, false},
	} {
		if got := upstream.Retryable(upstream.Request{Method: c.method, BodySpent: c.spent}, c.result); got != c.want {
			t.Errorf("%s, spent %v, after %+v: %v", c.method, c.spent, c.result, got)
		}
	}
}

func TestCountsAgainst(t *testing.T) {
	for status, want := range map[int]bool{200: false, 404: false, 499: false, 500: true, 502: true, 560: true} {
		if got := upstream.CountsAgainst(upstream.Result{Status: status}); got != want {
			t.Errorf("status %d: %v", status, got)
		}
	}
	if !upstream.CountsAgainst(upstream.Result{Refused: true}) {
		t.Error("a refused connection does not count")
	}
}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var memory upstream.Memory
			list, load := targets(n), upstream.Load(loads{})
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				var a upstream.Attempts
				a.Next(list, &memory, load, now, rand.Uint64())
			}
		})
	}
}
