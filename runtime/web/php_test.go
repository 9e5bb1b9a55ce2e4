package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/fastcgi"
)

var index = map[string]string{"index.php": "<?php"}

func TestParams(t *testing.T) {
	s := newSite(t, index, func(o *Options) {
		o.DatabaseState = func(context.Context) string { return "empty" }
	})
	params := paramsOf(t, s.ask("POST", "/index.php/a%2Fb/ü?x=%20y", "Cookie: a=1", "Cookie: b=2", "Proxy: http://evil", "X_Ssl: ON", "X-Ssl: ON",
		"User-Agent: test", "X-Custom-Thing: 1", "X-Custom-Thing: 2", "X-Pantheon-Client-Ip: 6.6.6.6", "Authorization: Basic eDp5", "Content-Type: text/plain"))
	for name, want := range map[string]string{
		"SCRIPT_FILENAME": "/code/index.php", "SCRIPT_NAME": "/index.php", "DOCUMENT_ROOT": "/code", "DOCUMENT_URI": "/index.php/a/b/ü",
		"PATH_INFO": "/a/b/ü", "PATH_TRANSLATED": "/code/a/b/ü", "REQUEST_URI": "/index.php/a%2Fb/ü?x=%20y", "QUERY_STRING": "x=%20y",
		"REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1", "REDIRECT_STATUS": "200", "CONTENT_TYPE": "text/plain",
		"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "4711", "HTTP_X_PANTHEON_CLIENT_IP": "192.0.2.7",
		"SERVER_NAME": "dev-blog.pantheon.localhost", "SERVER_PORT": "8080", "HTTP_HOST": "dev-blog.pantheon.localhost:8080",
		"REQUEST_SCHEME": "http", "HTTP_USER_AGENT_HTTPS": "OFF", "HTTP_COOKIE": "a=1; b=2", "HTTP_USER_AGENT": "test",
		"HTTP_X_CUSTOM_THING": "1, 2", "HTTP_AUTHORIZATION": "Basic eDp5",
		"PANTHEON_DATABASE_STATE": "empty", "PANTHEON_ENVIRONMENT": "dev", "PANTHEON_SITE": string(testEnvironment.Site()),
	} {
		if params[name] != want {
			t.Errorf("%s: %q, want %q", name, params[name], want)
		}
	}
	for _, name := range []string{"HTTPS", "HTTP_PROXY", "HTTP_X_SSL", "test.twice", "HTTP_X_COOKIES_DROPPED"} {
		if value, there := params[name]; there {
			t.Errorf("%s: %q", name, value)
		}
	}
	if !strings.Contains(params["SERVER_SOFTWARE"], "nginx") {
		t.Error("WordPress looks for nginx in SERVER_SOFTWARE")
	}
}

func TestParamsOfHTTPS(t *testing.T) {
	s := newSite(t, index, nil)
	for _, header := range []string{"X-Forwarded-Proto: https", "User-Agent-HTTPS: ON"} {
		r := newRequest("GET", "/", nil, header)
		r.Host, r.RemoteAddr = "example.com", "[2001:db8::1%eth0]:99"
		params := paramsOf(t, s.send(r))
		for name, want := range map[string]string{
			"HTTPS": "on", "HTTP_X_SSL": "ON", "HTTP_USER_AGENT_HTTPS": "ON", "REQUEST_SCHEME": "https",
			"SERVER_PORT": "443", "SERVER_NAME": "example.com", "HTTP_HOST": "example.com", "REMOTE_ADDR": "2001:db8::1",
		} {
			if params[name] != want {
				t.Errorf("%s, %s: %q", header, name, params[name])
			}
		}
	}
}

func TestCookiesAboveTheLimitAreDropped(t *testing.T) {
	s := newSite(t, index, nil)
	w := s.ask("GET", "/", "Cookie: a="+strings.Repeat("x", MaxCookieBytes))
	params := paramsOf(t, w)
	if _, there := params["HTTP_COOKIE"]; there || params["HTTP_X_COOKIES_DROPPED"] != "1" || w.Header().Get("X-Cookies-Dropped") != "1" {
		t.Error(params, w.Header())
	}
	w = s.ask("GET", "/", "Cookie: a="+strings.Repeat("x", MaxCookieBytes-2))
	if params = paramsOf(t, w); len(params["HTTP_COOKIE"]) != MaxCookieBytes || w.Header().Get("X-Cookies-Dropped") != "" {
		t.Error(len(params["HTTP_COOKIE"]))
	}
}

