package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pantheon/events"
)

// outcome draws what came of a request in one line:
//
//	php /index.php +/Page ?q=x    a script, its PATH_INFO, its QUERY_STRING
//	static text                   a file, by its content
//	403 Forbidden                 a fixed page, by its title
//	301 /folder/                  a redirect
func outcome(s *site, method, target string) string {
	w := s.ask(method, target)
	params := map[string]string{}
	switch {
	case w.Header().Get("X-Pantheon-Phpreq") == "yes":
		if err := json.Unmarshal(w.Body.Bytes(), &params); err != nil {
			return err.Error()
		}
		line := "php " + params["SCRIPT_NAME"]
		if params["PATH_INFO"] != "" {
			line += " +" + params["PATH_INFO"]
		}
		if params["QUERY_STRING"] != "" {
			line += " ?" + params["QUERY_STRING"]
		}
		return line
	case w.Code == http.StatusOK:
		return "static " + w.Body.String()
	case w.Header().Get("Location") != "":
		return fmt.Sprint(w.Code, " ", w.Header().Get("Location"))
	}
	_, title, _ := strings.Cut(w.Body.String(), "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	return title
}

// tree is one document root for all frameworks.
var tree = map[string]string{
	"index.php": "<?php", "update.php": "<?php", "a.css": "css", "robots.txt": "robots", "UPPER.JPG": "jpg",
	"with space.txt": "space", "ünïcode.txt": "unicode", "percent%41.txt": "percent", "no-suffix": "plain",
	"folder/index.php": "<?php", "html/index.html": "html", "html/index.htm": "htm", "bare/x.txt": "x", "both/index.html": "html", "both/index.php": "<?php",
	"dir.php/inner.txt": "inner", "dir.php/run.php": "<?php",
	".git/config": "secret", ".gitignore": "secret", ".htaccess": "secret", "sub/.htpasswd": "secret", ".env": "secret", ".well-known/security.txt": "security",
	"private/key.txt": "secret", "private/run.php": "<?php", "privateer.txt": "fine", "pantheon.yml": "secret", "pantheon.upstream.yml": "secret",
	"sites/default/config/system.site.yml": "secret", "sites/default/files": "LINK ../../../files", "sites/default/settings.php": "<?php",
	"vendor/autoload.php": "<?php", "vendor/x.js": "secret", "lib/vendor/x.js": "js", "composer.json": "secret", "x.sql": "secret", "x.php.bak": "secret",
	"x.module": "secret", "x.tpl.php": "<?php", "x.inc": "secret", "x.SQL": "secret", "backup~": "secret",
	"admin/page.html": "admin", "xmlrpc.php": "<?php", "xmlrpc.php.txt": "fine",
	"wp-login.php": "<?php", "wp-admin/index.php": "<?php", "wp-includes/x.css": "wp",
	"passwd": "LINK /etc/passwd", "up": "LINK ../", "inside.css": "LINK a.css", "loop": "LINK loop", "outside.php": "LINK /etc/passwd",
	"FILES/pic.png": "png", "FILES/deep/a/b.css": "deep", "FILES/evil.php": "<?php", "FILES/evil.PHTML": "<?php", "FILES/evil.php.txt": "text",
	"FILES/private/x.txt": "secret", "FILES/config/sync.yml": "secret", "FILES/index.php": "<?php", "FILES/dump.sql": "secret",
	"FILES/passwd": "LINK /etc/passwd", "FILES/up.css": "LINK ../../a.css", "FILES/html/index.html": "files html",
}

const (
	front     = "php /index.php"
	forbidden = "403 Forbidden"
	noSite    = "561 No Site Detected"
	bad       = "400 Bad Request"
)

// pathTests say what comes of a path, for a site of each framework.
var pathTests = []struct{ site, target, want string }{
	// Files, scripts, the front controller.
	{"php", "/", front},
	{"php", "/?a=b", front + " ?a=b"},
	{"php", "/a.css", "static css"},
	{"php", "/a.css?v=2", "static css"},
	{"php", "/UPPER.JPG", "static jpg"},
	{"php", "/no-suffix", "static plain"},
	{"php", "/with%20space.txt", "static space"},
	{"php", "/%C3%BCn%C3%AFcode.txt", "static unicode"},
	{"php", "/percent%2541.txt", "static percent"},
	{"php", "/update.php?x=1", "php /update.php ?x=1"},
	{"php", "/nothing/here?x=1", front + " ?x=1"},
	{"php", "/nothing.php", front},
	{"php", "/a.css/", front},
	{"php", "/a.css/more", front},
	{"drupal7", "/", front},
	{"drupal7", "/node/1", front + " ?q=node/1"},
	{"drupal7", "/node/1/?page=2", front + " ?q=node/1/&page=2"},
	{"drupal7", "/a&b=c%20d+e%23", front + " ?q=a%26b%3Dc+d%2Be%23"},
	{"drupal7", "/sites/default/files/styles/x.png", front + " ?q=sites/default/files/styles/x.png"},

	// PATH_INFO.
	{"php", "/index.php/Main_Page", front + " +/Main_Page"},
	{"php", "/index.php/", front + " +/"},
	{"php", "/index.php/File:X.sql?a=1", front + " +/File:X.sql ?a=1"},
	{"php", "/index.php/a/b.php/c", front + " +/a/b.php/c"},
	{"php", "/folder/index.php/x", "php /folder/index.php +/x"},
	{"php", "/nothing.php/x", front},
	{"php", "/dir.php/inner.txt", "static inner"},
	{"php", "/dir.php/run.php/x", "php /dir.php/run.php +/x"},

	// Folders.
	{"php", "/folder/", "php /folder/index.php"},
	{"php", "/folder", "301 /folder/"},
	{"php", "/folder?a=%20b", "301 /folder/?a=%20b"},
	{"php", "//folder", "301 /folder/"},
	{"php", "/html/", "static html"},
	{"php", "/both/", "php /both/index.php"},
	{"php", "/bare/", noSite},
	{"php", "/bare", noSite},
	{"php", "/.well-known/security.txt", "static security"},

	// Denied.
	{"php", "/.git/config", forbidden},
	{"php", "/.git", forbidden},
	{"php", "/.gitignore", forbidden},
	{"php", "/.htaccess", forbidden},
	{"php", "/sub/.htpasswd", forbidden},
	{"php", "/.htnothing", forbidden},
	{"php", "/private/key.txt", forbidden},
	{"php", "/private/run.php", forbidden},
	{"php", "/private/", forbidden},
	{"php", "/private", forbidden},
	{"php", "/private/nothing", forbidden},
	{"php", "//private//key.txt", forbidden},
	{"php", "/%70rivate/key.txt", forbidden},
	{"php", "/private%2Fkey.txt", forbidden},
	{"php", "/x/../private/key.txt", forbidden},
	{"php", "/x/%2e%2e/private/key.txt", forbidden},
	{"php", "/privateer.txt", "static fine"},
	{"php", "/pantheon.yml", forbidden},
	{"php", "/pantheon.upstream.yml", forbidden},
	{"php", "/sites/default/config/system.site.yml", forbidden},
	{"php", "/sites/default/files/config/sync.yml", forbidden},
	{"php", "/sites/default/files/private/x.txt", forbidden},
	{"php", "/admin/page.html", forbidden},
	{"php", "/admin", forbidden},
	{"php", "/xmlrpc.php", forbidden},
	{"php", "/xmlrpc.php/x", forbidden},
	{"php", "/xmlrpc.ph", front},
	{"wordpress", "/blog/xmlrpc.php", front},

	// As if absent.
	{"php", "/.env", front},
	{"php", "/vendor/autoload.php", front},
	{"php", "/vendor/x.js", front},
	{"php", "/lib/vendor/x.js", "static js"},
	{"php", "/composer.json", front},
	{"php", "/x.sql", front},
	{"php", "/x.SQL", front},
	{"php", "/x.inc", front},
	{"php", "/x.module", front},
	{"php", "/x.php.bak", front},
	{"php", "/x.tpl.php", front},
	{"php", "/x.tpl.php/more", front},
	{"php", "/backup~", front},
	{"drupal7", "/x.sql", front + " ?q=x.sql"},

	// The environment's files.
	{"php", "/sites/default/files/pic.png", "static png"},
	{"php", "/sites/default/files/deep/a/b.css", "static deep"},
	{"php", "/sites/default/files/evil.php", forbidden},
	{"php", "/sites/default/files/nothing.php", forbidden},
	{"php", "/sites/default/files/evil.php/x.png", forbidden},
	{"php", "/sites/default/files/evil.PHTML", forbidden},
	{"php", "/sites/default/files/evil.php.txt", "static text"},
	{"php", "/sites/default/files/index.php", forbidden},
	{"php", "/sites/default/files/", noSite},
	{"php", "/sites/default/files", noSite},
	{"php", "/sites/default/files/html/", "static files html"},
	{"php", "/sites/default/files/dump.sql", front},
	{"php", "/sites/default/filesystem", front},
	{"php", "/sites/default/files/pipe.txt", front},

	// A WordPress network.
	{"wordpress", "/blog/wp-login.php", "php /wp-login.php"},
	{"wordpress", "/blog/wp-admin/", "php /wp-admin/index.php"},
	{"wordpress", "/blog/wp-admin", "301 /wp-admin/"},
	{"wordpress", "/blog/wp-includes/x.css", "static wp"},
	{"wordpress", "/blog/update.php", "php /update.php"},
	{"wordpress", "/2026/wp-nothing", front},
	{"php", "/blog/wp-login.php", front},

	// Links.
	{"php", "/inside.css", "static css"},
	{"php", "/passwd", front},
	{"php", "/up/etc/passwd", front},
	{"php", "/loop", front},
	{"php", "/outside.php", front},
	{"php", "/sites/default/files/passwd", front},
	{"php", "/sites/default/files/up.css", front},

	// Abuse.
	{"php", "/../a.css", bad},
	{"php", "/x/../../a.css", bad},
	{"php", "/%2e%2e/%2e%2e/etc/passwd", bad},
	{"php", "/..%2f..%2fetc/passwd", bad},
	{"php", "/folder/..", front},
	{"php", "/a.css%00.png", bad},
	{"php", "/./a.css", "static css"},
	{"php", "/folder/..%2Fa.css", "static css"},
	{"php", "/..\\a.css", front},
	{"php", "/" + strings.Repeat("x", 300), front},
	{"php", "/" + strings.Repeat("x/", 3000), front},
	{"php", "/" + strings.Repeat("x", MaxURIBytes), "414 URI Too Long"},
	{"php", "/index.php/" + strings.Repeat(".php", 1500), front + " +/" + strings.Repeat(".php", 1500)},
}

func TestPaths(t *testing.T) {
	framework := func(f events.Framework, mount string) func(*Options) {
		return func(o *Options) {
			o.Spec.Framework, o.Spec.Settings.FileMount = f, mount
			o.Spec.Settings.ProtectedWebPaths = []string{"/admin/", "/xmlrpc.php"}
		}
	}
	sites := map[string]*site{
		"php":       newSite(t, tree, framework(events.PHP, "sites/default/files")),
		"drupal7":   newSite(t, tree, framework(events.Drupal, "")),
		"wordpress": newSite(t, tree, framework(events.WordPress, "sites/default/files")),
	}
	if err := syscall.Mkfifo(filepath.Join(sites["php"].files, "pipe.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range pathTests {
		if got := outcome(sites[test.site], "GET", test.target); got != test.want {
			t.Errorf("%s %.80s\n got %.200s\nwant %.200s", test.site, test.target, got, test.want)
		}
	}
}

func TestMethods(t *testing.T) {
	s := newSite(t, tree, nil)
	for _, test := range []struct{ method, target, want string }{
		{"POST", "/a.css", "405 Method Not Allowed"},
		{"DELETE", "/a.css", "405 Method Not Allowed"},
		{"POST", "/nothing", "php /index.php"},
		{"PURGE", "/", "php /index.php"},
		{"OPTIONS", "/update.php", "php /update.php"},
		{"TRACE", "/", "405 Method Not Allowed"},
	} {
		if got := outcome(s, test.method, test.target); got != test.want {
			t.Errorf("%s %s: %s", test.method, test.target, got)
		}
	}
	if allow := s.ask("PUT", "/a.css").Header().Get("Allow"); allow != "GET, HEAD" {
		t.Error(allow)
	}
	w := s.ask("HEAD", "/a.css")
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "3" {
		t.Error(w.Code, w.Header())
	}
}

func TestWithoutCode(t *testing.T) {
	for name, test := range map[string]struct {
		tree map[string]string
		web  bool
		want string
	}{
		"empty":         {map[string]string{"x.txt": "x"}, false, "561 No Site Detected"},
		"no docroot":    {map[string]string{"index.php": "<?php"}, true, "561 No Site Detected"},
		"docroot":       {map[string]string{"web/index.php": "<?php", "index.html": "outside"}, true, "php /index.php"},
		"html":          {map[string]string{"index.html": "hi"}, false, "static hi"},
		"docroot leads": {map[string]string{"web": "LINK /etc"}, true, ""},
	} {
		s := newSite(t, test.tree, func(o *Options) { o.Spec.Settings.WebDocroot = test.web })
		if got := outcome(s, "GET", "/"); test.want != "" && got != test.want {
			t.Errorf("%s: %s", name, got)
		} else if strings.HasPrefix(got, "static") && test.want == "" {
			t.Errorf("%s: the document root lies outside", name)
		}
	}
	s := newSite(t, map[string]string{"index.html": "hi"}, nil)
	if got := outcome(s, "GET", "/nothing"); got != "404 Not Found" {
		t.Error(got)
	}
	os.RemoveAll(s.code)
	s.Rest()
	if got := outcome(s, "GET", "/"); got != "561 No Site Detected" {
		t.Error(got)
	}
}

func TestDocrootInParams(t *testing.T) {
	s := newSite(t, map[string]string{"web/index.php": "<?php"}, func(o *Options) { o.Spec.Settings.WebDocroot = true })
	params := paramsOf(t, s.ask("GET", "/x"))
	if params["DOCUMENT_ROOT"] != "/code/web" || params["SCRIPT_FILENAME"] != "/code/web/index.php" {
		t.Error(params)
	}
}

func TestProtectedPathsAreBounded(t *testing.T) {
	s := newSite(t, tree, func(o *Options) {
		for i := range MaxProtectedPaths {
			o.Spec.Settings.ProtectedWebPaths = append(o.Spec.Settings.ProtectedWebPaths, fmt.Sprintf("/p%d/", i))
		}
		o.Spec.Settings.ProtectedWebPaths = append(o.Spec.Settings.ProtectedWebPaths, "/one-too-many/")
	})
	if got := outcome(s, "GET", "/p23/x"); got != "403 Forbidden" {
		t.Error(got)
	}
	if got := outcome(s, "GET", "/one-too-many/x"); got != "php /index.php" {
		t.Error(got)
	}
}
