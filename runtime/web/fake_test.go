package web

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events"
)

const testEnvironment = events.EnvironmentID("dev.11111111-2222-4333-8444-555555555555")

// fakeApplication is a FastCGI application that is no PHP: it answers each
// request with its parameters as JSON, or with what respond gives.
type fakeApplication struct {
	socket  string
	respond func(params map[string]string, body []byte) string // header and body

	mu       sync.Mutex
	requests int
}

// hangUp at the end of a response: the application hangs up there.
const hangUp = "<hang up>"

func startFake(t *testing.T) *fakeApplication {
	t.Helper()
	dir, err := os.MkdirTemp("", "web") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fakeApplication{socket: filepath.Join(dir, "s"), respond: func(params map[string]string, body []byte) string {
		params["test.body"] = string(body[:min(len(body), 100)])
		params["test.body.size"] = fmt.Sprint(len(body))
		text, _ := json.Marshal(params)
		return "Content-Type: application/json\r\n\r\n" + string(text)
	}}
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	open := sync.Map{}
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			wg.Go(func() {
				defer c.Close()
				for in := bufio.NewReader(c); f.exchange(in, c); {
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return f
}

func (f *fakeApplication) exchange(in *bufio.Reader, out io.Writer) bool {
	params := map[string]string{}
	var body []byte
	for {
		var h [8]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return false
		}
		content := make([]byte, binary.BigEndian.Uint16(h[4:]))
		if _, err := io.ReadFull(in, content); err != nil {
			return false
		}
		switch {
		case h[1] == 4: // PARAMS
			for len(content) > 0 {
				var pair [2]string
				var size [2]int
				for i := range size {
					size[i] = int(content[0])
					if size[i] > 127 {
						size[i] = int(binary.BigEndian.Uint32(content) &^ (1 << 31))
						content = content[3:]
					}
					content = content[1:]
				}
				for i := range pair {
					pair[i], content = string(content[:size[i]]), content[size[i]:]
				}
				if _, twice := params[pair[0]]; twice {
					params["test.twice"] = pair[0]
				}
				params[pair[0]] = pair[1]
			}
		case h[1] == 5 && len(content) == 0: // the end of STDIN
			f.mu.Lock()
			f.requests++
			f.mu.Unlock()
			text, broken := strings.CutSuffix(f.respond(params, body), hangUp)
			for text != "" {
				piece := text[:min(len(text), 60_000)]
				text = text[len(piece):]
				out.Write(append([]byte{1, 6, 0, 1, byte(len(piece) >> 8), byte(len(piece)), 0, 0}, piece...))
			}
			if broken {
				return false
			}
			_, err := io.WriteString(out, "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
			return err == nil
		case h[1] == 5:
			body = append(body, content...)
		}
	}
}

// site is a document root with files, and a server for it.
type site struct {
	*Server
	code, files string
	app         *fakeApplication
}

func newSite(t *testing.T, tree map[string]string, change func(*Options)) *site {
	t.Helper()
	s := &site{code: t.TempDir(), files: t.TempDir(), app: startFake(t)}
	for name, content := range tree {
		path := filepath.Join(s.code, name)
		if rest, ok := strings.CutPrefix(name, "FILES/"); ok {
			path = filepath.Join(s.files, rest)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			os.Mkdir(path, 0o755)
			continue
		}
		if target, ok := strings.CutPrefix(content, "LINK "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	options := Options{
		Spec: events.DropSpec{
			Environment: testEnvironment, SiteName: "blog", Framework: events.PHP,
			Settings: events.EnvironmentSettings{Workers: 4, Connection: events.ConnectionGit},
		},
		CodeDir: s.code, FilesDir: s.files, SpoolDir: t.TempDir(), ScriptRoot: "/code", Socket: s.app.socket, Endpoint: "abc",
	}
	if change != nil {
		change(&options)
	}
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = server
	t.Cleanup(func() { server.Close() })
	return s
}

// ask sends a request; the header is "Name: value" lines.
func (s *site) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	return s.send(newRequest(method, target, nil, header...))
}

func (s *site) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func newRequest(method, target string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/", body)
	r.RequestURI = target
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	r.URL = u
	r.Host = "dev-blog.pantheon.localhost:8080"
	r.RemoteAddr = "192.0.2.7:4711"
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// paramsOf reads what the application was told.
func paramsOf(t *testing.T, w *httptest.ResponseRecorder) map[string]string {
	t.Helper()
	params := map[string]string{}
	if err := json.Unmarshal(w.Body.Bytes(), &params); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return params
}
