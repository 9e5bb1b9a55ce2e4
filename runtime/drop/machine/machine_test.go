package machine

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the scripts' results anew")

// TestScripts runs testdata/*.txtar: "when" holds one input a line,
// "<seconds> <input> [argument]", and "then" what follows it: the phase and
// the effects. Run with -update to write "then" anew.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(archive.Files[0].Data))
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "then", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(archive.Files[1].Data); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

var epoch = time.Unix(0, 0)

func runScript(t *testing.T, when string) string {
	t.Helper()
	var out strings.Builder
	state := State{}
	for line := range strings.Lines(when) {
		at, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		second, err := strconv.ParseFloat(at, 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		var effects []Effect
		state, effects = Step(state, parseInput(t, rest), epoch.Add(time.Duration(second*float64(time.Second))))
		fmt.Fprintf(&out, "%s → %s", strings.TrimSpace(line), state.Phase)
		for _, e := range effects {
			fmt.Fprintf(&out, ", %s", describe(e))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func parseInput(t *testing.T, text string) Input {
	t.Helper()
	word, argument, _ := strings.Cut(text, " ")
	number, _ := strconv.Atoi(argument)
	switch word {
	case "prepare-began":
		return PrepareBegan{}
	case "prepared":
		return Prepared{number, 60 * time.Second}
	case "prepare-failed":
		return PrepareFailed{number, "disk full"}
	case "wake":
		return WakeRequested{cmp.Or(argument, "http")}
	case "abandon":
		return WaitAbandoned{}
	case "done":
		return RequestDone{}
	case "started":
		return Started{}
	case "start-failed":
		return StartFailed{"exit status 78"}
	case "exited":
		return Exited{"signal: killed"}
	case "idle-check":
		return IdleCheck{}
	case "sleep":
		return SleepOrdered{argument}
	case "adopted":
		return Adopted{number, 60 * time.Second}
	}
	t.Fatalf("unknown input %q", text)
	return nil
}

func describe(e Effect) string {
	switch e := e.(type) {
	case CheckIdle:
		return fmt.Sprintf("check idle at %v", e.At.Sub(epoch).Seconds())
	case Report:
		text := fmt.Sprintf("%T%+v", e.Fact, e.Fact)
		return strings.NewReplacer("events.", "", "Drop: Host: ", "").Replace(text)
	case Refuse:
		return fmt.Sprintf("refuse %q for %v", e.Reason, e.RetryAfter)
	case Dismiss:
		return fmt.Sprintf("dismiss %q", e.Reason)
	default:
		return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", e), "machine."))
	}
}

// world is what a driver has: at most one process, on its way up or down.
type world struct{ process, starting, stopping bool }

// input draws something that can happen in the world; nil is nothing.
func (w *world) input(t *rapid.T, s State) Input {
	switch rapid.IntRange(0, 9).Draw(t, "input") {
	case 0:
		return Prepared{rapid.IntRange(1, 3).Draw(t, "generation"), time.Minute}
	case 1:
		return PrepareBegan{}
	case 2, 3:
		return WakeRequested{"http"}
	case 4:
		if s.Serving > 0 {
			return RequestDone{}
		}
		return nil
	case 5:
		return SleepOrdered{"operator"}
	case 6:
		return IdleCheck{}
	}
	switch {
	case w.starting && rapid.Bool().Draw(t, "starts"):
		w.starting, w.process = false, true
		return Started{}
	case w.starting:
		w.starting = false
		return StartFailed{"no"}
	case w.process:
		w.process, w.stopping = false, false
		return Exited{"gone"}
	}
	return nil
}

// perform carries out effects and counts the answers among them.
func (w *world) perform(t *rapid.T, effects []Effect) (answers int) {
	for _, e := range effects {
		switch e.(type) {
		case Start:
			if w.process || w.starting {
				t.Fatal("a second process")
			}
			w.starting = true
		case Stop:
			if !w.process || w.stopping {
				t.Fatal("a stop without a process")
			}
			w.stopping = true
		case Admit, Hold, Refuse:
			answers++
		case CheckIdle, Report, Dismiss:
		}
	}
	return answers
}

// TestProperties drives the machine with everything in any order, and holds it
// to what the package promises.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, w := epoch, State{}, world{}
		for range 100 {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			in := w.input(t, s)
			if in == nil {
				continue
			}
			before := s
			var effects []Effect
			s, effects = Step(s, in, now)
			answers := w.perform(t, effects)
			if _, wake := in.(WakeRequested); wake != (answers == 1) || answers > 1 {
				t.Fatalf("%T had %d answers", in, answers)
			}
			if _, check := in.(IdleCheck); check && s.Phase == Stopping && before.Phase == Awake && before.Serving > 0 {
				t.Fatal("it slept under a request")
			}
			if s.Waiting > 0 && s.Phase != Starting && s.Phase != Stopping {
				t.Fatalf("requests wait for nothing: %+v", s)
			}
			if (s.Phase == Starting) != w.starting || (s.Phase == Awake || s.Phase == Stopping) != w.process {
				t.Fatalf("phase and process differ: %+v after %T", s, in)
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
	for i, w := range want {
		if got := backoff(i + 1); got != w*time.Second {
			t.Errorf("after %d failures: %v, want %v s", i+1, got, w)
		}
	}
	if backoff(1_000_000) != MaxRetry {
		t.Error("no bound")
	}
}
