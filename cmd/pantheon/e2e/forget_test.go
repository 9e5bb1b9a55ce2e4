package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/gateways/api"
)

// findIn gives the files of a folder that hold a text.
func findIn(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			found = append(found, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestForget: what a person has typed is nowhere in the data folder, neither
// while the site lives nor when it was forgotten and the views' snapshots are
// written and read again; commands and API say so, and the log verifies.
func TestForget(t *testing.T) {
	requirePackages(t)
	const label, person, mail = "Zebedee-diary", "Zebedee-Quux", "zebedee@example.org"
	p := startFor(t, options{})
	p.ok(t, "upstream", "add", "plain", folder(t, map[string]string{"index.php": helloPage}), "--framework", "php")
	account := strings.TrimSpace(p.ok(t, "account", "create", person, "--email", mail, "--field", "id"))
	p.ok(t, "site", "create", "blog", "--upstream", "plain", "--label", label, "--owner", account)
	p.visitor("blog").sees(t, 200, "/", "hello")
	site := decode[api.Site](t, p, "site", "info", "blog")
	if site.Label != label {
		t.Errorf("site info shows the label %q", site.Label)
	}
	created := p.commits(t, "--type", "SiteCreated")
	if len(created) != 1 || !strings.Contains(string(created[0].Events[0].Payload), label) {
		t.Errorf("the log shows %+v", created)
	}
	checkNowhere := func() {
		t.Helper()
		for _, text := range []string{label, person, mail} {
			if found := findIn(t, p.data, text); len(found) > 0 {
				t.Errorf("%q stands in %v", text, found)
			}
		}
	}
	checkNowhere() // before anything is forgotten too: it is sealed
	p.refused(t, 65, []string{"it is not deleted"}, "site", "forget", "blog", "--yes")
	p.refused(t, 65, []string{"it owns site blog"}, "account", "forget", account, "--yes")
	p.ok(t, "site", "delete", "blog", "--yes")
	p.ok(t, "site", "forget", "blog", "--yes")
	p.ok(t, "account", "forget", account, "--yes")
	checkForgotten := func() {
		t.Helper()
		for _, commit := range p.commits(t, "--type", "SiteCreated,AccountRegistered") {
			payload := string(commit.Events[0].Payload)
			if strings.Contains(payload, "Zebedee") || strings.Contains(payload, mail) || strings.Contains(payload, "sealed:") {
				t.Errorf("position %d shows %s", commit.Position, payload)
			}
		}
		shown := p.ok(t, "events", "show", fmt.Sprint(uint64(created[0].Position)))
		if !strings.Contains(shown, `"label": "(forgotten)"`) || !strings.Contains(shown, created[0].Hash) {
			t.Errorf("events show:\n%s", shown)
		}
	}
	checkForgotten()
	// The end writes the views' snapshots, the next start reads them.
	if err := p.end(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	checkNowhere()
	p.ok(t, "audit", "verify")
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	checkForgotten()
}
