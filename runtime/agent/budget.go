package agent

import (
	"context"
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop"
)

// budget is the rule of the host's actor for what is awake: the memory limits
// of all awake DROPs together stay within what the host offers and has not set
// aside. A DROP that wants to wake puts the longest idle one to sleep, or
// waits for one to end.
type budget struct {
	available   func() int64        // KiB for all awake DROPs together
	longestIdle func() *drop.Runner // nil where every awake DROP is in use

	mu      sync.Mutex
	held    map[events.DropID]int64 // KiB
	sum     int64
	changed chan struct{} // closed and made anew when something is given back
}

func newBudget(available func() int64, longestIdle func() *drop.Runner) *budget {
	return &budget{available: available, longestIdle: longestIdle, held: map[events.DropID]int64{}, changed: make(chan struct{})}
}

// reserve takes a DROP's memory before it starts.
func (b *budget) reserve(ctx context.Context, id events.DropID, memoryMiB int) error {
	want := int64(memoryMiB) * 1024
	for {
		changed, taken := b.take(id, want)
		if taken {
			return nil
		}
		if idle := b.longestIdle(); idle != nil {
			if err := idle.Sleep(ctx, "memory"); err != nil {
				return b.full(err)
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return b.full(context.Cause(ctx))
		}
	}
}

func (b *budget) full(cause error) error {
	return problem.Wrap(problem.Busy, cause, "all memory for awake DROPs is in use").
		WithHint("offer more with pantheon up --memory, or give environments smaller DROPs")
}

func (b *budget) take(id events.DropID, want int64) (<-chan struct{}, bool) {
	available := b.available()
	b.mu.Lock()
	defer b.mu.Unlock()
	if others := b.sum - b.held[id]; others+want > available && others > 0 {
		return b.changed, false
	}
	b.sum += want - b.held[id]
	b.held[id] = want
	return nil, true
}

// adopt counts a DROP that was awake before this agent.
func (b *budget) adopt(id events.DropID, memoryMiB int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum += int64(memoryMiB)*1024 - b.held[id]
	b.held[id] = int64(memoryMiB) * 1024
}

// release gives a DROP's memory back after its end.
func (b *budget) release(id events.DropID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum -= b.held[id]
	delete(b.held, id)
	close(b.changed)
	b.changed = make(chan struct{})
}

// availableKiB is what the host offers less what it has set aside for good.
func (a *Agent) availableKiB() int64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.desired.AvailableKiB(a.options.MemoryMiB)
}

// longestIdle gives the awake DROP without a request whose last one is the
// longest ago.
func (a *Agent) longestIdle() *drop.Runner {
	var longest *drop.Runner
	var since drop.State
	for _, e := range a.allEntries() {
		runner := e.runner.Load()
		if runner == nil {
			continue
		}
		state := runner.State()
		if state.Phase == drop.Awake && state.Serving == 0 && (longest == nil || state.LastRequest.Before(since.LastRequest)) {
			longest, since = runner, state
		}
	}
	return longest
}
