package main

import (
	"context"
	"errors"
	"io"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/events/problem"
)

// releases are kept in a bucket beside the log.
type releases struct {
	log cellLog
	// turn is taken by who publishes: sites of one upstream have one release, and
	// two that put it at once would each take the other's for an older version.
	turn chan struct{}
}

func newReleases(log cellLog) releases { return releases{log, make(chan struct{}, 1)} }

func (r releases) store(ctx context.Context) (natsjs.ObjectStore, error) {
	store, err := r.log.ObjectStore(ctx, natsjs.ObjectStoreConfig{Bucket: releasesBucket, Storage: natsjs.FileStorage})
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the bucket of releases")
	}
	return store, nil
}

// Put implements code.Releases.
func (r releases) Put(ctx context.Context, commit string, content io.Reader) error {
	store, err := r.store(ctx)
	if err != nil {
		return err
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := store.GetInfo(ctx, commit); err == nil {
		return nil
	}
	// Behind the last chunk the store takes away what it has replaced, if another
	// machine was there meanwhile, or what it has sent in vain. A host may not, and
	// is given no answer: what counts is whether the release is there.
	putting, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err = store.Put(putting, natsjs.ObjectMeta{Name: commit}, &atEnd{content, func() { time.AfterFunc(publishEnd, cancel) }})
	if err == nil {
		return nil
	}
	if _, missing := store.GetInfo(ctx, commit); missing == nil {
		return nil
	}
	return problem.Wrap(problem.Unavailable, err, "cannot publish release %.12s", commit)
}

// publishEnd is for what follows the last chunk: one message and its answer.
const publishEnd = 5 * time.Second

// atEnd says when a reader has ended.
type atEnd struct {
	io.Reader
	ended func()
}

func (r *atEnd) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.ended()
	}
	return n, err
}

// Get implements code.Releases.
func (r releases) Get(ctx context.Context, commit string) (io.ReadCloser, error) {
	store, err := r.store(ctx)
	if err != nil {
		return nil, err
	}
	object, err := store.GetInfo(ctx, commit)
	if errors.Is(err, natsjs.ErrObjectNotFound) {
		return nil, problem.New(problem.NotFound, "cannot find release %.12s: nobody has published it", commit)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot fetch release %.12s", commit)
	}
	js, err := natsjs.New(r.log.Conn())
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, "OBJ_"+releasesBucket)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot fetch release %.12s", commit)
	}
	return &releaseReader{ctx: ctx, stream: stream, subject: "$O." + releasesBucket + ".C." + object.NUID, left: object.Size, next: 1}, nil
}

// releaseReader reads the chunks of an object one after the other. The object
// store's own reader has a consumer made, which a machine may not: see
// logrights.go. Whether the content is right, who reads it checks.
type releaseReader struct {
	ctx     context.Context //nolint:containedctx // of the one reading
	stream  natsjs.Stream
	subject string
	next    uint64 // sequence of the first message that may be the next chunk
	chunk   []byte
	left    uint64 // bytes
}

func (r *releaseReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		message, err := r.stream.GetMsg(r.ctx, r.next, natsjs.WithGetMsgSubject(r.subject))
		if err != nil {
			return 0, problem.Wrap(problem.Unavailable, err, "cannot read a release: %d bytes are left", r.left)
		}
		if uint64(len(message.Data)) > r.left {
			return 0, problem.New(problem.Unavailable, "cannot read a release: it is larger than it says")
		}
		r.chunk, r.next, r.left = message.Data, message.Sequence+1, r.left-uint64(len(message.Data))
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *releaseReader) Close() error { return nil }

// keepReleases makes the bucket, which other machines may not.
func (p *platform) keepReleases(ctx context.Context) error {
	err := p.patiently(ctx, func(ctx context.Context) error {
		_, err := (releases{log: p.log}).store(ctx)
		return err
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// collectReleases takes releases out of the bucket that no environment runs, by
// the machine that leads, until ctx ends. A host that still has DROPs of an older
// one has it on its disk; one that needs it again asks the host of the code.
func (p *platform) collectReleases(ctx context.Context) error {
	ticker := time.NewTicker(releasesPause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.collectReleasesOnce(ctx, time.Now().Add(-releasesKept)); err != nil && ctx.Err() == nil {
			p.options.logger.Warn("cannot take releases away that nobody runs", "error", err)
		}
	}
}

const (
	releasesPause = time.Hour
	// releasesKept is how long a release stays in any case: it may be on its way to
	// hosts, and the log says so later.
	releasesKept = 24 * time.Hour
)

func (p *platform) collectReleasesOnce(ctx context.Context, before time.Time) error {
	store, err := (releases{log: p.log}).store(ctx)
	if err != nil {
		return err
	}
	objects, err := store.List(ctx)
	if errors.Is(err, natsjs.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return err
	}
	used := map[string]bool{}
	state := p.inventory.Snapshot()
	for site := range state.Sites("") {
		for _, environment := range state.Environments(site.ID) {
			used[environment.Commit] = true
		}
	}
	for _, object := range objects {
		if used[object.Name] || object.ModTime.After(before) {
			continue
		}
		if err := store.Delete(ctx, object.Name); err != nil {
			return err
		}
	}
	return nil
}
