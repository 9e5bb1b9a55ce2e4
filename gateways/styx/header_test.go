package styx

import (
	"net/http"
	"strings"
	"testing"
)

// Whatever Host header comes, what Routes is asked for is a name in one form.
func FuzzHostOf(f *testing.F) {
	for _, seed := range []string{"dev-hello.pantheon.localhost:8080", "A.B.", "[::1]:80", "[fe80::1%eth0]", "a..b", ":80", "", ".", "[]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		host, ok := hostOf(header)
		if !ok {
			return
		}
		if host == "" || len(host) > MaxHostBytes || host != strings.ToLower(host) || strings.ContainsAny(host, "/\\ []\x00@") {
			t.Errorf("%q became %q", header, host)
		}
		if strings.HasPrefix(header, "[") {
			return
		}
		if again, ok := hostOf(host); !ok || again != host {
			t.Errorf("%q became %q, and that %q", header, host, again)
		}
	})
}

// Nothing that a visitor sends survives as a header that CGI and PHP would
// take for one of the router's.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"X-Forwarded-For", "X_Forwarded_For", "x.forwarded.for", "X-Pantheon_Client-IP", "Proxy", "Host"} {
		f.Add(seed, "Connection, "+seed)
	}
	ours := map[string]bool{}
	for _, name := range []string{headerForwardedFor, headerForwardedProto, headerClientIP, headerUserAgentHTTPS, headerRequestID, headerSSL} {
		ours[variable(name)] = true
	}
	f.Fuzz(func(t *testing.T, name, connection string) {
		h := http.Header{http.CanonicalHeaderKey(name): {"evil"}, "Connection": {connection}}
		clean(h, false)
		for _, own := range []string{headerForwardedFor, headerForwardedProto, headerClientIP, headerUserAgentHTTPS, headerRequestID, headerSSL} {
			delete(h, own) // announce overwrites or removes these
		}
		for left := range h {
			if v := variable(left); ours[v] || v == "HTTP_PROXY" || v == "HTTP_HOST" || left == "Connection" {
				t.Errorf("%q survived as %q", name, left)
			}
		}
	})
}

// variable is the name of a header in PHP's $_SERVER: CGI maps the dash, PHP
// dots and spaces.
func variable(name string) string {
	return "HTTP_" + strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace(strings.ToUpper(name))
}
