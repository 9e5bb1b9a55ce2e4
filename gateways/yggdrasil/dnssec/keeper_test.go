package dnssec

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// fakeParent is a parent zone whose DS set a test changes.
type fakeParent struct {
	ds  [][]byte
	err error
}

func (p *fakeParent) DS(context.Context, []byte) ([][]byte, time.Duration, error) {
	return p.ds, 24 * time.Hour, p.err
}

func states(z *zone.Zone) string {
	var all []string
	for _, key := range z.Keys() {
		all = append(all, string(key.State))
	}
	return strings.Join(all, " ")
}

func newKeeper(t *testing.T, w *world, parent Parent) (*Keeper, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dns")
	ring, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKeeper(KeeperOptions{
		Zones: w, Keys: ring, Recorder: w, Parent: parent, Now: w.clock, Logger: slog.New(slog.DiscardHandler),
		Unsigned: func(z *zone.Zone) bool { return z.Name() != apexName },
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, filepath.Join(dir, "zones")
}

func files(t *testing.T, dir string) int {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// tend has the keeper look until it has nothing to do.
func (w *world) tend(k *Keeper) {
	for range 5 {
		state, position := w.Load()
		if k.Tend(context.Background(), state); w.position == position {
			return
		}
	}
}

// TestRollOver goes through a whole roll-over with a parent that follows late.
func TestRollOver(t *testing.T) {
	w := newWorld(t)
	parent := &fakeParent{}
	k, dir := newKeeper(t, w, parent)
	expect := func(about, want, waits string) {
		t.Helper()
		w.tend(k)
		if got := states(w.zone()); got != want || !strings.Contains(k.Waits(w.zone().Apex()), waits) {
			t.Fatalf("%s: keys are %q and wait for %q, want %q and %q", about, got, k.Waits(w.zone().Apex()), want, waits)
		}
	}
	expect("at first", "active", "")
	parent.ds = [][]byte{DS(w.zone().Apex(), w.zone().Keys()[0])}

	made, err := k.NewKey(w.zone())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.IntroduceKey(t.Context(), apexName, made); err != nil {
		t.Fatal(err)
	}
	expect("introduced", "active published", "put its DS at the registrar")
	if _, err := k.NewKey(w.zone()); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a second roll-over at once: %v", err)
	}
	w.pass(24 * time.Hour)
	expect("the parent has not followed", "active published", "waits for its DS at the parent")
	parent.err = errors.New("no route")
	w.pass(parentPause)
	expect("the parent is silent", "active published", "no resolver")
	parent.err = nil
	parent.ds = append(parent.ds, DS(w.zone().Apex(), w.zone().Keys()[1]))
	w.pass(parentPause)
	expect("the DS is there", "active published", "every cache has its DS")
	w.pass(24*time.Hour - time.Second)
	expect("caches have the old DS set", "active published", "every cache has its DS")
	w.pass(time.Second)
	expect("every cache has it", "retired active", "caches that hold its signatures")
	w.pass(removeAfter)
	expect("a week later", "active", "")
	if n := files(t, dir); n != 1 {
		t.Errorf("%d private keys are left", n)
	}
}

// TestUnsigning: the keys go when no cache has a DS of the zone any more, and
// their files with them; the zone can be signed again afterwards.
func TestUnsigning(t *testing.T) {
	w := newWorld(t)
	parent := &fakeParent{}
	k, dir := newKeeper(t, w, parent)
	expect := func(about, want, waits string, left int) {
		t.Helper()
		w.tend(k)
		if got := states(w.zone()); got != want || !strings.Contains(k.Waits(w.zone().Apex()), waits) || files(t, dir) != left {
			t.Fatalf("%s: keys are %q, %d files, and wait for %q", about, got, files(t, dir), k.Waits(w.zone().Apex()))
		}
	}
	expect("at first", "active", "", 1)
	parent.ds = [][]byte{DS(w.zone().Apex(), w.zone().Keys()[0])}
	w.apply(events.ZoneSigningDecided{Zone: apexName, Signed: false, At: w.clock()})
	expect("the parent has a DS", "active", "take them away at the registrar", 1)
	if _, err := k.NewKey(w.zone()); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a key for a zone that shall not be signed: %v", err)
	}
	parent.ds = nil
	w.pass(parentPause)
	expect("the parent has none", "active", "when no cache has its DS records", 1)
	w.pass(24*time.Hour - time.Second)
	expect("caches have it", "active", "when no cache has its DS records", 1)
	parent.ds = [][]byte{DS(w.zone().Apex(), w.zone().Keys()[0])}
	w.pass(parentPause)
	expect("it came back", "active", "take them away at the registrar", 1)
	parent.ds = nil
	w.pass(parentPause)
	w.tend(k)
	w.pass(24 * time.Hour)
	expect("nobody validates", "", "", 0)
	w.pass(keeperPause)
	expect("it stays so", "", "", 0)
	w.apply(events.ZoneSigningDecided{Zone: apexName, Signed: true, At: w.clock()})
	expect("signed again", "active", "", 1)
}

// TestRemovedZone: the private halves go with the zone.
func TestRemovedZone(t *testing.T) {
	w := newWorld(t)
	k, dir := newKeeper(t, w, nil)
	if w.tend(k); files(t, dir) != 1 {
		t.Fatal("no key was made")
	}
	w.apply(events.ZoneRemoved{Zone: apexName})
	if w.tend(k); files(t, dir) != 0 {
		t.Error("the key of a zone that is gone is left")
	}
	w.apply(events.ZoneAdded{Zone: apexName, Role: events.ZoneCustom})
	if w.tend(k); files(t, dir) != 1 || states(w.zone()) != "active" {
		t.Error("the zone that came again has no key")
	}
}

// TestKeeperRestarts: one that knows nothing only waits longer.
func TestKeeperRestarts(t *testing.T) {
	w := newWorld(t)
	parent := &fakeParent{}
	k, _ := newKeeper(t, w, parent)
	w.tend(k)
	made, err := k.NewKey(w.zone())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.IntroduceKey(t.Context(), apexName, made); err != nil {
		t.Fatal(err)
	}
	parent.ds = [][]byte{DS(w.zone().Apex(), w.zone().Keys()[1])}
	w.pass(24 * time.Hour)
	w.tend(k)
	w.pass(12 * time.Hour)
	k, _ = newKeeper(t, w, parent)
	w.tend(k)
	w.pass(12 * time.Hour)
	if w.tend(k); states(w.zone()) != "active published" {
		t.Errorf("after half of its wait: %s", states(w.zone()))
	}
	w.pass(12 * time.Hour)
	if w.tend(k); states(w.zone()) != "retired active" {
		t.Errorf("after all of its wait: %s", states(w.zone()))
	}
}

// refusing records nothing.
type refusing struct {
	*world
	kind problem.Kind
}

func (r refusing) IntroduceKey(context.Context, events.ZoneName, NewKey) error {
	return problem.New(r.kind, "cannot")
}

// TestRefusedKey: a private half is forgotten when its key was refused, and
// kept when that is unclear.
func TestRefusedKey(t *testing.T) {
	for kind, left := range map[problem.Kind]int{problem.Conflict: 0, problem.Unavailable: 1} {
		w := newWorld(t)
		k, dir := newKeeper(t, w, nil)
		k.options.Recorder = refusing{w, kind}
		w.tend(k)
		if n := files(t, dir); n != left {
			t.Errorf("%s: %d private keys", kind, n)
		}
	}
}

// TestTagsDiffer: validators find a key by its tag.
func TestTagsDiffer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns")
	ring, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var taken []uint16
	for range 50 {
		key, err := ring.NewZoneKey(wire(t, "example.net."), 257, taken)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(taken, key.Tag) {
			t.Fatalf("tag %d twice", key.Tag)
		}
		taken = append(taken, key.Tag)
	}
}

// TestResign: a signed zone that secondaries hold has a new serial in every
// window, others change only when something does.
func TestResign(t *testing.T) {
	w := newWorld(t)
	k, _ := newKeeper(t, w, nil)
	w.tend(k)
	serials := func(secondaries string) {
		t.Helper()
		for range 4 {
			w.tend(k)
			before := w.zone().Serial()
			w.tend(k)
			w.pass(windowLength)
			w.tend(k)
			w.tend(k)
			want := before
			if secondaries != "" {
				want++
			}
			if got := w.zone().Serial(); got != want {
				t.Errorf("secondaries %q: serial %d after %d", secondaries, got, before)
			}
		}
	}
	serials("")
	w.apply(events.SecondaryAdded{Zone: apexName, Address: "192.0.2.1"})
	serials("192.0.2.1")
}
