package drop

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/sandbox"
)

// Options configure a Host. All fields but PHP and Log are needed.
type Options struct {
	// Machine starts the processes.
	Machine *sandbox.Machine
	// Host is this machine's id, for facts.
	Host events.HostID
	// Secrets gives the secrets of a DROP's environment. It is asked at each
	// start, so that none is kept while a DROP sleeps.
	Secrets func(events.DropID, events.DropSpec) (contract.Secrets, error)
	// Report takes facts, in order for each DROP. It is called with the DROP
	// locked: it must not block and must not call back.
	Report func(events.DropID, events.Event)
	// Reserve takes memory for a DROP before php-fpm starts, and may wait for
	// it until ctx ends; Release gives it back after the end. A DROP that was
	// adopted has reserved too. Nil where memory is not counted.
	Reserve func(ctx context.Context, drop events.DropID, memoryMiB int) error
	Release func(events.DropID)
	// Stopping is told before php-fpm is asked to end: kept connections to it
	// have to go, they would hold its workers. Nil where nobody keeps any.
	Stopping func(events.DropID)
	// Now is the clock.
	Now func() time.Time
	// PHP finds an installed version; FindPHP where nil.
	PHP func(version string) (PHP, error)
	// Log takes what no event says; discarded where nil.
	Log *slog.Logger
}

// Host is what the DROPs of one machine share.
type Host struct {
	Options
	commands atomic.Uint64 // numbers the sandboxes of commands

	mu   sync.Mutex
	idle idleHeap
	kick chan struct{} // the heap's first has changed
}

// NewHost has no side effects.
func NewHost(o Options) *Host {
	if o.PHP == nil {
		o.PHP = FindPHP
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Host{Options: o, kick: make(chan struct{}, 1)}
}

// Runner makes the runner of one DROP, with its own folder; nothing is
// prepared or started.
func (h *Host) Runner(drop events.DropID, dir string) *Runner {
	return &Runner{
		host: h, paths: Paths{Drop: drop, Dir: dir}, place: -1,
		state: State{Drop: drop, Host: h.Options.Host},
	}
}

// Run lets idle DROPs sleep, until ctx is done. There is one goroutine and one
// timer for all of them.
func (h *Host) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-h.kick:
		}
		for _, r := range h.due() {
			r.input(IdleCheck{})
		}
		if next, any := h.next(); any {
			timer.Reset(max(next.Sub(h.Now()), 0))
		} else {
			timer.Stop()
		}
	}
}

// checkAt schedules the DROP's idle check in the place of the one before.
func (h *Host) checkAt(r *Runner, at time.Time) {
	h.mu.Lock()
	r.checkTime = at
	if r.place < 0 {
		heap.Push(&h.idle, r)
	} else {
		heap.Fix(&h.idle, r.place)
	}
	first := h.idle[0] == r
	h.mu.Unlock()
	if first {
		select {
		case h.kick <- struct{}{}:
		default:
		}
	}
}

// forget takes the DROP's check away.
func (h *Host) forget(r *Runner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.place >= 0 {
		heap.Remove(&h.idle, r.place)
	}
}

// due takes out whatever is due now.
func (h *Host) due() []*Runner {
	now := h.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var runners []*Runner
	for len(h.idle) > 0 && !h.idle[0].checkTime.After(now) {
		runners = append(runners, heap.Pop(&h.idle).(*Runner))
	}
	return runners
}

func (h *Host) next() (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.idle) == 0 {
		return time.Time{}, false
	}
	return h.idle[0].checkTime, true
}

// idleHeap is ordered by checkTime; a runner knows its place in it.
type idleHeap []*Runner

func (h idleHeap) Len() int           { return len(h) }
func (h idleHeap) Less(i, j int) bool { return h[i].checkTime.Before(h[j].checkTime) }
func (h idleHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *idleHeap) Push(x any) {
	r := x.(*Runner)
	r.place = len(*h)
	*h = append(*h, r)
}

func (h *idleHeap) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	r.place = -1
	return r
}
