package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pantheon/events/problem/page"
)

// response is the http.ResponseWriter of one request after the other.
//
// It has three steps: nothing is known; the fields are (WriteHeader: they lie
// in out, later changes of the map do not count); the framing is (frame: the
// head is whole). The step to the framing is put off as long as possible: until
// the handler has ended, flushes, or has written more than a buffer holds.
type response struct {
	c       *conn
	request *http.Request
	body    *body // nil for none
	header  http.Header
	framing framing

	wroteHeader, framed, hijacked bool
	status                        int
	head                          bool  // the method is HEAD
	length                        int64 // declared or found out, -1 if neither
	written                       int64
	chunked                       bool
	close                         bool // the connection ends after this response
	fullDuplex                    bool
	// What the fields say that matters for the framing.
	hasType, hasCoding, hasDate, transfer, identity, hasTrailers bool
	trailers                                                     []string // declared

	buffer *[]byte // out's, on loan
	spare  *[]byte // held's, on loan
	out    []byte  // head and body as they go on the wire
	held   []byte  // body that waits for its framing, or for the end of its chunk
	vector net.Buffers
	pieces [4][]byte
	err    error // of the connection; sticky
}

var errShort = errors.New("the response is shorter than its Content-Length")

// begin makes it ready for another request.
func (w *response) begin(c *conn, r *http.Request, f framing) {
	header := w.header
	if header == nil || len(header) > maxKeptFields {
		header = make(http.Header, 16)
	} else {
		clear(header)
	}
	*w = response{
		c: c, request: r, header: header, framing: f, length: -1, head: r.Method == http.MethodHead,
		close: r.Close, trailers: w.trailers[:0],
	}
	w.buffer = copyBuffers.Get().(*[]byte)
	w.out = (*w.buffer)[:0]
}

// release gives the buffers back.
func (w *response) release() {
	for _, b := range []*[]byte{w.buffer, w.spare} {
		if b != nil {
			copyBuffers.Put(b)
		}
	}
	w.buffer, w.spare, w.out, w.held = nil, nil, nil, nil
}

// Header is the map that WriteHeader reads.
func (w *response) Header() http.Header { return w.header }

// bodyAllowed: RFC 9110 §6.4.1.
func (w *response) bodyAllowed() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// WriteHeader fixes status and fields. 1xx, 101 aside, goes out at once.
func (w *response) WriteHeader(status int) {
	if w.hijacked || w.wroteHeader {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.wroteHeader, w.status = true, status
	w.out = w.appendStatus(w.out, status)
	for name, values := range w.header {
		if len(values) == 0 {
			w.hasDate = w.hasDate || name == fieldDate
			w.hasType = w.hasType || name == fieldContentType
			continue
		}
		if w.note(name, values) {
			w.out = appendField(w.out, name, values)
		}
	}
}

// note looks at what matters for the framing and says whether the field is
// sent as it is.
func (w *response) note(name string, values []string) bool {
	switch name {
	case fieldContentLength:
		if length, ok := parseLength(values[0]); ok && values[0] != "" {
			w.length = length
		}
		return false
	case fieldTransferEncoding:
		w.transfer, w.identity = values[0] != "", values[0] == "identity"
		return false
	case fieldConnection:
		if hasToken(values, "close") {
			w.close = true
			return false
		}
		return w.request.ProtoMinor == 1
	case fieldContentType:
		w.hasType = true
		return w.status != http.StatusNotModified
	case fieldContentEncoding:
		w.hasCoding = values[0] != ""
	case fieldDate:
		w.hasDate = true
	case fieldTrailer:
		w.hasTrailers = true
		for _, line := range values {
			for name := range strings.SplitSeq(line, ",") {
				if key, ok := canonical(trim(name)); ok && !forbiddenTrailer(key) {
					w.trailers = append(w.trailers, key)
				}
			}
		}
	default:
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.hasTrailers = true
			return false
		}
	}
	return true
}

