package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"pantheon/events"
)

// FuzzPath: no path of a request brings out what is forbidden, hidden or
// outside, and no path makes the server panic.
func FuzzPath(f *testing.F) {
	for _, test := range pathTests {
		if len(test.target) < 200 {
			if u, err := url.ParseRequestURI(test.target); err == nil {
				f.Add(u.Path)
			}
		}
	}
	rules := newRules(events.DropSpec{Framework: events.WordPress})
	f.Fuzz(func(t *testing.T, p string) {
		clean, folder, ok := cleanPath(p)
		if !ok {
			return
		}
		if clean[0] != '/' || clean != path.Clean(clean) || strings.Contains(clean, "/../") || strings.HasSuffix(clean, "/..") {
			t.Fatalf("%q → %q", p, clean)
		}
		whole := slashed(clean, folder)
		if again, _, ok := cleanPath(whole); !ok || again != clean {
			t.Fatalf("%q → %q → %q", p, clean, again)
		}
		if rules.forbidden(clean) != rules.forbidden(clean+"/") && !strings.HasSuffix(clean, ".yml") && !rules.forbidden(clean+"/") {
			t.Fatalf("%q: a slash opens it", clean)
		}
		for end := nextScript(whole, 0); end >= 0; end = nextScript(whole, end) {
			if !strings.HasSuffix(whole[:end], ".php") {
				t.Fatalf("%q: script %q", whole, whole[:end])
			}
		}
		if to := location(whole, &url.URL{}); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") && whole != "/" && !strings.HasPrefix(whole, "//") {
			t.Fatalf("%q redirects to %q", whole, to)
		}
	})
}

// The same over the file system, with what the table of paths has.
func TestNoPathBringsOutSecrets(t *testing.T) {
	s := newSite(t, tree, func(o *Options) {
		o.Spec.Settings.FileMount = "sites/default/files"
		o.Spec.Settings.ProtectedWebPaths = []string{"/admin/"}
	})
	decorations := []string{"%s", "/.%s", "/x/..%s", "//%s", "%s/", "%s/.", "%s/x/..", "/folder/../%s", "/sites/default/files/..%s", "%s%%2F", "/%%2e%s"}
	for name, content := range tree {
		name = strings.Replace(name, "FILES/", "sites/default/files/", 1)
		if content != "secret" && !strings.HasPrefix(content, "LINK /etc") {
			continue
		}
		for _, decoration := range decorations {
			target := strings.ReplaceAll(strings.Replace(decoration, "%s", "/"+name, 1), "%%", "%")
			u, err := url.ParseRequestURI(target)
			if err != nil {
				continue
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RequestURI, r.URL = target, u
			w := s.send(r)
			if body := w.Body.String(); body == "secret" || strings.Contains(body, "root:") {
				t.Errorf("%s brings it out", target)
			}
		}
	}
}
