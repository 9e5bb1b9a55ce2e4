package clock

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/projections/foldtest"
)

// table shows every commit, and where the time of each leads.
func table(s State) []string {
	var lines []string
	for b := range s.blocks {
		b.commits(func(p events.Position, at int64) bool {
			moment := time.UnixMilli(at).UTC()
			shown, _ := s.Time(p)
			lines = append(lines, fmt.Sprintf("%d at %s, %s leads to %d", p, foldtest.Clock(shown), foldtest.Clock(moment), s.At(moment)))
			return true
		})
	}
	return lines
}

func TestScripts(t *testing.T) { foldtest.Run(t, "testdata/*.txt", State{}, table) }

type commit struct {
	position events.Position
	second   int
}

func fold(commits []commit, edit bool) State {
	var s State
	if edit {
		s = s.Edit()
	}
	for _, c := range commits {
		s = s.Apply(events.Envelope{Position: c.position, Commit: events.Commit{Meta: events.Meta{Time: time.Unix(int64(c.second), 0)}}})
	}
	return s.Seal()
}

// positionOf is the definition, word by word.
func positionOf(commits []commit, second int) events.Position {
	wrongAt := func(position events.Position) int {
		wrong := 0
		for _, c := range commits {
			if (c.position <= position) != (c.second <= second) {
				wrong++
			}
		}
		return wrong
	}
	best := events.Position(0)
	for _, c := range commits {
		if wrongAt(c.position) < wrongAt(best) {
			best = c.position
		}
	}
	return best
}

func TestAtIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var commits []commit
		position := events.Position(0)
		for range rapid.IntRange(0, 3*blockCommits).Draw(t, "commits") {
			position += events.Position(rapid.IntRange(1, 3).Draw(t, "gap"))
			commits = append(commits, commit{position, rapid.IntRange(0, 40).Draw(t, "second")})
		}
		if rapid.Bool().Draw(t, "mostly ordered") {
			slices.SortFunc(commits[:len(commits)*9/10], func(a, b commit) int { return a.second - b.second })
			for i := range commits {
				commits[i].position = events.Position(i + 1)
			}
		}
		s := fold(commits, rapid.Bool().Draw(t, "in place"))
		second := rapid.IntRange(-1, 41).Draw(t, "asked")
		if got, want := s.At(time.Unix(int64(second), 0)), positionOf(commits, second); got != want {
			t.Fatalf("second %d is at position %d, want %d", second, got, want)
		}
		loaded, err := State{}.Load(s.Save())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commits {
			if at, known := loaded.Time(c.position); !known || at != time.Unix(int64(c.second), 0).UTC() {
				t.Fatalf("position %d is of %s, want second %d", c.position, at, c.second)
			}
		}
	})
}

// Where clocks agree, a time leads to the last commit that is no later; one
// clock that is years ahead or behind moves nothing.
func TestWrongClocksMoveNothing(t *testing.T) {
	var commits []commit
	for i := range 10_000 {
		commits = append(commits, commit{events.Position(i + 1), 1000 + i/2})
	}
	good := fold(commits, true)
	for _, wrong := range []int{1 << 30, -1 << 30} {
		spoilt := slices.Clone(commits)
		for i := 100; i < len(spoilt); i += 100 {
			spoilt[i].second = wrong
		}
		bad := fold(spoilt, true)
		for second := 1001; second < 5_900; second += 97 {
			asked := time.Unix(int64(second), 0)
			want := events.Position(2 * (second - 999))
			if got := good.At(asked); got != want {
				t.Fatalf("second %d leads to %d, want %d", second, got, want)
			}
			// Beside a wrong commit, two places may be as good as each other.
			if got := bad.At(asked); got < want-2 || got > want+2 {
				t.Errorf("with clocks at %d, second %d leads to %d, want %d", wrong, second, got, want)
			}
		}
	}
}

func TestEmpty(t *testing.T) {
	var s State
	_, known := s.Time(7)
	_, any := s.First()
	if s.At(time.Now()) != 0 || known || any {
		t.Error("an empty log has a time")
	}
	s = fold([]commit{{3, 50}}, false)
	if _, known := s.Time(2); known || s.At(time.Unix(49, 0)) != 0 || s.At(time.Unix(50, 0)) != 3 {
		t.Error("before the first commit there is nothing")
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	for _, record := range []string{"", "{}", "[]", `{"first":1,"last":2,"count":2}`, `{"first":1,"last":1,"count":1,"steps":"gA=="}`, `{"first":5,"last":4,"count":1}`} {
		if _, err := (State{}).Load(func(yield func([]byte, error) bool) { yield([]byte(record), nil) }); err == nil {
			t.Errorf("%s was taken", record)
		}
	}
}

// BenchmarkAt asks a log of a million commits, of which every thousandth has a
// wrong clock.
func BenchmarkAt(b *testing.B) {
	var commits []commit
	for i := range 1_000_000 {
		second := i / 3
		if i%1000 == 0 {
			second = 1 << 30
		}
		commits = append(commits, commit{events.Position(i + 1), second})
	}
	s := fold(commits, true)
	bytes := 0
	for block := range s.blocks {
		bytes += len(block.Steps) + 120
	}
	for i := 0; b.Loop(); i++ {
		s.At(time.Unix(int64(i*7919%333_333), 0))
	}
	b.ReportMetric(float64(bytes)/1e6, "B/commit")
}
