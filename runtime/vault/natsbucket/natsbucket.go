// Package natsbucket is a vault.Bucket in a JetStream key-value bucket, beside
// the log and with as many replicas. What is written is on disk at a majority of
// the servers when Put returns. Get asks the leader; one that has lost its
// majority and has not noticed may answer with an older value, for two seconds
// with package jetstream's timers.
//
// # What is erased
//
// The stream is one of a key-value bucket, but for two things: messages can be
// deleted from it, and it keeps older values of a key until they are erased. A
// value that was written over is overwritten on disk (SecureDeleteMsg: the server
// writes the block file anew, with random bytes in the value's place). Guaranteed:
// once that has been carried out, the block files of each server that has carried
// it out do not hold the old value. It is carried out by every server of the
// stream that runs, and by one that was off when it replays the Raft log; what
// could not be asked for, because a machine has died in between, is asked for by
// the next Watch from the beginning on any machine.
//
// Not guaranteed: a server that was off and gets a snapshot in place of the log
// takes the value out without overwriting it; the Raft log of each server holds
// what was written until the server compacts it, which it does by itself (of
// three idle servers the last did after 2 min 44 s, once measured); and a file
// system or a disk may keep old blocks. A value is sealed wherever it is (package
// vault).
package natsbucket

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/problem"
	"pantheon/runtime/vault"
)

// Bucket implements vault.Bucket.
type Bucket struct {
	conn     *nats.Conn
	name     string
	replicas int
	opened   atomic.Pointer[opened]
	opening  chan struct{} // holds one token: whoever opens

	mu    sync.Mutex
	stale map[uint64]bool // revisions to erase
}

type opened struct {
	values jetstream.KeyValue
	stream jetstream.Stream
}

var _ vault.Bucket = (*Bucket)(nil)

// New gives the bucket of a name; its first use makes it where there is none, and
// gives it as many replicas as the log has. The connection is that of a machine
// with all rights at its own server: jetstream.Client.Conn of a member.
func New(conn *nats.Conn, name string, replicas int) *Bucket {
	return &Bucket{conn: conn, name: name, replicas: replicas, opening: make(chan struct{}, 1), stale: map[uint64]bool{}}
}

// open is done by the first use; the others wait for it.
func (b *Bucket) open(ctx context.Context) (*opened, error) {
	if o := b.opened.Load(); o != nil {
		return o, nil
	}
	select {
	case b.opening <- struct{}{}:
		defer func() { <-b.opening }()
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	if o := b.opened.Load(); o != nil {
		return o, nil
	}
	js, err := jetstream.New(b.conn)
	if err != nil {
		return nil, unavailable(err)
	}
	// A server answers only one of several that make a stream at once.
	for {
		o, err := b.tryOpen(ctx, js)
		if err == nil {
			b.opened.Store(o)
			return o, nil
		}
		pause := time.NewTimer(openPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, unavailable(err)
		}
	}
}

func (b *Bucket) tryOpen(ctx context.Context, js jetstream.JetStream) (*opened, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	want := b.config()
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && !fits(stream.CachedInfo().Config, want) {
		stream, err = js.CreateOrUpdateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	values, err := js.KeyValue(ctx, b.name)
	if err != nil {
		return nil, err
	}
	return &opened{values: values, stream: stream}, nil
}

func (b *Bucket) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + b.name, Subjects: []string{"$KV." + b.name + ".>"}, Description: "secrets of the cell, sealed",
		Storage: jetstream.FileStorage, Replicas: b.replicas, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: history,
		MaxMsgs: -1, MaxBytes: -1, MaxConsumers: -1, MaxMsgSize: vault.MaxValueBytes + headerBytes, Compression: jetstream.NoCompression,
		AllowRollup: true,  // of a key-value bucket
		AllowDirect: false, // the leader answers: what was written is read
		DenyDelete:  false, // values are erased
	}
}

// fits says whether a stream needs no change.
func fits(is, want jetstream.StreamConfig) bool {
	return is.Replicas == want.Replicas && is.MaxMsgsPerSubject == want.MaxMsgsPerSubject && is.MaxMsgSize == want.MaxMsgSize && is.AllowDirect == want.AllowDirect
}

func unavailable(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot use the bucket of secrets")
}

// Get is vault.Bucket's.
func (b *Bucket) Get(ctx context.Context, key string) (vault.Entry, error) {
	o, err := b.open(ctx)
	if err != nil {
		return vault.Entry{}, err
	}
	entry, err := o.values.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return vault.Entry{Key: key}, nil
	case err != nil:
		return vault.Entry{}, unavailable(err)
	}
	return vault.Entry{Key: key, Value: entry.Value(), Revision: entry.Revision()}, nil
}

