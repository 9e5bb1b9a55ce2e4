package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/lease/terms"
)

// Members gives the hosts of the cell that are not removed, as the log knows
// them.
type Members func() []terms.Member

// Reports are the commands to a host's actor; both may be given again.
type Reports interface {
	Lost(ctx context.Context, host events.HostID) error
	Returned(ctx context.Context, host events.HostID) error
}

// WatcherOptions of a Watcher. All fields but Clock and Logger are required.
type WatcherOptions struct {
	Bucket  Bucket
	Members Members
	Reports Reports
	Clock   Clock // BootClock where nil
	Logger  *slog.Logger
}

// Watcher tells the log which hosts are lost and which have returned. Run it
// once; a second one elsewhere is harmless.
type Watcher struct {
	options WatcherOptions

	mu    sync.Mutex
	watch terms.Watch
}

// NewWatcher makes a Watcher; it has no side effect.
func NewWatcher(options WatcherOptions) *Watcher {
	if options.Clock == nil {
		options.Clock = BootClock
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Watcher{options: options, watch: terms.NewWatch()}
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	ticker := time.NewTicker(terms.WatchEvery)
	defer ticker.Stop()
	for {
		w.round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// round reads the bucket once and does what follows; the next one waits for it.
func (w *Watcher) round(ctx context.Context) {
	members := w.options.Members()
	began := w.options.Clock()
	reading, cancel := context.WithTimeout(ctx, terms.MaxGap)
	records, err := w.options.Bucket.All(reading)
	cancel()
	if err != nil {
		w.watch.Failed()
		if ctx.Err() == nil {
			w.options.Logger.Info("cannot read the leases; trying again", "error", err)
		}
		return
	}
	w.performAll(ctx, w.watch.Round(began, w.options.Clock(), members, records))
}

func (w *Watcher) performAll(ctx context.Context, effects []terms.Effect) {
	var running sync.WaitGroup
	turns := make(chan struct{}, maxEffects)
	for _, effect := range effects {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			if err := w.perform(ctx, effect); err != nil && ctx.Err() == nil {
				w.options.Logger.Info("cannot do what a lease asks for; trying again", "effect", effect, "error", err)
			}
		})
	}
	running.Wait()
}

func (w *Watcher) perform(ctx context.Context, effect terms.Effect) error {
	switch e := effect.(type) {
	case terms.Revoke:
		sent := w.options.Clock()
		revision, err := w.put(ctx, e.Host, e.Write)
		if err != nil {
			return ignoreConflict(err) // it has renewed its lease after all
		}
		w.options.Logger.Warn("a host is lost: it has not renewed its lease", "host", e.Host)
		w.mu.Lock()
		report := w.watch.Revoked(sent, e, revision)
		w.mu.Unlock()
		return w.perform(ctx, report)
	case terms.Grant:
		_, err := w.put(ctx, e.Host, e.Write)
		return ignoreConflict(err)
	case terms.ReportLost:
		left := e.Before - w.options.Clock()
		if left <= 0 {
			return problem.New(problem.Unavailable, "it is too late to report host %s as lost", e.Host)
		}
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		return w.options.Reports.Lost(ctx, e.Host)
	case terms.ReportReturned:
		ctx, cancel := context.WithTimeout(ctx, terms.ReportWithin)
		defer cancel()
		return w.options.Reports.Returned(ctx, e.Host)
	}
	return nil
}

func (w *Watcher) put(ctx context.Context, host events.HostID, write terms.Write) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, terms.RenewWithin)
	defer cancel()
	return w.options.Bucket.Put(ctx, host, write.Entry, write.Expected)
}

func ignoreConflict(err error) error {
	if problem.KindOf(err) == problem.Conflict {
		return nil
	}
	return err
}
