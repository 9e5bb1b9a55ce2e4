package code

import (
	"reflect"
	"strings"
	"testing"

	"pantheon/events/problem"
)

func TestParseSettings(t *testing.T) {
	upstream := `# defaults
api_version: 1
php_version: 8.2
drush_version: 8
protected_web_paths:
  - /private/
  - /sites/default/files/private/
database:
  version: 10.6
`
	for _, row := range []struct {
		name, upstream, site string
		want                 Settings
	}{
		{"none", "", "", Settings{}},
		{"upstream alone", upstream, "", Settings{
			APIVersion: 1, PHPVersion: "8.2", DrushVersion: "8", DatabaseVersion: "10.6",
			ProtectedWebPaths: []string{"/private/", "/sites/default/files/private/"}}},
		{"site extends", upstream, "api_version: 1\nphp_version: 8.10\nweb_docroot: true\nprotected_web_paths: [/private/, /x]\n", Settings{
			APIVersion: 1, PHPVersion: "8.10", DrushVersion: "8", DatabaseVersion: "10.6", WebDocroot: true,
			ProtectedWebPaths: []string{"/private/", "/sites/default/files/private/", "/x"}}},
		{"site overrides", upstream, "api_version: 1\nprotected_web_paths: [/x]\nprotected_web_paths_override: true\n", Settings{
			APIVersion: 1, PHPVersion: "8.2", DrushVersion: "8", DatabaseVersion: "10.6",
			ProtectedWebPaths: []string{"/x"}, ProtectedWebPathsOverride: true}},
		{"everything", "", `api_version: 1
enforce_https: full+subdomains
filemount: /app/uploads
build_step: true
search: {version: 8}
object_cache: {version: 6.2}
tika_version: 3
php_runtime_generation: 2
workflows:
  deploy:
    after:
      - {type: webphp, description: hello, script: private/hello.php}
colour: green
`, Settings{
			APIVersion: 1, EnforceHTTPS: "full+subdomains", FileMount: "app/uploads", BuildStep: true, SearchVersion: "8",
			ObjectCacheVersion: "6.2", TikaVersion: "3", PHPRuntimeGeneration: "2",
			Warnings: []string{`pantheon.yml: line 13: "colour" is not known and has no effect`}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := ParseSettings(text(row.upstream), text(row.site))
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, row.want)
			}
		})
	}
}

func text(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func TestSettingsThatAreRefused(t *testing.T) {
	many := "api_version: 1\nprotected_web_paths:\n"
	for i := range MaxProtectedWebPaths + 1 {
		many += "  - /p" + strings.Repeat("x", i) + "\n"
	}
	for site, want := range map[string]string{
		"php_version: 8.2\n":                                   "api_version is missing",
		"api_version: 2\n":                                     "line 1: api_version must be 1",
		"api_version: 1\nphp_version: latest\n":                "line 2: php_version must be",
		"api_version: 1\nphp_version: [8]\n":                   "line 2: php_version must be",
		"api_version: 1\nweb_docroot: perhaps\n":               "line 2: web_docroot must be true or false",
		"api_version: 1\nenforce_https: always\n":              "enforce_https must be one of",
		"api_version: 1\nfilemount: ../../etc\n":               "filemount must be a path",
		"api_version: 1\nfilemount: /\n":                       "filemount must be a path",
		"api_version: 1\nprotected_web_paths: /x\n":            "must be a list",
		"api_version: 1\nprotected_web_paths: [x]\n":           "begins with /",
		"api_version: 1\nprotected_web_paths: ['/x*']\n":       "begins with /",
		"api_version: 1\nprotected_web_paths: [/a/../b]\n":     "begins with /",
		"api_version: 1\nphp_version: 8.1\nphp_version: 8.2\n": "is there twice",
		"api_version: 1\nb: &x [1]\nc: *x\n":                   "aliases",
		"api_version: 1\nb: [[[[[[[[[[1]]]]]]]]]]\n":           "nested deeper",
		"- 1\n":                            "list of keys and values",
		"api_version: [1\n":                "cannot use pantheon.yml",
		"api_version: 1\ndatabase: 10.6\n": "database must have a version",
		"api_version: 1\n#" + strings.Repeat("x", MaxSettingsBytes): "more than",
		many: "may protect 24",
	} {
		_, err := ParseSettings(nil, []byte(site))
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v, want Invalid with %q", site, err, want)
		}
	}
}

func TestSettingsOfACommit(t *testing.T) {
	store, up := openStore(t), newUpstream(t)
	first := up.commit("first", map[string]string{"index.php": "1"})
	second := up.commit("second", map[string]string{"pantheon.upstream.yml": "api_version: 1\nphp_version: 7.4\n", "pantheon.yml": "api_version: 1\nphp_version: 8.2\n"})
	up.git("rm", "-q", "pantheon.yml")
	third := up.commit("a folder of that name", map[string]string{"pantheon.yml/x": "1"})
	mustImport(t, store, siteID(1), up.source())
	for commit, want := range map[string]string{first: "", second: "8.2", third: "7.4"} {
		if got, err := store.Settings(t.Context(), siteID(1), commit); err != nil || got.PHPVersion != want {
			t.Errorf("%s: %+v, %v, want PHP %q", commit, got, err, want)
		}
	}
	if _, err := store.Settings(t.Context(), siteID(1), "master"); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a branch as commit: %v, want Invalid", err)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte("api_version: 1\nphp_version: 8.2\n"), []byte("api_version: 1\nprotected_web_paths: [/x]\n"))
	f.Add([]byte("a: &a [*a]"), []byte("? [1]\n: 2"))
	f.Add([]byte("!!binary x"), []byte("--- \n--- \n"))
	f.Fuzz(func(t *testing.T, upstream, site []byte) {
		settings, err := ParseSettings(upstream, site)
		if err != nil && problem.KindOf(err) != problem.Invalid {
			t.Fatalf("%v is not Invalid", err)
		}
		if len(settings.ProtectedWebPaths) > MaxProtectedWebPaths || len(settings.Warnings) > MaxNotes {
			t.Fatal("a bound is broken")
		}
		if checkMount(settings.FileMount) != nil {
			t.Fatalf("file mount %q", settings.FileMount)
		}
	})
}
