package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	wikiFolder = "/usr/share/mediawiki"
	// wikiSettings read everything from the environment, as an upstream of the
	// platform would have it.
	wikiSettings = `<?php
if (!defined('MEDIAWIKI')) { exit; }
$wgSitename = 'Wiki of the Borg';
$wgServer = 'http://' . ($_SERVER['HTTP_HOST'] ?? 'localhost');
$wgScriptPath = '';
$wgArticlePath = '/index.php/$1';
$wgDBtype = 'mysql';
$wgDBserver = $_ENV['DB_HOST'];
$wgDBname = $_ENV['DB_NAME'];
$wgDBuser = $_ENV['DB_USER'];
$wgDBpassword = $_ENV['DB_PASSWORD'];
$wgSecretKey = $_ENV['DRUPAL_HASH_SALT'];
$wgUpgradeKey = substr($_ENV['AUTH_KEY'], 0, 16);
$wgLanguageCode = 'en';
$wgUploadDirectory = '/files';
$wgCacheDirectory = $_ENV['PANTHEON_ROLLING_TMP'];
wfLoadSkin('Vector');
$wgDefaultSkin = 'vector';
`
)

// TestMediaWiki serves Debian's MediaWiki, whose addresses are PATH_INFO. Its
// tables are made from outside, over the environment's own database account.
func TestMediaWiki(t *testing.T) {
	requireFile(t, wikiFolder+"/maintenance/install.php", "apt-get install -y mediawiki")
	p := shared(t)
	source := t.TempDir()
	for _, name := range []string{"api.php", "autoload.php", "composer.json", "includes", "index.php", "languages", "load.php", "maintenance", "mw-config", "resources", "rest.php", "skins", "vendor"} {
		if err := os.Symlink(filepath.Join(wikiFolder, name), filepath.Join(source, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(source, "LocalSettings.php"), []byte(wikiSettings), 0o644); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "upstream", "add", "wiki", source, "--framework", "php")
	p.ok(t, "site", "create", "wiki", "--upstream", "wiki")
	v := p.visitor("wiki")
	installWiki(t, p)

	v.sees(t, 200, "/index.php/Main_Page", "Wiki of the Borg", "MediaWiki has been installed")
	if front := v.get(t, "/"); front.status != 200 || front.url != v.url("/index.php/Main_Page") {
		t.Errorf("the front page: %s", front)
	}
	edit := v.sees(t, 200, "/index.php?title=Collective&action=edit").form(t, "id", "editform")
	v.submit(t, edit, "wpTextbox1", "You will be '''assimilated'''.", "wpSave", "Save page").wants(t, 200, "<b>assimilated</b>")
	p.visitor("wiki").sees(t, 200, "/index.php/Collective", "<b>assimilated</b>")
	p.visitor("wiki").sees(t, 404, "/index.php/Nobody/Here", "There is currently no text in this page")
	p.visitor("wiki").sees(t, 200, "/load.php?modules=startup&only=scripts&raw=1", "mw.loader")
}

// installWiki makes the tables with MediaWiki's own command. It runs outside
// of the sandbox, with the variables that the API gives an owner.
func installWiki(t *testing.T, p *platform) {
	t.Helper()
	variables := p.variables(t, "wiki")
	folder := t.TempDir()
	secrets := filepath.Join(folder, "secret")
	if err := os.WriteFile(secrets, []byte(variables["DB_PASSWORD"]), 0o600); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "php", "-d", "mysqli.default_socket="+filepath.Join(p.data, "services/mariadb/run/mysqld.sock"),
		wikiFolder+"/maintenance/install.php", "--confpath", folder, "--dbtype", "mysql", "--dbserver", variables["DB_HOST"],
		"--dbname", variables["DB_NAME"], "--dbuser", variables["DB_USER"], "--dbpassfile", secrets,
		"--server", "http://localhost", "--scriptpath", "", "--pass", "Assimilate-us-7", "Wiki", "Locutus")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("maintenance/install.php: %v\n%s", err, out)
	}
}

// variables asks the API what the PHP of a site's dev environment is given.
func (p *platform) variables(t *testing.T, site string) map[string]string {
	t.Helper()
	answer := p.api(t, "GET", "sites/"+site+"/environments/dev/variables", "")
	var variables map[string]string
	if err := json.Unmarshal([]byte(answer.body), &variables); answer.status != 200 || err != nil {
		t.Fatalf("variables: %v, %s", err, answer)
	}
	return variables
}
