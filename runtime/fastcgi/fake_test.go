package fastcgi

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeApplication is a scripted FastCGI application for faults that a real
// php-fpm does not have. It runs the script for each request of each
// connection; the connection ends when the script says false.
type fakeApplication struct {
	socket      string
	connections atomic.Int64 // open now
	most        atomic.Int64 // open at the same time
	requests    atomic.Int64
}

func startFake(t *testing.T, script func(c net.Conn, request int) (again bool)) *fakeApplication {
	t.Helper()
	f := &fakeApplication{socket: filepath.Join(t.TempDir(), "s")}
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			f.most.Store(max(f.most.Load(), f.connections.Add(1)))
			mu.Unlock()
			wg.Go(func() {
				for again := true; again && readRequest(c); {
					again = script(c, int(f.requests.Add(1)))
				}
				f.connections.Add(-1)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return f
}

// readRequest takes in one whole request.
func readRequest(c net.Conn) bool {
	header := make([]byte, headerBytes)
	for {
		if _, err := io.ReadFull(c, header); err != nil {
			return false
		}
		size := int(binary.BigEndian.Uint16(header[4:])) + int(header[6])
		if _, err := io.CopyN(io.Discard, c, int64(size)); err != nil {
			return false
		}
		if header[1] == typeStdin && size == 0 {
			return true
		}
	}
}

func record(kind byte, content string) string {
	return string(appendHeader(nil, kind, len(content), 0)) + content
}

func endOf(status byte) string {
	return record(typeEnd, "\x00\x00\x00\x00"+string(status)+"\x00\x00\x00")
}

const head = "Content-Type: text/plain\r\n\r\n"

var hello = record(typeStdout, head+"hello") + endOf(statusComplete)

func says(s string, again bool) func(net.Conn, int) bool {
	return func(c net.Conn, _ int) bool { io.WriteString(c, s); return again }
}

func poolFor(t *testing.T, f *fakeApplication, o Options) *Pool {
	t.Helper()
	o.Socket = f.socket
	p := NewPool(o)
	t.Cleanup(func() { p.Close() })
	return p
}

func get() *Request {
	params := new(Params)
	params.Add("REQUEST_METHOD", "GET")
	return &Request{Params: params, Safe: true}
}

func post(body string) *Request {
	params := new(Params)
	params.Add("REQUEST_METHOD", "POST")
	return &Request{Params: params, Body: strings.NewReader(body), Size: int64(len(body))}
}

// all reads a body to its end.
func all(r *Response) (string, error) {
	defer r.Close()
	var b strings.Builder
	for {
		piece, err := r.Next()
		b.Write(piece)
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within ten seconds", what)
		}
	}
}
