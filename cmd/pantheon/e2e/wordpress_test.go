package e2e

import (
	"bytes"
	"image"
	"image/png"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// picture is a small image that applications accept as an upload.
func picture(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewRGBA(image.Rect(0, 0, 64, 48))); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestWordPress takes Debian's WordPress from nothing to a page with an upload,
// as its owner does in a browser.
func TestWordPress(t *testing.T) {
	requireFile(t, "/usr/share/wordpress/wp-settings.php", "apt-get install -y wordpress")
	p := shared(t)
	p.ok(t, "site", "create", "press", "--upstream", "wordpress")
	v := p.visitor("press")

	// The first page leads to its own installer.
	first := v.get(t, "/")
	first.wants(t, 200, "WordPress")
	if !strings.HasSuffix(first.url, "/wp-admin/install.php") {
		t.Fatalf("the first page is no installer: %s", first)
	}
	installed := v.submit(t, v.get(t, "/wp-admin/install.php?step=1").form(t, "id", "setup"),
		"weblog_title", "A Blog", "user_name", "admin", "admin_password", "Secret123x", "admin_password2", "Secret123x",
		"pw_weak", "on", "admin_email", "a@example.com", "Submit", "Install WordPress")
	installed.wants(t, 200, "WordPress has been installed")

	v.submit(t, v.get(t, "/wp-login.php").form(t, "id", "loginform"), "log", "admin", "pwd", "Secret123x").wants(t, 200, "Dashboard")
	nonce := restNonce(t, v)
	v.send(t, "POST", "/index.php?rest_route=/wp/v2/posts",
		strings.NewReader(`{"title":"Hello Borg","content":"resistance","status":"publish"}`),
		"X-WP-Nonce", nonce, "Content-Type", "application/json").wants(t, 201)
	uploaded := v.send(t, "POST", "/index.php?rest_route=/wp/v2/media", bytes.NewReader(picture(t)),
		"X-WP-Nonce", nonce, "Content-Type", "image/png", "Content-Disposition", "attachment; filename=borg.png")
	uploaded.wants(t, 201)
	match := regexp.MustCompile(`"source_url":"([^"]*borg\.png)"`).FindStringSubmatch(uploaded.body)
	if match == nil {
		t.Fatalf("no address of the upload: %s", uploaded)
	}
	stranger := p.visitor("press")
	stranger.sees(t, 200, "/", "Hello Borg", "A Blog")
	checkStatic(t, stranger, strings.ReplaceAll(match[1], `\/`, "/"), picture(t))
	checkNoCodeInUploads(t, stranger, match[1])
}

func restNonce(t *testing.T, v *visitor) string {
	t.Helper()
	editor := v.get(t, "/wp-admin/post-new.php")
	match := regexp.MustCompile(`createNonceMiddleware\( "([a-f0-9]+)`).FindStringSubmatch(editor.body)
	if match == nil {
		t.Fatalf("no editor: %s", editor)
	}
	return match[1]
}

// checkStatic wants a file with its validators and ranges.
func checkStatic(t *testing.T, v *visitor, address string, content []byte) {
	t.Helper()
	whole := v.sees(t, 200, address)
	tag := whole.header.Get("ETag")
	if whole.body != string(content) || tag == "" || whole.header.Get("Last-Modified") == "" || whole.header.Get("Content-Type") != "image/png" {
		t.Errorf("the upload: %s", whole)
	}
	if again := v.get(t, address, "If-None-Match", tag); again.status != 304 || again.body != "" {
		t.Errorf("not changed, but: %s", again)
	}
	part := v.get(t, address, "Range", "bytes=1-3")
	if part.status != 206 || part.body != "PNG" || !strings.HasPrefix(part.header.Get("Content-Range"), "bytes 1-3/") {
		t.Errorf("three bytes of it: %s", part)
	}
	if stale := v.get(t, address, "Range", "bytes=1-3", "If-Range", `"other"`); stale.status != 200 || stale.body != string(content) {
		t.Errorf("part of another version: %s", stale)
	}
	if beyond := v.get(t, address, "Range", "bytes=99999999-"); beyond.status != 416 {
		t.Errorf("beyond its end: %s", beyond)
	}
}

// checkNoCodeInUploads: PHP beside an upload is never run, whether it is there
// or not.
func checkNoCodeInUploads(t *testing.T, v *visitor, upload string) {
	t.Helper()
	address, err := url.Parse(strings.ReplaceAll(upload, `\/`, "/"))
	if err != nil {
		t.Fatal(err)
	}
	folder := address.Path[:strings.LastIndexByte(address.Path, '/')]
	for _, path := range []string{folder + "/evil.php", "/wp-content/uploads/evil.php", address.Path + "/evil.php", "/wp-content/uploads/evil.PHP", "/wp-content/uploads/x.php/y"} {
		v.sees(t, 403, path, "403 Forbidden")
	}
}
