package fastcgi

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is one connection to php-fpm. It belongs either to the pool's list of
// kept ones or to one Response.
type conn struct {
	net  net.Conn
	raw  syscall.RawConn // nil where the connection has no descriptor
	in   *bufio.Reader
	used bool // has served a request before
	idle time.Time

	timeouts Timeouts
	start    time.Time // of the exchange
	begun    bool      // something of the response has arrived
	patience time.Time // of the reads of fill; zero for all others
	deadline time.Time // of reading and writing; zero where they differ

	kind    byte // of the open record
	content int  // bytes of its content that are still to come
	padding int
	lines   lines
	head    []byte     // a header that does not lie in one piece
	sent    chan error // the writer of a large body, nil without one

	probeByte [1]byte
	probeErr  error
	probe     func(fd uintptr) bool
}

func newConn(nc net.Conn, timeouts Timeouts, stderr func(string)) *conn {
	c := &conn{net: nc, timeouts: timeouts, lines: lines{emit: stderr}}
	c.in = bufio.NewReaderSize(c, readBufferBytes)
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	c.probe = func(fd uintptr) bool {
		_, c.probeErr = syscall.Read(int(fd), c.probeByte[:])
		return true
	}
	return c
}

// begin sets the limits of a new exchange.
func (c *conn) begin(now time.Time) {
	c.start, c.begun = now, false
	c.kind, c.content, c.padding = 0, 0, 0
	c.sent = nil
	c.lines.reset()
	limit := min(c.timeouts.FirstByte, c.timeouts.Total)
	deadline := now.Add(limit)
	// One that was set a moment ago does as well: setting it is a good part of
	// what a small request costs here.
	if early := deadline.Sub(c.deadline); early < 0 || early > min(limit/100, maxEarly) {
		c.net.SetDeadline(deadline)
		c.deadline = deadline
	}
}

// stale says whether the other side has closed a kept connection, or has sent
// what nobody asked for. It does not wait.
func (c *conn) stale() bool {
	if c.raw == nil {
		return false
	}
	if err := c.raw.Read(c.probe); err != nil {
		return true
	}
	return !errors.Is(c.probeErr, syscall.EAGAIN)
}

// draining says that the worker has retired without beginning the request that
// ended with err. php-fpm ends a connection in good order by shutting down its
// own direction only, after END_REQUEST, and reading until we close: so what
// we write still finds a reader. Behind a crash it does not. No script has run
// where a connection in this state has sent nothing, since END_REQUEST comes
// first.
func (c *conn) draining(err error) bool {
	if !errors.Is(err, io.EOF) {
		return false
	}
	_, err = c.net.Write(appendHeader(nil, typeStdin, 0, 0))
	return err == nil
}

// Read is what the buffer fills itself from: each read has its own limit.
func (c *conn) Read(p []byte) (int, error) {
	if !c.patience.IsZero() {
		c.net.SetReadDeadline(c.patience)
		c.deadline = time.Time{}
	} else if c.begun {
		deadline := time.Now().Add(c.timeouts.BetweenBytes)
		if end := c.start.Add(c.timeouts.Total); end.Before(deadline) {
			deadline = end
		}
		c.net.SetReadDeadline(deadline)
		c.deadline = time.Time{}
	}
	n, err := c.net.Read(p)
	if n > 0 {
		c.begun = true
	}
	return n, err
}

// next gives the next piece of the response, valid until the following call:
// what of a STDOUT record has arrived. io.EOF is the end of the request.
func (c *conn) next() ([]byte, error) {
	for {
		if c.content > 0 {
			if _, err := c.in.Peek(1); err != nil {
				return nil, c.readError(err)
			}
			piece, _ := c.in.Peek(min(c.content, c.in.Buffered()))
			c.in.Discard(len(piece))
			c.content -= len(piece)
			switch c.kind {
			case typeStdout:
				return piece, nil
			case typeStderr:
				c.lines.write(piece)
			}
			continue
		}
		if done, err := c.record(); err != nil || done {
			return nil, err
		}
	}
}

// record steps into the next record; done is the end of the request, with
// io.EOF.
func (c *conn) record() (done bool, err error) {
	if _, err := c.in.Discard(c.padding); err != nil {
		return false, c.readError(err)
	}
	c.padding = 0
	header, err := c.in.Peek(headerBytes)
	if err != nil {
		return false, c.readError(err)
	}
	c.kind = header[1]
	id := binary.BigEndian.Uint16(header[2:])
	c.content, c.padding = int(binary.BigEndian.Uint16(header[4:])), int(header[6])
	if header[0] != version || id != requestID {
		return false, fmt.Errorf("%w: record of version %d for request %d", ErrMalformed, header[0], id)
	}
	c.in.Discard(headerBytes)
	switch c.kind {
	case typeStdout, typeStderr:
		return false, nil
	case typeEnd:
		return true, c.end()
	}
	return false, fmt.Errorf("%w: record of type %d", ErrMalformed, c.kind)
}

