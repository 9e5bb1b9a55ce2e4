package events

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

const (
	wireHeader = `{"format":1,"stream":"site/3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f","revision":1,"previous":"","command":"c","principal":"policy/x","time":"2026-11-28T19:45:00Z"}`
	wireEvent  = `SiteActivated 1 {"site":"3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"}`
)

func TestDecodeTakesTheSmallestCommit(t *testing.T) {
	wire := []byte(wireHeader + "\n" + wireEvent + "\n")
	got, err := Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash != sha256.Sum256(wire) || got.Position != 0 || got.Revision != 1 {
		t.Fatalf("%+v", got)
	}
	if got.Events[0] != (SiteActivated{"3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"}) {
		t.Fatalf("%+v", got.Events)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	change := func(old, with string) string {
		whole := wireHeader + "\n" + wireEvent + "\n"
		if !strings.Contains(whole, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		return strings.Replace(whole, old, with, 1)
	}
	for name, wire := range map[string]string{
		"nothing":                  "",
		"no event":                 wireHeader + "\n",
		"no line feed at all":      wireHeader,
		"no line feed at the end":  wireHeader + "\n" + wireEvent,
		"half a second event":      wireHeader + "\n" + wireEvent + "\nSiteActivated 1 {",
		"empty event line":         wireHeader + "\n\n",
		"text after the event":     change("}\n", "}\n") + "x",
		"event of another kind":    change("SiteActivated 1", "DropReady 1"),
		"unknown member, header":   change(`"revision"`, `"later":1,"revision"`),
		"unknown member, event":    change(`{"site"`, `{"more":1,"site"`),
		"member twice":             change(`{"site"`, `{"site":"","site"`),
		"member in wrong case":     change(`{"site"`, `{"Site"`),
		"wrong type":               change(`{"site":"3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"}`, `{"site":1}`),
		"payload no object":        change(`{"site":"3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"}`, `[]`),
		"two payloads":             change("f\"}\n", "f\"} {}\n"),
		"no version":               change("SiteActivated 1 ", "SiteActivated "),
		"negative version":         change("SiteActivated 1 ", "SiteActivated -1 "),
		"version out of range":     change("SiteActivated 1 ", "SiteActivated 65536 "),
		"other format":             change(`"format":1`, `"format":2`),
		"unknown kind of stream":   change("site/3b", "sight/3b"),
		"no id of that kind":       change("site/3b", "site/zz"),
		"revision 0":               change(`"revision":1`, `"revision":0`),
		"revision 2 after nothing": change(`"revision":1`, `"revision":2`),
		"revision 1 after a hash":  change(`"previous":""`, `"previous":"`+strings.Repeat("ab", 32)+`"`),
		"previous hash too short":  strings.Replace(change(`"previous":""`, `"previous":"abcd"`), `"revision":1`, `"revision":2`, 1),
		"previous hash too long":   strings.Replace(change(`"previous":""`, `"previous":"`+strings.Repeat("ab", 33)+`"`), `"revision":1`, `"revision":2`, 1),
		"invalid UTF-8 in header":  change(`"c"`, "\"\xff\""),
		"invalid UTF-8 in payload": change(`"site":"3b`, "\"site\":\"\xff"),
		"invalid UTF-8 in name":    change("SiteActivated", "Site\xff"),
		"too many events":          wireHeader + "\n" + strings.Repeat(wireEvent+"\n", MaxCommitEvents+1),
		"too many bytes":           wireHeader + "\n" + wireEvent + strings.Repeat(" ", MaxCommitBytes) + "\n",
		"carriage returns":         strings.ReplaceAll(wireHeader+"\n"+wireEvent+"\n", "1 {", "1\r {"),
		"bad time":                 change("19:45:00Z", "19:45:61Z"),
		"header without an object": "null\n" + wireEvent + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(wire))
			if !errors.Is(err, ErrWire) {
				t.Fatalf("error %v and %+v, want ErrWire", err, got)
			}
			if len(err.Error()) > 600 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// A newer format is told from a broken commit, whatever it has that this
// version does not know.
func TestDecodeTellsNewerFormats(t *testing.T) {
	for _, header := range []string{
		strings.Replace(wireHeader, `"format":1`, `"format":2`, 1),
		`{"format":3,"later":{"any":["thing"]},"stream":7}`,
	} {
		_, err := Decode([]byte(header + "\n" + wireEvent + "\n"))
		var newer *NewerError
		if !errors.Is(err, ErrWire) || !errors.As(err, &newer) || newer.Format < 2 {
			t.Errorf("%s: %v", header, err)
		}
	}
	var newer *NewerError
	if _, err := Decode([]byte(strings.Replace(wireHeader, `"format":1`, `"format":0`, 1) + "\n" + wireEvent + "\n")); errors.As(err, &newer) {
		t.Errorf("format 0 is taken for a newer one: %v", err)
	}
}

func TestDecodeGivesUnknownForWhatIsNew(t *testing.T) {
	for line, want := range map[string]Unknown{
		`SiteRenamed 3 {"any":["thing"]}`: {"SiteRenamed", 3, []byte(`{"any":["thing"]}`)},
		`SiteActivated 9 {"later":true}`:  {"SiteActivated", 9, []byte(`{"later":true}`)},
	} {
		got, err := Decode([]byte(wireHeader + "\n" + line + "\n" + wireEvent + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		unknown, ok := got.Events[0].(Unknown)
		if !ok || unknown.Name != want.Name || unknown.Version != want.Version || !bytes.Equal(unknown.Payload, want.Payload) {
			t.Fatalf("%q became %#v", line, got.Events[0])
		}
		if NameOf(unknown) != want.Name {
			t.Fatalf("NameOf gives %s", NameOf(unknown))
		}
		if _, _, err := Encode(got.Commit, Tip{}); err == nil {
			t.Fatal("a commit with an unknown event was encoded")
		}
	}
}

func TestEncodeRefusesWhatNobodyCouldRead(t *testing.T) {
	stream := SiteID(sampleIDs[KindSite]).Stream()
	one := []Event{SiteActivated{}}
	for name, commit := range map[string]Commit{
		"no event":        {Stream: stream, Meta: sampleMeta()},
		"too many events": {Stream: stream, Meta: sampleMeta(), Events: make([]Event, MaxCommitEvents+1)},
		"nil event":       {Stream: stream, Meta: sampleMeta(), Events: []Event{nil}},
		"wrong kind":      {Stream: stream, Meta: sampleMeta(), Events: []Event{DropReady{}}},
		"no stream":       {Meta: sampleMeta(), Events: one},
		"bad id":          {Stream: StreamID{KindSite, "a.>"}, Meta: sampleMeta(), Events: one},
		"invalid UTF-8":   {Stream: stream, Meta: Meta{Principal: "\xff"}, Events: one},
		"long command id": {Stream: stream, Meta: Meta{Command: CommandID(strings.Repeat("x", MaxCommandIDBytes+1))}, Events: one},
		"too many bytes":  {Stream: stream, Meta: sampleMeta(), Events: []Event{SiteDeletionRequested{Reason: strings.Repeat("x", MaxCommitBytes)}}},
	} {
		if wire, _, err := Encode(commit, Tip{}); err == nil {
			t.Errorf("%s: encoded as %.200s", name, wire)
		} else if !strings.HasPrefix(err.Error(), "cannot encode") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is in the texts and numbers, a commit comes back as it was.
func TestEncodeThenDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.Rune()).Filter(func(s string) bool { return strings.ToValidUTF8(s, "") == s })
		meta := sampleMeta()
		meta.Principal, meta.Cause = text.Draw(t, "principal"), Position(rapid.Uint64().Draw(t, "cause"))
		commit := Commit{Stream: DropID(sampleIDs[KindDrop]).Stream(), Meta: meta}
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			commit.Events = append(commit.Events, DropStartFailed{
				Drop: DropID(text.Draw(t, "drop")), Reason: text.Draw(t, "reason"),
				Attempt: rapid.Int().Draw(t, "attempt"), RetryAfterSeconds: rapid.Int64().Draw(t, "retry"),
			})
		}
		tip := Tip{Revision: Revision(rapid.Uint32().Draw(t, "revision"))}
		wire, hash, err := Encode(commit, tip)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(wire)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Commit) != fmt.Sprint(commit) || got.Hash != hash || got.Revision != tip.Revision+1 {
			t.Fatalf("%+v became %+v", commit, got)
		}
	})
}

// FuzzDecode: no bytes make Decode panic, and what it takes without an unknown
// event can be written again and then says the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(wireHeader + "\n" + wireEvent + "\n"))
	for _, r := range table {
		commit, tip := sampleCommit(r)
		wire, _, err := Encode(commit, tip)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := Decode(wire)
		if err != nil {
			if !errors.Is(err, ErrWire) {
				t.Fatal(err)
			}
			return
		}
		tip := Tip{Revision: got.Revision - 1, Hash: got.Previous}
		again, _, err := Encode(got.Commit, tip)
		if err != nil {
			return // an unknown event, or a bound that only writers keep
		}
		twice, err := Decode(again)
		if err != nil {
			t.Fatalf("%s cannot be read: %v", again, err)
		}
		if third, _, err := Encode(twice.Commit, tip); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%v: %s became %s", err, again, third)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	commit := Commit{Stream: DropID(sampleIDs[KindDrop]).Stream(), Meta: sampleMeta(), Events: []Event{
		DropReady{DropID(sampleIDs[KindDrop]), HostID(sampleIDs[KindHost]), 2},
	}}
	wire, _, err := Encode(commit, Tip{Revision: 3, Hash: Hash{1}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if _, err := Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	commit, tip := sampleCommit(*byName[nameVersion{"DropReady", 1}])
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(commit, tip); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzHeader: the fast reader of headers gives what the general one gives.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(wireHeader))
	for _, r := range table {
		commit, tip := sampleCommit(r)
		wire, _, err := Encode(commit, tip)
		if err != nil {
			f.Fatal(err)
		}
		line, _, _ := bytes.Cut(wire, []byte{'\n'})
		if _, fast := fastHeader(line); !fast {
			f.Fatalf("the fast reader does not take %s", line)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fast, ok := fastHeader(line)
		if !ok {
			return
		}
		var general header
		if err := json.Unmarshal(line, &general, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("taken by the fast reader only (%v): %s", err, line)
		}
		if !fast.Time.Equal(general.Time) {
			t.Fatalf("time %v, want %v: %s", fast.Time, general.Time, line)
		}
		fast.Time, general.Time = time.Time{}, time.Time{}
		if fast != general {
			t.Fatalf("%+v, want %+v: %s", fast, general, line)
		}
	})
}
