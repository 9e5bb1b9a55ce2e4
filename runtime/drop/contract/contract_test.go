package contract

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	testSite = "6d1b2f3a-0c4e-4f5a-9b7c-1d2e3f4a5b6c"
	testDrop = events.DropID("0123456789abcdef0123456789abcdef")
)

func testSpec(framework events.Framework) events.DropSpec {
	return events.DropSpec{
		Generation: 3, Environment: events.EnvironmentOf(testSite, "dev"), SiteName: "hello", Framework: framework,
		UID: events.FirstUID + 7, Commit: "7c5d1f0b9e8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d", Deployment: 12, Seed: 1,
		Settings: events.EnvironmentSettings{PHPVersion: "8.2", Connection: events.ConnectionGit, Workers: 4, MemoryMiB: 512},
		Services: []events.BoundService{
			{Kind: events.DBServer, Binding: "fedcba9876543210fedcba9876543210"},
			{Kind: events.FileServer, Binding: "00112233445566778899aabbccddeeff"},
		},
	}
}

func testSecrets() Secrets {
	return Derive("db-password \"quoted\" $x", func(purpose string) string { return "<" + purpose + ">" })
}

func TestEnvironmentGolden(t *testing.T) {
	everything := Site{
		Drop: testDrop, Spec: testSpec(events.Backdrop), Layout: Sandboxed(testDrop), Secrets: testSecrets(),
		Cache: &Endpoint{"cacheserver.dev", 6379, "cache-password"}, Index: &Endpoint{"index.live", 449, "index-token"},
	}
	everything.Spec.Settings.WebDocroot = true
	everything.Spec.Settings.FileMount = "/app/uploads/"
	bound := func(f events.Framework) Site {
		return Site{Drop: testDrop, Spec: testSpec(f), Layout: Sandboxed(testDrop), Secrets: testSecrets()}
	}
	bare := bound(events.PHP)
	bare.Spec.Services = nil
	for name, site := range map[string]Site{
		"drupal": bound(events.Drupal), "wordpress": bound(events.WordPress), "everything": everything, "alone": bare,
	} {
		golden(t, name+".env", strings.Join(Strings(Environment(site)), "\n")+"\n")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// TestContractIsComplete holds the variables against the written contract.
func TestContractIsComplete(t *testing.T) {
	s := Site{
		Drop: testDrop, Spec: testSpec(events.Drupal8), Layout: Sandboxed(testDrop), Secrets: testSecrets(),
		Cache: &Endpoint{"c", 1, "p"}, Index: &Endpoint{"i", 2, "t"},
	}
	got := map[string]string{}
	for _, v := range Environment(s) {
		if _, twice := got[v.Name]; twice {
			t.Errorf("%s is there twice", v.Name)
		}
		got[v.Name] = v.Value
	}
	for name := range strings.FieldsSeq(`PANTHEON_ENVIRONMENT PANTHEON_SITE PANTHEON_SITE_NAME PANTHEON_DEPLOYMENT_IDENTIFIER
		PANTHEON_ROLLING_TMP PANTHEON_BINDING PANTHEON_INFRASTRUCTURE_ENVIRONMENT FRAMEWORK DOCROOT FILEMOUNT
		DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD CACHE_HOST CACHE_PORT CACHE_PASSWORD DRUPAL_HASH_SALT
		AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT
		PANTHEON_INDEX_HOST PANTHEON_INDEX_PORT PANTHEON_INDEX_SCHEME PANTHEON_INDEX_PATH PANTHEON_INDEX_CORE
		PANTHEON_INDEX_SCHEMA PANTHEON_INDEX_RELOAD_PATH PANTHEON_INDEX_TOKEN php_version HOME USER TMPDIR PRESSFLOW_SETTINGS`) {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	var settings map[string]any
	if err := json.Unmarshal([]byte(got["PRESSFLOW_SETTINGS"]), &settings); err != nil {
		t.Fatal(err)
	}
	for key := range settings {
		switch key {
		case "conf", "databases", "drupal_hash_salt", "config_directory_name":
		default:
			t.Errorf("PRESSFLOW_SETTINGS has %s, which becomes a PHP variable", key)
		}
	}
}

func TestDeploymentChangesWhatItShould(t *testing.T) {
	before, after := testSpec(events.Drupal8), testSpec(events.Drupal8)
	after.Deployment++
	l := Sandboxed(testDrop)
	if DeploymentIdentifier(before) == DeploymentIdentifier(after) || l.RollingTmp(before) == l.RollingTmp(after) {
		t.Error("a deployment left identifier or rolling folder as they were")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := testSecrets()
	data, err := json.Marshal(struct{ S Secrets }{s})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(s, &s, string(data), s.LogValue()) + fmt.Sprintf("%v %+v %#v %s %d %q", s, s, s, s, s, []any{s})
	if strings.Contains(text, "db-password") || strings.Contains(text, "auth") {
		t.Errorf("secrets print: %s", text)
	}
}