// end reads the body of END_REQUEST.
func (c *conn) end() error {
	if c.content != 8 {
		return fmt.Errorf("%w: END_REQUEST with %d bytes", ErrMalformed, c.content)
	}
	body, err := c.in.Peek(8)
	if err != nil {
		return c.readError(err)
	}
	status := body[4]
	c.in.Discard(8)
	c.content = 0
	if _, err := c.in.Discard(c.padding); err != nil {
		return c.readError(err)
	}
	c.padding = 0
	switch status {
	case statusComplete:
		return io.EOF
	case statusCannotMux, statusOverloaded:
		return ErrOverloaded
	}
	return fmt.Errorf("%w: END_REQUEST with status %d", ErrMalformed, status)
}

// buffered looks whether the rest of the response lies in the buffer, and how
// many bytes of STDOUT it has.
func (c *conn) buffered() (size int, whole bool) {
	b, _ := c.in.Peek(c.in.Buffered())
	kind, content, padding := c.kind, c.content, c.padding
	for {
		if len(b) < content+padding {
			return 0, false
		}
		if kind == typeStdout {
			size += content
		}
		b = b[content+padding:]
		if kind == typeEnd {
			return size, true
		}
		if len(b) < headerBytes {
			return 0, false
		}
		kind = b[1]
		content, padding = int(binary.BigEndian.Uint16(b[4:])), int(b[6])
		b = b[headerBytes:]
	}
}

// fill waits until something more lies in the buffer, or until the given moment.
// It takes nothing out; what fails here fails again at the next read.
func (c *conn) fill(until time.Time) bool {
	c.patience = until
	_, err := c.in.Peek(c.in.Buffered() + 1)
	c.patience = time.Time{}
	return err == nil
}

// readError gives a failed read its kind.
func (c *conn) readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.begun:
		return ErrFirstByte
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	}
	return fmt.Errorf("%w: %w", ErrHungUp, err)
}

// reusable says whether the connection is in the state between two requests.
func (c *conn) reusable() bool {
	if c.in.Buffered() > 0 {
		return false
	}
	if c.sent == nil {
		return true
	}
	select {
	case err := <-c.sent:
		c.sent = nil
		return err == nil
	default:
		return false // the response ended before the body was taken
	}
}

// close ends the connection and waits for its writer.
func (c *conn) close() {
	c.net.Close()
	if c.sent != nil {
		<-c.sent
		c.sent = nil
	}
}

// send writes the request. A large body is written beside the reading of the
// response: a script may answer before it has read everything.
func (c *conn) send(r *Request) (started bool, err error) {
	wire, err := r.Params.wire()
	if err != nil {
		return false, err
	}
	inline := r.Size <= inlineBodyBytes
	if inline {
		if wire, err = appendBody(wire, r.Body, r.Size); err != nil {
			return false, err
		}
	}
	n, err := c.net.Write(wire)
	if err != nil {
		return n > 0, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if !inline {
		c.net.SetWriteDeadline(c.start.Add(c.timeouts.Total))
		c.deadline = time.Time{}
		c.sent = make(chan error, 1)
		go func() { c.sent <- c.sendBody(r.Body, r.Size) }()
	}
	return true, nil
}

// appendBody appends a small body as STDIN records.
func appendBody(wire []byte, body io.ReaderAt, size int64) ([]byte, error) {
	for at := int64(0); at < size; {
		n := int(min(size-at, maxContentBytes))
		wire = appendHeader(wire, typeStdin, n, 0)
		wire = append(wire, make([]byte, n)...)
		if read, err := body.ReadAt(wire[len(wire)-n:], at); read < n {
			return nil, fmt.Errorf("%w: %w", ErrBody, err)
		}
		at += int64(n)
	}
	return appendHeader(wire, typeStdin, 0, 0), nil
}

func (c *conn) sendBody(body io.ReaderAt, size int64) error {
	buf := make([]byte, headerBytes+stdinChunkBytes+headerBytes)
	for at := int64(0); at < size; {
		n := int(min(size-at, stdinChunkBytes))
		record := appendHeader(buf[:0], typeStdin, n, 0)[:headerBytes+n]
		if read, err := body.ReadAt(record[headerBytes:], at); read < n {
			c.net.Close() // php-fpm must not take the part for the whole
			return fmt.Errorf("%w: %w", ErrBody, err)
		}
		at += int64(n)
		if at == size {
			record = appendHeader(record, typeStdin, 0, 0)
		}
		if _, err := c.net.Write(record); err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
	}
	return nil
}
