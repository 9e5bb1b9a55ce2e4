package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// dumpPage shows what PHP finds around it, as JSON.
const dumpPage = `<?php
$read = ['variables_order', 'request_order', 'short_open_tag', 'max_input_vars', 'session.gc_maxlifetime',
  'session.cookie_lifetime', 'opcache.max_accelerated_files', 'upload_max_filesize', 'post_max_size',
  'max_execution_time', 'memory_limit', 'display_errors', 'allow_url_include'];
$home = getenv('HOME');
$places = [];
foreach (['code', 'files', 'tmp', 'certs', 'logs'] as $name) {
  $places[$name] = realpath("$home/$name");
}
$pem = (string) file_get_contents("$home/certs/binding.pem");
$crt = openssl_x509_parse($pem);
echo json_encode([
  'certificate' => ['subject' => $crt['subject'] ?? null, 'pair' => openssl_x509_check_private_key($pem, $pem),
    'separate' => openssl_x509_check_private_key((string) file_get_contents("$home/certs/binding.crt"), (string) file_get_contents("$home/certs/binding.key")),
    'signed' => openssl_x509_verify($pem, (string) file_get_contents("$home/certs/ca.pem")) === 1,
    'days' => (($crt['validTo_time_t'] ?? 0) - time()) / 86400, 'writable' => is_writable("$home/certs")],
  'env' => array_map('strval', $_ENV), 'getenv' => array_map('strval', getenv()), 'server' => $_SERVER,
  'ini' => array_combine($read, array_map(fn ($name) => (string) ini_get($name), $read)),
  'constants' => get_defined_constants(true)['user'],
  'functions' => array_values(array_filter(get_defined_functions()['user'], fn ($f) => strncmp($f, '_', 1) !== 0)),
  'included' => get_included_files(),
  'home' => realpath($home), 'places' => $places,
  'logs' => [is_dir("$home/logs/php"), is_dir("$home/logs/nginx")],
  'temp' => sys_get_temp_dir(),
  'writable' => ['code' => is_writable('/code'), 'files' => is_writable('/files'), 'tmp' => is_writable('/tmp'),
    'rolling' => is_writable($_ENV['PANTHEON_ROLLING_TMP']), 'mount' => is_writable('/code/sites/default/files')],
  'whoami' => posix_getuid(),
]);
`

// surroundings is what dumpPage shows.
type surroundings struct {
	Env, Getenv map[string]string
	Server      map[string]any
	INI         map[string]string
	Constants   map[string]any
	Functions   []string
	Included    []string
	Home        string
	Places      map[string]any
	Logs        []bool
	Temp        string
	Writable    map[string]bool
	Whoami      int
	Certificate certificate
}

// certificate is $HOME/certs as an application sees it.
type certificate struct {
	Subject                          map[string]any
	Pair, Separate, Signed, Writable bool
	Days                             float64
}

func (v *visitor) surroundings(t *testing.T, path string, fields ...string) surroundings {
	t.Helper()
	answer := v.get(t, path, fields...)
	answer.wants(t, 200)
	var s surroundings
	if err := json.Unmarshal([]byte(answer.body), &s); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return s
}

// TestEnvironmentContract compares what PHP finds with the platform's promise
// to upstreams: variables, settings, constants, functions, files.
func TestEnvironmentContract(t *testing.T) {
	p := shared(t)
	v := p.site(t, "contract", "drupal", map[string]string{"index.php": dumpPage, "sites/default/default.settings.php": "<?php\n"})
	s := v.surroundings(t, "/index.php/a/b?c=d")
	drop, variables := p.drop(t, "contract.dev"), p.variables(t, "contract")

	t.Run("variables", func(t *testing.T) { checkVariables(t, s, string(drop.ID), string(drop.Site), variables) })
	t.Run("request", func(t *testing.T) { checkServer(t, v, s) })
	t.Run("settings", func(t *testing.T) { checkPressflow(t, s, string(drop.Site), variables) })
	t.Run("prepend", func(t *testing.T) { checkPrepend(t, s, variables) })
	t.Run("ini", func(t *testing.T) {
		for name, want := range map[string]string{
			"variables_order": "EGPCS", "request_order": "GP", "short_open_tag": "", "max_input_vars": "10000",
			"session.gc_maxlifetime": "200000", "session.cookie_lifetime": "2000000", "opcache.max_accelerated_files": "32531",
			"upload_max_filesize": "100M", "post_max_size": "100M", "max_execution_time": "120",
			"memory_limit": "256M", "display_errors": "", "allow_url_include": "",
		} {
			if got := strings.TrimPrefix(strings.ReplaceAll(s.INI[name], "Off", ""), "0"); got != want {
				t.Errorf("%s is %q, want %q", name, s.INI[name], want)
			}
		}
	})
	t.Run("certificate", func(t *testing.T) {
		c := s.Certificate
		if !c.Pair || !c.Separate || !c.Signed || c.Writable || c.Days < 3 || c.Days > 8 {
			t.Errorf("%+v; want a pair signed by ca.pem, for a week, in a folder that is not writable", c)
		}
		if c.Subject["CN"] != string(drop.Site)+".dev" || c.Subject["OU"] != string(drop.ID) {
			t.Errorf("the certificate is that of %v, want site %s and DROP %s", c.Subject, drop.Site, drop.ID)
		}
	})
	t.Run("files", func(t *testing.T) {
		if s.Home != "/" || s.Places["code"] != "/code" || s.Places["files"] != "/files" || s.Places["tmp"] != "/tmp" ||
			s.Temp != "/tmp" || !s.Logs[0] || !s.Logs[1] {
			t.Errorf("home %s, places %v, temporary folder %s, logs %v", s.Home, s.Places, s.Temp, s.Logs)
		}
		w := s.Writable
		if w["code"] || !w["files"] || !w["tmp"] || !w["rolling"] || !w["mount"] {
			t.Errorf("writable: %v; want everything but the code", w)
		}
		if s.Whoami < 1000 {
			t.Errorf("PHP runs as user %d", s.Whoami)
		}
	})
}

