package fastcgi

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pantheon/runtime/abort"
)

// Options of a pool.
type Options struct {
	// Socket is the path of php-fpm's Unix socket.
	Socket string
	// Workers is pm.max_children of the DROP: the bound on connections; at
	// least 1.
	Workers int
	// Stderr receives the lines that PHP writes to standard error. It is called
	// while a response is read and must not wait. Nil drops them.
	Stderr func(line string)
	// Timeouts; zero fields mean the defaults.
	Timeouts Timeouts
}

// Pool is the way to the workers of one DROP. At rest it holds no descriptor
// and no goroutine.
type Pool struct {
	options Options
	leaving abort.Watch

	mu     sync.Mutex
	active int                // slots taken: connections in use or being made
	kept   []*conn            // unused connections, the last used one last
	open   map[*conn]struct{} // every connection, for Close
	queue  []*waiter          // first come first served
	reaper *time.Timer        // armed while kept is not empty
	closed bool               // refuses new requests
	ended  bool               // aborts those that run
	empty  chan struct{}      // closed when closed and nothing is active any more
}

// waiter is a request that waits for a slot; it receives a kept connection,
// nil to make one, or a closed channel when the pool ends.
type waiter struct{ slot chan *conn }

// NewPool makes a pool without connecting.
func NewPool(o Options) *Pool {
	o.Workers = max(o.Workers, 1)
	o.Timeouts = o.Timeouts.withDefaults()
	return &Pool{options: o, open: make(map[*conn]struct{}), empty: make(chan struct{})}
}

// Do sends a request and reads the response's header. The caller closes the
// response; until then it leaves the request's parameters and body alone.
func (p *Pool) Do(ctx context.Context, r *Request) (*Response, error) {
	c, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if c != nil {
		now := time.Now()
		c.begin(now)
		// A safe request is sent again if the connection turns out to be closed.
		if (!r.Safe || now.Sub(c.idle) > freshIdle) && c.stale() {
			p.drop(c)
			c = nil
		}
	}
	for {
		if c == nil {
			if c, err = p.dial(ctx); err != nil {
				p.release(nil)
				return nil, err
			}
		}
		if err = r.check(); err != nil {
			p.drop(c)
			p.release(nil)
			return nil, err
		}
		response, again, err := p.exchange(ctx, c, r)
		if err == nil {
			return response, nil
		}
		again = again && c.used && ctx.Err() == nil
		p.drop(c)
		if !again {
			p.release(nil)
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		c = nil
	}
}

func (r *Request) check() error {
	if r.Check == nil {
		return nil
	}
	if err := r.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// exchange sends a request over a connection that is at its beginning; again
// says that it may be sent a second time.
func (p *Pool) exchange(ctx context.Context, c *conn, r *Request) (response *Response, again bool, err error) {
	response = &Response{pool: p, conn: c, ctx: ctx, socket: c.net}
	p.leaving.Begin(&response.exchange, ctx, c.net)
	started, err := c.send(r)
	if err == nil {
		if !c.used {
			defer p.urge(ctx, c)()
		}
		err = response.readHeader()
	}
	if err != nil {
		response.mine()
		again = !started || !c.begun && isHangUp(err) && (r.Safe || c.draining(err))
		return nil, again, err
	}
	return response, false, nil
}

// acquire takes a slot, and a kept connection where there is one.
func (p *Pool) acquire(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return nil, ErrClosed
	case p.active < p.options.Workers:
		defer p.mu.Unlock()
		p.active++
		if last := len(p.kept) - 1; last >= 0 {
			c := p.kept[last]
			p.kept = slices.Delete(p.kept, last, last+1)
			return c, nil
		}
		return nil, nil
	case len(p.queue) >= MaxQueued:
		p.mu.Unlock()
		return nil, ErrQueueFull
	}
	w := &waiter{slot: make(chan *conn, 1)}
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	return p.wait(ctx, w)
}

func (p *Pool) wait(ctx context.Context, w *waiter) (*conn, error) {
	timer := time.NewTimer(p.options.Timeouts.Queue)
	defer timer.Stop()
	var err error
	select {
	case c, granted := <-w.slot:
		if !granted {
			return nil, ErrClosed
		}
		return c, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = ErrQueueFull
	}
	p.mu.Lock()
	i := slices.Index(p.queue, w)
	if i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // a slot came at the same moment: pass it on
		if c, granted := <-w.slot; granted {
			p.release(c)
		}
	}
	return nil, err
}

// release gives a slot back, with the connection if it may be kept.
func (p *Pool) release(c *conn) {
	p.mu.Lock()
	if len(p.queue) > 0 {
		p.queue[0].slot <- c
		p.queue = slices.Delete(p.queue, 0, 1)
		p.mu.Unlock()
		return
	}
	p.active--
	discard := c != nil && p.closed
	if c != nil && !discard {
		p.kept = append(p.kept, c)
		if p.reaper == nil {
			p.reaper = time.AfterFunc(KeepIdle, p.reap)
		}
	}
	if p.closed && p.active == 0 {
		close(p.empty)
	}
	p.mu.Unlock()
	if discard {
		p.drop(c)
	}
}

// reap closes what has been kept for KeepIdle without use.
func (p *Pool) reap() {
	p.mu.Lock()
	now := time.Now()
	fresh := slices.IndexFunc(p.kept, func(c *conn) bool { return now.Sub(c.idle) < KeepIdle })
	if fresh < 0 {
		fresh = len(p.kept)
	}
	old := slices.Clone(p.kept[:fresh])
	p.kept = slices.Delete(p.kept, 0, fresh)
	p.reaper = nil
	if len(p.kept) > 0 {
		p.reaper = time.AfterFunc(KeepIdle-now.Sub(p.kept[0].idle), p.reap)
	}
	p.mu.Unlock()
	for _, c := range old {
		p.drop(c)
	}
}

func (p *Pool) dial(ctx context.Context) (*conn, error) {
	nc, err := dialSocket(ctx, p.options.Socket, p.options.Timeouts.Dial)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", ErrDial, err)
	}
	c := newConn(nc, p.options.Timeouts, p.options.Stderr)
	p.mu.Lock()
	p.open[c] = struct{}{}
	ended := p.ended
	p.mu.Unlock()
	if ended {
		p.drop(c)
		return nil, ErrClosed
	}
	c.begin(time.Now())
	return c, nil
}

// drop closes a connection for good; its slot is another matter.
func (p *Pool) drop(c *conn) {
	c.close()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// CloseIdle gives up the kept connections, so that php-fpm can be stopped
// without waiting for them.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	kept := p.kept
	p.kept = nil
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	p.mu.Unlock()
	for _, c := range kept {
		p.drop(c)
	}
}

// Drain refuses new requests and waits for those that run and those that wait.
// When ctx ends first, they are aborted and its error is returned.
func (p *Pool) Drain(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if p.active == 0 {
			close(p.empty)
		}
	}
	p.mu.Unlock()
	p.CloseIdle()
	select {
	case <-p.empty:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.ended = true
	for _, w := range p.queue {
		close(w.slot)
	}
	p.queue = nil
	for c := range p.open {
		c.net.Close() // its Response sees the error and drops it
	}
	p.mu.Unlock()
	return context.Cause(ctx)
}

// Close aborts whatever runs or waits. The pool is of no use afterwards.
func (p *Pool) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Drain(ctx) // it says that nothing was waited for
	return nil
}
