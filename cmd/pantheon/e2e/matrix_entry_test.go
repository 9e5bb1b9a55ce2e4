package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/gateways/api"
)

// TestMatrixEntries: every entry machine serves every site, wherever it is:
// pages, files, waking and what a page has written.
func TestMatrixEntries(t *testing.T) {
	c := matrix(t)
	c.siteOn(t, c.machines[1], "second", map[string]string{"index.php": noteBook, "plain.txt": "plain"})
	for _, m := range c.machines {
		v := m.visitor("second")
		v.sees(t, 200, "/?note="+m.name, "written")
		v.sees(t, 200, "/plain.txt", "plain")
	}
	for _, m := range c.machines {
		for _, other := range c.machines {
			m.visitor("second").sees(t, 200, "/", other.name)
		}
		c.machines[0].ok(t, "env", "sleep", "second.dev")
	}
	if drop := c.machines[0].drop(t, "second.dev"); drop.HostName != "web-2" {
		t.Errorf("the DROP is on %s", drop.HostName)
	}
}

// noteBook keeps what it is told in its database and in its files.
const noteBook = `<?php
$db = mysqli_connect($_ENV['DB_HOST'], $_ENV['DB_USER'], $_ENV['DB_PASSWORD'], $_ENV['DB_NAME'], $_ENV['DB_PORT']);
$db->query('CREATE TABLE IF NOT EXISTS notes (text VARCHAR(80) PRIMARY KEY)');
if (isset($_GET['note'])) {
  $insert = $db->prepare('INSERT INTO notes VALUES (?)');
  $insert->execute([$_GET['note']]);
  file_put_contents('/files/' . $_GET['note'], 'kept');
  exit('written');
}
foreach ($db->query('SELECT text FROM notes ORDER BY text') as $row) {
  echo $row['text'], ' ', file_get_contents('/files/' . $row['text']), "\n";
}
`

// TestMatrixCommandsAnywhere: the command line works on every machine. Who sits
// at a control machine is known there; elsewhere a token says it.
func TestMatrixCommandsAnywhere(t *testing.T) {
	c := matrix(t)
	first := c.machines[0]
	token := strings.TrimSpace(first.ok(t, "token", "create", "--field", "token"))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.siteOn(t, c.machines[1], "anywhere", map[string]string{"index.php": helloPage})
	for _, m := range c.machines {
		url := "http://" + c.net.address(m.number) + ":" + apiPort
		m.refused(t, 77, []string{"machine token", "hint: ", "token create"}, "--api", url, "site", "list")
		if names := m.ok(t, "--api", url, "--token-file", file, "site", "list", "--field", "name"); !strings.Contains(names, "anywhere\n") {
			t.Errorf("%s: the sites are %q", m.name, names)
		}
		m.ok(t, "--api", url, "--token-file", file, "site", "create", "by-"+m.name, "--upstream", "anywhere")
		c.leaves(t, "by-"+m.name)
		m.visitor("by-"+m.name).sees(t, 200, "/", "hello")
	}
	for _, m := range c.machines[1:] {
		m.refused(t, 77, []string{"without a machine token", "hint: ", "token create"}, "site", "list")
		m.ok(t, "site", "list", "--token-file", file)
		m.env = []string{"PANTHEON_TOKEN=" + token}
		m.ok(t, "env", "set", "by-"+m.name+".dev", "--workers", "3")
		m.env = nil
	}
	if hosts := decode[[]api.Host](t, first.platform, "host", "list"); len(hosts) != cellSize {
		t.Errorf("there are %d hosts", len(hosts))
	}
}
