package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// States of a connection.
const (
	fresh uint32 = iota // no byte of a request has come yet
	busy                // from a request's first byte to its response's last
	idle                // between two requests
	shut                // to be given up: closed by Shutdown or Close
)

var (
	errShut = errors.New("the server is shutting down")
	errLine = errors.New("malformed line")
)

// conn is one connection. All of it belongs to the goroutine of serve, but for
// what is atomic, and for in, r and w while a body is read (see body) or the
// visitor's leaving is watched for (see leave.go).
type conn struct {
	server *Server
	nc     net.Conn
	base   *http.Request // what all requests of this connection have in common
	state  atomic.Uint32

	in   []byte // in[r:w] has been read and not been used
	r, w int

	parser    parser
	response  response
	scope     *scope // of the request being answered
	afterPost bool   // an empty line may precede the next request

	// When the deadlines of nc are, as far as it is known; the handler may move
	// them.
	readUntil, writeUntil time.Time
	readMoved, writeMoved atomic.Bool

	leaving  atomic.Uint32 // see leave.go
	serial   atomic.Uint64 // counts requests
	seen     uint64        // the watcher's: serial when it looked last
	leaveMu  sync.Mutex
	readDone chan struct{} // closed when the watching read has ended
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{server: s, nc: nc}
}

// serve answers one request after the other.
func (c *conn) serve() {
	given := false // the connection belongs to somebody else
	defer func() {
		if !given {
			c.nc.Close()
		}
		c.server.untrack(c)
	}()
	if given = c.start(); given || c.base == nil {
		return
	}
	for {
		text, f, err := c.readHead()
		switch {
		case err != nil:
			return
		case f != nil:
			c.refuse(f)
			return
		case text == preface && c.serial.Load() == 0 && c.base.TLS == nil && c.server.options.Handover != nil:
			given = true
			c.handOver(text)
			return
		}
		keep := c.answer(text)
		given = c.response.hijacked
		if !keep {
			return
		}
		if c.server.closing.Load() || !c.state.CompareAndSwap(busy, idle) {
			return
		}
	}
}

// start shakes hands, where there is TLS, and prepares what all requests share.
func (c *conn) start() (given bool) {
	base := &http.Request{RemoteAddr: c.nc.RemoteAddr().String()}
	if secure, ok := c.nc.(*tls.Conn); ok {
		if d := c.server.options.ReadHeader; d > 0 {
			c.nc.SetDeadline(time.Now().Add(d))
		}
		if err := secure.HandshakeContext(c.server.options.Base); err != nil {
			c.handshakeFailed(err)
			return false
		}
		c.nc.SetDeadline(time.Time{})
		state := secure.ConnectionState()
		base.TLS = &state
		if state.NegotiatedProtocol == "h2" && c.server.options.Handover != nil {
			c.server.options.Handover(secure)
			return true
		}
	}
	c.in = make([]byte, readBufferBytes)
	c.base = base
	return false
}

