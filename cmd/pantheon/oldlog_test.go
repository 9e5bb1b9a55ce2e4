package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pantheon/actors"
	"pantheon/actors/actortest"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
	"pantheon/events/eventlog/sealed"
	"pantheon/projections/audit"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
	"pantheon/projections/zone"
)

// Logs of older versions lie in testdata/logs, each with what this version
// makes of it. A log is written once and never edited; what is made of it may
// change (a state knows something more) and is then written again:
//
//	go test ./cmd/pantheon -run OldLogs -update-states
//
// When events have changed, a log of today's version is added under a new name:
//
//	go test ./cmd/pantheon -run OldLogs -add-log NAME
var (
	updateStates = flag.Bool("update-states", false, "write again what is made of the logs of older versions")
	addLog       = flag.String("add-log", "", "write a log of this version under a `NAME`, unless there is one")
)

const (
	oldLogs = "testdata/logs"
	// wireSamples has a commit of each event of each version.
	wireSamples = root + "/events/testdata/wire"
)

// TestOldLogs replays logs that older versions have written through every
// actor and every view, and compares what they give.
func TestOldLogs(t *testing.T) {
	if *addLog != "" {
		writeOldLog(t, filepath.Join(oldLogs, *addLog+".log"))
	}
	files, err := filepath.Glob(oldLogs + "/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no log is there (%v)", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			log := readOldLog(t, file)
			got := strings.Join(append(actorStates(t, log), viewStates(t, log)...), "\n") + "\n"
			name := strings.TrimSuffix(file, ".log") + ".states"
			if *updateStates || *addLog != "" {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			reportDifference(t, string(want), got)
		})
	}
}

// reportDifference shows the lines that differ, the first few of them.
func reportDifference(t *testing.T, want, got string) {
	t.Helper()
	wanted, given := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(want) {
		wanted[line] = true
	}
	for line := range strings.Lines(got) {
		given[line] = true
	}
	shown := 0
	show := func(what string, lines, others map[string]bool) {
		for _, line := range slices.Sorted(maps.Keys(lines)) {
			if !others[line] && shown < 10 {
				shown++
				t.Errorf("%s: %.600s", what, line)
			}
		}
	}
	show("was", wanted, given)
	show("is ", given, wanted)
	if shown > 0 {
		t.Log("where a state only knows more than before: -update-states, and look at what changes")
	}
}

// readOldLog reads the file's commits: each is a line with its length, and that
// many bytes. Every event must be known, and every chain whole.
func readOldLog(t *testing.T, file string) []events.Envelope {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(data))
	tips := map[events.StreamID]events.Tip{}
	var log []events.Envelope
	for {
		var length int
		if _, err := fmt.Fscanf(in, "%d\n", &length); errors.Is(err, io.EOF) {
			return log
		} else if err != nil {
			t.Fatalf("after %d commits: %v", len(log), err)
		}
		wire := make([]byte, length)
		if _, err := io.ReadFull(in, wire); err != nil {
			t.Fatal(err)
		}
		envelope, err := events.Decode(wire)
		if err != nil {
			t.Fatalf("commit %d: %v", len(log)+1, err)
		}
		envelope.Position = events.Position(len(log) + 1)
		before := tips[envelope.Stream]
		if envelope.Revision != before.Revision+1 || envelope.Previous != before.Hash {
			t.Fatalf("commit %d does not follow the one before it in %s", len(log)+1, envelope.Stream)
		}
		for _, event := range envelope.Events {
			if unknown, is := event.(events.Unknown); is {
				t.Fatalf("commit %d: event %s version %d is not known any more", len(log)+1, unknown.Name, unknown.Version)
			}
		}
		tips[envelope.Stream] = envelope.Tip()
		log = append(log, envelope)
	}
}

