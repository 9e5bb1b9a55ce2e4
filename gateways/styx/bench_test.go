package styx_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pantheon/events"
	"pantheon/gateways/styx"
)

// oneFile is an agent whose every DROP serves one file of 10 KB, as the web
// server of a DROP does for a static file.
type oneFile struct{ path string }

func (o oneFile) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	f, err := os.Open(o.path)
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	defer f.Close()
	h := w.Header()
	h["Content-Type"] = []string{"text/css"}
	h["Content-Length"] = []string{"10240"}
	_, _ = io.Copy(w, io.LimitReader(f, 10240))
}

func (o oneFile) ServeDrop(w http.ResponseWriter, r *http.Request, _ events.DropID, _ events.HostID) error {
	o.ServeHTTP(w, r)
	return nil
}

func (o oneFile) Ping(context.Context, events.DropID, events.HostID) error { return nil }

// oneAnswer writes a short text: all cost is the router's and net/http's.
type oneAnswer struct{}

var hello = []byte("hello, world")

func (oneAnswer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain"}
	_, _ = w.Write(hello)
}

func (o oneAnswer) ServeDrop(w http.ResponseWriter, r *http.Request, _ events.DropID, _ events.HostID) error {
	o.ServeHTTP(w, r)
	return nil
}

func (oneAnswer) Ping(context.Context, events.DropID, events.HostID) error { return nil }

type application interface {
	http.Handler
	styx.Agent
}

// BenchmarkRequest compares a request through the router with the same
// handler right behind net/http, over kept connections of the loopback.
func BenchmarkRequest(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	content := make([]byte, 10240)
	_, _ = rand.Read(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		app  application
		size int
	}{{"file10K", oneFile{path}, 10240}, {"hello", oneAnswer{}, len(hello)}} {
		b.Run(c.name+"/bare", func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{Handler: c.app}
			go server.Serve(l)
			defer server.Close()
			hammer(b, l.Addr().String(), c.size)
		})
		b.Run(c.name+"/styx", func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			routes := &fakeRoutes{}
			routes.set(site, serving(drop(1), drop(2)))
			server, err := styx.New(styx.Options{Routes: routes, Agent: c.app, AccessLog: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { ended <- server.Serve(ctx, l, nil) }()
			defer func() { cancel(); <-ended }()
			hammer(b, l.Addr().String(), c.size)
		})
	}
}

// hammer sends requests over kept connections, with a client that allocates
// nothing itself. It also reports the processor time of client and server
// together, which a busy machine changes less than the time of the wall.
func hammer(b *testing.B, address string, size int) {
	request := []byte("GET /style.css HTTP/1.1\r\nHost: " + site + ":8080\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n\r\n")
	b.SetParallelism(8)
	b.ReportAllocs()
	before := processorTime(b)
	defer func() { b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op") }()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		reader := bufio.NewReaderSize(conn, 32<<10)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := skip(reader, size); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func processorTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// skip reads one answer with a body of size bytes.
func skip(reader *bufio.Reader, size int) error {
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answer %s", line)
		}
		if len(line) == 2 {
			_, err := reader.Discard(size)
			return err
		}
	}
}

// nobody is a ResponseWriter without a connection.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(p []byte) (int, error) { return len(p), nil }
func (n *nobody) WriteHeader(int)             {}

// BenchmarkServeHTTP is what the router itself adds to a request.
func BenchmarkServeHTTP(b *testing.B) {
	routes := &fakeRoutes{}
	routes.set(site, serving(drop(1), drop(2)))
	server, err := styx.New(styx.Options{Routes: routes, Agent: oneAnswer{}, AccessLog: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(
		"GET /style.css HTTP/1.1\r\nHost: " + site + ":8080\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n\r\n"))))
	if err != nil {
		b.Fatal(err)
	}
	request.RemoteAddr = "203.0.113.7:1234"
	b.ReportAllocs()
	for b.Loop() {
		server.ServeHTTP(&nobody{http.Header{}}, request)
	}
}
