package actortest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/txtar"

	"pantheon/events"
	"pantheon/events/problem"
)

var update = flag.Bool("update", false, "write the then sections of scenarios anew")

// Actor is what is tested: a decider and a fold, and one value of each command
// type.
type Actor[S, C any] struct {
	Stream   events.StreamID // any of the kind
	Decide   func(S, C) ([]events.Event, error)
	Evolve   func(S, events.Event) S
	Commands []C
}

// Scenarios runs every *.txtar of testdata.
func (a Actor[S, C]) Scenarios(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { a.scenario(t, file) })
	}
}

func (a Actor[S, C]) scenario(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var state S
	names := strings.NewReplacer()
	var back []string
	var got string
	for i := range archive.Files {
		section := &archive.Files[i]
		text := names.Replace(string(section.Data))
		switch section.Name {
		case "let":
			names, back = let(t, text)
		case "given":
			for _, event := range parseEvents(t, a.Stream, text) {
				state = a.Evolve(state, event)
			}
		case "when":
			decided, err := a.Decide(state, parseCommand(t, a.Commands, text))
			for _, event := range decided {
				state = a.Evolve(state, event)
			}
			got = outcome(t, a.Stream, decided, err)
		case "then":
			if want := canonical(t, a.Stream, text); want != got && !*update {
				t.Errorf("%s, section %d:\nwhen %sgot  %swant %s", file, i+1, archive.Files[i-1].Data, got, want)
			}
			section.Data = []byte(strings.NewReplacer(back...).Replace(got))
		default:
			t.Fatalf("%s has a section %q", file, section.Name)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// let reads abbreviations, and gives the way back too: values to $names, the
// longest value first.
func let(t *testing.T, text string) (*strings.Replacer, []string) {
	var there [][2]string
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			t.Fatalf("let %q is not name=value", line)
		}
		// A value may use names above it.
		for _, known := range there {
			value = strings.ReplaceAll(value, known[0], known[1])
		}
		there = append(there, [2]string{"$" + name, value})
	}
	slices.SortStableFunc(there, func(a, b [2]string) int { return len(b[1]) - len(a[1]) })
	var forth, back []string
	for _, pair := range there {
		back = append(back, pair[1], pair[0])
	}
	slices.SortStableFunc(there, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	for _, pair := range there {
		forth = append(forth, pair[0], pair[1])
	}
	return strings.NewReplacer(forth...), back
}

// parseCommand reads "<type> <JSON object>", or the type alone.
func parseCommand[C any](t *testing.T, commands []C, text string) C {
	t.Helper()
	name, fields, _ := strings.Cut(strings.TrimSpace(text), " ")
	for _, command := range commands {
		typ := reflect.TypeOf(command)
		if typ.Name() != name {
			continue
		}
		if strings.TrimSpace(fields) == "" {
			fields = "{}"
		}
		// Report's fact is an event: {"Host": …, "Fact": "<event line>"}.
		value := reflect.New(typ)
		if fact, has := typ.FieldByName("Fact"); has {
			fields = withFact(t, value.Elem().FieldByIndex(fact.Index), fields)
		}
		if err := json.Unmarshal([]byte(fields), value.Interface(), json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("command %s: %v", text, err)
		}
		return value.Elem().Interface().(C)
	}
	t.Fatalf("command %s: no such type", name)
	panic("unreachable")
}

// withFact sets a command's fact from the text after "fact" and gives the
// other fields.
func withFact(t *testing.T, fact reflect.Value, fields string) string {
	t.Helper()
	rest, line, found := strings.Cut(fields, " fact ")
	if !found {
		t.Fatalf("a report is <JSON object> fact <event line>: %s", fields)
	}
	name, _, _ := strings.Cut(line, " ")
	for _, kind := range []events.StreamID{
		events.DropID(strings.Repeat("a", 32)).Stream(), events.BindingID(strings.Repeat("a", 32)).Stream(),
		events.HostID(strings.Repeat("a", 32)).Stream(),
	} {
		if decoded, err := decode(kind, line); err == nil {
			fact.Set(reflect.ValueOf(decoded[0]))
			return rest
		}
	}
	t.Fatalf("fact %s is no event of a DROP, binding or host", name)
	return ""
}

// decode reads event lines with the codec of the log.
func decode(stream events.StreamID, text string) ([]events.Event, error) {
	var wire strings.Builder
	fmt.Fprintf(&wire, "{\"format\":1,\"stream\":%q,\"revision\":1,\"previous\":\"\",\"command\":\"c\",\"principal\":\"p\",\"time\":\"2026-01-01T00:00:00Z\"}\n", stream)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, payload, _ := strings.Cut(line, " ")
		if payload == "" {
			payload = "{}"
		}
		fmt.Fprintf(&wire, "%s 1 %s\n", name, payload)
	}
	envelope, err := events.Decode([]byte(wire.String()))
	if err != nil {
		return nil, err
	}
	for _, event := range envelope.Events {
		if unknown, ok := event.(events.Unknown); ok {
			return nil, fmt.Errorf("event %s is not known", unknown.Name)
		}
	}
	return envelope.Events, nil
}

func parseEvents(t *testing.T, stream events.StreamID, text string) []events.Event {
	t.Helper()
	if strings.TrimSpace(text) == "" {
		return nil
	}
	parsed, err := decode(stream, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// outcome writes what a decision gave, as a then section.
func outcome(t *testing.T, stream events.StreamID, decided []events.Event, err error) string {
	t.Helper()
	switch {
	case err != nil && len(decided) > 0:
		t.Errorf("a decision gave events and the error %v", err)
	case err != nil:
		text := problem.KindOf(err).String() + ": " + err.Error() + "\n"
		if hint := problem.HintOf(err); hint != "" {
			text += "hint: " + hint + "\n"
		}
		return text
	case len(decided) == 0:
		return "nothing\n"
	}
	lines, err := encode(stream, decided)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// encode writes events with the codec of the log.
func encode(stream events.StreamID, decided []events.Event) (string, error) {
	wire, _, err := events.Encode(events.Commit{Stream: stream, Events: decided}, events.Tip{})
	if err != nil {
		return "", err
	}
	_, lines, _ := strings.Cut(string(wire), "\n")
	var out strings.Builder
	for line := range strings.Lines(lines) {
		name, rest, _ := strings.Cut(line, " ")
		_, payload, _ := strings.Cut(rest, " ")
		out.WriteString(name + " " + payload)
	}
	return out.String(), nil
}

// canonical writes a then section as outcome does, whatever order and spaces
// its JSON has.
func canonical(t *testing.T, stream events.StreamID, text string) string {
	t.Helper()
	expected, err := decode(stream, text)
	if err != nil {
		return text // nothing, or an error
	}
	lines, err := encode(stream, expected)
	if err != nil {
		t.Fatal(errors.Join(errors.New(text), err))
	}
	return lines
}
