package http1

import (
	"errors"
	"io"
	"net"
	"time"
)

// A visitor's leaving shows only to whoever reads from the connection. For a
// request that lasts, the watcher starts a goroutine that does; what it reads
// is the beginning of the next request and stays in the buffer.

// States of watching.
const (
	unwatched uint32 = iota // nobody may: the handler, or nobody, has the reading side
	watchable               // the request has been read to its end and is being answered
	watched                 // a goroutine reads
)

// longAgo as a deadline ends a read.
var longAgo = time.Unix(1, 0)

// look is called by the watcher, once in LeavePeriod.
func (c *conn) look() {
	serial := c.serial.Load()
	if serial != c.seen {
		c.seen = serial
		return
	}
	if c.leaving.Load() != watchable {
		return
	}
	c.leaveMu.Lock()
	defer c.leaveMu.Unlock()
	if !c.leaving.CompareAndSwap(watchable, watched) {
		return
	}
	c.nc.SetReadDeadline(time.Time{})
	c.readDone = make(chan struct{})
	go c.readAhead(c.readDone)
}

// readAhead reads until the buffer is full or the connection fails.
func (c *conn) readAhead(done chan<- struct{}) {
	defer close(done)
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	for c.w < len(c.in) {
		n, err := c.nc.Read(c.in[c.w:])
		c.w += n
		var timeout net.Error
		switch {
		case err == nil:
			continue
		case errors.As(err, &timeout) && timeout.Timeout(): // stopWatch, or the handler's own deadline
		case err == io.EOF && c.w > c.r: // it has asked for more before, and waits for that
		default:
			c.scope.end()
		}
		return
	}
}

// stopWatch takes the reading side back and says whether the visitor has left.
func (c *conn) stopWatch() (gone bool) {
	if c.leaving.CompareAndSwap(watchable, unwatched) || c.leaving.Load() == unwatched {
		return c.scope.ended()
	}
	c.leaveMu.Lock()
	c.leaving.Store(unwatched)
	c.nc.SetReadDeadline(longAgo)
	c.leaveMu.Unlock()
	<-c.readDone
	c.setReadUntil(0)
	return c.scope.ended()
}
