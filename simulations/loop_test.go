package simulations

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLoopOrder: tasks run in the order of their time and their making, however
// far ahead they were made, and those made by others too.
func TestLoopOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l loop
		var ran []task
		delay := rapid.Custom(func(t *rapid.T) time.Duration {
			most := rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 3 * slotsAhead * slotWidth}).Draw(t, "most")
			return time.Duration(rapid.Int64Range(-1, int64(most)).Draw(t, "delay"))
		})
		left := rapid.IntRange(1, 200).Draw(t, "tasks")
		var add func()
		add = func() {
			if left == 0 {
				return
			}
			left--
			mine := task{at: max(l.now+delay.Draw(t, "after"), l.now), made: l.made + 1}
			l.at(mine.at, func() {
				if l.now != mine.at {
					t.Fatalf("a task of %s runs at %s", mine.at, l.now)
				}
				ran = append(ran, mine)
				for range rapid.IntRange(0, 2).Draw(t, "more") {
					add()
				}
			})
		}
		for left > 0 {
			add()
			end := l.now + delay.Draw(t, "end")
			for l.due(end) < end && l.step(end) {
			}
			l.now = max(l.now, end)
		}
		for l.step(1 << 62) {
		}
		if !slices.IsSortedFunc(ran, func(a, b task) int {
			if a.before(b) {
				return -1
			}
			return 1
		}) || uint64(len(ran)) != l.made {
			t.Fatalf("%d tasks of %d ran, or in another order: %v", len(ran), l.made, ran)
		}
	})
}
