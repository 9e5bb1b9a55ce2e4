package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/simulations"
)

// TestWhatIfOfAPlatform: a simulation goes on from the log of a real platform,
// while it runs and when it is stopped, and changes nothing.
func TestWhatIfOfAPlatform(t *testing.T) {
	p := startFor(t, options{})
	p.site(t, "asked", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	eventually(t, "the wake is told", func() bool { return p.drop(t, "asked.dev").State == "awake" })
	head := p.commits(t)
	at := fmt.Sprint(uint64(head[len(head)-1].Position))
	question := []string{"simulate", "--from-log", p.data, "--at", at, "--seed", "4", "--days", "0.1", "--step", "at 1h lose host busiest"}

	running := p.run(question...)
	if running.code != 1 || !strings.Contains(running.out, "no, not without harm:") || !strings.Contains(running.out, "asked.dev") {
		t.Errorf("the only host dies: exit code %d\n%s%s", running.code, running.out, running.said)
	}
	calm := decode[simulations.Result](t, p, "simulate", "--from-log", p.data, "--seed", "4", "--days", "0.1", "--visits", "30", "--format", "json")
	if calm.Answer == nil || !calm.Answer.OK || calm.Answer.Environments != 1 || calm.Served == 0 || calm.Unserved > 0 {
		t.Errorf("nothing happens: %+v", calm.Answer)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	before := sumOf(t, filepath.Join(p.data, "log"))
	if stopped := p.run(question...); stopped.out == "" || !strings.Contains(stopped.out, traceOf(running.out)) {
		t.Errorf("another answer from the files of the stopped platform:\n%s\n%s", running.out, stopped.out)
	}
	p.refused(t, 64, []string{"cannot start at position 1000000: the log ends at"}, "simulate", "--from-log", p.data, "--at", "1000000")
	p.refused(t, 66, []string{"cannot read the log"}, "simulate", "--from-log", filepath.Join(p.data, "nothing"))
	if before != sumOf(t, filepath.Join(p.data, "log")) {
		t.Error("the log's folder was changed")
	}
}

// traceOf gives the end of a run's line that names its trace.
func traceOf(out string) string {
	_, rest, _ := strings.Cut(out, ", trace ")
	hash, _, _ := strings.Cut(rest, "\n")
	return "trace " + hash
}

// sumOf hashes all files of a folder.
func sumOf(t *testing.T, folder string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %d ", path, len(text))
		_, _ = sum.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
