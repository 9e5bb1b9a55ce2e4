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

// KeeperOptions of a Keeper. All fields but Clock and Logger are required.
type KeeperOptions struct {
	Host events.HostID
	// Boot names this run among those of the host.
	Boot   string
	Bucket Bucket
	// Folded gives the revision of the host's stream that its agent has taken
	// in.
	Folded func() events.Revision
	Clock  Clock // BootClock where nil
	Logger *slog.Logger
}

// Keeper keeps one host's lease. Run it once; its other methods may be called
// at any time.
type Keeper struct {
	options KeeperOptions

	mu      sync.Mutex
	holder  terms.Holder
	renewed chan struct{} // closed and made anew with each renewal
}

// NewKeeper makes a Keeper; it has no side effect.
func NewKeeper(options KeeperOptions) *Keeper {
	if options.Clock == nil {
		options.Clock = BootClock
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Keeper{options: options, holder: terms.NewHolder(options.Boot), renewed: make(chan struct{})}
}

// Held gives the term of the lease and says whether the host has it now. It
// asks nobody.
func (k *Keeper) Held() (term uint64, held bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holder.Held(k.options.Clock()) // inside the lock: no older time than that of what is compared
}

// Next waits for a term after the given one, 0 for the first.
func (k *Keeper) Next(ctx context.Context, after uint64) (uint64, error) {
	for {
		k.mu.Lock()
		term, held := k.holder.Held(k.options.Clock())
		renewed := k.renewed
		k.mu.Unlock()
		if held && term > after {
			return term, nil
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Over waits until a term has ended.
func (k *Keeper) Over(ctx context.Context, term uint64) error {
	for {
		k.mu.Lock()
		now := k.options.Clock()
		current, held := k.holder.Held(now)
		left := k.holder.Until() - now
		k.mu.Unlock()
		if !held || current != term {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// Run asks for the lease and renews it until ctx ends. It gives Conflict when
// another machine runs with this host's identity.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		begun := time.Now()
		pause := k.turn(ctx)
		k.mu.Lock()
		usurped := k.holder.Usurped()
		k.mu.Unlock()
		if usurped {
			return problem.New(problem.Conflict, "another machine runs as host %s: its data folder was copied, or this process was replaced", k.options.Host).
				WithHint("stop the one that is not wanted; a copy gets an identity of its own with pantheon join")
		}
		timer := time.NewTimer(pause - time.Since(begun))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// turn is one exchange with the bucket, or a reading and what it asks for. It
// gives the period until the next.
func (k *Keeper) turn(parent context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(parent, terms.RenewWithin)
	defer cancel()
	write, writes := k.due()
	if !writes {
		record, err := k.options.Bucket.Get(ctx, k.options.Host)
		if err != nil {
			k.failed(parent, err)
			return terms.AskEvery
		}
		k.mu.Lock()
		k.holder.Read(record)
		k.mu.Unlock()
		if write, writes = k.due(); !writes {
			return terms.AskEvery
		}
	}
	sent := k.options.Clock()
	revision, err := k.options.Bucket.Put(ctx, k.options.Host, write.Entry, write.Expected)
	if err != nil {
		k.failed(parent, err)
		return terms.AskEvery
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holder.Wrote(sent, k.options.Clock(), write, revision)
	if write.Entry.State != terms.Held {
		return terms.AskEvery
	}
	close(k.renewed)
	k.renewed = make(chan struct{})
	return terms.RenewEvery
}

func (k *Keeper) due() (terms.Write, bool) {
	folded := k.options.Folded()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holder.Due(folded)
}

func (k *Keeper) failed(ctx context.Context, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holder.Failed()
	if ctx.Err() == nil {
		k.options.Logger.Info("cannot renew the lease; trying again", "host", k.options.Host, "error", err)
	}
}
