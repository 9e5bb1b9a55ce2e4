package remote

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
)

// Options of Mounts. Dir and Dial are required.
type Options struct {
	// Dir is the folder of the mounts, <data>/mounts, absolute.
	Dir string
	// Dial connects to the files of an environment on a host: what Serve answers
	// is at the other end.
	Dial func(ctx context.Context, host events.HostID, environment events.EnvironmentID) (io.ReadWriteCloser, error)
	// Allowed says why this host may not reach them now; nil allows all. It is
	// asked before and after each connection is made, and by Cut.
	Allowed func(host events.HostID, environment events.EnvironmentID) error
	Logger  *slog.Logger
	// Silent is how long a connection may say nothing while it is asked something;
	// silentTimeout where zero.
	Silent time.Duration
	// Idle is how long a connection is kept that nobody uses; idleTimeout where
	// zero.
	Idle time.Duration
}

// key names a mount.
type key struct {
	host        events.HostID
	environment events.EnvironmentID
}

// Mounts are the mounts of this machine. Its methods may be called
// concurrently.
type Mounts struct {
	options Options

	mu       sync.Mutex
	known    map[key]*mounting
	unneeded map[key]bool // by the last Tidy
}

// mounting is one mount, or the place of one: its lock is held while it comes
// and goes.
type mounting struct {
	mu   sync.Mutex
	live *mount
	way  atomic.Pointer[link] // before there is a mount, for Cut
}

type mount struct {
	path   string
	link   *link
	served chan struct{} // closed when the kernel asks no more
}

// New makes Mounts; it has no side effect.
func New(options Options) *Mounts {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Allowed == nil {
		options.Allowed = func(events.HostID, events.EnvironmentID) error { return nil }
	}
	if options.Silent == 0 {
		options.Silent = silentTimeout
	}
	if options.Idle == 0 {
		options.Idle = idleTimeout
	}
	options.Dir = filepath.Clean(options.Dir)
	return &Mounts{options: options, known: map[key]*mounting{}}
}

// Supported says why this machine cannot mount, or nil.
func Supported() error { return supported() }

// Path is where the files of an environment appear.
func (m *Mounts) Path(host events.HostID, environment events.EnvironmentID) string {
	return filepath.Join(m.options.Dir, string(host), string(environment))
}

