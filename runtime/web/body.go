package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

// body is a request's body that has arrived as a whole and can be read again.
type body struct {
	size   int64
	memory []byte
	file   *os.File // what exceeds spoolMemoryBytes; already without a name
	at     int64    // of Read
	stored int64    // bytes counted in held
	held   *atomic.Int64
}

// spool takes the request's body in. It gives nil where there is none. A body
// that has been spooled before is taken as it is.
func (s *Server) spool(r *http.Request) (*body, error) {
	if earlier, ok := r.Body.(*body); ok {
		return earlier, nil
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > MaxBodyBytes {
		return nil, ErrTooLarge
	}
	size := int64(spoolMemoryBytes)
	if r.ContentLength > 0 {
		size = min(size, r.ContentLength)
	}
	b := &body{memory: make([]byte, size), held: &s.spooled}
	n, err := io.ReadFull(r.Body, b.memory)
	b.memory, b.size = b.memory[:n], int64(n)
	switch {
	case err == nil && b.size == r.ContentLength:
		return b, nil
	case err == nil:
		err = b.overflow(r.Body, s.options.SpoolDir)
	case r.ContentLength < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
		err = nil // an unknown length that ended within memory
	default:
		err = fmt.Errorf("%w: %w", errVisitor, err)
	}
	if err == nil && r.ContentLength >= 0 && b.size != r.ContentLength {
		err = fmt.Errorf("%w: %w", errVisitor, io.ErrUnexpectedEOF)
	}
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// overflow writes what is left of the body to a file.
func (b *body) overflow(from io.Reader, dir string) error {
	file, err := os.CreateTemp(dir, "body-")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	b.file = file
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	chunk := make([]byte, spoolMemoryBytes)
	for {
		n, err := from.Read(chunk)
		b.size += int64(n)
		if b.size > MaxBodyBytes {
			return ErrTooLarge
		}
		if n > 0 {
			b.stored += int64(n)
			if b.held.Add(int64(n)) > MaxSpoolBytes {
				return ErrSpoolFull
			}
			if _, err := file.Write(chunk[:n]); err != nil {
				return fmt.Errorf("%w: %w", ErrSpool, err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errVisitor, err)
		}
	}
}

// ReadAt reads from anywhere; what fastcgi sends comes from here.
func (b *body) ReadAt(p []byte, at int64) (int, error) {
	n := 0
	if at < int64(len(b.memory)) {
		n = copy(p, b.memory[at:])
	}
	if n == len(p) {
		return n, nil
	}
	if b.file == nil {
		return n, io.EOF
	}
	more, err := b.file.ReadAt(p[n:], at+int64(n)-int64(len(b.memory)))
	return n + more, err
}

// Read makes the body a Request.Body again, for a try on another DROP.
func (b *body) Read(p []byte) (int, error) {
	if b.at >= b.size {
		return 0, io.EOF
	}
	n, err := b.ReadAt(p[:min(int64(len(p)), b.size-b.at)], b.at)
	b.at += int64(n)
	if errors.Is(err, io.EOF) && n > 0 {
		err = nil
	}
	return n, err
}

// Close frees the file; it may be called again.
func (b *body) Close() error {
	if b == nil || b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	b.held.Add(-b.stored)
	return err
}
