package web

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"pantheon/events"
)

var long = strings.Repeat("body { color: red } ", 200)

// both runs a test with the release in memory and with files from the disk.
func both(t *testing.T, tree map[string]string, test func(t *testing.T, s *site)) {
	for _, mode := range []events.ConnectionMode{events.ConnectionGit, events.ConnectionSFTP} {
		t.Run(string(mode), func(t *testing.T) {
			s := newSite(t, tree, func(o *Options) { o.Spec.Settings.Connection = mode })
			for range 2 { // the second time from memory
				test(t, s)
			}
		})
	}
}

func TestStaticConditions(t *testing.T) {
	both(t, map[string]string{"a.png": "0123456789"}, func(t *testing.T, s *site) {
		plain := s.ask("GET", "/a.png")
		tag, modified := plain.Header().Get("Etag"), plain.Header().Get("Last-Modified")
		if tag == "" || strings.HasPrefix(tag, "W/") || modified != "Fri, 02 Jan 2026 03:04:05 GMT" || plain.Header().Get("Content-Length") != "10" ||
			plain.Header().Get("Accept-Ranges") != "bytes" || plain.Header().Get("Content-Type") != "image/png" {
			t.Errorf("%v", plain.Header())
		}
		for _, test := range []struct {
			header string
			code   int
			body   string
		}{
			{"If-None-Match: " + tag, 304, ""},
			{"If-None-Match: \"x\", W/" + tag, 304, ""},
			{"If-None-Match: \"x\"", 200, "0123456789"},
			{"If-Modified-Since: " + modified, 304, ""},
			{"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", 200, "0123456789"},
			{"If-Match: \"x\"", 412, ""},
			{"Range: bytes=2-4", 206, "234"},
			{"Range: bytes=-3", 206, "789"},
			{"Range: bytes=9-", 206, "9"},
			{"Range: bytes=10-", 416, ""},
			{"Range: lines=1-2", 416, ""},
		} {
			w := s.ask("GET", "/a.png", test.header)
			if w.Code != test.code || test.code < 400 && w.Body.String() != test.body {
				t.Errorf("%s: %d %q", test.header, w.Code, w.Body)
			}
		}
		w := s.ask("GET", "/a.png", "Range: bytes=2-4", "If-Range: "+tag)
		if w.Code != 206 || w.Header().Get("Content-Range") != "bytes 2-4/10" {
			t.Error(w.Code, w.Header())
		}
		if w = s.ask("GET", "/a.png", "Range: bytes=2-4", "If-Range: \"x\""); w.Code != 200 {
			t.Error(w.Code)
		}
		if w = s.ask("GET", "/a.png", "Range: bytes=0-1,4-5"); w.Code != 206 || !strings.HasPrefix(w.Header().Get("Content-Type"), "multipart/byteranges") {
			t.Error(w.Code, w.Header())
		}
	})
}

func TestStaticEncodings(t *testing.T) {
	tree := map[string]string{
		"plain.css": long, "both.css": long, "both.css.gz": "GZ", "both.css.br": "BR", "only.css": long, "only.css.br": "BR",
		"small.css": "a{}", "pic.png": long, "pic.png.gz": "GZ", "folder.css": long, "folder.css.gz/": "", "up.css": long, "up.css.gz": "LINK /etc/passwd",
	}
	both(t, tree, func(t *testing.T, s *site) {
		for _, test := range []struct{ path, accept, coding, body, vary string }{
			{"/plain.css", "", "", long, "Accept-Encoding"},
			{"/plain.css", "gzip, deflate, br", "gzip", long, "Accept-Encoding"},
			{"/plain.css", "gzip;q=0", "", long, "Accept-Encoding"},
			{"/plain.css", "gzip; q=0.000, *", "", long, "Accept-Encoding"},
			{"/plain.css", "*", "gzip", long, "Accept-Encoding"},
			{"/plain.css", "*;q=0", "", long, "Accept-Encoding"},
			{"/plain.css", "GZIP;q=0.1", "gzip", long, "Accept-Encoding"},
			{"/plain.css", "gzippo, identity", "", long, "Accept-Encoding"},
			{"/both.css", "", "", long, "Accept-Encoding"},
			{"/both.css", "gzip", "gzip", "GZ", "Accept-Encoding"},
			{"/both.css", "gzip, br", "br", "BR", "Accept-Encoding"},
			{"/both.css", "gzip, br;q=0", "gzip", "GZ", "Accept-Encoding"},
			{"/only.css", "gzip", "gzip", long, "Accept-Encoding"},
			{"/only.css", "br", "br", "BR", "Accept-Encoding"},
			{"/small.css", "gzip", "", "a{}", "Accept-Encoding"},
			{"/pic.png", "gzip, br", "", long, ""},
			{"/folder.css", "gzip", "gzip", long, "Accept-Encoding"},
			{"/up.css", "gzip", "gzip", long, "Accept-Encoding"},
			{"/both.css.gz", "gzip", "", "GZ", ""},
		} {
			w := s.ask("GET", test.path, "Accept-Encoding: "+test.accept)
			body := w.Body.Bytes()
			if test.coding == "gzip" && test.body == long {
				if unzip, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
					body, _ = io.ReadAll(unzip)
				}
				if !strings.HasPrefix(w.Header().Get("Etag"), "W/") {
					t.Errorf("%v: a strong tag", test)
				}
			}
			if w.Code != 200 || w.Header().Get("Content-Encoding") != test.coding || string(body) != test.body || w.Header().Get("Vary") != test.vary {
				t.Errorf("%s %q: %d %v %.20q", test.path, test.accept, w.Code, w.Header(), body)
			}
			if length := w.Header().Get("Content-Length"); length != "" && length != strconv.Itoa(w.Body.Len()) {
				t.Errorf("%s %q: Content-Length %s for %d bytes", test.path, test.accept, length, w.Body.Len())
			}
		}
		tag := s.ask("GET", "/plain.css", "Accept-Encoding: gzip").Header().Get("Etag")
		if w := s.ask("GET", "/plain.css", "Accept-Encoding: gzip", "If-None-Match: "+tag); w.Code != 304 || w.Body.Len() != 0 {
			t.Error(w.Code)
		}
		if w := s.ask("GET", "/plain.css", "Accept-Encoding: gzip", "Range: bytes=0-3"); w.Code != 206 || w.Body.String() != "body" || w.Header().Get("Content-Encoding") != "" {
			t.Error(w.Code, w.Header())
		}
		if w := s.ask("GET", "/both.css", "Accept-Encoding: br", "Range: bytes=1-1"); w.Body.String() != "R" && w.Body.String() != "o" {
			t.Error(w.Code, w.Body, w.Header())
		}
	})
}

