package e2e

import (
	"fmt"
	"strings"
	"testing"

	"pantheon/gateways/api"
)

// whoAmI says which DROP has answered, and that it reaches its data.
const whoAmI = `<?php
$db = mysqli_connect($_ENV['DB_HOST'], $_ENV['DB_USER'], $_ENV['DB_PASSWORD'], $_ENV['DB_NAME'], $_ENV['DB_PORT']);
if (isset($_GET['note'])) { file_put_contents('/files/note.txt', $_GET['note']); exit('written'); }
echo 'drop=', $_ENV['PANTHEON_BINDING'], ' sum=', $db->query('SELECT 40 + 2')->fetch_row()[0], ' note=', @file_get_contents('/files/note.txt');
`

// drainedDrops are awake on the machine that is drained; longDrainedDrops with
// PANTHEON_TEST_LONG.
const (
	drainedDrops     = 10
	longDrainedDrops = 50
)

// names gives numbered names of sites.
func names(prefix string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

// TestMatrixDrainUnderLoad: a machine is emptied while all its DROPs are asked
// without a pause, and no visitor notices.
func TestMatrixDrainUnderLoad(t *testing.T) {
	c := matrix(t)
	count := drainedDrops
	if long() {
		count = longDrainedDrops
	}
	drainUnderLoad(t, c, names("moves", count))
}

func drainUnderLoad(t testing.TB, c *cell, sites []string) *load {
	t.Helper()
	first, second := c.machines[0], c.machines[1]
	c.sitesOn(t, second, map[string]string{"index.php": whoAmI}, sites...)
	for _, site := range sites {
		first.visitor(site).sees(t, 200, "/?note="+site, "written")
	}
	visitors := visit(t, first, "sum=42", sites...)
	visitors.goesOn(t, 5*len(sites))
	drained := first.run("host", "drain", second.name)
	visitors.goesOn(t, 5*len(sites))
	visitors.wantsNone(t, "while the host was drained")
	if drained.code != 0 || !strings.Contains(drained.said, fmt.Sprintf("%d DROPs are left on %s\n", 0, second.name)) || !strings.Contains(drained.said, "services with data stay on "+second.name) {
		t.Errorf("host drain: exit code %d\n%s", drained.code, drained.said)
	}
	t.Logf("the drain said: %q", drained.said)
	for _, drop := range decode[[]api.Drop](t, first.platform, "drop", "list") {
		if drop.HostName == second.name {
			t.Errorf("DROP %s of %s is on %s", drop.ID, drop.SiteName, second.name)
		}
	}
	for _, site := range sites {
		for _, m := range c.machines {
			m.visitor(site).sees(t, 200, "/", "sum=42 note="+site)
		}
	}
	first.ok(t, "host", "undrain", second.name)
	c.awaits(t, second, "ready")
	return visitors
}
