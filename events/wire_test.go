package events

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files that are missing; existing ones are never changed")

const wireDir = "testdata/wire"

// sampleIDs holds one valid identifier of each kind of stream.
var sampleIDs = map[Kind]string{
	KindSite:        "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f",
	KindEnvironment: "dev.3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f",
	KindDrop:        "0123456789abcdef0123456789abcdef",
	KindHost:        "00000000000000000000000000000001",
	KindBinding:     "fedcba9876543210fedcba9876543210",
	KindWorkflow:    "9d3c6d0e-51f6-4a1b-9a53-07c2b1a4a001",
	KindAccount:     "c1f0a7de-6d0b-4c1e-8f4e-2f9f0d9a0002",
	KindName:        "site:hello",
	KindZone:        "example.org",
}

func sampleMeta() Meta {
	return Meta{
		Command:   "0f8fad5b-d9cb-469f-a165-70867728950e",
		Principal: "account/c1f0a7de-6d0b-4c1e-8f4e-2f9f0d9a0002",
		Gateway:   "api",
		Address:   "192.0.2.7:51515",
		Cause:     41,
		Time:      time.Date(2026, 11, 28, 19, 45, 0, 123456789, time.UTC),
	}
}

// sampleOf gives a value of the type in which no field is zero, always the
// same one. Reflection is for this test only.
func sampleOf(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	fill(v, strings.ToLower(typ.Name()))
	return v
}

func fill(v reflect.Value, name string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(name + " <ä>")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(len(name)))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(len(name)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), fmt.Sprintf("%s %d", name, i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), strings.Split(v.Type().Field(i).Tag.Get("json"), ",")[0])
		}
	default:
		panic("no sample for " + v.Type().String())
	}
}

func sampleCommit(r row) (Commit, Tip) {
	stream := StreamID{r.kind, sampleIDs[r.kind]}
	event := sampleOf(r.typ).Interface().(Event)
	return Commit{Stream: stream, Meta: sampleMeta(), Events: []Event{event}},
		Tip{Revision: 6, Position: 40, Hash: Hash(bytes.Repeat([]byte{0xa5}, 32))}
}

func goldenName(r row) string {
	return filepath.Join(wireDir, fmt.Sprintf("%s.%d.txt", r.name, r.version))
}

// golden reads a row's file; with -update a missing one is written first.
func golden(t *testing.T, r row) []byte {
	t.Helper()
	name := goldenName(r)
	wire, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && *update {
		commit, tip := sampleCommit(r)
		if wire, _, err = Encode(commit, tip); err == nil {
			err = os.WriteFile(name, wire, 0o644)
		}
	}
	if err != nil {
		t.Fatalf("%v\na new line of the codec table needs its golden file: go test -run Wire ./events -update", err)
	}
	return wire
}

// The wire form of every version of every event is what it always was.
func TestWire(t *testing.T) {
	for _, r := range table {
		t.Run(fmt.Sprintf("%s.%d", r.name, r.version), func(t *testing.T) {
			wire := golden(t, r)
			got, err := Decode(wire)
			if err != nil {
				t.Fatal(err)
			}
			newest := byType[r.typ].version == r.version
			want, tip := sampleCommit(r)
			if newest && !reflect.DeepEqual(got.Commit, want) {
				t.Fatalf("decoded\n%#v\nwant\n%#v", got.Commit, want)
			}
			if got.Revision != tip.Revision+1 || got.Previous != tip.Hash {
				t.Fatalf("revision %d after %s, want %d after %s", got.Revision, got.Previous, tip.Revision+1, tip.Hash)
			}
			if !newest {
				return
			}
			again, hash, err := Encode(got.Commit, tip)
			if err != nil || !bytes.Equal(again, wire) {
				t.Fatalf("encoded again (%v)\n%s\nwant\n%s", err, again, wire)
			}
			if hash != got.Hash {
				t.Fatalf("hash %s when written, %s when read", hash, got.Hash)
			}
		})
	}
}

// The committed list holds every line the table ever had, in order: a line
// cannot vanish, change its kind, or move.
func TestWireTableOnlyGrows(t *testing.T) {
	name := filepath.Join(wireDir, "TABLE.txt")
	var now []string
	for _, r := range table {
		now = append(now, fmt.Sprintf("%s %d %s", r.name, r.version, r.kind))
	}
	data, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		listed[strings.TrimSpace(line)] = true
	}
	var missing []string
	for _, line := range now {
		if !listed[line] {
			missing = append(missing, line)
		}
		delete(listed, line)
	}
	if len(listed) > 0 {
		t.Errorf("lines have left the codec table or changed: %v", listed)
	}
	if len(missing) > 0 && *update {
		data = append(data, strings.Join(missing, "\n")+"\n"...)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if len(missing) > 0 {
		t.Errorf("%s lacks %v: go test -run Wire ./events -update", name, missing)
	}
}

// No golden file stands there without a line of the table.
func TestWireFilesAreAllRead(t *testing.T) {
	files, err := os.ReadDir(wireDir)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"TABLE.txt": true}
	for _, r := range table {
		known[filepath.Base(goldenName(r))] = true
	}
	for _, file := range files {
		if !known[file.Name()] {
			t.Errorf("%s has no line in the codec table", file.Name())
		}
	}
}

func TestTableIsConsistent(t *testing.T) {
	seen := map[nameVersion]bool{}
	for _, r := range table {
		if key := (nameVersion{r.name, r.version}); seen[key] {
			t.Errorf("%s version %d is listed twice", r.name, r.version)
		} else {
			seen[key] = true
		}
		if r.typ.Name() != r.name {
			t.Errorf("%s decodes to %s: the newest type of an event bears its name", r.name, r.typ.Name())
		}
		if got := NameOf(sampleOf(r.typ).Interface().(Event)); got != r.name {
			t.Errorf("NameOf gives %s for %s", got, r.name)
		}
	}
	if len(Names()) == 0 || Names()[0] != table[0].name {
		t.Errorf("Names is not in table order: %v", Names())
	}
}
