package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events/eventlog/eventstoredb/eventstoredbtest"
)

// TestLogInEventStoreDB: a platform whose log is on an EventStoreDB (here a
// stand-in of its protocol) is one like any other: it begins with the log of
// another cell, makes sites, is killed and comes back with what it acknowledged,
// and does not start without its log.
func TestLogInEventStoreDB(t *testing.T) {
	server := eventstoredbtest.New(t)
	from, dir := shared(t), t.TempDir()
	from.site(t, "exported", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	archive, address := filepath.Join(dir, "cell.archive"), filepath.Join(dir, "log.address")
	from.ok(t, "log", "export", "-o", archive)
	if err := os.WriteFile(address, []byte(server.URL()+"&stream=cell\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	p := &platform{options: options{data: dataFolder(t)}}
	p.ok(t, "log", "import", "--from", archive, "--log", "@"+address)
	p.refused(t, 65, []string{"holds commits"}, "log", "import", "--from", archive, "--log", "@"+address)
	imported := server.Len("cell-1")
	p = startFor(t, options{data: p.data, args: []string{"--log", "@" + address}})
	p.site(t, "second", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	p.kill()
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	if names := "\n" + p.ok(t, "site", "list", "--field", "name"); !strings.Contains(names, "\nexported\n") || !strings.Contains(names, "\nsecond\n") {
		t.Errorf("after a kill there are the sites %q", names)
	}
	p.visitor("second").sees(t, 200, "/", "hello")
	if written := server.Len("cell-1"); written <= imported {
		t.Errorf("the server has %d events, %d were imported", written, imported)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.refused(t, 64, []string{"it is at esdb://", "log export"}, "audit", "verify")
	p.args = nil
	if err := p.up(); err == nil || !strings.Contains(p.log(), "the log of this platform is at esdb://"+server.Address+"?stream=cell") {
		t.Errorf("it starts without its log: %v", err)
	}
}