// Put is vault.Bucket's.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	o, err := b.open(ctx)
	if err != nil {
		return 0, err
	}
	revision, err := o.values.Update(ctx, key, value, expected)
	switch {
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return 0, problem.Wrap(problem.Conflict, err, "the entry has another revision")
	case err != nil:
		return 0, unavailable(err)
	}
	if expected > 0 && !o.erase(ctx, expected) {
		b.mark(expected)
	}
	return revision, nil
}

// Watch is vault.Bucket's.
func (b *Bucket) Watch(ctx context.Context, after uint64, each func(vault.Entry) error) error {
	o, err := b.open(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	options := []jetstream.WatchOpt{}
	if after > 0 {
		options = append(options, jetstream.ResumeFromRevision(after+1))
	} else if err := b.findStale(ctx, o); err != nil {
		return err
	}
	b.eraseStale(ctx, o)
	info, err := o.stream.Info(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	marking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(markTimeout, func() { cancel(errLate) })
	defer late.Stop()
	m := marker{each: each, newest: after, want: info.State.LastSeq, late: late}
	err = o.watch(marking, options, m.entry)
	if ctx.Err() == nil && errors.Is(context.Cause(marking), errLate) {
		return unavailable(errLate)
	}
	return err
}

var errLate = errors.New("the server that was asked is behind the others")

// marker gives the mark when the newest entry of the stream's leader has come:
// the server that is watched may have been off a moment ago.
type marker struct {
	each   func(vault.Entry) error
	newest uint64
	want   uint64
	all    bool        // the server has given all that it has
	late   *time.Timer // nil when the mark was given
}

func (m *marker) entry(entry jetstream.KeyValueEntry) error {
	if m.late != nil {
		m.late.Stop()
	}
	if entry == nil {
		m.all = true
	} else if m.newest = max(m.newest, entry.Revision()); entry.Operation() == jetstream.KeyValuePut { // nobody here deletes a key
		if err := m.each(vault.Entry{Key: entry.Key(), Value: entry.Value(), Revision: entry.Revision()}); err != nil {
			return err
		}
	}
	switch {
	case m.late == nil:
		return nil
	case !m.all || m.newest < m.want:
		m.late.Reset(markTimeout)
		return nil
	}
	m.late = nil
	return m.each(vault.Entry{})
}

func (o *opened) watch(ctx context.Context, options []jetstream.WatchOpt, each func(jetstream.KeyValueEntry) error) error {
	watcher, err := o.values.WatchAll(ctx, options...)
	if err != nil {
		return ended(ctx, err)
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case entry, open := <-watcher.Updates():
			if !open {
				return ended(ctx, errors.New("the watch has ended"))
			}
			if err := each(entry); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unavailable(err)
}

var errAll = errors.New("that was all")

// findStale notes the values that were written over and are still there.
func (b *Bucket) findStale(ctx context.Context, o *opened) error {
	newest := map[string]uint64{}
	err := o.watch(ctx, []jetstream.WatchOpt{jetstream.IncludeHistory(), jetstream.MetaOnly()}, func(entry jetstream.KeyValueEntry) error {
		if entry == nil {
			return errAll
		}
		if old, known := newest[entry.Key()]; known {
			b.mark(old)
		}
		newest[entry.Key()] = entry.Revision()
		return nil
	})
	if errors.Is(err, errAll) {
		return nil
	}
	return err
}

func (b *Bucket) mark(revision uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.stale) < maxStale {
		b.stale[revision] = true
	}
}

// eraseStale erases what waits for it, until one fails.
func (b *Bucket) eraseStale(ctx context.Context, o *opened) {
	b.mu.Lock()
	stale := slices.Sorted(maps.Keys(b.stale))
	b.mu.Unlock()
	for _, revision := range stale {
		if !o.erase(ctx, revision) {
			return
		}
		b.mu.Lock()
		delete(b.stale, revision)
		b.mu.Unlock()
	}
}

// erase overwrites a value, or finds that it is not there any more.
func (o *opened) erase(ctx context.Context, revision uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	err := o.stream.SecureDeleteMsg(ctx, revision)
	if err != nil {
		_, err = o.stream.GetMsg(ctx, revision)
		return errors.Is(err, jetstream.ErrMsgNotFound)
	}
	return true
}
