package jetstream

import (
	"context"
	"sync"
	"time"
)

// healer brings a server that takes no writes back, in one goroutine that ends
// when it has.
type healer struct {
	mu      sync.Mutex
	why     string // appends are refused with it; empty when all is well
	stopped bool
	cancel  context.CancelFunc // of the goroutine; nil when there is none
	done    chan struct{}
}

func (h *healer) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

func (h *healer) stop() {
	h.mu.Lock()
	h.stopped = true
	cancel, done := h.cancel, h.done
	h.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// heal follows an append whose end is not known. With a reason the server is
// started again; without one only the head is looked up.
func (l *Log) heal(e *engine, reason error) {
	h := &l.healer
	h.mu.Lock()
	defer h.mu.Unlock()
	if reason != nil && l.wire.current.Load() == e {
		h.why = reason.Error()
	}
	if h.stopped || h.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan struct{})
	go func() {
		defer close(h.done)
		defer cancel()
		for !l.healOnce(ctx) {
			select {
			case <-time.After(healPause):
			case <-ctx.Done():
				return
			}
		}
	}()
}

// healOnce says whether the log is well again; it then ends the healer.
func (l *Log) healOnce(ctx context.Context) bool {
	h := &l.healer
	why := h.reason()
	if why != "" {
		if err := l.restart(ctx); err != nil {
			h.mu.Lock()
			h.why = err.Error()
			h.mu.Unlock()
			l.logger.Error("the log cannot be written; trying again", "error", err)
			return false
		}
	}
	asking, cancel := within(ctx, readTimeout)
	defer cancel()
	info, err := l.stream.Info(asking)
	if err != nil {
		return false
	}
	l.head.rise(info.State.LastSeq)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != why {
		return false // it failed again meanwhile
	}
	h.why, h.cancel = "", nil
	if why != "" {
		l.logger.Info("the log can be written again", "was", why)
	}
	return true
}

// restart stops the server and starts another one on the same files. The
// files are checked from the head on by the readers; the server's view of them
// must be what was acknowledged, or longer by commits whose acknowledgement
// got lost.
func (l *Log) restart(ctx context.Context) error {
	l.wire.current.Load().stop()
	if err := l.space(); err != nil {
		return err
	}
	e, err := startEngine(l.dir, l.logger, l.listen)
	if err != nil {
		return err
	}
	l.wire.current.Store(e)
	if err := l.conn.ForceReconnect(); err != nil {
		return err
	}
	asking, cancel := within(ctx, readTimeout)
	defer cancel()
	stream, err := l.js.Stream(asking, streamName)
	if err != nil {
		return err
	}
	if state, head := stream.CachedInfo().State, l.head.get(); state.LastSeq < head || state.Msgs != state.LastSeq {
		return broken(state.LastSeq+1, "the server has lost acknowledged commits")
	}
	return nil
}
