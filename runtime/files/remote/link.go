package remote

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pkg/sftp"
)

// errDown fails what is asked while there is no connection.
const errDown = syscall.EIO

// link is the way to a volume: a session, the making of one, or a pause after
// one could not be made.
type link struct {
	dial    func(ctx context.Context) (io.ReadWriteCloser, error)
	allowed func() error
	silent  time.Duration
	idle    time.Duration
	logger  *slog.Logger

	mu      sync.Mutex
	session *session
	attempt *attempt
	failure error     // of the last attempt
	retryAt time.Time // not before
	pause   time.Duration
	down    time.Time // since when there is none, though it is wanted
	had     bool      // there was one
	closed  bool
	running sync.WaitGroup
}

// attempt is the making of a session.
type attempt struct{ done chan struct{} }

// session is one connection to a volume.
type session struct {
	client *sftp.Client
	conn   *heard
	ended  chan struct{}
	asked  atomic.Int64 // operations without an answer
	files  atomic.Int64 // open ones
	tokens atomic.Uint64
}

// heard notes when something came from the other side.
type heard struct {
	io.ReadWriteCloser
	at atomic.Int64 // nanoseconds since start
}

var start = time.Now() // for readings of the monotonic clock

func sinceStart() time.Duration { return time.Since(start) }

func (h *heard) note() { h.at.Store(int64(sinceStart())) }

func (h *heard) quiet() time.Duration { return sinceStart() - time.Duration(h.at.Load()) }

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.ReadWriteCloser.Read(b)
	h.note()
	return n, err
}

// use gives the session, making one where there is none, with an operation
// counted that is to be answered. The operation of ctx waits for that up to
// connectWait, unless there has been none for so long.
func (l *link) use(ctx context.Context) (*session, syscall.Errno) {
	var late <-chan time.Time
	for {
		s, made, errno := l.current()
		if made == nil {
			return s, errno
		}
		if late == nil {
			timer := time.NewTimer(connectWait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-made:
		case <-late:
			return nil, errDown
		case <-ctx.Done():
			return nil, syscall.EINTR
		}
	}
}

// current gives the session, or what is closed when it may be there, or why
// there will be none.
func (l *link) current() (s *session, made <-chan struct{}, errno syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case l.session != nil:
		l.session.ask()
		return l.session, nil, 0
	case l.closed:
		return nil, nil, errDown
	case l.attempt != nil:
		return nil, l.attempt.done, 0
	case now.Before(l.retryAt):
		if !l.patient(now) {
			return nil, nil, errDown
		}
		due := make(chan struct{})
		time.AfterFunc(l.retryAt.Sub(now), func() { close(due) })
		return nil, due, 0
	}
	a := &attempt{make(chan struct{})}
	l.attempt = a
	l.running.Go(func() { l.connect(a) })
	return nil, a.done, 0
}

// patient says that the other side may be back soon: its agent starts anew, or
// the mesh connects again. The lock is held.
func (l *link) patient(now time.Time) bool {
	return l.had && now.Sub(l.down) < connectWait
}

// lost notes that there is no session; the lock is held.
func (l *link) lost() {
	if l.session = nil; l.down.IsZero() {
		l.down = time.Now()
	}
}

// reason says more of why there is no session.
func (l *link) reason(errno syscall.Errno) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return l.failure
	}
	return errno
}

// connect makes a session and keeps it until it ends.
func (l *link) connect(a *attempt) {
	s, err := l.open()
	l.mu.Lock()
	l.attempt, l.failure = nil, err
	switch {
	case err != nil:
		l.lost()
		now, last := time.Now(), retryLast
		if l.patient(now) {
			last = retrySoon
		}
		l.pause = min(max(2*l.pause, retryFirst), last)
		l.retryAt = now.Add(l.pause)
	case l.closed:
		s.conn.Close()
	default:
		l.session, l.pause, l.down, l.had = s, 0, time.Time{}, true
	}
	l.mu.Unlock()
	close(a.done)
	if err != nil {
		l.logger.Info("cannot reach files", "error", err)
		return
	}
	// The lease may have lapsed, and what was there have been cut, before this
	// session was.
	if l.allowed() != nil {
		s.conn.Close()
	}
	l.watch(s)
	l.forget(s)
}

// forget has nothing more asked over a session that has ended.
func (l *link) forget(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.lost()
	}
}

func (l *link) open() (*session, error) {
	if err := l.allowed(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	raw, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := &heard{ReadWriteCloser: raw}
	conn.note()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	p := newPackets(conn)
	client, err := sftp.NewClientPipe(p, p, sftp.MaxPacketUnchecked(MaxWriteBytes))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return &session{client: client, conn: conn, ended: make(chan struct{})}, nil
}

// watch returns when a session has ended, and ends one that says nothing while
// it is asked something, or that nobody asks anything: DROPs sleep for days.
func (l *link) watch(s *session) {
	go func() {
		_ = s.client.Wait()
		close(s.ended)
	}()
	ticker := time.NewTicker(max(l.silent/16, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			s.conn.Close()
			return
		case <-ticker.C:
			switch quiet := s.conn.quiet(); {
			case s.asked.Load() > 0 && quiet > l.silent:
				s.conn.Close()
			case quiet > l.idle:
				l.endIdle(s)
			}
		}
	}
}

// endIdle ends a session that nobody uses. Who begins to use it does so under
// the same lock.
func (l *link) endIdle(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.asked.Load() == 0 && s.files.Load() == 0 {
		if l.session == s {
			l.session = nil
		}
		s.conn.Close()
	}
}

// ask counts an operation until it is answered.
func (s *session) ask() {
	if s.asked.Add(1) == 1 {
		s.conn.note() // the silence before was nobody's
	}
}

func (s *session) answered() { s.asked.Add(-1) }

// cut ends the session, if there is one.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		l.session.conn.Close()
		l.lost()
	}
}

// close ends the link for good and waits for its goroutines.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cut()
	l.running.Wait()
}
