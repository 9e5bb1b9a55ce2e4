package styx

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

// copyBuffers hold the buffers of responses that are copied from a reader.
var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// WriteHeader decides whether the response goes out or another attempt
// follows.
func (e *exchange) WriteHeader(status int) {
	switch {
	case e.phase != open:
		return
	case !e.own && e.watched.overdue.Load():
		e.phase = withheld // a page follows
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		e.under.WriteHeader(status)
	case !e.own && sizeOf(e.Header()) > MaxResponseHeaderBytes:
		e.phase, e.overflow = withheld, true // a page follows
	case !e.own && e.server.replaces(e, status):
		e.phase, e.status = withheld, status
	default:
		e.commit(status)
	}
}

// commit sends status and headers. Styx' own headers come last: no application
// can pretend to be another router.
func (e *exchange) commit(status int) {
	e.phase, e.status = committed, status
	h := e.under.Header()
	if status != http.StatusSwitchingProtocols {
		delete(h, "Connection")
		delete(h, "Keep-Alive")
		delete(h, "Proxy-Connection")
		delete(h, "Transfer-Encoding")
		if e.request.ProtoMajor == 1 && e.server.gate.crowded() {
			h["Connection"] = valueClose
		}
	}
	h[headerHostname] = e.server.nameValue
	h[headerVersion] = valueVersion
	h[headerRequestID] = e.value(0, e.id)
	if dropped := e.request.Header[headerCookiesDropped]; dropped != nil {
		h[headerCookiesDropped] = dropped
	}
	e.beforeWrite()
	e.under.WriteHeader(status)
	e.watched.clock.Store(uint32(awaitsBytes))
	e.rewind()
}

// beforeWrite gives the visitor time to take what is written next; the
// application's clock stands still until afterWrite.
func (e *exchange) beforeWrite() {
	e.watched.due.Store(never)
	watch := &e.server.watch
	if watch.lately()-e.writeMoved < e.server.step {
		return
	}
	e.writeMoved = watch.now()
	// See body.setDeadline for the error.
	_ = http.NewResponseController(e.under).SetWriteDeadline(watch.deadline(e.writeMoved + int64(e.server.options.BetweenBytes)))
}

func (e *exchange) afterWrite(n int64) {
	e.written += n
	e.rewind()
}

// begin makes sure that the status is known and says whether bytes go out.
func (e *exchange) begin() bool {
	if e.phase == open {
		e.WriteHeader(http.StatusOK)
	}
	return e.phase == committed
}

// waste takes bytes of a response that is not wanted.
func (e *exchange) waste(n int) (int, error) {
	if e.phase == hijacked {
		return 0, http.ErrHijacked
	}
	if e.wasted += int64(n); e.wasted > MaxWithheldBytes {
		return 0, errReplaced
	}
	return n, nil
}

// Write sends p, in parts that a slow visitor can take within the deadline.
func (e *exchange) Write(p []byte) (total int, err error) {
	if !e.begin() {
		return e.waste(len(p))
	}
	for {
		part := p[:min(len(p), WriteChunkBytes)]
		e.beforeWrite()
		n, err := e.under.Write(part)
		e.afterWrite(int64(n))
		total += n
		p = p[n:]
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// WriteString is Write without a copy for what is short.
func (e *exchange) WriteString(s string) (int, error) {
	if len(s) > WriteChunkBytes {
		return e.Write([]byte(s))
	}
	if !e.begin() {
		return e.waste(len(s))
	}
	e.beforeWrite()
	n, err := io.WriteString(e.under, s)
	e.afterWrite(int64(n))
	return n, err
}

// ReadFrom keeps the kernel's way from a file to a connection (sendfile) open,
// but for small files. Any other source is copied, so that the time its Read takes counts as the
// application's and not the visitor's.
func (e *exchange) ReadFrom(src io.Reader) (int64, error) {
	if !e.begin() {
		n, err := io.Copy(io.Discard, io.LimitReader(src, MaxWithheldBytes))
		e.wasted += n
		return n, err
	}
	limit := int64(never)
	limited, isLimited := src.(*io.LimitedReader)
	if isLimited {
		src, limit = limited.R, limited.N
	}
	file, isFile := src.(*os.File)
	to, canRead := e.under.(io.ReaderFrom)
	var total int64
	var err error
	if isFile && canRead && limit > copyBytes {
		total, err = e.sendFile(to, file, limit)
	} else {
		total, err = e.copyFrom(src, limit)
	}
	if isLimited {
		limited.N -= total
	}
	return total, err
}

func (e *exchange) sendFile(to io.ReaderFrom, file *os.File, limit int64) (total int64, err error) {
	for total < limit {
		e.chunk = io.LimitedReader{R: file, N: min(WriteChunkBytes, limit-total)}
		e.beforeWrite()
		n, err := to.ReadFrom(&e.chunk)
		e.afterWrite(n)
		total += n
		if err != nil || e.chunk.N > 0 {
			return total, err
		}
	}
	return total, nil
}

func (e *exchange) copyFrom(src io.Reader, limit int64) (total int64, err error) {
	buffer := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buffer)
	for total < limit {
		n, readErr := src.Read(buffer[:min(int64(len(buffer)), limit-total)])
		if n > 0 {
			written, err := e.Write(buffer[:n])
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

// Flush sends what the server below holds in its buffer.
func (e *exchange) Flush() { _ = e.FlushError() }

// FlushError is Flush for http.ResponseController.
func (e *exchange) FlushError() error {
	if !e.begin() {
		return nil
	}
	e.beforeWrite()
	err := http.NewResponseController(e.under).Flush()
	e.afterWrite(0)
	return err
}

// Hijack gives the connection to the agent: WebSockets and other upgrades. No
// time-out of Styx applies from here on.
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if e.phase != open {
		return nil, nil, http.ErrHijacked
	}
	if e.watched.overdue.Load() {
		return nil, nil, errOverdue
	}
	conn, buffered, err := http.NewResponseController(e.under).Hijack()
	if err != nil {
		return nil, nil, err
	}
	e.phase, e.status = hijacked, http.StatusSwitchingProtocols
	e.watched.clock.Store(uint32(awaitsNothing))
	e.watched.due.Store(never)
	return conn, buffered, nil
}