// Sweep ends what a process that is gone, or killed, has left mounted: such a
// process cannot go while it reads its own mount, and holds all it had. What a
// living process serves is left alone, so that Sweep may come first of all.
// The mounts stay, dead, for Mount to replace or Collect to remove.
func (m *Mounts) Sweep() error {
	if supported() != nil {
		return nil
	}
	all, err := mounted(m.options.Dir)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot look for mounts of an earlier process")
	}
	var errs []error
	for _, one := range all {
		if one.orphaned() {
			errs = append(errs, abort(one.path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot end mounts of an earlier process")
	}
	return nil
}

// Mount gives the folder of an environment's files on a host, mounting them if
// they are not yet. The first time it needs a connection; a mount that has lost
// its own is given as it is.
func (m *Mounts) Mount(ctx context.Context, host events.HostID, environment events.EnvironmentID) (string, error) {
	_, environmentErr := events.ParseEnvironmentID(string(environment))
	_, hostErr := events.ParseHostID(string(host))
	if err := errors.Join(environmentErr, hostErr); err != nil {
		return "", problem.Wrap(problem.Invalid, err, "cannot mount files")
	}
	if err := supported(); err != nil {
		return "", err
	}
	at := key{host, environment}
	one := m.get(at)
	m.mu.Lock()
	delete(m.unneeded, at)
	m.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.live != nil {
		select {
		case <-one.live.served: // somebody else has unmounted it
			one.live.link.close()
			one.live = nil
		default:
			return one.live.path, nil
		}
	}
	way := m.link(at)
	one.way.Store(way)
	made, err := m.make(ctx, way, at)
	if err != nil {
		one.way.Store(nil)
		way.close()
		kind := problem.Unavailable
		if problem.KindOf(err) == problem.Exhausted {
			kind = problem.Exhausted
		}
		return "", problem.Wrap(kind, err, "cannot mount the files of %s from host %s", environment, host)
	}
	one.live = made
	return made.path, nil
}

func (m *Mounts) get(at key) *mounting {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.known[at]
	if one == nil {
		one = &mounting{}
		m.known[at] = one
	}
	return one
}

func (m *Mounts) link(at key) *link {
	return &link{
		dial: func(ctx context.Context) (io.ReadWriteCloser, error) {
			return m.options.Dial(ctx, at.host, at.environment)
		},
		allowed: func() error { return m.options.Allowed(at.host, at.environment) },
		silent:  m.options.Silent,
		idle:    m.options.Idle,
		logger:  m.options.Logger.With("host", at.host, "environment", at.environment),
	}
}

// make connects and mounts.
func (m *Mounts) make(ctx context.Context, way *link, at key) (*mount, error) {
	s, errno := way.use(ctx)
	if errno != 0 {
		return nil, way.reason(errno)
	}
	defer s.answered()
	root, err := lstat(s, "")
	if err != nil {
		return nil, err
	}
	path := m.Path(at.host, at.environment)
	// Nothing is to be written into the folder below the mount: it is root's. Of
	// a dead mount nothing can be said but that it is there.
	if err := os.MkdirAll(path, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	before, err := mounted(m.options.Dir)
	if err != nil {
		return nil, err
	}
	if len(before) >= maxMounts {
		return nil, problem.New(problem.Exhausted, "this host has mounted the files of %d environments and can mount no more", len(before)).
			WithHint("move DROPs to the hosts of their files: pantheon drop move")
	}
	served, err := serveTree(newTree(way), root, ownSource())
	if err != nil {
		return nil, err
	}
	made := &mount{path: path, link: way, served: make(chan struct{})}
	go func() {
		served.server.Serve()
		close(made.served)
	}()
	err = putAt(path, served.mount, slices.ContainsFunc(before, func(s seen) bool { return s.path == path }))
	unix.Close(served.mount)
	if err != nil {
		return nil, errors.Join(err, end(path))
	}
	prime(path)
	return made, nil
}

// Unmount takes the mount of an environment away, for everybody: what is still
// open of it fails.
func (m *Mounts) Unmount(host events.HostID, environment events.EnvironmentID) error {
	if supported() != nil {
		return nil
	}
	one := m.get(key{host, environment})
	one.mu.Lock()
	defer one.mu.Unlock()
	path := m.Path(host, environment)
	err := end(path)
	one.forget()
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot unmount the files of %s from host %s", environment, host)
	}
	_ = os.Remove(path)
	_ = os.Remove(filepath.Dir(path)) // when it was the last of the host
	return nil
}

// forget waits for the end of a mount that is no more; the lock is held.
func (o *mounting) forget() {
	if o.live != nil {
		o.live.link.close()
		<-o.live.served
		o.live = nil
		o.way.Store(nil)
	}
}

// Collect unmounts what is not needed. keep is asked for each mount, dead ones
// of earlier processes too.
func (m *Mounts) Collect(keep func(host events.HostID, environment events.EnvironmentID) bool) error {
	all, err := mounted(m.options.Dir)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot look for mounts")
	}
	var errs []error
	for _, one := range all {
		host, environment := m.at(one.path)
		if m.Path(host, environment) == one.path && !keep(host, environment) {
			errs = append(errs, m.Unmount(host, environment))
		}
	}
	return errors.Join(errs...)
}

// Tidy is Collect of what was not needed the last time either, and was not asked
// for in between: keep may look at a view that is behind.
func (m *Mounts) Tidy(keep func(host events.HostID, environment events.EnvironmentID) bool) error {
	next := map[key]bool{}
	err := m.Collect(func(host events.HostID, environment events.EnvironmentID) bool {
		at := key{host, environment}
		if keep(host, environment) {
			return true
		}
		next[at] = true
		m.mu.Lock()
		defer m.mu.Unlock()
		return !m.unneeded[at]
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unneeded = next
	return err
}

// Restore mounts anew what earlier processes have left dead: a DROP that has
// outlived them has its files again, also if nobody asks it anything. It goes
// on until none is dead any more, because it was mounted or taken away, or
// until ctx ends.
func (m *Mounts) Restore(ctx context.Context) error {
	for {
		err := m.restoreOnce(ctx)
		if err == nil {
			return nil
		}
		m.options.Logger.Debug("cannot make all mounts of an earlier process anew yet", "error", err)
		select {
		case <-time.After(retryLast):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *Mounts) restoreOnce(ctx context.Context) error {
	all, err := mounted(m.options.Dir)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot look for mounts")
	}
	var restoring errgroup.Group
	restoring.SetLimit(maxRestoring)
	for _, one := range all {
		host, environment := m.at(one.path)
		if m.Path(host, environment) == one.path && one.source != ownSource() {
			restoring.Go(func() error {
				_, err := m.Mount(ctx, host, environment)
				return err
			})
		}
	}
	return restoring.Wait()
}

// at is what a path is of.
func (m *Mounts) at(path string) (events.HostID, events.EnvironmentID) {
	return events.HostID(filepath.Base(filepath.Dir(path))), events.EnvironmentID(filepath.Base(path))
}

// Cut ends the connections that Allowed refuses. Call it when the host's lease
// has lapsed. It waits for nothing; the mounts stay.
func (m *Mounts) Cut() {
	for at, one := range m.all() {
		if way := one.way.Load(); way != nil && m.options.Allowed(at.host, at.environment) != nil {
			way.cut()
		}
	}
}

// Close ends the serving of all mounts and leaves them, dead: DROPs that
// outlive this process get those of the next one in their place.
func (m *Mounts) Close() error {
	var errs []error
	for _, one := range m.all() {
		one.mu.Lock()
		if one.live != nil {
			errs = append(errs, abort(one.live.path))
			one.forget()
		}
		one.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (m *Mounts) all() map[key]*mounting {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.known)
}
