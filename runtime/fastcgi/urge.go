package fastcgi

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// urge makes php-fpm look for a worker for a new connection, until one reads
// from it or stop is called.
//
// With pm = ondemand php-fpm looks when a connection comes, and at no other
// time, whether a worker is idle or one is to be forked. Of two that come while
// one worker is born, the second is left to that worker; and as the pool keeps
// its connections, the worker stays with the first as long as there are
// visitors. The same happens to one that comes while a retired worker still
// counts. A connection that is closed at once makes php-fpm look again, and costs
// a worker an accept.
func (p *Pool) urge(ctx context.Context, c *conn) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for wait := urgeFirst; ; wait = min(2*wait, urgeLast) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if !c.unread() {
				return
			}
			if further, err := dialSocket(ctx, p.options.Socket, p.options.Timeouts.Dial); err == nil {
				_ = further.Close() // nothing was sent
			}
		}
	}()
	return cancel
}

// unread says whether a part of what was sent has not been read yet.
func (c *conn) unread() bool {
	if c.raw == nil {
		return false
	}
	left := 0
	err := c.raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return err == nil && left > 0
}
