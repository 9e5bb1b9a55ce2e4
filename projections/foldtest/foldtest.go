// Package foldtest runs scripts over the folds of views: events above, the view
// as a table below, as often as one likes in a file.
//
//	# a comment
//	site/S1 SiteCreated {"site":"S1","name":"blog","framework":"wordpress"}
//	= dev-blog.test not_initialized
//
// A line of an event is one commit: its stream, the event's name, its payload
// as JSON, in which members may be missing; further events of the commit follow
// behind " + ". Identifiers are short: S1 a site's, E1 an account's, W1 a workflow's, U1 an upstream's,
// T1 a token's (UUIDs); D1, H1, B1 of DROPs, hosts and bindings (32 digits).
// The table shows them short again. Commit n is one minute after commit n-1,
// so "00:03" in a table is the third one's time.
package foldtest

import (
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pantheon/events"
)

var update = flag.Bool("update", false, "write the tables of the scripts again")

// State is a view's state, as package projections wants it.
type State[S any] interface {
	Apply(events.Envelope) S
	Edit() S
	Seal() S
	Save() iter.Seq2[[]byte, error]
	Load(iter.Seq2[[]byte, error]) (S, error)
}

// Run runs every script of the pattern. Beside comparing tables it checks after
// each that no older state has changed, that folding in place gives the same,
// and that the state can be saved and loaded and then goes on as before.
func Run[S State[S]](t *testing.T, pattern string, empty S, table func(S) []string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			runScript(t, file, &view[S]{t: t, empty: empty, state: empty, inPlace: empty.Edit(), table: table})
		})
	}
}

// view is the state of one script, folded in three ways.
type view[S State[S]] struct {
	t       *testing.T
	table   func(S) []string
	empty   S
	state   S
	inPlace S
	older   []S
	tables  []string // of older
}

func (v *view[S]) text(s S) string { return Short(strings.Join(v.table(s), "\n")) }

func (v *view[S]) apply(envelope events.Envelope) {
	v.state = v.state.Apply(envelope)
	v.inPlace = v.inPlace.Apply(envelope)
	v.older, v.tables = append(v.older, v.state), append(v.tables, v.text(v.state))
}

// check gives the table's lines.
func (v *view[S]) check() []string {
	v.t.Helper()
	for i := range v.older {
		if got := v.text(v.older[i]); got != v.tables[i] {
			v.t.Fatalf("the state of commit %d has changed from\n%s\nto\n%s", i+1, v.tables[i], got)
		}
	}
	want := v.text(v.state)
	if got := v.text(v.inPlace); got != want {
		v.t.Fatalf("folded in place it is\n%s\nelse\n%s", got, want)
	}
	loaded, err := v.empty.Load(v.state.Save())
	if err != nil {
		v.t.Fatal(err)
	}
	if got := v.text(loaded); got != want {
		v.t.Fatalf("saved and loaded it is\n%s\nelse\n%s", got, want)
	}
	v.inPlace = loaded.Edit()
	if want == "" {
		return []string{"(nothing)"}
	}
	return strings.Split(want, "\n")
}

func runScript[S State[S]](t *testing.T, file string, view *view[S]) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{tips: map[events.StreamID]events.Revision{}}
	var out, want []string
	check := func(line int) {
		if want == nil {
			return
		}
		got := view.check()
		for i := range got {
			got[i] = strings.TrimRight("= "+got[i], " ")
		}
		if !*update && strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:%d: the view is\n%s\nwant\n%s", file, line, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		out, want = append(out, got...), nil
	}
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		if strings.HasPrefix(line, "=") {
			want = append(want, line)
			continue
		}
		check(i)
		out = append(out, line)
		envelope, err := s.parse(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
		if envelope != nil {
			view.apply(*envelope)
		}
	}
	check(len(out))
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type script struct {
	position events.Position
	tips     map[events.StreamID]events.Revision
}

// Start is the time of position 0 in a script.
var Start = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)

func (s *script) parse(line string) (*events.Envelope, error) {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil, nil
	}
	parts := strings.SplitN(long(line), " ", 2)
	if len(parts) != 2 {
		return nil, fmt.Errorf("%q is no stream and events", line)
	}
	stream, err := events.ParseStreamID(parts[0])
	if err != nil {
		return nil, err
	}
	s.position++
	previous := ""
	if s.tips[stream] > 0 {
		previous = strings.Repeat("ab", 32)
	}
	s.tips[stream]++
	at := Start.Add(time.Duration(s.position) * time.Minute)
	wire := fmt.Sprintf(`{"format":1,"stream":%q,"revision":%d,"previous":%q,"command":"c","principal":"account/%s","time":%q}`,
		stream, s.tips[stream], previous, long("E9"), at.Format(time.RFC3339)) + "\n"
	for _, event := range strings.Split(parts[1], " + ") {
		name, payload, _ := strings.Cut(strings.TrimSpace(event), " ")
		if payload == "" {
			payload = "{}"
		}
		wire += name + " 1 " + payload + "\n"
	}
	envelope, err := events.Decode([]byte(wire))
	if err != nil {
		return nil, err
	}
	envelope.Position = s.position
	return &envelope, nil
}

var (
	shortID = regexp.MustCompile(`\b[SEWUTDHB][1-9]\b`)
	longID  = regexp.MustCompile(`[0-9a-f]{8}-0000-4000-8000-0000000000[0-9]{2}|[0-9a-f]{31}[1-9]`)
)

const uuidKinds, hexKinds = "SEWUT", "DHB"

// long gives the identifier that a short one stands for, in a whole text.
func long(text string) string {
	return shortID.ReplaceAllStringFunc(text, func(short string) string {
		if k := strings.IndexByte(uuidKinds, short[0]); k >= 0 {
			return fmt.Sprintf("%08x-0000-4000-8000-0000000000%02s", 0xa0+k, short[1:])
		}
		return fmt.Sprintf("%031x%s", 0xd0+strings.IndexByte(hexKinds, short[0]), short[1:])
	})
}

// Short replaces identifiers by the short ones of scripts.
func Short(text string) string {
	return longID.ReplaceAllStringFunc(text, func(id string) string {
		var k int
		digit := id[len(id)-1:]
		if len(id) == 36 {
			if _, err := fmt.Sscanf(id[:8], "%x", &k); err != nil || k < 0xa0 || k-0xa0 >= len(uuidKinds) {
				return id
			}
			return uuidKinds[k-0xa0:k-0xa0+1] + digit
		}
		if _, err := fmt.Sscanf(id[:31], "%x", &k); err != nil || k < 0xd0 || k-0xd0 >= len(hexKinds) {
			return id
		}
		return hexKinds[k-0xd0:k-0xd0+1] + digit
	})
}

// Clock shows a time of a script as hours and minutes, "-" for none.
func Clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04")
}