func TestStaticHeaders(t *testing.T) {
	s := newSite(t, map[string]string{"f.woff2": "x", "i.svg": "x", "p.html": "x", "FILES/doc.pdf": "x"}, func(o *Options) {
		o.Spec.Environment = events.EnvironmentOf(testEnvironment.Site(), "live")
	})
	for _, test := range []struct{ path, name, want string }{
		{"/f.woff2", "Access-Control-Allow-Origin", "*"},
		{"/f.woff2", "Content-Type", "font/woff2"},
		{"/i.svg", "Access-Control-Allow-Origin", ""},
		{"/i.svg", "Cache-Control", "max-age=31622400"},
		{"/p.html", "Cache-Control", ""},
		{"/files/doc.pdf", "Cache-Control", "max-age=31622400"},
		{"/i.svg", "X-Pantheon-Site", string(testEnvironment.Site())},
		{"/i.svg", "X-Pantheon-Environment", "live"},
		{"/i.svg", "X-Pantheon-Endpoint", "abc"},
		{"/i.svg", "X-Pantheon-Phpreq", ""},
	} {
		if got := s.ask("GET", test.path).Header().Get(test.name); got != test.want {
			t.Errorf("%s %s: %q", test.path, test.name, got)
		}
	}
	dev := newSite(t, map[string]string{"i.svg": "x"}, nil)
	if got := dev.ask("GET", "/i.svg").Header().Get("Cache-Control"); got != "no-cache" {
		t.Error(got)
	}
}

// Writable code and the files folder are looked at again each time.
func TestStaticChanges(t *testing.T) {
	s := newSite(t, map[string]string{"a.css": "one", "FILES/b.css": "one"}, func(o *Options) { o.Spec.Settings.Connection = events.ConnectionSFTP })
	for _, content := range []string{"one", "two"} {
		os.WriteFile(filepath.Join(s.code, "a.css"), []byte(content), 0o644)
		os.WriteFile(filepath.Join(s.files, "b.css"), []byte(content), 0o644)
		for _, path := range []string{"/a.css", "/files/b.css"} {
			if got := s.ask("GET", path).Body.String(); got != content {
				t.Errorf("%s: %q, want %q", path, got, content)
			}
		}
	}
	git := newSite(t, map[string]string{"FILES/b.css": "one"}, nil)
	git.ask("GET", "/files/b.css")
	os.WriteFile(filepath.Join(git.files, "b.css"), []byte("two"), 0o644)
	if got := git.ask("GET", "/files/b.css").Body.String(); got != "two" {
		t.Error(got)
	}
}

func TestAssetsAreBounded(t *testing.T) {
	tree := map[string]string{}
	for i := range 60 {
		tree["f"+strconv.Itoa(i)+".png"] = strings.Repeat("x", 60<<10)
	}
	s := newSite(t, tree, nil)
	for name := range tree {
		if w := s.ask("GET", "/"+name); w.Body.Len() != 60<<10 {
			t.Fatal(w.Code)
		}
		if s.assets.bytes > maxAssetsBytes {
			t.Fatal(s.assets.bytes)
		}
	}
	if len(s.assets.known) < 20 {
		t.Error(len(s.assets.known))
	}
	s.Rest()
	if len(s.assets.known) != 0 || s.docroot.roots != nil {
		t.Error("not at rest")
	}
	if w := s.ask("GET", "/f1.png"); w.Code != 200 {
		t.Error(w.Code)
	}
}

// The plain answer goes out with sendfile, over a real connection.
func TestStaticOverTCP(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	s := newSite(t, map[string]string{"big.mp4": content}, nil)
	server := httptest.NewServer(s)
	defer server.Close()
	response, err := http.Get(server.URL + "/big.mp4")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != content {
		t.Error(len(body), err)
	}
}

func BenchmarkStatic10K(b *testing.B) {
	dir := b.TempDir()
	os.WriteFile(filepath.Join(dir, "a.png"), bytes.Repeat([]byte("x"), 10<<10), 0o644)
	for _, mode := range []events.ConnectionMode{events.ConnectionGit, events.ConnectionSFTP} {
		b.Run(string(mode), func(b *testing.B) {
			s, err := New(Options{CodeDir: dir, Socket: "none", Spec: events.DropSpec{
				Environment: testEnvironment, Settings: events.EnvironmentSettings{Connection: mode}}})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			benchmark(b, s, "/a.png", 10<<10)
		})
	}
}

// benchmark asks over kept connections.
func benchmark(b *testing.B, s http.Handler, path string, size int) {
	server := httptest.NewServer(s)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := client.Get(server.URL + path)
			if err != nil {
				b.Error(err)
				return
			}
			n, _ := io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if int(n) != size {
				b.Errorf("%d bytes", n)
				return
			}
		}
	})
}
