package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
)

// php runs code under the prepend with the environment of a site, by the real
// command line interpreter.
type php struct {
	program, dir string
	site         Site
	flags        []string
}

func newPHP(t *testing.T, framework events.Framework) *php {
	t.Helper()
	found, _ := filepath.Glob("/usr/bin/php[78].*")
	if len(found) == 0 {
		t.Skip("needs PHP: apt-get install php-cli")
	}
	dir := t.TempDir()
	l := Layout{Home: dir, Code: dir + "/code", Files: dir + "/files", Tmp: dir + "/tmp", Logs: dir + "/logs",
		Includes: dir + "/includes", Spool: dir + "/purge", DatabaseSocket: dir + "/none.sock"}
	for _, sub := range []string{l.Includes, l.Tmp, l.Files} {
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{PrependName: Prepend, DrupalProviderName: DrupalProvider} {
		if err := os.WriteFile(filepath.Join(l.Includes, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &php{program: found[0], dir: dir, flags: []string{"-d", "apc.enable_cli=1"},
		site: Site{Drop: testDrop, Spec: testSpec(framework), Layout: l, Secrets: testSecrets()}}
}

func (p *php) run(t *testing.T, code string) string {
	t.Helper()
	file := filepath.Join(p.dir, "script.php")
	if err := os.WriteFile(file, []byte("<?php\n"+code), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append(p.flags, "-d", "variables_order=EGPCS", "-d", "display_errors=1", "-d", "error_reporting=-1",
		"-d", "auto_prepend_file="+filepath.Join(p.site.Layout.Includes, PrependName), file)
	c := exec.Command(p.program, args...)
	c.Env = Strings(Environment(p.site))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestVariablesInPHP(t *testing.T) {
	p := newPHP(t, events.Drupal)
	var got struct{ Env, Get, Server map[string]string }
	out := p.run(t, `$g = []; foreach ($_ENV as $k => $v) $g[$k] = getenv($k);
		echo json_encode(['env' => $_ENV, 'get' => $g, 'server' => array_map(fn($v) => is_array($v) ? '' : (string) $v, $_SERVER)]);`)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, v := range Environment(p.site) {
		if got.Env[v.Name] != v.Value || got.Get[v.Name] != v.Value {
			t.Errorf("%s: $_ENV has %q, getenv() %q, want %q", v.Name, got.Env[v.Name], got.Get[v.Name], v.Value)
		}
		value, there := got.Server[v.Name]
		hidden := v.Name == "PANTHEON_ENVIRONMENT" || v.Name == "PANTHEON_SITE"
		if hidden && there || !hidden && value != v.Value {
			t.Errorf("%s: $_SERVER has %q (%v)", v.Name, value, there)
		}
	}
}

func TestConstantsAndFunctions(t *testing.T) {
	p := newPHP(t, events.Drupal)
	p.site.Cache = &Endpoint{"cache", 6379, "secret"}
	p.site.Index = &Endpoint{"index", 449, "token"}
	names := strings.Fields(`PANTHEON_SITE PANTHEON_SITE_NAME PANTHEON_ENVIRONMENT PANTHEON_BINDING PANTHEON_BINDING_UID_NUMBER
		PANTHEON_DATABASE_HOST PANTHEON_DATABASE_PORT PANTHEON_DATABASE_USERNAME PANTHEON_DATABASE_PASSWORD
		PANTHEON_DATABASE_DATABASE PANTHEON_DATABASE_BINDING PANTHEON_REDIS_HOST PANTHEON_REDIS_PORT PANTHEON_REDIS_PASSWORD
		PANTHEON_VALHALLA_HOST PANTHEON_INDEX_HOST PANTHEON_INDEX_PORT JETPACK_SIGNATURE__HTTP_PORT JETPACK_SIGNATURE__HTTPS_PORT`)
	var code strings.Builder
	for _, n := range names {
		fmt.Fprintf(&code, "echo %q, ' ', var_export(constant(%q), true), \"\\n\";\n", n, n)
	}
	golden(t, "constants.txt", p.run(t, code.String()))
	functions := strings.Fields(`pantheon_api_get_authorization pantheon_curl_setup pantheon_curl pantheon_curl_retry
		pantheon_curl_timeout pantheon_curl_multi pantheon_cache_get pantheon_cache_set pantheon_cache_clear
		pantheon_bulk_file_delete pantheon_stat pantheon_realpath pantheon_variable_get pantheon_clear_edge_all
		pantheon_clear_edge_paths pantheon_clear_edge_keys pantheon_purge_edge_urls pantheon_get_secret`)
	for _, f := range functions {
		if got := p.run(t, "echo function_exists('"+f+"') ? 'yes' : 'no';"); got != "yes" {
			t.Errorf("%s: %s", f, got)
		}
	}
}

func TestFunctionsInPHP(t *testing.T) {
	p := newPHP(t, events.Drupal)
	files := p.site.Layout.Files
	for _, sub := range []string{"styles/thumb/deep", "keep"} {
		if err := os.MkdirAll(filepath.Join(files, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(p.dir, "outside")
	os.WriteFile(outside, nil, 0o644)
	os.Symlink(p.dir, filepath.Join(files, "styles", "link"))
	for _, c := range []struct{ code, want string }{
		{`pantheon_api_get_authorization('x')`, "false"},
		{`pantheon_get_secret('x')`, "NULL"},
		{`pantheon_cache_set('a', [1], 60) && pantheon_cache_get('a') === [1]`, "true"},
		{`(function () { pantheon_cache_set('a', 1); pantheon_cache_clear('a'); return pantheon_cache_get('a'); })()`, "false"},
		{`(function () { pantheon_cache_set('b', 1); pantheon_cache_clear(); return pantheon_cache_get('b'); })()`, "false"},
		{`pantheon_variable_get('pantheon_tier')`, "'live'"},
		{`pantheon_variable_get('absent', 5)`, "5"},
		{`pantheon_bulk_file_delete('` + files + `/styles')`, "true"},
		{`is_dir('` + files + `/styles') || !is_dir('` + files + `/keep')`, "false"},
		{`pantheon_bulk_file_delete(['` + outside + `', '` + files + `'])`, "false"},
		{`is_file('` + outside + `') && is_dir('` + files + `')`, "true"},
		{`is_array(pantheon_stat('` + outside + `'))`, "true"},
		{`count(pantheon_curl_setup('http://127.0.0.1:1/'))`, "2"},
		{`pantheon_curl_timeout('http://127.0.0.1/', null, 1, 'GET', 2)['status-code']`, "0"},
		{`array_keys(pantheon_curl_multi(['a' => ['http://127.0.0.1/', null, 1]]))[0]`, "'a'"},
	} {
		if got := p.run(t, "var_export("+c.code+");"); got != c.want {
			t.Errorf("%s gave %s, want %s", c.code, got, c.want)
		}
	}
}

func TestEdgeSpool(t *testing.T) {
	p := newPHP(t, events.WordPress)
	spool := p.site.Layout.Spool
	read := func() string { data, _ := os.ReadFile(spool); os.Remove(spool); return string(data) }
	for _, c := range []struct{ code, want string }{
		{`pantheon_clear_edge_keys(['node-1', 'node-1', 'term-2']); pantheon_clear_edge_paths(['/', '/a b']);`,
			`{"all":false,"keys":["node-1","term-2"],"paths":["/","/a b"],"urls":[]}` + "\n"},
		{`pantheon_clear_edge_keys(['7']); pantheon_clear_edge_all();`, `{"all":true,"keys":[],"paths":[],"urls":[]}` + "\n"},
		{`pantheon_clear_edge_keys(range(1, 6000));`, `{"all":true,"keys":[],"paths":[],"urls":[]}` + "\n"},
		{`register_shutdown_function(fn() => register_shutdown_function(fn() => pantheon_clear_edge_keys('late')));
			pantheon_clear_edge_keys('early');`,
			`{"all":false,"keys":["early"],"paths":[],"urls":[]}` + "\n" + `{"all":false,"keys":["late"],"paths":[],"urls":[]}` + "\n"},
		{`pantheon_clear_edge_keys(["bad \xff utf"]);`, `{"all":false,"keys":["bad \ufffd utf"],"paths":[],"urls":[]}` + "\n"},
		{`pantheon_clear_edge_keys([[], new stdClass]); pantheon_clear_edge_paths(null);`, `{"all":false,"keys":[],"paths":[],"urls":[]}` + "\n"},
		{`echo 'nothing';`, ""},
	} {
		p.run(t, c.code)
		if got := read(); got != c.want {
			t.Errorf("%s left %q, want %q", c.code, got, c.want)
		}
	}
	os.WriteFile(spool, make([]byte, MaxSpoolBytes-10), 0o644)
	p.run(t, `pantheon_clear_edge_keys('one');`)
	if got := read(); got != `{"all":true,"keys":[],"paths":[],"urls":[]}`+"\n" {
		t.Errorf("a full spool became %.100q", got)
	}
	os.Mkdir(spool, 0o755)
	if got := p.run(t, `pantheon_clear_edge_all(); echo 'fine';`); got != "fine" {
		t.Errorf("a spool that cannot be written: %s", got)
	}
}

func TestDrupalProvider(t *testing.T) {
	p := newPHP(t, events.Drupal8)
	const drupal = `namespace Drupal\Core\DependencyInjection { class ContainerBuilder {} interface ServiceProviderInterface { function register(ContainerBuilder $c); } }
		namespace { `
	const use = `$c = 'Pantheon\Internal\PantheonServiceProvider'; var_export(class_exists($c));`
	if got := p.run(t, use); got != "false" {
		t.Errorf("outside Drupal: %s", got)
	}
	got := p.run(t, drupal+use+` (new $c)->register(new Drupal\Core\DependencyInjection\ContainerBuilder); }`)
	spool, _ := os.ReadFile(p.site.Layout.Spool)
	if got != "true" || !strings.HasPrefix(string(spool), `{"all":true`) {
		t.Errorf("inside Drupal: %s, spool %q", got, spool)
	}
}
