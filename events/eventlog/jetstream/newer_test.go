package jetstream_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
	"pantheon/events/problem"
)

// contents gives a folder's files with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A log of a newer version is refused in one line that says where and what to
// do, and stays as it is.
func TestLogOfANewerVersion(t *testing.T) {
	dir := t.TempDir()
	site := events.SiteID("3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f")
	wire := []byte(`{"format":2,"stream":{"kind":"site"},"later":true}` + "\n" + `SiteLevitated 1 {}` + "\n")
	if err := jetstreamtest.WriteWire(t.Context(), dir, site.Stream(), wire); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for name, read := range map[string]func() error{
		"Open": func() error {
			log, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir})
			if err == nil {
				_ = log.Close()
			}
			return err
		},
		"Verify": func() error { _, err := jetstream.Verify(t.Context(), dir); return err },
	} {
		err := read()
		if problem.KindOf(err) != problem.Unsupported || problem.HintOf(err) == "" || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), "position 1") || !strings.Contains(err.Error(), "format 2, this version reads 1") {
			t.Errorf("%s: %v (%v, hint %q)", name, err, problem.KindOf(err), problem.HintOf(err))
		}
	}
	if !maps.Equal(contents(t, dir), before) {
		t.Error("reading has changed the files")
	}
}
