package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

var (
	errChunk    = errors.New("malformed chunked encoding")
	errOverhead = errors.New("chunked encoding: too much that is not data")
	errTrailer  = errors.New("malformed trailer")
)

// body is the body of one request. It reads through its connection's buffer,
// from whatever goroutine; closing it keeps that goroutine from the
// connection, which is the next request's.
type body struct {
	conn    *conn
	request *http.Request

	asking  sync.Mutex
	expects bool // the visitor waits for 100 Continue

	mu       sync.Mutex
	closed   bool
	ended    bool  // the end has been read
	err      error // sticky
	chunked  bool
	left     int64 // bytes of the body, or of the chunk
	within   bool  // a chunk has begun whose end has not been read
	overhead int64 // bytes of chunk lines beyond their share
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	if b.err = b.ask(); b.err != nil {
		return 0, b.err
	}
	return b.read(p)
}

// ask tells a visitor who waits for it that the body is wanted.
func (b *body) ask() error {
	b.asking.Lock()
	defer b.asking.Unlock()
	if !b.expects {
		return nil
	}
	b.expects = false
	_, err := b.conn.nc.Write([]byte(continueLine))
	return err
}

// neverAsked ends the time in which the body may be asked for, because the
// response begins, and says whether the visitor still waits.
func (b *body) neverAsked() bool {
	b.asking.Lock()
	defer b.asking.Unlock()
	waits := b.expects
	b.expects = false
	return waits
}

// read gives bytes of the body; at its end it lets the connection be watched.
func (b *body) read(p []byte) (n int, err error) {
	if b.chunked {
		n, err = b.readChunked(p)
	} else {
		n, err = b.readCounted(p)
	}
	if err != nil {
		b.err = err
		if b.ended = err == io.EOF; b.ended {
			b.conn.leaving.Store(watchable)
		}
	}
	return n, err
}

// readCounted gives io.EOF together with the last bytes: that saves a call.
func (b *body) readCounted(p []byte) (int, error) {
	n, err := b.conn.read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// readChunked follows RFC 9112 §7.1 to the byte.
func (b *body) readChunked(p []byte) (int, error) {
	total := 0
	for total < len(p) {
		if b.left == 0 {
			if total > 0 && !b.lineIsHere() {
				break // what there is does not wait for the next chunk
			}
			last, err := b.nextChunk()
			if err != nil {
				return total, unexpected(err)
			}
			if last {
				return total, io.EOF
			}
		}
		n, err := b.conn.read(p[total:min(int64(len(p)), int64(total)+b.left)])
		b.left -= int64(n)
		total += n
		if err != nil {
			return total, unexpected(err)
		}
		if b.conn.r == b.conn.w {
			break
		}
	}
	return total, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lineIsHere says whether the lines up to the next chunk's data have arrived,
// so that reading them does not wait.
func (b *body) lineIsHere() bool {
	buffered := b.conn.in[b.conn.r:b.conn.w]
	if b.within {
		if len(buffered) < 2 {
			return false
		}
		buffered = buffered[2:]
	}
	i := bytes.IndexByte(buffered, '\n')
	return i >= 0 && buffered[0] != '0' // the last one is followed by trailers
}

// nextChunk reads the end of a chunk and the line before the next one.
func (b *body) nextChunk() (last bool, err error) {
	if b.within {
		line, err := b.conn.line(0)
		if err != nil {
			return false, err
		}
		if len(line) != 0 {
			return false, errChunk
		}
		b.within = false
	}
	line, err := b.conn.line(MaxChunkLineBytes)
	if err != nil {
		return false, err
	}
	size, ok := chunkSize(line)
	if !ok {
		return false, errChunk
	}
	b.overhead = max(0, b.overhead+int64(len(line))+2-16-min(size, 1<<40)*2)
	if b.overhead > maxChunkOverheadBytes {
		return false, errOverhead
	}
	if size == 0 {
		return true, b.readTrailer()
	}
	b.left, b.within = size, true
	return false, nil
}

// chunkSize reads a size in hexadecimal digits, 15 at most, and looks over the
// extensions, which mean nothing here.
func chunkSize(line []byte) (size int64, ok bool) {
	digits := 0
	for ; digits < len(line); digits++ {
		var value byte
		switch c := line[digits]; {
		case '0' <= c && c <= '9':
			value = c - '0'
		case 'a' <= c && c <= 'f':
			value = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			value = c - 'A' + 10
		default:
			return size, digits > 0 && validExtension(line[digits:])
		}
		if digits == 15 {
			return 0, false
		}
		size = size<<4 | int64(value)
	}
	return size, digits > 0
}

// validExtension: it begins with its semicolon and has no control bytes.
func validExtension(b []byte) bool {
	for _, c := range b {
		if classes[c]&classValue == 0 {
			return false
		}
	}
	return b[0] == ';'
}

// readTrailer reads what follows the last chunk into the request's Trailer.
func (b *body) readTrailer() error {
	left := MaxTrailerBytes
	for count := 0; ; count++ {
		line, err := b.conn.line(left)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		left -= len(line) + 2
		key, value, f := parseField(string(line))
		if f != nil || count == MaxTrailerFields || left <= 0 || forbiddenTrailer(key) {
			return errTrailer
		}
		if b.request.Trailer == nil {
			b.request.Trailer = make(http.Header)
		}
		b.request.Trailer[key] = append(b.request.Trailer[key], value)
	}
}

// Close ends the handler's use. What was not read is the connection's matter.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// drain reads what the handler left, drainBytes at most, and says whether the
// end was reached, so that the connection can be kept.
func (b *body) drain() (clean bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return true
	}
	if b.err != nil || !b.chunked && b.left > drainBytes {
		return false
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	for total := 0; total <= drainBytes; {
		n, err := b.read(*buffer)
		total += n
		if err != nil {
			break
		}
	}
	return b.ended
}

// finished says whether the end has been read.
func (b *body) finished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// copyBuffers hold what is copied from a reader or thrown away.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, writeBufferBytes); return &b }}
