package keyring

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"pantheon/events/problem"
)

// What one ring holds another one takes over, also what was removed.
func TestInstall(t *testing.T) {
	from, to := open(t, filepath.Join(t.TempDir(), "dns")), open(t, filepath.Join(t.TempDir(), "dns"))
	install := func() {
		t.Helper()
		files, err := from.Files()
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Install(files); err != nil {
			t.Fatal(err)
		}
		if got, err := to.Files(); err != nil || !maps.EqualFunc(got, files, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("installed %v, want %v: %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(files)), err)
		}
	}
	for _, name := range []string{"a.example", "b.example"} {
		if _, _, err := from.NewTSIG(name, "hmac-sha256"); err != nil {
			t.Fatal(err)
		}
	}
	zone, err := from.NewZoneKey(apex, 257, nil)
	if err != nil {
		t.Fatal(err)
	}
	install()
	_, want, _ := from.TSIG("a.example.")
	if _, key, known := to.TSIG("a.example."); !known || string(key) != string(want) {
		t.Errorf("the key that was taken over is another one")
	}
	if _, err := to.ZoneKey(apex, zone.Tag); err != nil {
		t.Error(err)
	}
	if err := from.RemoveTSIG("a.example"); err != nil {
		t.Fatal(err)
	}
	if err := from.RemoveTSIG("b.example"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := from.NewTSIG("b.example", "hmac-sha512"); err != nil { // of the same name
		t.Fatal(err)
	}
	install()
	if _, _, known := to.TSIG("a.example."); known {
		t.Error("a key that was removed is there")
	}
	if algorithm, _, _ := to.TSIG("b.example."); algorithm != "hmac-sha512" {
		t.Errorf("a key that was replaced is of %s", algorithm)
	}
	for _, name := range []string{"tsig/../../host.key", "other/x.key", "tsig/.x.key", "tsig/x", "x.key", "zones/x.key"} {
		if err := to.Install(map[string][]byte{name: nil}); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(to.TSIGs()) != 1 {
		t.Errorf("%v", to.TSIGs())
	}
}

// A key that another hand put into the folder is known when it is read again.
func TestReload(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns")
	ring := open(t, dir)
	if _, _, err := open(t, dir).NewTSIG("a.example", "hmac-sha256"); err != nil {
		t.Fatal(err)
	}
	if _, _, known := ring.TSIG("a.example."); known {
		t.Fatal("it is known before")
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, known := ring.TSIG("a.example."); !known {
		t.Error("it is not known")
	}
}