// actorStates gives the state of every actor of the log.
func actorStates(t *testing.T, log []events.Envelope) []string {
	t.Helper()
	streams := map[events.StreamID][]events.Envelope{}
	for _, envelope := range log {
		streams[envelope.Stream] = append(streams[envelope.Stream], envelope)
	}
	var lines []string
	for stream, commits := range streams {
		entity, err := actors.NewEntity(stream)
		if err != nil {
			t.Fatal(err)
		}
		entity.Step(actors.CommitsLoaded{Envelopes: commits, End: true})
		if tip := commits[len(commits)-1].Tip(); entity.Tip() != tip {
			t.Errorf("%s stands at %+v, want %+v", stream, entity.Tip(), tip)
		}
		state := entity.State()
		if s, can := state.(actortest.Snapshotter); can {
			state = s.Snapshot()
		}
		lines = append(lines, fmt.Sprintf("actor %s %s", stream, asJSON(t, state)))
	}
	slices.Sort(lines)
	return lines
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%+v", value) // maps with keys that JSON has not
	}
	return string(text)
}

// viewStates gives what every view and the policies save.
func viewStates(t *testing.T, log []events.Envelope) []string {
	t.Helper()
	const domain = "pantheon.localhost"
	lines := saved(t, "inventory", inventory.State{}, log)
	lines = append(lines, saved(t, "routing", routing.Empty(domain), log)...)
	lines = append(lines, saved(t, "zone", zone.Empty(zone.Options{Domain: domain}), log)...)
	policies, tree := policy.New(), audit.State{}
	for _, envelope := range log {
		policies.Apply(envelope)
		tree = tree.Apply(envelope)
	}
	state, err := policies.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, "policies "+string(state), "audit "+base64.StdEncoding.EncodeToString(root32(tree)))
}

func root32(tree audit.State) []byte {
	hash := tree.Root()
	return hash[:]
}

// view is a state that folds commits and can be saved.
type view[S any] interface {
	Apply(events.Envelope) S
	Save() iter.Seq2[[]byte, error]
}

func saved[S view[S]](t *testing.T, name string, state S, log []events.Envelope) []string {
	t.Helper()
	for _, envelope := range log {
		state = state.Apply(envelope)
	}
	var lines []string
	for record, err := range state.Save() {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("view %s %q", name, canonical(record)))
	}
	slices.Sort(lines)
	return lines
}

// canonical sorts the members of a record that is JSON behind its first byte:
// views save maps in any order.
func canonical(record []byte) []byte {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(record[1:]))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil || decoder.More() {
		return record
	}
	text, err := json.Marshal(value)
	if err != nil {
		return record
	}
	return append(record[:1:1], text...)
}

// writeOldLog writes a log of this version: the life of a few sites, sealed as
// a platform does, and then every event there is.
func writeOldLog(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(file); err == nil {
		t.Fatalf("%s is there already, and logs are never written again", file)
	}
	log, tips := memory.New(), map[events.StreamID]events.Tip{}
	put := func(log interface {
		Append(context.Context, events.Tip, events.Commit) (events.Tip, error)
	}, commit events.Commit) {
		tip, err := log.Append(t.Context(), tips[commit.Stream], commit)
		if err != nil {
			t.Fatal(err)
		}
		tips[commit.Stream] = tip
	}
	actor := sealed.NewLog(log, sealed.NewBox(fixedKeys{}))
	for commit := range eventlogtest.Fleet(2) {
		put(actor, commit)
	}
	table, err := os.ReadFile(wireSamples + "/TABLE.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		wire, err := os.ReadFile(fmt.Sprintf("%s/%s.%s.txt", wireSamples, fields[0], fields[1]))
		if err != nil {
			t.Fatal(err)
		}
		sample, err := events.Decode(wire)
		if err != nil {
			t.Fatal(err)
		}
		put(log, sample.Commit)
	}
	var out bytes.Buffer
	clear(tips)
	for envelope, err := range log.All(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		wire, _, err := events.Encode(envelope.Commit, tips[envelope.Stream])
		if err != nil {
			t.Fatal(err)
		}
		tips[envelope.Stream] = envelope.Tip()
		fmt.Fprintf(&out, "%d\n%s", len(wire), wire)
	}
	if err := errors.Join(os.MkdirAll(oldLogs, 0o755), os.WriteFile(file, out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// fixedKeys makes the key of an owner from its name.
type fixedKeys struct{}

func (fixedKeys) Key(owner events.Owner, _ bool) (string, error) {
	return fmt.Sprintf("a key that is known to everybody, of %s%s", owner.Site, owner.Account), nil
}

func (fixedKeys) Destroy(events.Owner) error { return errors.New("these keys stay") }
