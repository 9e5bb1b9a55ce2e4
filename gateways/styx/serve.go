package styx

import (
	"context"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/gateways/styx/upstream"
	"pantheon/projections/routing"
)

// healthPath is answered by the router, after waking the environment.
const healthPath = "/pantheon_healthcheck"

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := s.newExchange(w, r)
	inFlight := s.watch.count.Add(1)
	s.watch.add(e)
	defer s.end(e)
	if p, refused := s.admit(e, inFlight); refused {
		e.outcome = paged
		e.answer(p)
		return
	}
	s.route(e)
}

func (s *Server) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	number := s.sequence.Add(1)
	var id [40]byte
	e := &exchange{
		server: s, under: w, begun: s.watch.now(), current: -1, reserved: -1,
		id:      string(strconv.AppendUint(append(id[:0], s.run...), number, 16)),
		visitor: s.identify(r),
	}
	e.writeMoved = e.begun // the server below has seen to the deadline
	e.scope.parent = r.Context()
	e.watched.shard = uint32(number % watchShards)
	e.request = r.WithContext(&e.scope)
	e.watched.due.Store(never) // until the first attempt
	return e
}

// admit brings the request into the form in which the application sees it, or
// says which page refuses it.
func (s *Server) admit(e *exchange, inFlight int64) (page.Page, bool) {
	r := e.request
	if r.Body != nil && r.Body != http.NoBody {
		e.takeBody()
	}
	e.upgrade = upgradeOf(r)
	size := clean(r.Header, e.visitor.trusted) + len(r.RequestURI) + len(r.Host)
	s.announce(e, r.Header)
	switch {
	case inFlight > int64(s.options.MaxRequests):
		s.metrics.refused.WithLabelValues("requests").Inc()
		return page.ServiceUnavailable, true
	case size > s.options.MaxHeaderBytes:
		s.metrics.refused.WithLabelValues("header").Inc()
		return page.HeaderTooLarge, true
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return page.MethodNotAllowed, true
	case r.ContentLength > s.options.MaxBodyBytes:
		s.metrics.refused.WithLabelValues("body").Inc()
		return page.ContentTooLarge, true
	case len(r.URL.Path) == 0 && !r.URL.IsAbs(), len(r.URL.Path) > 0 && r.URL.Path[0] != '/':
		return page.BadRequest, true
	}
	if r.URL.IsAbs() { // RFC 9112 §3.2.2: the target's host has replaced Host
		target := *r.URL
		target.Scheme, target.Host, target.User = "", "", nil
		if target.Path == "" {
			target.Path = "/"
		}
		r.URL, r.RequestURI = &target, target.RequestURI()
	}
	return page.Page{}, false
}

// announce sets the headers that tell the application who the visitor is.
func (s *Server) announce(e *exchange, h http.Header) {
	v := &e.visitor
	h[headerRequestID] = e.value(0, e.id)
	h[headerForwardedFor] = e.value(1, v.chain)
	h[headerClientIP] = e.value(2, v.client)
	if v.https {
		h[headerForwardedProto], h[headerUserAgentHTTPS], h[headerSSL] = valueHTTPS, valueOn, valueOn
	} else {
		h[headerForwardedProto], h[headerUserAgentHTTPS] = valueHTTP, valueOff
		delete(h, headerSSL)
	}
	if v.client != v.chain {
		e.request.RemoteAddr = joinPort(v.client)
	}
	delete(h, headerCookiesDropped)
	if dropCookies(h) {
		h[headerCookiesDropped] = valueOne
	}
	if e.upgrade != "" {
		h["Connection"] = []string{"Upgrade"}
		h["Upgrade"] = []string{e.upgrade}
	}
}

// joinPort gives an address the form of http.Request.RemoteAddr. The port of
// a visitor behind a proxy is not known.
func joinPort(address string) string {
	for i := range len(address) {
		if address[i] == ':' {
			return "[" + address + "]:0"
		}
	}
	return address + ":0"
}

// route finds where the request goes.
func (s *Server) route(e *exchange) {
	host, valid := hostOf(e.request.Host)
	if !valid && e.request.Host != "" {
		e.outcome = paged
		e.answer(page.BadRequest)
		return
	}
	route, found := s.options.Routes.Lookup(host)
	if !found || route == nil {
		e.outcome = paged
		e.answer(page.UnknownSite)
		return
	}
	if p, closed := statePage(route.State); closed {
		e.outcome = paged
		e.answer(p)
		return
	}
	e.targets = route.Targets()
	if e.request.URL.Path == healthPath && (e.request.Method == http.MethodGet || e.request.Method == http.MethodHead) {
		s.check(e)
		return
	}
	s.forward(e, host)
}

