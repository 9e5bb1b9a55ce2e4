package http1_test

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pantheon/gateways/styx/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ended is either server, ours or net/http's.
type ended interface {
	Serve(net.Listener) error
	Close() error
}

// listen serves on a port of the loopback until the test ends.
func listen(t testing.TB, server ended) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return l.Addr().String()
}

func ours(t testing.TB, h http.HandlerFunc) (address string) {
	return listen(t, http1.New(http1.Options{Handler: h, ReadHeader: 20 * time.Second, Idle: 20 * time.Second}))
}

// visit opens a connection that ends with the test.
func visit(t testing.TB, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, bufio.NewReader(conn)
}

// say sends text and reads one answer whole.
func say(t testing.TB, conn net.Conn, from *bufio.Reader, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.60q: %v", text, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("answer to %.60q: %v after %d bytes", text, err, len(body))
	}
	return response, string(body)
}

// all sends text and gives everything that comes back until the end.
func all(t testing.TB, address, text string) string {
	t.Helper()
	conn, reader := visit(t, address)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(reader)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("%.60q: the connection did not end: %v\n%.300q", text, err, answer)
	}
	return string(answer)
}

// recorder is a handler that writes down what it sees and behaves as the path
// says.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (rec *recorder) take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	seen := rec.seen
	rec.seen = nil
	return seen
}

// dump is all that a handler can see of a request.
func dump(r *http.Request, body []byte, bodyErr error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q %q host=%q path=%q raw=%q query=%q force=%v scheme=%q urlhost=%q user=%v opaque=%q length=%d te=%q close=%v body=%d:%08x:%.60q failed=%v",
		r.Method, r.RequestURI, r.Proto, r.Host, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery, r.URL.Scheme,
		r.URL.Host, r.URL.User, r.URL.Opaque, r.ContentLength, r.TransferEncoding, r.Close, len(body), crc32.ChecksumIEEE(body), body, bodyErr != nil)
	fmt.Fprintf(&b, " v=%d.%d addr=%v local=%v", r.ProtoMajor, r.ProtoMinor, r.RemoteAddr != "", r.Context().Value(http.LocalAddrContextKey) != nil)
	for _, h := range []http.Header{r.Header, r.Trailer} {
		names := make([]string, 0, len(h))
		for name := range h {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, " %s=%q", name, h[name])
		}
		b.WriteString(" /")
	}
	return b.String()
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	var err error
	if r.URL.Path != "/unread" {
		body, err = io.ReadAll(r.Body)
	}
	text := dump(r, body, err)
	rec.mu.Lock()
	rec.seen = append(rec.seen, text)
	rec.mu.Unlock()
	behave(w, r)
}

var long = strings.Repeat("0123456789abcdef", 5000)

// behave writes responses of every kind.
func behave(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/nothing":
	case "/html":
		io.WriteString(w, "<html><body>sniffed")
	case "/coded":
		h.Set("Content-Encoding", "gzip")
		io.WriteString(w, "pretended")
	case "/length":
		h.Set("Content-Length", "5")
		h["X-A"] = []string{"1", "2\r\nX-Evil: 3"}
		io.WriteString(w, "12345")
	case "/toomuch":
		h.Set("Content-Length", "3")
		if _, err := io.WriteString(w, "12345"); err != http.ErrContentLength {
			panic(err)
		}
		io.WriteString(w, "abc")
	case "/short":
		h.Set("Content-Length", "10")
		io.WriteString(w, "12345")
	case "/long":
		h.Set("Content-Type", "text/plain")
		for i := 0; i < len(long); i += 7000 {
			io.WriteString(w, long[i:min(i+7000, len(long))])
		}
	case "/longlength":
		h.Set("Content-Length", fmt.Sprint(len(long)))
		h.Set("Content-Type", "text/plain")
		io.Copy(w, strings.NewReader(long))
	case "/flush":
		w.(http.Flusher).Flush()
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		io.WriteString(w, "b")
	case "/late":
		w.WriteHeader(201)
		h.Set("X-Late", "must not be seen")
		w.WriteHeader(500)
		io.WriteString(w, "late")
	case "/abort":
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/early":
		panic(http.ErrAbortHandler)
	default:
		behaveOddly(w, r)
	}
}

func behaveOddly(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/204", "/304":
		h.Set("Content-Type", "text/plain")
		h.Set("Content-Length", "7")
		h.Set("Etag", "x")
		w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
		if _, err := io.WriteString(w, "nothing"); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	case "/hints":
		h.Set("Link", "</a.css>")
		w.WriteHeader(103)
		h.Del("Link")
		io.WriteString(w, "after hints")
	case "/close":
		h.Set("Connection", "close")
		io.WriteString(w, "bye")
	case "/keep":
		h.Set("Connection", "keep-alive")
		h.Set("Content-Length", "2")
		io.WriteString(w, "ok")
	case "/identity":
		h.Set("Transfer-Encoding", "identity")
		io.WriteString(w, "until the end")
	case "/trailer":
		h.Set("Trailer", "X-Sum")
		io.WriteString(w, "with a trailer")
		h.Set("X-Sum", "1")
		h.Set(http.TrailerPrefix+"X-More", "2")
	case "/date":
		h["Date"] = nil
		h["Content-Type"] = nil
		io.WriteString(w, "timeless")
	case "/redirect":
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	case "/599":
		w.WriteHeader(599)
	default:
		io.WriteString(w, "hello")
	}
}

var behaviours = strings.Fields("/ /nothing /html /coded /length /toomuch /short /long /longlength /flush /late /204 /304 /hints" +
	" /close /keep /identity /trailer /date /abort /early /redirect /599 /unread /a%20b /a/b?c=d& /? //x/y /%zz /a;b?c#d")

// pipes is a listener whose connections are pipes in memory, so that time can
// be virtual.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.over) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// virtually serves pipes; call it in a bubble of synctest. end shuts down.
func virtually(o http1.Options) (dial func() (net.Conn, *bufio.Reader), server *http1.Server, end func()) {
	l := &pipes{conns: make(chan net.Conn), over: make(chan struct{})}
	server = http1.New(o)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	dial = func() (net.Conn, *bufio.Reader) {
		mine, theirs := net.Pipe()
		l.conns <- theirs
		return mine, bufio.NewReader(mine)
	}
	return dial, server, func() { server.Shutdown(context.Background()); <-done }
}
