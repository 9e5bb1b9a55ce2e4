package web

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"pantheon/runtime/fastcgi"
)

// flow is the queue between PHP, which fills it, and the visitor, who empties
// it: spoolMemoryBytes in memory and then a file of at most
// maxResponseSpoolBytes, after which PHP waits.
type flow struct {
	dir string

	mu      sync.Mutex
	changed sync.Cond
	memory  []byte // older than everything in the file
	spare   []byte // the piece that the visitor is being given
	file    *os.File
	read    int64 // offsets in the file
	written int64
	err     error // how the response ended; io.EOF is well
	closed  bool  // nobody takes any more
}

var errFlowClosed = errors.New("the visitor has left")

func newFlow(dir string) *flow {
	f := &flow{dir: dir}
	f.changed.L = &f.mu
	return f
}

// fill moves a response into the flow until one of them ends.
func (f *flow) fill(response *fastcgi.Response) {
	defer response.Close()
	for {
		piece, err := response.Next()
		if err == nil {
			err = f.put(piece)
		}
		if err != nil {
			f.mu.Lock()
			f.err = err
			f.changed.Broadcast()
			f.mu.Unlock()
			return
		}
	}
}

func (f *flow) put(piece []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.written >= maxResponseSpoolBytes && !f.closed {
		f.changed.Wait()
	}
	if f.closed {
		return errFlowClosed
	}
	defer f.changed.Broadcast()
	if f.written == 0 && len(f.memory)+len(piece) <= spoolMemoryBytes {
		f.memory = append(f.memory, piece...)
		return nil
	}
	if f.file == nil {
		file, err := os.CreateTemp(f.dir, "response-")
		if err != nil {
			return fmt.Errorf("cannot store the response: %w", err)
		}
		f.file = file
		if err := os.Remove(file.Name()); err != nil {
			return fmt.Errorf("cannot store the response: %w", err)
		}
	}
	n, err := f.file.WriteAt(piece, f.written)
	f.written += int64(n)
	if err != nil {
		return fmt.Errorf("cannot store the response: %w", err)
	}
	return nil
}

// take waits for the next piece, valid until the following call; more says
// that another one is here already, or the end.
func (f *flow) take() (piece []byte, more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.memory) == 0 && f.read == f.written {
		if f.err != nil {
			return nil, false, f.err
		}
		f.changed.Wait()
	}
	if len(f.memory) > 0 {
		f.memory, f.spare = f.spare[:0], f.memory
		return f.spare, f.read < f.written || f.err != nil, nil
	}
	size := min(spoolMemoryBytes, f.written-f.read)
	if int64(cap(f.spare)) < size {
		f.spare = make([]byte, spoolMemoryBytes)
	}
	f.spare = f.spare[:size]
	n, err := f.file.ReadAt(f.spare, f.read)
	if int64(n) < size {
		return nil, false, fmt.Errorf("cannot read the stored response: %w", err)
	}
	f.read += size
	if f.read == f.written { // caught up: back to memory
		f.read, f.written = 0, 0
		f.changed.Broadcast()
	}
	return f.spare, f.read < f.written || f.err != nil, nil
}

// close ends the flow for the side that fills it and frees the file.
func (f *flow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
	if f.file != nil {
		f.file.Close()
	}
}
