package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCellMoves: a cell is exported while it serves, imported into an empty
// data folder, and starts there with all its sites; what was proven of the old
// log is true of the new one. A log that is not the one that was signed is not
// started on.
func TestCellMoves(t *testing.T) {
	p := startFor(t, options{})
	p.site(t, "moved", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	archive, key, proof := filepath.Join(filepath.Dir(p.data), "cell.archive"), filepath.Join(filepath.Dir(p.data), "cell.pub"), filepath.Join(filepath.Dir(p.data), "proof")
	keep := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep(key, p.ok(t, "audit", "head", "--field", "key"))
	keep(proof, p.ok(t, "audit", "prove", "5"))
	p.ok(t, "log", "export", "-o", archive)
	p.ok(t, "audit", "verify", archive, "--key", key)
	p.ok(t, "audit", "verify", "--proof", proof, "--key", key)
	p.refused(t, 65, []string{"another process has it open"}, "audit", "verify")
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "audit", "verify")

	other := &platform{options: options{data: dataFolder(t)}}
	other.ok(t, "log", "import", "--from", archive, "--key", key)
	other.refused(t, 65, []string{"is not empty"}, "log", "import", "--from", archive)
	commit := other.ok(t, "audit", "verify", "--field", "head")
	moved := startFor(t, other.options)
	if names := moved.ok(t, "site", "list", "--field", "name"); names != "moved\n" {
		t.Errorf("the imported cell has the sites %q", names)
	}
	if head := moved.ok(t, "events", "show", strings.TrimSpace(commit), "--field", "position"); head != commit {
		t.Errorf("position %s is %s", commit, head)
	}
	if err := moved.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(other.data, "log")); err != nil {
		t.Fatal(err)
	}
	if err := moved.up(); err == nil || !strings.Contains(moved.log(), "the log is not the one that was signed") {
		t.Errorf("it starts on another log: %v", err)
	}
}
