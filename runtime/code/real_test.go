package code

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pantheon/events"
)

// Real applications of the distribution and of the original's upstreams.

func realSource(t *testing.T, location, install string) events.CodeSource {
	t.Helper()
	if _, err := os.Stat(location); err != nil {
		t.Skipf("%s is missing: %s", location, install)
	}
	return events.CodeSource{Location: location}
}

// timed warms, then imports and releases twice, as two sites, and says what it
// took.
func timed(t *testing.T, store *Store, from events.CodeSource, at Mount) (Imported, string) {
	t.Helper()
	var result Imported
	var dir string
	began := time.Now()
	if err := store.Warm(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	t.Logf("warm: %v", time.Since(began).Round(time.Millisecond))
	for i := range 2 {
		began := time.Now()
		result = mustImport(t, store, siteID(i+1), from)
		imported := time.Since(began)
		began = time.Now()
		dir = mustRelease(t, store, siteID(i+1), result.Commit, at)
		t.Logf("site %d: import %v, release %v", i+1, imported.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	return result, dir
}

func TestDebianWordPress(t *testing.T) {
	from := realSource(t, "/usr/share/wordpress", "apt-get install -y wordpress")
	store := openStore(t)
	result, dir := timed(t, store, from, MountOf(false, events.WordPress.FileMount(), "/files"))
	t.Log(result.Notes)
	if got := read(t, dir, "wp-config.php"); got != string(platformConfig) {
		t.Error("wp-config.php is not the platform's")
	}
	if target, err := os.Readlink(filepath.Join(dir, "wp-content/uploads")); err != nil || target != "/files" {
		t.Errorf("uploads: %q, %v", target, err)
	}
	noLinkLeads(t, dir, "wp-content/uploads")
	for _, name := range []string{"wp-includes/ID3/getid3.php", "wp-includes/js/underscore.min.js", "wp-includes/certificates/ca-bundle.crt"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestDebianMediaWiki(t *testing.T) {
	from := realSource(t, "/usr/share/mediawiki", "apt-get install -y mediawiki")
	store := openStore(t)
	result, dir := timed(t, store, from, MountOf(false, "images", "/files"))
	t.Log(result.Notes)
	noLinkLeads(t, dir, "images")
	if settings, err := store.Settings(t.Context(), siteID(1), result.Commit); err != nil || settings.FileMount != "images" {
		t.Errorf("settings added: %+v, %v", settings, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "extensions/Cite/extension.json")); err != nil {
		t.Errorf("an extension is not where MediaWiki looks: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "LocalSettings.php")); err == nil {
		t.Error("a LocalSettings.php that leads nowhere is in the release")
	}
}

// noLinkLeads fails for a link that leads out of the release or nowhere; the
// file mount leads to the sandbox.
func noLinkLeads(t *testing.T, dir, mountPath string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Type()&os.ModeSymlink == 0 || path == filepath.Join(dir, mountPath) {
			return nil
		}
		if resolved, err := filepath.EvalSymlinks(path); err != nil || !strings.HasPrefix(resolved+"/", dir+"/") {
			t.Errorf("%s leads to %q, %v", path, resolved, err)
		}
		return nil
	})
}

func upstreamOf(t *testing.T, variable string) events.CodeSource {
	t.Helper()
	place := os.Getenv(variable)
	if place == "" {
		t.Skipf("%s is not set: it names a git repository of the upstream", variable)
	}
	return events.CodeSource{Location: place, Branch: "master"}
}

func TestDrops7(t *testing.T) {
	from := upstreamOf(t, "PANTHEON_TEST_DROPS7")
	store := openStore(t)
	result, dir := timed(t, store, from, MountOf(false, events.Drupal.FileMount(), "/files"))
	settings, err := store.Settings(t.Context(), siteID(1), result.Commit)
	if err != nil || settings.PHPVersion == "" || len(settings.ProtectedWebPaths) == 0 {
		t.Errorf("settings: %+v, %v", settings, err)
	}
	if target, err := os.Readlink(filepath.Join(dir, "sites/default/files")); err != nil || target != "/files" {
		t.Errorf("files: %q, %v", target, err)
	}
	if log, err := store.Log(t.Context(), siteID(1), "", MaxLogCommits); err != nil || len(log) < 50 {
		t.Errorf("history: %d commits, %v", len(log), err)
	}
}

func TestPantheonWordPress(t *testing.T) {
	from := upstreamOf(t, "PANTHEON_TEST_WORDPRESS")
	store := openStore(t)
	_, dir := timed(t, store, from, MountOf(false, events.WordPress.FileMount(), "/files"))
	if got := read(t, dir, "wp-config.php"); got == string(platformConfig) {
		t.Error("the upstream's own wp-config.php was replaced")
	}
}

func TestPlatformConfigIsPHP(t *testing.T) {
	if _, err := exec.LookPath("php"); err != nil {
		t.Skip("php is missing: apt-get install -y php-cli")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "wp-config.php"), string(platformConfig))
	write(t, filepath.Join(dir, "wp-settings.php"), `<?php
		foreach (['DB_NAME','DB_HOST','AUTH_KEY','NONCE_SALT','WP_HOME','WP_SITEURL','WP_ENVIRONMENT_TYPE','DISALLOW_FILE_MODS',
			'FS_METHOD','DISABLE_WP_CRON','WP_TEMP_DIR','DB_CHARSET'] as $name) {
			echo $name, '=', defined($name) ? var_export(constant($name), true) : '-', "\n";
		}
		echo $table_prefix, ' ', isset($_SERVER['HTTPS']) ? $_SERVER['HTTPS'] : '-', ' ', implode(',', array_intersect(array_keys(get_defined_vars()), ['read', 'scheme', 'environment'])), "\n";`)
	for _, row := range []struct {
		environment, host, https string
		want                     []string
	}{
		{"dev", "dev-blog.pantheon.localhost:8080", "OFF", []string{"WP_HOME='http://dev-blog.pantheon.localhost:8080'", "WP_ENVIRONMENT_TYPE='development'", "DISALLOW_FILE_MODS=-", "wp_ - \n"}},
		{"live", "blog.example.org", "ON", []string{"WP_SITEURL='https://blog.example.org'", "WP_ENVIRONMENT_TYPE='production'", "DISALLOW_FILE_MODS=true", "wp_ on \n"}},
		{"test", "evil\"><script>", "ON", []string{"WP_HOME=-", "WP_ENVIRONMENT_TYPE='staging'", "DISALLOW_FILE_MODS=true"}},
	} {
		command := exec.Command("php", "-d", "display_errors=stderr", "-d", "error_reporting=-1", filepath.Join(dir, "wp-config.php"))
		command.Env = []string{
			"PATH=/usr/bin:/bin", "PANTHEON_ENVIRONMENT=" + row.environment, "DB_NAME=d", "DB_USER=u", "DB_PASSWORD=p", "DB_HOST=localhost", "DB_PORT=3306",
			"AUTH_KEY=k1", "SECURE_AUTH_KEY=k2", "LOGGED_IN_KEY=k3", "NONCE_KEY=k4", "AUTH_SALT=s1", "SECURE_AUTH_SALT=s2", "LOGGED_IN_SALT=s3", "NONCE_SALT=s4",
			"HTTP_HOST=" + row.host, "HTTP_USER_AGENT_HTTPS=" + row.https, // the command line copies them into $_SERVER
		}
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range append(row.want, "DB_HOST='localhost:3306'", "AUTH_KEY='k1'", "NONCE_SALT='s4'", "FS_METHOD='direct'", "DISABLE_WP_CRON=true", "WP_TEMP_DIR='/tmp'", "DB_CHARSET='utf8mb4'") {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: %q is not in\n%s", row.environment, want, out)
			}
		}
	}
}
