package mux

import (
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// bell wakes one goroutine by way of the network poller.
//
// A goroutine that is made runnable in any other way has the runtime wake a
// second thread to help. Where there is but one request, that thread finds
// nothing to do, and takes a processor for as long as the request itself takes
// here. What the poller reports is run by the thread that has just found nothing
// else to do. Under load, when threads are busy anyway, a bell is the dearer way:
// three system calls.
type bell struct {
	file *os.File
	raw  syscall.RawConn
	hear func(fd uintptr) (heard bool)
	hit  func(fd uintptr)
	job  job // what for, where a worker waits
}

func newBell() (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	b := &bell{file: os.NewFile(uintptr(fd), "eventfd")}
	if b.raw, err = b.file.SyscallConn(); err != nil {
		b.file.Close()
		return nil, err
	}
	var count [8]byte
	b.hear = func(fd uintptr) bool {
		_, err := unix.Read(int(fd), count[:])
		for err == unix.EINTR {
			_, err = unix.Read(int(fd), count[:])
		}
		return err != unix.EAGAIN
	}
	one := binary.NativeEndian.AppendUint64(nil, 1)
	b.hit = func(fd uintptr) { _, _ = unix.Write(int(fd), one) } // fails at 2⁶⁴ rings that nobody heard
	return b, nil
}

// ring wakes who waits, or will wait next.
func (b *bell) ring() { _ = b.raw.Control(b.hit) }

// wait returns when the bell has been rung; an error says that it is of no use.
func (b *bell) wait() error { return b.raw.Read(b.hear) }

// bells are those of a session: who waits has one on loan.
type bells struct {
	mu     sync.Mutex
	unused []*bell
	idle   []*bell // workers wait at them
	closed bool
}

// get gives nil where there can be none.
func (s *bells) get() *bell {
	s.mu.Lock()
	if last := len(s.unused) - 1; last >= 0 {
		b := s.unused[last]
		s.unused = s.unused[:last]
		s.mu.Unlock()
		return b
	}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil
	}
	b, err := newBell()
	if err != nil {
		return nil // out of descriptors
	}
	return b
}

func (s *bells) put(b *bell) {
	s.mu.Lock()
	keep := !s.closed && len(s.unused) < maxKeptBells
	if keep {
		s.unused = append(s.unused, b)
	}
	s.mu.Unlock()
	if !keep {
		b.file.Close()
	}
}

// rest lets a worker wait for a job, if it can; it is given none when the session
// ends.
func (s *bells) rest() (j job, rested bool) {
	b := s.get()
	if b == nil {
		return job{}, false
	}
	s.mu.Lock()
	if s.closed || len(s.idle) >= maxKeptBells {
		s.mu.Unlock()
		s.put(b)
		return job{}, false
	}
	s.idle = append(s.idle, b)
	s.mu.Unlock()
	if b.wait() != nil && s.leave(b) {
		b.file.Close()
		return job{}, false
	}
	s.mu.Lock()
	j, b.job = b.job, job{}
	s.mu.Unlock()
	s.put(b)
	return j, true
}

// leave says whether the worker has left without having been given a job.
func (s *bells) leave(b *bell) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.idle, b)
	if i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	return i >= 0
}

// give gives a job to a worker that waits.
func (s *bells) give(j job) bool {
	s.mu.Lock()
	last := len(s.idle) - 1
	if last < 0 {
		s.mu.Unlock()
		return false
	}
	b := s.idle[last]
	s.idle, b.job = s.idle[:last], j
	s.mu.Unlock()
	b.ring()
	return true
}

// close ends the workers that wait: they are given no job.
func (s *bells) close() {
	s.mu.Lock()
	idle, unused := s.idle, s.unused
	s.idle, s.unused, s.closed = nil, nil, true
	s.mu.Unlock()
	for _, b := range idle {
		b.ring()
	}
	for _, b := range unused {
		b.file.Close()
	}
}
