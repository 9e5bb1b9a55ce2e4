package e2e

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// servingPage is a front controller that shows what it is asked, and does a
// few things that applications do.
const servingPage = `<?php
switch ($_GET['do'] ?? '') {
case 'link':
  foreach (['/etc/passwd' => 'passwd.txt', '/code/index.php' => 'source.txt', '/' => 'root', '../../../../etc/passwd' => 'up.txt', '/proc/self/environ' => 'environ.txt'] as $to => $name) {
    @unlink("/files/$name"); symlink($to, "/files/$name");
  }
  file_put_contents('/files/evil.php', '<?php echo "run";'); file_put_contents('/files/good.txt', 'good');
  posix_mkfifo('/files/pipe.txt', 0644);
  exit('linked');
case 'die': posix_kill(getmypid(), SIGKILL); exit;
case 'headers': for ($i = 0; $i < 40; $i++) header("X-Big-$i: " . str_repeat('x', 4000)); exit('big');
case 'keys': header('Surrogate-Key: node-1 front'); header('Surrogate-Control: max-age=60'); exit('keys');
case 'status': http_response_code(418); exit('teapot');
}
echo 'q=', $_GET['q'] ?? '-', ' uri=', $_SERVER['REQUEST_URI'];
`

func servingSite(t *testing.T) *visitor {
	t.Helper()
	return shared(t).site(t, "serving", "drupal", map[string]string{
		"index.php": servingPage, "other.php": "<?php echo 'other ', $_SERVER['PATH_INFO'] ?? '-';",
		"sites/default/default.settings.php": "<?php\n", "style.css": strings.Repeat("body { color: red }\n", 500),
		"app.js": strings.Repeat("plain();\n", 500), "app.js.gz": gzipped("packed();\n"), "font.woff2": "font",
		"modules/m/m.module": "<?php secret();", "modules/m/m.inc": "<?php secret();", "backup.sql": "secret", "composer.json": "{}",
		"index.php.bak": "secret", "vendor/lib/x.css": "secret", ".htaccess": "secret", "private/x.txt": "secret", "hidden/x.txt": "secret",
		"folder/page.html": "<p>page</p>", "pantheon.yml": "api_version: 1\nprotected_web_paths:\n  - /hidden\n",
	}).stay()
}

func gzipped(text string) string {
	var packed strings.Builder
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, text) // a builder does not fail
	_ = w.Close()
	return packed.String()
}

// TestWebServing is the web server as the users of the original know it.
func TestWebServing(t *testing.T) {
	v := servingSite(t)
	t.Run("front controller", func(t *testing.T) {
		v.sees(t, 200, "/", "q=- uri=/")
		v.sees(t, 200, "/node/1?a=b", "q=node/1 uri=/node/1?a=b")
		v.sees(t, 200, "/other.php/path/info", "other /path/info")
		v.sees(t, 200, "/none.php", "q=none.php")
		v.sees(t, 418, "/?do=status", "teapot")
	})
	t.Run("source code", func(t *testing.T) {
		for _, path := range []string{"/modules/m/m.module", "/modules/m/m.inc", "/backup.sql", "/composer.json", "/index.php.bak", "/vendor/lib/x.css"} {
			v.sees(t, 200, path, "q="+path[1:])
		}
		for _, path := range []string{"/.htaccess", "/.git/config", "/.gitignore", "/private/x.txt", "/hidden/x.txt", "/pantheon.yml", "/sites/default/files/private/x", "/sites/default/files/evil.php"} {
			v.sees(t, 403, path, "403 Forbidden")
		}
	})
	t.Run("healthcheck", func(t *testing.T) {
		v.p.ok(t, "env", "sleep", "serving.dev")
		health := v.sees(t, 200, "/pantheon_healthcheck")
		if health.body != "OK\n" || !strings.Contains(health.header.Get("Cache-Control"), "max-age=0") || health.header.Get("X-Pantheon-Styx-Hostname") == "" {
			t.Errorf("health check: %s", health)
		}
		eventually(t, "the health check wakes the environment", func() bool { return v.p.drop(t, "serving.dev").State == "awake" })
	})
	t.Run("headers", func(t *testing.T) { checkPlatformHeaders(t, v) })
	t.Run("static", func(t *testing.T) { checkStaticServing(t, v) })
	t.Run("broken pages", func(t *testing.T) {
		v.sees(t, 502, "/?do=die", "502 Timeout/Segfault")
		v.sees(t, 502, "/?do=headers", "502 Upstream Header Too Big")
		v.sees(t, 200, "/after", "q=after")
	})
	t.Run("links of the tenant", func(t *testing.T) {
		v.sees(t, 200, "/?do=link", "linked")
		v.sees(t, 200, "/sites/default/files/good.txt", "good")
		v.sees(t, 403, "/sites/default/files/evil.php", "403 Forbidden")
		for _, path := range []string{"passwd.txt", "source.txt", "root/etc/passwd", "up.txt", "environ.txt", "root/code/index.php", "pipe.txt"} {
			leak := v.get(t, "/sites/default/files/"+path)
			if strings.Contains(leak.body, "root:") || strings.Contains(leak.body, "<?php") || strings.Contains(leak.body, "DB_PASSWORD") {
				t.Errorf("a link is followed out of the files: %s", leak)
			}
		}
	})
}