// forward tries one target after the other. If all refuse, the route is looked
// up once more: it may have changed while they did.
func (s *Server) forward(e *exchange, host string) {
	refreshed := false
	for {
		target, ok := s.next(e)
		if !ok && !refreshed {
			refreshed = true
			if fresh, found := s.options.Routes.Lookup(host); found && fresh != nil &&
				fresh.State == routing.Serving && !slices.Equal(fresh.Targets(), e.targets) {
				e.targets, e.attempts = fresh.Targets(), upstream.Attempts{}
				continue
			}
		}
		if !ok {
			e.outcome = paged
			e.answer(pageOf(e.refusal))
			return
		}
		if done := s.settle(e, s.attempt(e, target)); done {
			return
		}
	}
}

// next gives the target that a withheld response has reserved, or chooses one.
func (s *Server) next(e *exchange) (upstream.Target, bool) {
	index := e.reserved
	e.reserved = -1
	if index < 0 {
		var ok bool
		if index, ok = s.choose(e); !ok {
			return upstream.Target{}, false
		}
	}
	e.current = index
	return e.targets[index], true
}

func (s *Server) choose(e *exchange) (index int, ok bool) {
	memory := s.memory.Load()
	var now time.Time
	if memory.Len() > 0 {
		now = time.Now()
	}
	return e.attempts.Next(e.targets, memory, &s.load, now, rand.Uint64())
}

func (s *Server) attempt(e *exchange, target upstream.Target) error {
	outstanding := s.load.of(target.Drop)
	outstanding.Add(1)
	defer outstanding.Add(-1)
	e.tries++
	e.rewind()
	return s.options.Agent.ServeDrop(e, e.request, target.Drop, target.Host)
}

// settle looks at how an attempt ended and says whether the request is done
// with. It is not if another target shall be tried.
func (s *Server) settle(e *exchange, err error) (done bool) {
	switch {
	case e.phase == committed || e.phase == hijacked:
		e.outcome = served
		if err != nil {
			e.breakOff()
		}
		return true
	case s.stopped(e):
		return true
	case e.phase == withheld: // a status that goes elsewhere
		s.metrics.statusRetry.Inc()
		e.forget()
		return !s.replay(e)
	case err == nil:
		e.commit(http.StatusOK)
		return true
	}
	return s.refuse(e, err)
}

// stopped answers a request that cannot go on whatever the target said: the
// visitor's fault, or time is up.
func (s *Server) stopped(e *exchange) bool {
	e.outcome = paged
	switch {
	case e.body.tooLarge.Load():
		s.metrics.refused.WithLabelValues("body").Inc()
		e.answer(page.ContentTooLarge)
	case e.overflow:
		e.answer(page.HeaderOverflow)
	case e.body.late.Load():
		e.answer(page.RequestTimeout)
	case e.watched.overdue.Load():
		e.answer(s.overduePage(e))
	case e.scope.parent.Err() != nil:
		e.leave()
	default:
		e.outcome = served
		return false
	}
	return true
}

// leave ends a request whose visitor has left, so that no empty 200 is sent.
func (e *exchange) leave() {
	e.outcome, e.status = abandoned, statusAbandoned
	panic(http.ErrAbortHandler)
}

// breakOff ends a response that is not complete, so that the visitor sees it.
func (e *exchange) breakOff() {
	e.outcome = broken
	if e.scope.parent.Err() != nil {
		e.outcome = abandoned
	}
	if e.phase == committed {
		panic(http.ErrAbortHandler)
	}
}

// overduePage tells which time-out it was.
func (s *Server) overduePage(e *exchange) page.Page {
	if e.chainOver() {
		return page.GatewayTimeout
	}
	return page.FirstByteTimeout
}

// refuse handles a target that did not take the request.
func (s *Server) refuse(e *exchange, err error) (done bool) {
	s.refused(e, err)
	e.forget()
	if !upstream.Retryable(e.rules(), upstream.Result{Refused: true}) || !s.replay(e) {
		e.outcome = paged
		e.answer(pageOf(err))
		return true
	}
	s.metrics.refusals.Inc()
	return false
}