// handshakeFailed tells those who speak HTTP to a TLS port so.
func (c *conn) handshakeFailed(err error) {
	c.server.options.Logger.Debug("TLS handshake failed", "remote", c.nc.RemoteAddr(), "error", err)
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader[:]) {
		_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

func looksLikeHTTP(b []byte) bool {
	switch string(b[:5]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// readHead waits for a request and gives its head.
func (c *conn) readHead() (text string, f *fault, err error) {
	limit := c.server.options.MaxHeadBytes
	hurried := false
	for from := 0; ; {
		b := c.in[c.r:c.w]
		if len(b) == 0 {
			c.beIdle()
		} else {
			if s := c.state.Load(); s != busy && !c.state.CompareAndSwap(s, busy) || s == shut {
				return "", nil, errShut
			}
			end, next, bad := scanHead(b, from)
			switch {
			case bad, end == 0 && !hopeful(b):
				return "", &fault{http.StatusBadRequest, "malformed request"}, nil
			case end == 2 && c.afterPost: // RFC 9112 §2.2
				c.afterPost = false
				c.r += end
				continue
			case end == 2:
				return "", &fault{http.StatusBadRequest, "malformed request"}, nil
			case end > limit, end == 0 && len(b) > limit:
				return "", &fault{http.StatusRequestHeaderFieldsTooLarge, ""}, nil
			case end > 0:
				text = string(b[:end])
				c.r += end
				return text, nil, nil
			}
			from = next
			if !hurried {
				hurried = true
				c.setReadUntil(c.server.options.ReadHeader)
			}
		}
		if err := c.fill(); err != nil {
			return "", nil, err
		}
	}
}

// hopeful says whether a head may still become one: what is none is not waited
// for.
func hopeful(b []byte) bool {
	if classes[b[0]]&classToken == 0 && b[0] != '\r' {
		return false
	}
	i := bytes.IndexByte(b, '\n')
	return i <= 1 || bytes.Contains(b[:i], []byte(" HTTP/"))
}

// beIdle sets the deadline of waiting for a request. A deadline that will do
// is left alone.
func (c *conn) beIdle() {
	if len(c.in) > readBufferBytes {
		c.in = make([]byte, readBufferBytes)
	}
	o := &c.server.options
	if c.state.Load() == fresh {
		c.setReadUntil(o.ReadHeader)
		if c.server.closing.Load() {
			c.setReadUntil(time.Second)
		}
		return
	}
	if o.Idle == 0 {
		if !c.readUntil.IsZero() || c.readMoved.Swap(false) {
			c.setReadUntil(0)
		}
		return
	}
	slack := min(deadlineSlack, o.Idle/8)
	left := time.Until(c.readUntil)
	if c.readMoved.Load() || left < o.Idle || left > o.Idle+slack {
		c.readMoved.Store(false)
		c.setReadUntil(o.Idle + slack)
	}
}

// setReadUntil sets the read deadline, 0 for none.
func (c *conn) setReadUntil(d time.Duration) {
	c.readUntil = time.Time{}
	if d > 0 {
		c.readUntil = time.Now().Add(d)
	}
	c.nc.SetReadDeadline(c.readUntil)
}

// setWriteUntil sees to it that a response has its time.
func (c *conn) setWriteUntil() {
	d := c.server.options.Write
	if d == 0 {
		return
	}
	slack := min(deadlineSlack, d/8)
	left := time.Until(c.writeUntil)
	if c.writeMoved.Load() || left < d || left > d+slack {
		c.writeMoved.Store(false)
		c.writeUntil = time.Now().Add(d + slack)
		c.nc.SetWriteDeadline(c.writeUntil)
	}
}

// fill reads what there is behind in[r:w], making room where need be.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w < len(c.in):
	case c.r > 0:
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	default:
		larger := make([]byte, 2*len(c.in))
		copy(larger, c.in)
		c.in = larger
	}
	for range maxEmptyReads {
		n, err := c.nc.Read(c.in[c.w:])
		c.w += n
		if n > 0 {
			return nil // a lasting error comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// read gives bytes of a body: buffered ones, or straight from the connection.
func (c *conn) read(p []byte) (int, error) {
	if c.r == c.w {
		if len(p) >= readBufferBytes {
			return c.nc.Read(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.in[c.r:c.w])
	c.r += n
	return n, nil
}

// line reads a line of limit bytes at most, without its CRLF. It is valid
// until the next read.
func (c *conn) line(limit int) ([]byte, error) {
	for from := 0; ; {
		b := c.in[c.r:c.w]
		if i := bytes.IndexByte(b[from:], '\n'); i >= 0 {
			i += from
			if i == 0 || b[i-1] != '\r' || i-1 > limit || bytes.IndexByte(b[:i-1], '\r') >= 0 {
				return nil, errLine
			}
			c.r += i + 1
			return b[:i-1], nil
		}
		if len(b) > limit+1 {
			return nil, errLine
		}
		from = len(b)
		if err := c.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// answer serves one request and says whether the connection can be kept.
func (c *conn) answer(text string) (keep bool) {
	s := &scope{parent: c.server.options.Base, local: c.nc.LocalAddr()}
	r := c.base.WithContext(s)
	f, refused := c.parser.parse(text, r, &s.url)
	if refused != nil {
		c.refuse(refused)
		return false
	}
	c.scope = s
	c.serial.Add(1)
	c.afterPost = r.Method == http.MethodPost
	c.setWriteUntil()
	w := &c.response
	w.begin(c, r, f)
	if f.length != 0 {
		if c.readMoved.Swap(false) || !c.readUntil.IsZero() { // a body has as long as the handler gives it
			c.setReadUntil(0)
		}
		w.body = &body{conn: c, request: r, expects: f.expects, chunked: f.chunked, left: max(f.length, 0)}
		r.Body = w.body
	} else {
		r.Body = http.NoBody
		c.leaving.Store(watchable)
	}
	finished := c.handle(w, r)
	if w.hijacked {
		s.end()
		return false
	}
	if !finished {
		w.abort()
	} else {
		keep = w.finish()
	}
	if w.body != nil {
		_ = w.body.Close() // waits for a Read that still runs
	}
	gone := c.stopWatch()
	s.end()
	w.release()
	more := !r.Close || c.r < c.w || w.body != nil && !w.body.finished() // may come, and would make the kernel reset the connection
	if finished && !keep && !gone && more {
		c.linger()
	}
	return keep && !gone
}

// handle calls the handler; false if it panicked.
func (c *conn) handle(w *response, r *http.Request) (finished bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			c.server.options.Logger.Error("internal error: a handler panicked", "remote", c.base.RemoteAddr,
				"panic", v, "stack", string(debug.Stack()))
		}
	}()
	if r.Method == http.MethodOptions && r.RequestURI == "*" { // of the server as a whole
		w.Header()[fieldContentLength] = []string{"0"}
		return true
	}
	c.server.options.Handler.ServeHTTP(w, r)
	return true
}

// refuse answers what is no request.
func (c *conn) refuse(f *fault) {
	c.server.options.Logger.Debug("request refused", "remote", c.nc.RemoteAddr(), "status", f.status, "reason", f.text)
	text := fmt.Sprintf("%d %s", f.status, http.StatusText(f.status))
	if f.text != "" {
		text += ": " + f.text
	}
	now := time.Now()
	if d := c.server.options.Write; d > 0 {
		c.nc.SetWriteDeadline(now.Add(d))
	}
	_, err := fmt.Fprintf(c.nc, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s",
		f.status, http.StatusText(f.status), len(text), c.server.dateLine(now), text)
	if err == nil {
		c.linger()
	}
}

// linger lets a visitor who still sends read the answer before the connection
// ends.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	for total := 0; total < lingerBytes; {
		n, err := c.nc.Read(*buffer)
		if err != nil {
			return
		}
		total += n
	}
}

// bye ends an idle connection. TLS says so to the visitor, which may wait.
func (c *conn) bye() {
	if _, secure := c.nc.(*tls.Conn); secure {
		go c.nc.Close()
		return
	}
	c.nc.Close()
}

// cut ends the connection so that nobody takes what was sent for the whole.
func (c *conn) cut() {
	nc := c.nc
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn() // without the alert that says all is well
	}
	if tcp, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // fails on a dead connection, which is as good
	}
	nc.Close()
}

// preface begins HTTP/2 (RFC 9113 §3.4); its second half follows.
const preface = "PRI * HTTP/2.0\r\n\r\n"

// handOver gives the connection away with what has been read from it.
func (c *conn) handOver(text string) {
	c.nc.SetDeadline(time.Time{})
	read := append([]byte(text), c.in[c.r:c.w]...)
	c.server.options.Handover(&replay{Conn: c.nc, read: bytes.NewReader(read)})
}

// replay is a connection whose first bytes have been read before.
type replay struct {
	net.Conn
	read *bytes.Reader // nil when used up
}

// Read gives those bytes first.
func (r *replay) Read(p []byte) (int, error) {
	if r.read != nil {
		n, err := r.read.Read(p)
		if err == nil {
			return n, nil
		}
		r.read = nil
	}
	return r.Conn.Read(p)
}

var (
	_ context.Context = (*scope)(nil)
	_                 = strings.Cut
)