// inform sends an interim response; clients of HTTP/1.0 know none.
func (w *response) inform(status int) {
	if w.request.ProtoMinor == 0 {
		return
	}
	if status == http.StatusContinue {
		if w.body != nil && w.err == nil {
			w.err = w.body.ask()
		}
		return
	}
	out := w.appendStatus(nil, status)
	for name, values := range w.header {
		if name != fieldContentLength && name != fieldTransferEncoding {
			out = appendField(out, name, values)
		}
	}
	w.push(append(out, "\r\n"...), nil)
}

func (w *response) appendStatus(b []byte, status int) []byte {
	if status == http.StatusOK && w.request.ProtoMinor == 1 {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1."...)
	b = append(b, byte('0'+w.request.ProtoMinor), ' ')
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	return append(append(b, reason(status)...), "\r\n"...)
}

// reason gives the reason phrase (RFC 9112 §4). The platform's own statuses,
// 530 to 561, have the words of their pages.
func reason(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	for _, p := range page.All() {
		if p.Status == status {
			return p.Name
		}
	}
	return "status code " + strconv.Itoa(status)
}

// appendField leaves out what is no field's name, and makes line ends within a
// value spaces: no handler can end a field early.
func appendField(b []byte, name string, values []string) []byte {
	if !only(name, classToken) {
		return b
	}
	for _, value := range values {
		b = append(b, name...)
		b = append(b, ": "...)
		if value = trim(value); only(value, classValue) {
			b = append(b, value...)
		} else {
			for i := range len(value) {
				if c := value[i]; c == '\r' || c == '\n' || c == 0 {
					b = append(b, ' ')
				} else {
					b = append(b, c)
				}
			}
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// frame decides where the response ends and how the connection goes on, and
// makes the head whole. final: the handler has ended, so held is all.
func (w *response) frame(final bool) {
	w.framed = true
	minor, allowed := w.request.ProtoMinor, w.bodyAllowed()
	if final && w.length < 0 && !w.hasTrailers && !w.transfer && allowed && (!w.head || w.written > 0) {
		w.length = w.written
	}
	if w.transfer && !w.identity {
		w.length = -1
	}
	if allowed && !w.hasType && !w.hasCoding && !w.transfer && len(w.held) > 0 {
		w.out = appendField(w.out, fieldContentType, []string{http.DetectContentType(w.held)})
	}
	w.settleRequest()
	w.close = w.close || w.c.server.closing.Load()
	switch {
	case !allowed || w.head && w.length < 0:
	case w.length >= 0:
		w.out = append(w.out, "Content-Length: "...)
		w.out = strconv.AppendInt(w.out, w.length, 10)
		w.out = append(w.out, "\r\n"...)
	case minor == 1 && !w.identity:
		w.chunked = true
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	default:
		w.close = true // the end of the connection is the end of the body
	}
	if !w.hasDate {
		w.out = append(w.out, w.c.server.dateLine(time.Now())...)
	}
	switch {
	case w.close && minor == 1:
		w.out = append(w.out, "Connection: close\r\n"...)
	case !w.close && minor == 0:
		w.out = append(w.out, "Connection: keep-alive\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

// settleRequest deals with a request's body that has not been read to its end:
// clients that send all of it before they read would wait for ever.
func (w *response) settleRequest() {
	switch {
	case w.body == nil:
	case w.body.neverAsked(): // it may come or not: nobody can tell
		w.close = true
	case w.fullDuplex || w.close:
	case !w.body.drain():
		w.close = true
	}
}

// start makes sure that the fields are fixed; an error means that no body may
// be sent.
func (w *response) start(size int) error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if size == 0 {
		return nil
	}
	if !w.bodyAllowed() {
		return http.ErrBodyNotAllowed
	}
	w.written += int64(size) // what is too much makes the response a broken one
	if w.length >= 0 && w.written > w.length {
		return http.ErrContentLength
	}
	return nil
}

// Write sends p, or keeps it until there is more.
func (w *response) Write(p []byte) (int, error) {
	if err := w.start(len(p)); err != nil {
		return 0, err
	}
	if !w.framed && w.length >= 0 && (w.body == nil || w.body.finished()) && (w.hasType || w.hasCoding) {
		w.frame(false) // nothing can change it any more
	}
	switch {
	case w.head:
		if !w.framed && len(w.held) == 0 { // for the type
			w.hold(p[:min(len(p), 512)])
		}
		return len(p), nil
	case w.framed && !w.chunked:
		w.send(p)
	case w.hold(p):
	default:
		if !w.framed {
			w.frame(false)
		}
		if w.chunked {
			w.sendChunk(p)
		} else {
			w.send(w.held)
			w.held = w.held[:0]
			w.send(p)
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// WriteString is Write without a copy of what is short.
func (w *response) WriteString(s string) (int, error) {
	if w.framed && !w.chunked && !w.head && !w.hijacked && w.written+int64(len(s)) <= w.length && len(s) <= cap(w.out)-len(w.out) {
		w.out = append(w.out, s...)
		w.written += int64(len(s))
		return len(s), w.err
	}
	return w.Write([]byte(s))
}

// hold keeps p back if it fits.
func (w *response) hold(p []byte) bool {
	if w.spare == nil {
		if len(p) > writeBufferBytes {
			return false
		}
		w.spare = copyBuffers.Get().(*[]byte)
		w.held = (*w.spare)[:0]
	}
	if len(p) > cap(w.held)-len(w.held) {
		return false
	}
	w.held = append(w.held, p...)
	return true
}

// send puts p behind what is to go out; if it does not fit, both go now.
func (w *response) send(p []byte) {
	if len(p) <= cap(w.out)-len(w.out) {
		w.out = append(w.out, p...)
		return
	}
	w.push(p, nil)
}

// sendChunk sends what is held, and p, as one chunk.
func (w *response) sendChunk(p []byte) {
	size := len(w.held) + len(p)
	if size == 0 {
		return
	}
	w.out = append(strconv.AppendUint(w.out, uint64(size), 16), "\r\n"...)
	if size+2 <= cap(w.out)-len(w.out) {
		w.out = append(append(append(w.out, w.held...), p...), "\r\n"...)
	} else {
		if len(w.held) <= cap(w.out)-len(w.out) {
			w.out = append(w.out, w.held...)
			w.push(p, crlf)
		} else {
			w.push(w.held, nil)
			w.push(p, crlf)
		}
	}
	w.held = w.held[:0]
}

var crlf = []byte("\r\n")

// push writes out, p and end, in one system call where the connection can.
func (w *response) push(p, end []byte) {
	if w.err == nil {
		n := 0
		for _, piece := range [...][]byte{w.out, p, end} {
			if len(piece) > 0 {
				w.pieces[n] = piece
				n++
			}
		}
		switch n {
		case 0:
		case 1:
			_, w.err = w.c.nc.Write(w.pieces[0])
		default:
			w.vector = w.pieces[:n]
			_, w.err = w.vector.WriteTo(w.c.nc)
		}
		clear(w.pieces[:])
		if w.err != nil {
			w.c.scope.end() // the visitor has left
		}
	}
	w.out = w.out[:0]
}

// Flush sends all there is.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	if err := w.start(0); err != nil {
		return err
	}
	if !w.framed {
		w.frame(false)
	}
	w.flushHeld()
	w.push(nil, nil)
	return w.err
}

func (w *response) flushHeld() {
	switch {
	case w.head:
	case w.chunked:
		w.sendChunk(nil)
	default:
		w.send(w.held)
	}
	w.held = w.held[:0]
}

// ReadFrom copies src; a file goes from the kernel to the connection, but for
// the beginning that leaves together with the head.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	if err := w.start(0); err != nil {
		return 0, err
	}
	limited, isLimited := src.(*io.LimitedReader)
	limit := int64(1<<63 - 1)
	if isLimited {
		src, limit = limited.R, limited.N
		defer func() { limited.N -= total }()
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	direct, canDirect := w.c.nc.(io.ReaderFrom)
	for total < limit {
		if canDirect && w.plain() && (total > 0 || len(w.out) == 0) {
			n, err := w.sendAll(direct, src, limit-total)
			return total + n, err
		}
		n, readErr := src.Read((*buffer)[:min(int64(len(*buffer)), limit-total)])
		if n > 0 {
			written, err := w.Write((*buffer)[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		if readErr == io.EOF {
			return total, nil
		}
		if readErr != nil {
			return total, readErr
		}
	}
	return total, nil
}

// plain says that bytes of the body go out as they are from here on.
func (w *response) plain() bool { return w.framed && !w.chunked && !w.head && w.length >= 0 }

func (w *response) sendAll(direct io.ReaderFrom, src io.Reader, limit int64) (int64, error) {
	w.flushHeld()
	w.push(nil, nil)
	if w.err != nil {
		return 0, w.err
	}
	room := w.length - w.written
	n, err := direct.ReadFrom(&io.LimitedReader{R: src, N: min(limit, room)})
	w.written += n
	if err != nil {
		w.err = err
		w.c.scope.end()
	} else if n == room && limit > room {
		if k, _ := io.ReadFull(src, make([]byte, 1)); k > 0 {
			err = http.ErrContentLength
		}
	}
	return n, err
}

// finish ends the response and says whether the connection can be kept.
func (w *response) finish() (keep bool) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if !w.framed {
		w.frame(true)
	}
	w.flushHeld()
	if w.chunked {
		w.out = append(w.out, "0\r\n"...)
		if w.hasTrailers || len(w.header) > 0 {
			w.appendTrailers()
		}
		w.out = append(w.out, "\r\n"...)
	}
	if w.length >= 0 && w.written != w.length && !w.head && w.bodyAllowed() && w.err == nil {
		w.push(nil, nil)
		w.err = errShort
	}
	w.push(nil, nil)
	switch {
	case w.err != nil, w.close, w.status == http.StatusSwitchingProtocols:
		return false
	case w.body != nil && w.fullDuplex:
		return w.body.drain()
	}
	return w.body == nil || w.body.finished()
}

// appendTrailers sends declared ones and those with http.TrailerPrefix.
func (w *response) appendTrailers() {
	for name, values := range w.header {
		if key, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.out = appendField(w.out, http.CanonicalHeaderKey(key), values)
		}
	}
	for _, key := range w.trailers {
		w.out = appendField(w.out, key, w.header[key])
	}
}

// abort is the end of a response whose handler panicked; the connection is
// closed behind it.
func (w *response) abort() {
	if w.framed && !w.chunked && w.length < 0 {
		w.c.cut() // its end would look like the end of the body
	}
}

// Hijack gives the connection to the handler, with what has been read from it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.wroteHeader {
		if err := w.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	c := w.c
	if w.body != nil {
		_ = w.body.Close() // waits for a Read that still runs
	}
	c.stopWatch()
	w.hijacked = true
	w.release()
	c.server.untrack(c)
	c.nc.SetDeadline(time.Time{})
	var from io.Reader = c.nc
	buffered := c.w - c.r
	if buffered > 0 {
		from = io.MultiReader(bytes.NewReader(c.in[c.r:c.w]), c.nc)
	}
	reader := bufio.NewReaderSize(from, max(readBufferBytes, buffered))
	if _, err := reader.Peek(buffered); err != nil {
		return nil, nil, err
	}
	return c.nc, bufio.NewReadWriter(reader, bufio.NewWriter(c.nc)), nil
}

// SetReadDeadline is for http.ResponseController.
func (w *response) SetReadDeadline(at time.Time) error {
	w.c.readMoved.Store(true)
	return w.c.nc.SetReadDeadline(at)
}

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(at time.Time) error {
	w.c.writeMoved.Store(true)
	return w.c.nc.SetWriteDeadline(at)
}

// EnableFullDuplex leaves the request's body alone when the response begins.
func (w *response) EnableFullDuplex() error {
	w.fullDuplex = true
	return nil
}

var (
	_ http.Flusher    = (*response)(nil)
	_ http.Hijacker   = (*response)(nil)
	_ io.ReaderFrom   = (*response)(nil)
	_ io.StringWriter = (*response)(nil)
)