// refused remembers that the current target did not take the request.
func (s *Server) refused(e *exchange, err error) {
	e.refusal = err
	if problem.KindOf(err) != problem.Busy { // a full queue is no failed connection
		s.failed(e.targets[e.current].Drop)
	}
}

// rules gives what package upstream needs to know of the request.
func (e *exchange) rules() upstream.Request {
	return upstream.Request{Method: e.request.Method, BodySpent: e.body.spent.Load() && e.request.GetBody == nil}
}

// replay makes the body readable again for another attempt.
func (s *Server) replay(e *exchange) bool {
	if e.body.exchange == nil || !e.body.spent.Load() {
		return true
	}
	again, err := e.request.GetBody()
	if err != nil {
		return false
	}
	e.request.Body = again
	return true
}

// replaces says whether a response with this status is thrown away because
// another target shall answer, and reserves that target. It also remembers
// the failure.
func (s *Server) replaces(e *exchange, status int) bool {
	result := upstream.Result{Status: status}
	if upstream.CountsAgainst(result) {
		s.failed(e.targets[e.current].Drop)
	}
	if !upstream.Retryable(e.rules(), result) || e.chainOver() {
		return false
	}
	index, ok := s.choose(e)
	if ok {
		e.reserved = index
	}
	return ok
}

// chainOver says that the time for all attempts is up.
func (e *exchange) chainOver() bool {
	return e.server.watch.now()-e.chainBegun() >= int64(e.server.options.Chain)
}

// check wakes the environment and says that it is up.
func (s *Server) check(e *exchange) {
	e.outcome = checked
	for {
		target, ok := s.next(e)
		if !ok {
			s.metrics.wakes.WithLabelValues("failed").Inc()
			e.answer(pageOf(e.refusal))
			return
		}
		e.tries++
		e.rewind()
		err := s.options.Agent.Ping(&e.scope, target.Drop, target.Host)
		switch {
		case err == nil:
			s.metrics.wakes.WithLabelValues("ok").Inc()
			e.answerOK()
			return
		case e.watched.overdue.Load():
			s.metrics.wakes.WithLabelValues("failed").Inc()
			e.answer(page.TargetNotResponding)
			return
		case e.scope.parent.Err() != nil:
			e.leave()
		}
		s.refused(e, err)
	}
}

// answerOK is the health check's answer.
func (e *exchange) answerOK() {
	e.own = true
	h := e.Header()
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Content-Length"] = []string{"3"}
	h["Cache-Control"] = []string{"max-age=0"}
	if e.begin() && e.request.Method != http.MethodHead {
		_, _ = e.WriteString("OK\n") // a visitor who left needs no answer
	}
}

// end takes the request out of the list, counts and logs it. It must be
// deferred: it deals with a panic below.
func (s *Server) end(e *exchange) {
	caught := recover()
	if caught != nil && caught != http.ErrAbortHandler {
		s.metrics.panics.Inc()
		s.options.Logger.Error("internal error: a request panicked", "request", e.id, "panic", caught, "stack", string(debug.Stack()))
		if e.phase == committed || e.phase == hijacked {
			caught = http.ErrAbortHandler
		} else {
			e.outcome = paged
			e.answer(page.InternalError)
			caught = nil
		}
	}
	s.watch.remove(e)
	e.scope.release()
	s.watch.count.Add(-1)
	if caught != nil && e.outcome != abandoned {
		e.outcome = broken
	}
	now := time.Now()
	duration := now.Sub(s.watch.epoch) - time.Duration(e.begun)
	s.metrics.ended(e.outcome, e.status, duration.Seconds())
	s.logRequest(e, now, duration)
	if caught != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) logRequest(e *exchange, now time.Time, duration time.Duration) {
	if s.log == nil {
		return
	}
	drop := "-"
	if e.current >= 0 {
		drop = string(e.targets[e.current].Drop)
	}
	r := e.request
	s.log.add(&record{
		at: now, visitor: e.visitor, method: r.Method, uri: r.RequestURI, proto: r.Proto, host: r.Host,
		status: e.status, bytes: e.written, referer: r.Header.Get("Referer"), agent: r.Header.Get("User-Agent"),
		duration: duration, id: e.id, drop: drop, attempts: e.tries,
	})
}

var _ context.Context = (*scope)(nil)