func TestHeaderTooLarge(t *testing.T) {
	s := newSite(t, index, nil)
	if w := s.ask("GET", "/", "X-Big: "+strings.Repeat("x", 70_000)); w.Code != 431 {
		t.Error(w.Code)
	}
}

// unknownLength hides the length of a body.
type unknownLength struct{ io.Reader }

func TestBodies(t *testing.T) {
	s := newSite(t, index, nil)
	for _, size := range []int{1, 1000, spoolMemoryBytes - 1, spoolMemoryBytes, spoolMemoryBytes + 1, 3_000_000} {
		text := strings.Repeat("x", size)
		for name, body := range map[string]io.Reader{"known": strings.NewReader(text), "unknown": unknownLength{strings.NewReader(text)}} {
			params := paramsOf(t, s.send(newRequest("POST", "/", body)))
			if want := fmt.Sprint(size); params["CONTENT_LENGTH"] != want || params["test.body.size"] != want {
				t.Errorf("%d %s: %v", size, name, params)
			}
		}
	}
	if s.spooled.Load() != 0 {
		t.Errorf("%d bytes are still counted", s.spooled.Load())
	}
	if left, _ := os.ReadDir(s.options.SpoolDir); len(left) != 0 {
		t.Error(left)
	}
}

func TestBodyTooLarge(t *testing.T) {
	s := newSite(t, index, nil)
	r := newRequest("POST", "/", strings.NewReader(""))
	r.ContentLength = MaxBodyBytes + 1
	r.Body = io.NopCloser(iotestPanic{})
	if w := s.send(r); w.Code != 413 || w.Header().Get("Connection") != "close" {
		t.Error(w.Code)
	}
	w := s.send(newRequest("POST", "/", unknownLength{io.LimitReader(zeros{}, MaxBodyBytes+1)}))
	if w.Code != 413 || s.app.requests != 0 || s.spooled.Load() != 0 {
		t.Error(w.Code, s.app.requests)
	}
	r = newRequest("POST", "/", io.LimitReader(zeros{}, 10)) // shorter than it says
	r.ContentLength = 20
	if w := s.send(r); w.Code != 400 || s.app.requests != 0 {
		t.Error(w.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// iotestPanic is a body that must not be read.
type iotestPanic struct{}

func (iotestPanic) Read([]byte) (int, error) { panic("a body that is too large is read") }

func TestSpoolFolderIsGone(t *testing.T) {
	s := newSite(t, index, func(o *Options) { o.SpoolDir = "/nonexistent" })
	w := s.send(newRequest("POST", "/", strings.NewReader(strings.Repeat("x", 100_000))))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "503 Service Unavailable") {
		t.Error(w.Code)
	}
}

func TestResponseHeaders(t *testing.T) {
	s := newSite(t, index, nil)
	s.app.respond = func(map[string]string, []byte) string {
		return "Status: 201 Created\r\nContent-Type: text/plain\r\nSurrogate-Key: a b\r\nSurrogate-Control: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" +
			"X-Pantheon-Site: forged\r\nX-Styx-Req-Id: forged\r\nx-accel-redirect: /files/secret\r\nX-Accel-Buffering: no\r\nX-Sendfile: /files/secret\r\n" +
			"Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 99\r\n\r\nhello"
	}
	w := s.ask("GET", "/")
	if w.Code != 201 || w.Body.String() != "hello" {
		t.Error(w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"X-Pantheon-Site": string(testEnvironment.Site()), "X-Pantheon-Phpreq": "yes", "Surrogate-Key": "", "Surrogate-Key-Raw": "", "Surrogate-Control": "",
		"Connection": "", "Transfer-Encoding": "", "X-Styx-Req-Id": "", "Content-Length": "5",
		"X-Accel-Redirect": "", "X-Accel-Buffering": "", "X-Sendfile": "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(w.Header()["Set-Cookie"]) != 2 {
		t.Error(w.Header())
	}
	w = s.ask("GET", "/", "Pantheon-Debug: 1")
	if w.Header().Get("Surrogate-Key") != "a b" || w.Header().Get("Surrogate-Key-Raw") != "a b" || w.Header().Get("Surrogate-Control") != "x" {
		t.Error(w.Header())
	}
}

func TestStatusesPass(t *testing.T) {
	s := newSite(t, index, nil)
	for _, status := range []int{200, 204, 302, 304, 404, 500, 550, 560} {
		s.app.respond = func(map[string]string, []byte) string {
			return fmt.Sprintf("Status: %d X\r\nLocation: /x\r\nContent-Type: text/plain\r\n\r\nbody", status)
		}
		for _, method := range []string{"GET", "HEAD"} {
			w := s.ask(method, "/")
			want := "body"
			if status == 204 || status == 304 || method == "HEAD" {
				want = ""
			}
			if w.Code != status || w.Body.String() != want {
				t.Errorf("%s %d: %d %q", method, status, w.Code, w.Body)
			}
		}
	}
}

func TestResponsesAreCompressed(t *testing.T) {
	s := newSite(t, index, nil)
	for _, test := range []struct {
		header string
		size   int
		zip    bool
	}{
		{"Content-Type: text/html; charset=utf-8", 2000, true},
		{"Content-Type: text/html", 200_000, true},
		{"Content-Type: text/html", 20, false},
		{"Content-Type: application/ld+json", 2000, true},
		{"Content-Type: image/png", 2000, false},
		{"Content-Type: text/event-stream", 2000, false},
		{"Content-Type: text/html\r\nContent-Encoding: br", 2000, false},
		{"Status: 500\r\nContent-Type: text/html", 2000, false},
		{"X-No: type", 2000, false},
	} {
		body := strings.Repeat("x", test.size)
		s.app.respond = func(map[string]string, []byte) string {
			return test.header + "\r\nEtag: \"a\"\r\nVary: Cookie\r\nContent-Length: " + strconv.Itoa(test.size) + "\r\n\r\n" + body
		}
		w := s.ask("GET", "/", "Accept-Encoding: gzip")
		zipped := w.Header().Get("Content-Encoding") == "gzip"
		got := w.Body.Bytes()
		if zipped {
			unzip, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			got, _ = io.ReadAll(unzip)
			if w.Header().Get("Etag") != `W/"a"` || strings.Join(w.Header()["Vary"], ", ") != "Cookie, Accept-Encoding" {
				t.Error(w.Header())
			}
		}
		if zipped != test.zip || string(got) != body {
			t.Errorf("%+v: %d bytes, %v", test, len(got), w.Header())
		}
		if w = s.ask("GET", "/"); w.Header().Get("Content-Encoding") == "gzip" {
			t.Error("nobody asked for it")
		}
	}
}

func TestErrorsLeaveTheRequestWhole(t *testing.T) {
	broken := errors.New("the sandbox does not start")
	bad := newSite(t, index, func(o *Options) { o.Wake = func(context.Context) (func(), error) { return nil, broken } })
	gone := newSite(t, index, func(o *Options) { o.Socket = "/nonexistent" })
	good := newSite(t, index, nil)
	for _, size := range []int{0, 100, 200_000} {
		text := strings.Repeat("x", size)
		ctx, cancel := context.WithCancel(t.Context())
		r := newRequest("POST", "/", strings.NewReader(text)).WithContext(ctx)
		for _, s := range []*site{bad, gone} {
			w := httptest.NewRecorder()
			err := s.Serve(w, r)
			if err == nil || !Unsent(err) || w.Body.Len() > 0 {
				t.Fatal(err, w.Code)
			}
		}
		if params := paramsOf(t, good.send(r)); params["test.body.size"] != strconv.Itoa(size) {
			t.Error(params)
		}
		cancel()
	}
	if err := bad.Ping(t.Context()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if outcome(bad, "GET", "/") != "504 Target Not Responding" || outcome(gone, "GET", "/") != "502 Routing Failure" {
		t.Error(outcome(bad, "GET", "/"), outcome(gone, "GET", "/"))
	}
	if outcome(bad, "GET", "/x.css") == "static" || bad.Close() != nil {
		t.Error("cannot close")
	}
}

func TestWakeCountsUses(t *testing.T) {
	uses := 0
	s := newSite(t, map[string]string{"index.php": "<?php", "a.css": "x"}, func(o *Options) {
		o.Wake = func(context.Context) (func(), error) { uses++; return func() { uses-- }, nil }
	})
	s.app.respond = func(map[string]string, []byte) string {
		if uses != 1 {
			t.Error("PHP is asked without being awake")
		}
		return "A: b\r\n\r\n"
	}
	s.ask("GET", "/")
	if uses != 0 {
		t.Error(uses)
	}
	if err := s.Ping(t.Context()); err != nil || uses != 0 {
		t.Error(err, uses)
	}
	uses = 100
	s.ask("GET", "/a.css")
	if uses != 100 {
		t.Error("a static file woke PHP")
	}
}

func TestPages(t *testing.T) {
	for _, test := range []struct {
		err   error
		title string
	}{
		{fastcgi.ErrQueueFull, "504 Target Not Responding"},
		{fmt.Errorf("%w: slow", ErrWake), "504 Target Not Responding"},
		{fastcgi.ErrDial, "502 Routing Failure"},
		{fastcgi.ErrHungUp, "502 Timeout/Segfault"},
		{fastcgi.ErrBroken, "502 Bad Gateway"},
		{fastcgi.ErrMalformed, "502 Bad Gateway"},
		{fastcgi.ErrHeaderTooBig, "502 Upstream Header Too Big"},
		{fastcgi.ErrFirstByte, "503 First Byte Timeout"},
		{fastcgi.ErrTimeout, "504 Gateway Timeout"},
		{ErrTooLarge, "413 Content Too Large"},
		{fmt.Errorf("%w: %w", errVisitor, &http.MaxBytesError{Limit: 1}), "413 Content Too Large"},
		{fmt.Errorf("%w: %w", errVisitor, os.ErrDeadlineExceeded), "408 Request Timeout"},
		{fmt.Errorf("%w: %w", errVisitor, io.ErrUnexpectedEOF), "400 Bad Request"},
		{ErrSpoolFull, "503 Service Unavailable"},
		{problem.New(problem.Unavailable, "x"), "503 Service Unavailable"},
		{errors.New("x"), "500 Internal Server Error"},
	} {
		if status, p := PageFor(test.err); p.Title() != test.title || status != p.Status {
			t.Errorf("%v: %d %s", test.err, status, p.Title())
		}
	}
}

func TestNewRefusesHalfOptions(t *testing.T) {
	if _, err := New(Options{Spec: events.DropSpec{}}); err == nil {
		t.Error("accepted")
	}
}

// A response that breaks off must not look whole to the visitor.
func TestTruncatedResponseIsAborted(t *testing.T) {
	s := newSite(t, index, nil)
	s.app.respond = func(map[string]string, []byte) string {
		return "Content-Type: text/plain\r\n\r\n" + strings.Repeat("x", 100_000) + hangUp
	}
	server := httptest.NewServer(s)
	defer server.Close()
	response, err := http.Get(server.URL + "/")
	if err != nil {
		return // not even the header went out
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("%d bytes look whole", len(body))
	}
}

func TestCloseWaitsAndRefuses(t *testing.T) {
	s := newSite(t, map[string]string{"index.php": "<?php", "a.png": "x"}, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	s.app.respond = func(map[string]string, []byte) string {
		close(arrived)
		<-release
		return "A: b\r\n\r\nlate"
	}
	answer, closed := make(chan string, 1), make(chan error, 1)
	go func() { answer <- s.ask("GET", "/").Body.String() }()
	<-arrived
	go func() { closed <- s.Close() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for outcome(s, "GET", "/a.png") != "503 Target in Maintenance" {
		<-tick.C
	}
	close(release)
	if got := <-answer; got != "late" {
		t.Errorf("%q", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := outcome(s, "GET", "/"); got != "503 Target in Maintenance" || s.docroot.roots != nil {
		t.Error(got)
	}
}
