package e2e

import (
	"html"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// maxBatchPages bounds the pages of Drupal's installer.
const maxBatchPages = 100

// TestDrupal7 installs Pantheon's own Drupal 7 upstream, unmodified, by its
// pages.
func TestDrupal7(t *testing.T) {
	source := os.Getenv("PANTHEON_TEST_DROPS7")
	if source == "" {
		t.Skip("PANTHEON_TEST_DROPS7 names no git location of Pantheon's Drupal 7 upstream (drops-7)")
	}
	p := shared(t)
	p.ok(t, "upstream", "add", "drops-7", source, "--framework", "drupal")
	p.ok(t, "site", "create", "seven", "--upstream", "drops-7")
	v := p.visitor("seven")
	installDrupal(t, v)

	admin := p.visitor("seven")
	admin.submit(t, admin.get(t, "/user").form(t, "id", "user-login"), "name", "admin", "pass", "Secret123x", "op", "Log in").wants(t, 200, "Log out")
	// The installer cannot tell without JavaScript that addresses need no ?q=.
	admin.submit(t, admin.get(t, "/admin/config/search/clean-urls").form(t, "id", "system-clean-url-settings"),
		"clean_url", "1", "op", "Save configuration").wants(t, 200, "The configuration options have been saved")
	article := admin.get(t, "/node/add/article").form(t, "id", "article-node-form")
	article.fields.Set("title", "Hello Borg")
	article.fields.Set("body[und][0][value]", "resistance")
	article.fields.Set("op", "Save")
	saved := admin.upload(t, article.action, article.fields, "files[field_image_und_0]", "borg.png", picture(t))
	saved.wants(t, 200, "Hello Borg", "has been created", "/sites/default/files/")
	styled := regexp.MustCompile(`/sites/default/files/styles/[^"]*`).FindString(saved.body)
	if styled == "" {
		t.Fatalf("no image in the node: %s", saved)
	}
	if made := admin.get(t, html.UnescapeString(styled)); made.status != 200 || made.header.Get("Content-Type") != "image/png" {
		t.Errorf("the image style: %s", made)
	}

	stranger := p.visitor("seven")
	front := stranger.sees(t, 200, "/", "Hello Borg")
	if again := stranger.get(t, "/", "If-None-Match", front.header.Get("ETag"), "If-Modified-Since", front.header.Get("Last-Modified")); again.status != 304 {
		t.Errorf("the page has not changed: %v, %s", front.header, again)
	}
	if cache := front.header.Get("Cache-Control"); cache != "public, max-age=900" {
		t.Errorf("the page of a stranger has Cache-Control %q", cache)
	}
	// Dashboard log-in: pantheon_login asks a function of the platform.
	stranger.sees(t, 403, "/user/pantheon_login?YggToken=nonsense")
	stranger.sees(t, 200, "/node/1", "resistance")
	stranger.sees(t, 404, "/nosuch", "Page not found")
	for _, path := range []string{"/.git/config", "/pantheon.yml", "/sites/default/files/private/x", "/sites/default/files/evil.php", "/private/x"} {
		stranger.sees(t, 403, path, "403 Forbidden")
	}
	for _, path := range []string{"/modules/node/node.module", "/sites/default/files/.htaccess"} {
		if source := stranger.get(t, path); source.status == 200 || strings.Contains(source.body, "<?php") {
			t.Errorf("source code for everybody: %s", source)
		}
	}
}

// installDrupal follows the installer with the profile of the platform: the database is known, a batch without
// JavaScript leads from page to page, and then there is one form.
func installDrupal(t *testing.T, v *visitor) {
	t.Helper()
	at := v.get(t, "/")
	if !strings.Contains(at.url, "install.php") {
		t.Fatalf("an empty site does not lead to its installer: %s", at)
	}
	at = v.get(t, "/install.php?profile=pantheon&locale=en")
	refresh := regexp.MustCompile(`<meta http-equiv="Refresh" content="0; ?URL=([^"]*)"`)
	for range maxBatchPages {
		if strings.Contains(at.body, `id="install-configure-form"`) {
			break
		}
		next := at.url
		if match := refresh.FindStringSubmatch(at.body); match != nil {
			base, err := url.Parse(at.url)
			if err != nil {
				t.Fatal(err)
			}
			address, err := base.Parse(html.UnescapeString(match[1]))
			if err != nil {
				t.Fatal(err)
			}
			next = address.String()
		} else if strings.Contains(next, "op=") {
			next = regexp.MustCompile(`op=\w+`).ReplaceAllString(next, "op=do_nojs")
		}
		at = v.get(t, next)
	}
	v.submit(t, at.form(t, "id", "install-configure-form"),
		"site_name", "Seven", "site_mail", "a@example.com", "account[name]", "admin", "account[mail]", "a@example.com",
		"account[pass][pass1]", "Secret123x", "account[pass][pass2]", "Secret123x", "op", "Save and continue").
		wants(t, 200, "Congratulations, you installed")
}