func checkVariables(t *testing.T, s surroundings, drop, site string, variables map[string]string) {
	t.Helper()
	for name, want := range map[string]string{
		"PANTHEON_ENVIRONMENT": "dev", "PANTHEON_SITE": site, "PANTHEON_SITE_NAME": "contract", "PANTHEON_BINDING": drop,
		"PANTHEON_INFRASTRUCTURE_ENVIRONMENT": "live", "FRAMEWORK": "drupal", "DOCROOT": "/", "FILEMOUNT": "sites/default/files",
		"DB_HOST": variables["DB_HOST"], "DB_PORT": variables["DB_PORT"], "DB_NAME": variables["DB_NAME"],
		"DB_USER": variables["DB_USER"], "DB_PASSWORD": variables["DB_PASSWORD"],
		"HOME": "/srv/bindings/" + drop, "USER": drop, "TMPDIR": "/tmp", "PATH": "/usr/local/bin:/bin:/usr/bin:/srv/bin",
	} {
		if s.Env[name] != want || s.Getenv[name] != want || want == "" {
			t.Errorf("%s is %q and %q, want %q", name, s.Env[name], s.Getenv[name], want)
		}
	}
	salts := map[string]bool{}
	for _, name := range []string{"DRUPAL_HASH_SALT", "AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY", "AUTH_SALT", "SECURE_AUTH_SALT", "LOGGED_IN_SALT", "NONCE_SALT"} {
		salts[s.Env[name]] = true
		if len(s.Env[name]) < 32 || s.Env[name] != s.Getenv[name] {
			t.Errorf("%s is %q", name, s.Env[name])
		}
	}
	if len(salts) != 9 {
		t.Errorf("9 secrets have %d values", len(salts))
	}
	if s.Env["PANTHEON_DEPLOYMENT_IDENTIFIER"] == "" || !strings.HasPrefix(s.Env["PANTHEON_ROLLING_TMP"], "/tmp/") {
		t.Errorf("deployment %q, rolling %q", s.Env["PANTHEON_DEPLOYMENT_IDENTIFIER"], s.Env["PANTHEON_ROLLING_TMP"])
	}
	// Their absence is the statement: no Redis, no Solr. Nothing of the
	// platform's own environment may arrive.
	for name := range s.Getenv {
		for _, prefix := range []string{"CACHE_", "PANTHEON_INDEX_", "PANTHEON_DATA=", "PANTHEON_TEST", "PANTHEON_API", "FPM_", "GO", "SUDO", "SSH"} {
			if strings.HasPrefix(name+"=", prefix) {
				t.Errorf("PHP sees %s", name)
			}
		}
	}
}

func checkServer(t *testing.T, v *visitor, s surroundings) {
	t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(v.url("/"), "http://"), "/")
	for name, want := range map[string]string{
		"PANTHEON_ENVIRONMENT": "dev", "PANTHEON_SITE_NAME": "contract", "PANTHEON_DATABASE_STATE": "empty",
		"HTTP_USER_AGENT_HTTPS": "OFF", "HTTP_X_PANTHEON_CLIENT_IP": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1",
		"HTTP_HOST": host, "REQUEST_URI": "/index.php/a/b?c=d", "QUERY_STRING": "c=d", "PATH_INFO": "/a/b",
		"SCRIPT_NAME": "/index.php", "SCRIPT_FILENAME": "/code/index.php", "DOCUMENT_ROOT": "/code", "REQUEST_METHOD": "GET",
	} {
		if s.Server[name] != want {
			t.Errorf("$_SERVER[%s] is %v, want %q", name, s.Server[name], want)
		}
	}
	if s.Server["HTTPS"] != nil || s.Server["HTTP_PROXY"] != nil {
		t.Errorf("HTTPS %v, HTTP_PROXY %v", s.Server["HTTPS"], s.Server["HTTP_PROXY"])
	}
	// A visitor may say what it likes: who it is, the platform knows.
	liar := v.surroundings(t, "/", "X-Forwarded-For", "203.0.113.7", "X-Pantheon-Client-IP", "203.0.113.7",
		"Proxy", "evil.example:80", "X-Forwarded-Proto", "https", "User-Agent-HTTPS", "ON", "X-SSL", "ON")
	for _, name := range []string{"REMOTE_ADDR", "HTTP_X_PANTHEON_CLIENT_IP"} {
		if liar.Server[name] != "127.0.0.1" {
			t.Errorf("a visitor made $_SERVER[%s] %v", name, liar.Server[name])
		}
	}
	if liar.Server["HTTP_PROXY"] != nil || liar.Getenv["HTTP_PROXY"] != "" || liar.Server["HTTPS"] != nil || liar.Server["HTTP_USER_AGENT_HTTPS"] != "OFF" {
		t.Errorf("a visitor made HTTP_PROXY %v, HTTPS %v, HTTP_USER_AGENT_HTTPS %v",
			liar.Server["HTTP_PROXY"], liar.Server["HTTPS"], liar.Server["HTTP_USER_AGENT_HTTPS"])
	}
}

