package fastcgi

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// byteConn is a connection that gives bytes, at most step at a time.
type byteConn struct {
	*bytes.Reader
	step int
}

func (b *byteConn) Read(p []byte) (int, error)     { return b.Reader.Read(p[:min(len(p), b.step)]) }
func (*byteConn) Write(p []byte) (int, error)      { return len(p), nil }
func (*byteConn) Close() error                     { return nil }
func (*byteConn) LocalAddr() net.Addr              { return nil }
func (*byteConn) RemoteAddr() net.Addr             { return nil }
func (*byteConn) SetDeadline(time.Time) error      { return nil }
func (*byteConn) SetReadDeadline(time.Time) error  { return nil }
func (*byteConn) SetWriteDeadline(time.Time) error { return nil }
func responseOf(data []byte, step int) (*Pool, *conn) {
	p := NewPool(Options{Workers: 1})
	c := newConn(&byteConn{bytes.NewReader(data), step}, p.options.Timeouts, func(string) {})
	c.begin(time.Now())
	p.active = 1
	return p, c
}

// FuzzResponse: whatever an application sends, reading it ends, holds the
// bounds, gives the slot back, and does not depend on how the bytes arrive.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"", hello, record(typeStderr, "warning\n") + hello, hello[:20], hello + "x", endOf(statusOverloaded),
		record(typeStdout, "Status: 404\n\n"), "\x01\x06\x00\x01\xff\xff\xff\x00", record(typeStdout, "\r\n") + endOf(0),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		type outcome struct {
			status int
			header http.Header
			body   string
			failed bool
		}
		run := func(step int, rest bool) (o outcome) {
			p, c := responseOf(data, step)
			r, _, err := p.exchange(context.Background(), c, get())
			if err != nil {
				return outcome{failed: true}
			}
			o.status, o.header = r.Status, r.Header
			if len(r.Header) > MaxHeaderLines {
				t.Fatal("too many fields")
			}
			var whole bool
			var body []byte
			if rest {
				body, whole = r.Rest(nil, 1<<20, time.Millisecond)
			}
			for !whole {
				piece, err := r.Next()
				body = append(body, piece...)
				if err != nil {
					o.failed = err != io.EOF
					break
				}
			}
			r.Close()
			o.body = string(body)
			if len(body) > len(data) || p.active != 0 {
				t.Fatalf("%d bytes of %d, %d active", len(body), len(data), p.active)
			}
			return o
		}
		a, b, c := run(1<<20, false), run(1, false), run(1<<20, true)
		if a.failed != b.failed || a.status != b.status || a.body != b.body || len(a.header) != len(b.header) {
			t.Fatalf("in one piece %+v, byte by byte %+v", a, b)
		}
		for _, with := range []outcome{c, run(1, true)} {
			if a.failed != with.failed || !a.failed && a.body != with.body {
				t.Fatalf("piece by piece %+v, with Rest %+v", a, with)
			}
		}
	})
}

// FuzzHeader: a header that is accepted is one that net/http can send.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"Status: 200 OK\r\nA: b\r\n\r\n", "Location: /x\n\n", "A:\n\n", "\r\n", ": x\n\n", "A: \x7f\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		if end := headerEnd(block, 0); end >= 0 {
			block = block[:end]
		}
		status, header, err := parseHeader(block)
		if err != nil {
			return
		}
		if status < 200 || status > 999 {
			t.Fatal(status)
		}
		for name, values := range header {
			if name == "" || len(values) == 0 {
				t.Fatalf("%q: %q", name, values)
			}
			for _, value := range values {
				if bytes.ContainsAny([]byte(value), "\r\n\x00") {
					t.Fatalf("%q: %q", name, value)
				}
			}
		}
	})
}
