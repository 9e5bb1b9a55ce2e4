package styx

import (
	"io"
	"net/http"

	"pantheon/events/problem/page"
	"pantheon/gateways/styx/upstream"
)

// phase is how far the response is.
type phase uint8

const (
	open      phase = iota // nothing has gone out
	withheld               // the attempt's response is thrown away: another one follows
	committed              // the status has gone out
	hijacked               // the connection belongs to the agent
)

// exchange is one request and its response. It is the http.ResponseWriter that
// the agent writes to, and it carries the request's context, body, choice of
// targets and times, so that all of it is one allocation.
//
// It belongs to the goroutine of the request but for watched and scope, which
// the watch may touch, and the body's counters.
type exchange struct {
	server  *Server
	under   http.ResponseWriter
	request *http.Request // as the agent sees it
	watched watched
	scope   scope
	body    body

	begun   int64 // watch time
	visitor visitor
	id      string
	upgrade string

	targets  []upstream.Target
	attempts upstream.Attempts
	reserved int // index of the target that follows a withheld response
	current  int // index of the target being asked, -1 for none
	tries    int
	refusal  error // what the last target that refused said

	phase      phase
	own        bool // the response is Styx' own
	overflow   bool // the application's headers are too large
	status     int
	written    int64
	wasted     int64 // bytes thrown away while withheld
	writeMoved int64 // watch time of the last move of the write deadline
	outcome    outcome

	values [4]string // backing of the header values that differ by request
	chunk  io.LimitedReader
}

// value gives s as a header's value without allocating.
func (e *exchange) value(i int, s string) []string {
	e.values[i] = s
	return e.values[i : i+1 : i+1]
}

// Unwrap lets http.ResponseController reach the connection.
func (e *exchange) Unwrap() http.ResponseWriter { return e.under }

// Header is the response's.
func (e *exchange) Header() http.Header { return e.under.Header() }

// rewind starts the clock anew: of the attempt while no status has gone out,
// of the application's silence after that.
func (e *exchange) rewind() {
	watch, o := &e.server.watch, &e.server.options
	switch clock(e.watched.clock.Load()) {
	case awaitsStatus:
		e.watched.due.Store(min(watch.after(o.FirstByte), e.chainBegun()+int64(o.Chain)))
	case awaitsBytes:
		e.watched.due.Store(watch.after(o.BetweenBytes))
	case awaitsNothing:
		e.watched.due.Store(never)
	}
}

// chainBegun is when the request had arrived as a whole.
func (e *exchange) chainBegun() int64 { return max(e.begun, e.body.finished.Load()) }

// answer sends one of Styx' own pages, unless something has gone out already.
func (e *exchange) answer(p page.Page) {
	if e.phase == committed || e.phase == hijacked {
		return
	}
	clear(e.under.Header())
	e.phase, e.own = open, true
	e.server.metrics.pages.WithLabelValues(p.Title()).Inc()
	p.Write(e, e.id)
}

// forget makes the writer fresh for another attempt.
func (e *exchange) forget() {
	clear(e.under.Header())
	e.phase, e.wasted = open, 0
}
