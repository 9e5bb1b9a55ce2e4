package agent

import (
	"context"
	"sync"
	"sync/atomic"

	"pantheon/events"
	"pantheon/events/problem"
)

// Lease is this host's lease among the machines of a cell: see
// runtime/lease.Keeper.
type Lease interface {
	// Held gives the term of the lease and says whether the host has it now. It
	// asks nobody: it is right also in the first moment after a pause.
	Held() (term uint64, held bool)
	// Next waits for a term after the given one.
	Next(ctx context.Context, after uint64) (uint64, error)
	// Over waits until a term has ended.
	Over(ctx context.Context, term uint64) error
}

// Head asks the log for the newest revision of the host's stream. What was
// committed before it was asked is below; a replica that is behind may not
// answer.
type Head func(ctx context.Context) (events.Revision, error)

// errFenced refuses what another host may own by now.
var errFenced = problem.New(problem.Unavailable, "this host has lost touch with its cell, and the DROP may be served elsewhere by now")

// fence is what keeps a host that was away from serving what it has lost
// meanwhile. In each term of the lease it opens when the host's stream has been
// folded up to a head that was read in that term, and it is shut as soon as the
// lease has lapsed. It is nil on a machine that is alone.
//
// It does not concern a DROP whose database or files are here: nobody places
// such a DROP elsewhere when this host is lost, because it could not be served
// there.
type fence struct {
	lease  Lease
	head   Head
	folded *progress
	lapsed func() // called after each term

	passed atomic.Uint64 // the term in which the fold has caught up
	lost   atomic.Bool   // the host's stream says so
}

func newFence(lease Lease, head Head, folded *progress, lapsed func()) *fence {
	if lease == nil {
		return nil
	}
	return &fence{lease: lease, head: head, folded: folded, lapsed: lapsed}
}

// check says why a DROP whose data is elsewhere may not be served now.
func (f *fence) check() error {
	if f == nil {
		return nil
	}
	if term, held := f.lease.Held(); !held || term != f.passed.Load() || f.lost.Load() {
		return errFenced
	}
	return nil
}

// note takes an event of the host's stream in.
func (f *fence) note(event events.Event) {
	if f == nil {
		return
	}
	switch event.(type) {
	case events.HostLost:
		f.lost.Store(true)
	case events.HostReturned:
		f.lost.Store(false)
	}
}

// run opens the fence in each term of the lease, until ctx ends.
func (f *fence) run(ctx context.Context) error {
	if f == nil {
		return nil
	}
	for term := uint64(0); ; {
		var err error
		if term, err = f.lease.Next(ctx, term); err != nil {
			return err
		}
		f.catchUp(ctx, term)
		if err := f.lease.Over(ctx, term); err != nil {
			return err
		}
		f.lapsed()
	}
}

// catchUp returns when the fold has passed a head of this term, or when the
// term is over.
func (f *fence) catchUp(ctx context.Context, term uint64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_ = f.lease.Over(ctx, term)
		cancel()
	}()
	for ctx.Err() == nil {
		head, err := f.head(ctx)
		if err == nil && f.folded.wait(ctx, head) == nil {
			f.passed.Store(term)
			return
		}
		pause(ctx, headRetry)
	}
}

// progress is the revision of the host's stream that has been folded.
type progress struct {
	mu       sync.Mutex
	revision events.Revision
	more     chan struct{} // closed and made anew with each step
}

func newProgress() *progress { return &progress{more: make(chan struct{})} }

func (p *progress) set(revision events.Revision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revision = revision
	close(p.more)
	p.more = make(chan struct{})
}

func (p *progress) get() (events.Revision, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revision, p.more
}

func (p *progress) wait(ctx context.Context, revision events.Revision) error {
	for {
		have, more := p.get()
		if have >= revision {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Folded gives the revision of the host's stream that the agent has taken in.
func (a *Agent) Folded() events.Revision {
	revision, _ := a.folded.get()
	return revision
}

// mayServe says why a DROP may not be served now; it is asked when a request
// comes, when it has been held, and last before PHP gets it.
func (a *Agent) mayServe(spec *events.DropSpec) error {
	if a.fence == nil || a.holdsDataOf(spec) {
		return nil
	}
	return a.fence.check()
}

// holdsDataOf says whether the database or the files of a DROP's environment
// are on this host.
func (a *Agent) holdsDataOf(spec *events.DropSpec) bool {
	for _, service := range spec.Services {
		if (service.Kind == events.DBServer || service.Kind == events.FileServer) && a.here(service) {
			return true
		}
	}
	return false
}

// here says whether a service is one of this host's own. A service that names
// no host is of the time when there was only one.
func (a *Agent) here(service events.BoundService) bool {
	return service.Host == "" || service.Host == a.options.Host
}
