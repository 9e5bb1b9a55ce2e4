package agent

import (
	"os"
	"path/filepath"
	"testing"

	"pantheon/events"
)

// TestDamagedMarkers: after a power failure a file that was not synced may be
// empty or cut. The agent starts all the same, and takes for begun, not for
// done, what the marker was about.
func TestDamagedMarkers(t *testing.T) {
	drop, binding := events.DropID("0000000000000000000000000000000d"), events.BindingID("0000000000000000000000000000000b")
	for what, damage := range map[string]func([]byte) []byte{
		"whole":   func(text []byte) []byte { return text },
		"empty":   func([]byte) []byte { return nil },
		"cut":     func(text []byte) []byte { return text[:len(text)/2] },
		"nothing": func(text []byte) []byte { return make([]byte, len(text)) },
	} {
		t.Run(what, func(t *testing.T) {
			m := markers{t.TempDir()}
			if err := m.setDrop(drop, dropMarker{Generation: 3, Reported: true}); err != nil {
				t.Fatal(err)
			}
			if err := m.setBinding(binding, bindingMarker{Reported: true}); err != nil {
				t.Fatal(err)
			}
			if err := m.setRevision(7); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{m.dropFile(drop), m.bindingFile(binding), filepath.Join(m.dir, "revision")} {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			wantDrop, wantBinding, wantRevision := dropMarker{}, false, events.Revision(0)
			if what == "whole" {
				wantDrop, wantBinding, wantRevision = dropMarker{3, true}, true, 7
			}
			if got, there, err := m.drop(drop); err != nil || !there || got != wantDrop {
				t.Errorf("the DROP's marker: %+v, %t, %v", got, there, err)
			}
			if got, there, err := m.binding(binding); err != nil || !there || got.Reported != wantBinding {
				t.Errorf("the binding's marker: %+v, %t, %v", got, there, err)
			}
			if got, err := m.revision(); err != nil || got != wantRevision {
				t.Errorf("the revision: %d, %v", got, err)
			}
		})
	}
	m := markers{t.TempDir()}
	if _, there, err := m.drop(drop); there || err != nil {
		t.Errorf("no marker: %t, %v", there, err)
	}
}