func checkPressflow(t *testing.T, s surroundings, site string, variables map[string]string) {
	t.Helper()
	var settings struct {
		Conf      map[string]any
		Databases map[string]map[string]map[string]any
		Salt      string `json:"drupal_hash_salt"`
		Config    string `json:"config_directory_name"`
	}
	text, _ := s.Server["PRESSFLOW_SETTINGS"].(string)
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatalf("PRESSFLOW_SETTINGS: %v\n%s", err, text)
	}
	for name, want := range map[string]any{
		"pressflow_smart_start": true, "pantheon_site_uuid": site, "pantheon_environment": "dev", "pantheon_tier": "live",
		"pantheon_binding": s.Env["PANTHEON_BINDING"], "file_public_path": "sites/default/files",
		"file_private_path": "sites/default/files/private", "css_gzip_compression": false, "js_gzip_compression": false, "page_compression": false,
	} {
		if settings.Conf[name] != want {
			t.Errorf("conf.%s is %v, want %v", name, settings.Conf[name], want)
		}
	}
	database := settings.Databases["default"]["default"]
	for name, want := range map[string]string{
		"driver": "mysql", "host": variables["DB_HOST"], "username": variables["DB_USER"],
		"password": variables["DB_PASSWORD"], "database": variables["DB_NAME"],
	} {
		if database[name] != want {
			t.Errorf("databases.default.default.%s is %v, want %v", name, database[name], want)
		}
	}
	if settings.Salt != s.Env["DRUPAL_HASH_SALT"] || settings.Config != "config" {
		t.Errorf("salt %q, configuration folder %q", settings.Salt, settings.Config)
	}
}

func checkPrepend(t *testing.T, s surroundings, variables map[string]string) {
	t.Helper()
	for name, want := range map[string]any{
		"PANTHEON_SITE": s.Env["PANTHEON_SITE"], "PANTHEON_SITE_NAME": "contract", "PANTHEON_ENVIRONMENT": "dev",
		"PANTHEON_BINDING": s.Env["PANTHEON_BINDING"], "PANTHEON_BINDING_UID_NUMBER": float64(s.Whoami),
		"PANTHEON_DATABASE_HOST": variables["DB_HOST"], "PANTHEON_DATABASE_USERNAME": variables["DB_USER"],
		"PANTHEON_DATABASE_PASSWORD": variables["DB_PASSWORD"], "PANTHEON_DATABASE_DATABASE": variables["DB_NAME"],
	} {
		if s.Constants[name] != want {
			t.Errorf("constant %s is %v, want %v", name, s.Constants[name], want)
		}
	}
	for _, name := range []string{"PANTHEON_DATABASE_PORT", "PANTHEON_DATABASE_BINDING", "PANTHEON_VALHALLA_HOST", "JETPACK_SIGNATURE__HTTP_PORT", "JETPACK_SIGNATURE__HTTPS_PORT"} {
		if s.Constants[name] == nil {
			t.Errorf("there is no constant %s", name)
		}
	}
	known := " " + strings.Join(s.Functions, " ") + " "
	for _, name := range []string{
		"pantheon_api_get_authorization", "pantheon_curl_setup", "pantheon_curl", "pantheon_curl_retry", "pantheon_curl_timeout",
		"pantheon_curl_multi", "pantheon_cache_get", "pantheon_cache_set", "pantheon_cache_clear", "pantheon_bulk_file_delete",
		"pantheon_stat", "pantheon_realpath", "pantheon_variable_get", "pantheon_clear_edge_all", "pantheon_clear_edge_paths",
		"pantheon_clear_edge_keys", "pantheon_purge_edge_urls", "pantheon_get_secret",
	} {
		if !strings.Contains(known, " "+name+" ") {
			t.Errorf("there is no function %s", name)
		}
	}
	if s.Included[0] != "/srv/includes/pantheon.php" {
		t.Errorf("included: %v", s.Included)
	}
}