func checkPlatformHeaders(t *testing.T, v *visitor) {
	t.Helper()
	php, static := v.sees(t, 200, "/node/2"), v.sees(t, 200, "/style.css")
	drop := v.p.drop(t, "serving.dev")
	for _, answer := range []page{php, static} {
		h := answer.header
		if h.Get("X-Pantheon-Styx-Hostname") == "" || h.Get("X-Styx-Req-Id") == "" || h.Get("X-Styx-Version") != "StyxGo" ||
			h.Get("X-Pantheon-Site") != string(drop.Site) || h.Get("X-Pantheon-Environment") != "dev" || h.Get("X-Pantheon-Endpoint") == "" {
			t.Errorf("the platform's headers: %v", h)
		}
	}
	if php.header.Get("X-Pantheon-Phpreq") != "yes" || static.header.Get("X-Pantheon-Phpreq") != "" {
		t.Errorf("X-Pantheon-Phpreq: %q for PHP, %q for a file", php.header.Get("X-Pantheon-Phpreq"), static.header.Get("X-Pantheon-Phpreq"))
	}
	if keys := v.get(t, "/?do=keys"); keys.header.Get("Surrogate-Key") != "" || keys.header.Get("Surrogate-Control") != "" {
		t.Errorf("a visitor sees the keys of the cache: %v", keys.header)
	}
	if keys := v.get(t, "/?do=keys", "Pantheon-Debug", "1"); !strings.Contains(keys.header.Get("Surrogate-Key-Raw")+keys.header.Get("Surrogate-Key"), "node-1") {
		t.Errorf("debugging does not show the keys: %v", keys.header)
	}
	if cookies := v.get(t, "/node/3", "Cookie", "a="+strings.Repeat("x", 11<<10)); cookies.status != 200 || cookies.header.Get("X-Cookies-Dropped") != "1" {
		t.Errorf("cookies of 11 KB: %s", cookies)
	}
}

func checkStaticServing(t *testing.T, v *visitor) {
	t.Helper()
	plain := v.sees(t, 200, "/style.css", "color: red")
	packed := v.get(t, "/style.css", "Accept-Encoding", "gzip")
	if packed.header.Get("Content-Encoding") != "gzip" || len(packed.body) >= len(plain.body) || !strings.Contains(packed.header.Get("Vary"), "Accept-Encoding") {
		t.Errorf("style.css packed: %d bytes, %v", len(packed.body), packed.header)
	}
	if ready := v.get(t, "/app.js", "Accept-Encoding", "gzip"); ready.body != gzipped("packed();\n") || ready.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("app.js has a packed file beside it: %s", ready)
	}
	if whole := v.get(t, "/app.js"); !strings.HasPrefix(whole.body, "plain();") {
		t.Errorf("app.js for those who cannot unpack: %s", whole)
	}
	if font := v.sees(t, 200, "/font.woff2", "font"); font.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("fonts are for every origin: %v", font.header)
	}
	if part := v.get(t, "/style.css", "Range", "bytes=0-3,8-9"); part.status != 206 || !strings.HasPrefix(part.header.Get("Content-Type"), "multipart/byteranges") {
		t.Errorf("two ranges: %s", part)
	}
	head := v.send(t, http.MethodHead, "/style.css", nil)
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != "10000" {
		t.Errorf("HEAD: %s", head)
	}
	if post := v.send(t, http.MethodPost, "/style.css", strings.NewReader("x")); post.status != 405 {
		t.Errorf("POST to a file: %s", post)
	}
	if since := v.get(t, "/style.css", "If-Modified-Since", plain.header.Get("Last-Modified")); since.status != 304 {
		t.Errorf("If-Modified-Since: %s", since)
	}
	v.sees(t, 200, "/folder/page.html", "<p>page</p>")
}

// TestDocumentRoot: with web_docroot the code beside the folder web is out of
// reach, and a site without an index says so.
func TestDocumentRoot(t *testing.T) {
	p := shared(t)
	v := p.site(t, "docroot", "drupal8", map[string]string{
		"pantheon.yml": "api_version: 1\nweb_docroot: true\n", "outside.txt": "secret", "web/inside.txt": "inside",
		"web/index.php": "<?php echo $_ENV['DOCROOT'], ' ', $_ENV['FRAMEWORK'], ' ', $_SERVER['DOCUMENT_ROOT'], ' ', $_SERVER['REQUEST_URI'], ' ', ini_get('apc.shm_size');",
	})
	v.sees(t, 200, "/inside.txt", "inside")
	v.sees(t, 200, "/outside.txt", "/web/ drupal8 /code/web /outside.txt 128M")
	for _, path := range []string{"/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/web/../../outside.txt"} {
		if answer := rawGet(t, p, v.host, path); strings.Contains(answer, "secret") {
			t.Errorf("%s leads out of the document root: %s", path, answer)
		}
	}
	p.site(t, "noindex", "php", map[string]string{"readme.txt": "read me"}).sees(t, 561, "/", "561 No Site Detected")
}
