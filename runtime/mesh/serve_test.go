package mesh_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/mesh"
	"pantheon/runtime/mesh/mux"
)

func request(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	r.Host, r.RemoteAddr = "live-shop.pantheon.localhost", "192.0.2.7:4711"
	return r
}

func TestRequestOnAnotherMachineIsTheSameRequest(t *testing.T) {
	c := newCell(t)
	sent := request("POST", "/a%2Fb/ü?x=%20y&z", strings.NewReader("name=value"))
	sent.Header = http.Header{"Cookie": {"a=1", "b=2"}, "X-Empty": {""}, "User-Agent": {"test"}, "X-Styx-Req-Id": {"7"}}
	sent.TLS = &tls.ConnectionState{}
	c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "name=value" || r.ContentLength != 10 {
			t.Errorf("body %q, length %d, %v", body, r.ContentLength, err)
		}
		got := fmt.Sprint(r.Method, r.RequestURI, r.URL, r.Host, r.Proto, r.ProtoMajor, r.ProtoMinor, r.RemoteAddr, r.Header, r.TLS != nil)
		want := fmt.Sprint(sent.Method, sent.RequestURI, sent.URL, sent.Host, sent.Proto, sent.ProtoMajor, sent.ProtoMinor, sent.RemoteAddr, sent.Header, true)
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		_, err = io.WriteString(w, "hello")
		return err
	}))
	here := c.start(alpha)
	w := httptest.NewRecorder()
	if err := here.ServeDrop(w, sent, dropID, beta); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusTeapot || w.Body.String() != "hello" || fmt.Sprint(w.Header()) != "map[Set-Cookie:[a=1 b=2]]" {
		t.Error(w.Code, w.Body, w.Header())
	}
	if again, err := sent.GetBody(); err != nil {
		t.Error(err)
	} else if body, _ := io.ReadAll(again); string(body) != "name=value" {
		t.Error("the body cannot be sent to another DROP")
	}
}

func TestOwnDropIsServedHere(t *testing.T) {
	c := newCell(t)
	here := c.start(alpha, serving(func(w http.ResponseWriter, _ *http.Request) error {
		if _, direct := w.(*httptest.ResponseRecorder); !direct {
			t.Errorf("%T is between", w)
		}
		return nil
	}))
	if err := here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, alpha); err != nil {
		t.Error(err)
	}
	if err := here.Ping(t.Context(), dropID, alpha); err != nil {
		t.Error(err)
	}
}

// TestRefusalKeepsItsKind: the router chooses its page by it, or another DROP.
func TestRefusalKeepsItsKind(t *testing.T) {
	c := newCell(t)
	var kind atomic.Value
	c.start(beta, serving(func(http.ResponseWriter, *http.Request) error {
		return problem.New(kind.Load().(problem.Kind), "cannot take the request").WithHint("elsewhere")
	}))
	here := c.start(alpha)
	for _, k := range []problem.Kind{problem.Busy, problem.Conflict, problem.Unavailable, problem.Invalid, problem.NotFound, problem.Internal} {
		kind.Store(k)
		w := &strict{ResponseRecorder: httptest.NewRecorder()}
		err := here.ServeDrop(w, request("GET", "/", nil), dropID, beta)
		if problem.KindOf(err) != k || problem.HintOf(err) != "elsewhere" || err.Error() != "cannot take the request" || w.wrote {
			t.Errorf("%v: %v, wrote %v", k, err, w.wrote)
		}
	}
	err := here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), events.DropID(strings.Repeat("0", 32)), beta)
	if problem.KindOf(err) != problem.NotFound {
		t.Error(err)
	}
}

// strict knows whether anything was written.
type strict struct {
	*httptest.ResponseRecorder
	wrote bool
}

func (s *strict) WriteHeader(status int) { s.wrote = true; s.ResponseRecorder.WriteHeader(status) }

func TestLargeBodiesStreamBothWays(t *testing.T) {
	c := newCell(t)
	c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(w, r.Body)
		return err
	}))
	here := c.start(alpha)
	content := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for _, known := range []bool{true, false} {
		r := request("PUT", "/", bytes.NewReader(content))
		if !known {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		if err := here.ServeDrop(w, r, dropID, beta); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.Body.Bytes(), content) {
			t.Errorf("%d bytes came back of %d", w.Body.Len(), len(content))
		}
	}
}

// TestFlushedBytesDoNotWait: a page that trickles is seen to trickle.
// TestWholeResponseDoesNotWaitForTheHandler: a body that has the announced
// length is the end, whatever the handler still does.
func TestWholeResponseDoesNotWaitForTheHandler(t *testing.T) {
	c := newCell(t)
	seen, over := make(chan struct{}), make(chan error, 1)
	c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Length", "5")
		if n, err := io.WriteString(w, "hello"); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		select {
		case <-seen:
		case <-r.Context().Done():
			t.Error("the response waits for its handler")
		}
		_, err := io.WriteString(w, "!")
		over <- err
		return nil
	}))
	here := c.start(alpha)
	w := httptest.NewRecorder()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := here.ServeDrop(w, request("GET", "/", nil).WithContext(ctx), dropID, beta); err != nil || w.Body.String() != "hello" {
		t.Errorf("%q, %v", w.Body, err)
	}
	close(seen)
	if err := <-over; !errors.Is(err, http.ErrContentLength) {
		t.Errorf("more than the announced length: %v", err)
	}
}

func TestFlushedBytesDoNotWait(t *testing.T) {
	c := newCell(t)
	goOn := make(chan struct{})
	c.start(beta, serving(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		for i := range 3 {
			fmt.Fprintf(w, "part %d;", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			<-goOn
		}
		return nil
	}))
	here := c.start(alpha)
	w := &trickle{header: http.Header{}, parts: make(chan string, 3)}
	done := make(chan error)
	go func() { done <- here.ServeDrop(w, request("GET", "/", nil), dropID, beta) }()
	for i := range 3 {
		if part := <-w.parts; part != fmt.Sprintf("part %d;", i) {
			t.Error(part)
		}
		goOn <- struct{}{}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if fmt.Sprint(w.statuses) != "[103 200]" {
		t.Error(w.statuses)
	}
}

// trickle gives what was written when it is flushed.
type trickle struct {
	header   http.Header
	statuses []int
	buffer   bytes.Buffer
	parts    chan string
}

func (w *trickle) Header() http.Header         { return w.header }
func (w *trickle) WriteHeader(status int)      { w.statuses = append(w.statuses, status) }
func (w *trickle) Write(p []byte) (int, error) { return w.buffer.Write(p) }
func (w *trickle) Flush() {
	w.parts <- w.buffer.String()
	w.buffer.Reset()
}

func TestVisitorWhoLeavesIsNoticed(t *testing.T) {
	c := newCell(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	c.start(beta, serving(func(_ http.ResponseWriter, r *http.Request) error {
		close(began)
		<-r.Context().Done()
		ended <- r.Context().Err()
		return r.Context().Err()
	}))
	here := c.start(alpha)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil).WithContext(ctx), dropID, beta)
	}()
	<-began
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("PHP went on")
	}
}

// TestResponseThatBreaksOffIsAnError, whether the agent says so or panics as
// the web server of a DROP does.
func TestResponseThatBreaksOffIsAnError(t *testing.T) {
	c := newCell(t)
	c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.WriteString(w, "half of ")
		switch r.URL.Path {
		case "/abort":
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return problem.New(problem.Unavailable, "PHP hung up")
	}))
	here := c.start(alpha)
	for _, path := range []string{"/abort", "/error"} {
		w := httptest.NewRecorder()
		if err := here.ServeDrop(w, request("GET", path, nil), dropID, beta); err == nil || w.Body.String() != "half of " {
			t.Errorf("%s: %q, %v", path, w.Body, err)
		}
	}
}

// TestPanicBeforeTheResponseIsAPage: PHP may have begun, so it is no refusal.
func TestPanicBeforeTheResponseIsAPage(t *testing.T) {
	c := newCell(t)
	c.start(beta, serving(func(http.ResponseWriter, *http.Request) error { panic("a bug") }))
	here := c.start(alpha)
	w := httptest.NewRecorder()
	if err := here.ServeDrop(w, request("GET", "/", nil), dropID, beta); err != nil || w.Code != http.StatusBadGateway {
		t.Error(w.Code, err)
	}
}

// TestRequestIsNeverSentTwice: the machine dies while it answers. The router
// gets a 502, which it repeats only where it may.
func TestRequestIsNeverSentTwice(t *testing.T) {
	c := newCell(t)
	var served atomic.Int64
	began := make(chan struct{}, 10)
	there := c.start(beta, serving(func(_ http.ResponseWriter, r *http.Request) error {
		served.Add(1)
		began <- struct{}{}
		<-r.Context().Done()
		return r.Context().Err()
	}))
	relay := newRelay(t, there.address)
	c.set(beta, relay.address())
	here := c.start(alpha)
	w := httptest.NewRecorder()
	done := make(chan error)
	go func() { done <- here.ServeDrop(w, request("POST", "/order", strings.NewReader("one")), dropID, beta) }()
	<-began
	relay.cut()
	if err := <-done; err != nil || w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "Routing Failure") {
		t.Error(w.Code, err)
	}
	if n := served.Load(); n != 1 {
		t.Errorf("served %d times", n)
	}
}

// TestSafeRequestIsSentAgain, once, when its connection is lost before the response
// has begun.
func TestSafeRequestIsSentAgain(t *testing.T) {
	c := newCell(t)
	var served atomic.Int64
	began := make(chan struct{}, 10)
	there := c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		if served.Add(1)%2 == 0 {
			_, err := io.WriteString(w, "hello")
			return err
		}
		began <- struct{}{}
		<-r.Context().Done()
		return r.Context().Err()
	}))
	relay := newRelay(t, there.address)
	c.set(beta, relay.address())
	here := c.start(alpha)
	for _, method := range []string{"GET", "HEAD"} {
		w := httptest.NewRecorder()
		done := make(chan error)
		go func() { done <- here.ServeDrop(w, request(method, "/", nil), dropID, beta) }()
		<-began
		relay.reset()
		if err := <-done; err != nil || w.Code != http.StatusOK {
			t.Error(method, w.Code, err)
		}
	}
	if n := served.Load(); n != 4 {
		t.Errorf("served %d times", n)
	}
}

// TestMachineThatCannotBeReached: nothing was sent, so the router may go on.
func TestMachineThatCannotBeReached(t *testing.T) {
	c := newCell(t)
	here := c.start(alpha)
	for name, addresses := range map[string][]string{"no address": nil, "nobody there": {"127.0.0.1:1"}} {
		c.set(beta, addresses...)
		w := &strict{ResponseRecorder: httptest.NewRecorder()}
		if err := here.ServeDrop(w, request("GET", "/", nil), dropID, beta); problem.KindOf(err) != problem.Unavailable || w.wrote {
			t.Error(name, err)
		}
	}
	until(t, func() bool {
		all := here.Peers()
		return len(all) == 1 && all[0].Host == beta && !all[0].Connected && all[0].Failures > 0 && all[0].Last != nil
	})
}

// TestMachineThatComesBackIsReachedAgain without being asked for.
func TestMachineThatComesBackIsReachedAgain(t *testing.T) {
	c := newCell(t)
	hello := serving(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "hello")
		return err
	})
	there := c.start(beta, hello)
	here := c.start(alpha)
	if err := here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, beta); err != nil {
		t.Fatal(err)
	}
	there.stop()
	until(t, func() bool { return !here.Peers()[0].Connected })
	c.start(beta, hello)
	until(t, func() bool { return here.Peers()[0].Connected })
	if err := here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, beta); err != nil {
		t.Error(err)
	}
}

// TestOneConnectionForAPair: both ask at once, many times; requests go both
// ways over what is there.
func TestOneConnectionForAPair(t *testing.T) {
	c := newCell(t)
	hello := func(o *mesh.Options) {
		o.Tick = 100 * time.Millisecond // the ticks' pings show that the line is alive
		serving(func(w http.ResponseWriter, _ *http.Request) error { return nil })(o)
	}
	a, b := c.start(alpha, hello), c.start(beta, hello)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := a.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, beta); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := b.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, alpha); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	until(t, func() bool { return a.Links(beta) == 1 && b.Links(alpha) == 1 })
	if err := b.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, alpha); err != nil {
		t.Error(err)
	}
}

// TestStoppingLetsRequestsEnd: what is in flight is answered, what comes later
// is refused without having been sent.
func TestStoppingLetsRequestsEnd(t *testing.T) {
	c := newCell(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	there := c.start(beta, serving(func(w http.ResponseWriter, _ *http.Request) error {
		close(began)
		<-goOn
		_, err := io.WriteString(w, "whole")
		return err
	}))
	here := c.start(alpha)
	w := httptest.NewRecorder()
	done := make(chan error)
	go func() { done <- here.ServeDrop(w, request("GET", "/", nil), dropID, beta) }()
	<-began
	stopped := make(chan struct{})
	go func() { there.stop(); close(stopped) }()
	until(t, func() bool { return !here.Peers()[0].Connected })
	strict := &strict{ResponseRecorder: httptest.NewRecorder()}
	if err := here.ServeDrop(strict, request("GET", "/", nil), dropID, beta); problem.KindOf(err) != problem.Unavailable || strict.wrote {
		t.Error(err)
	}
	close(goOn)
	if err := <-done; err != nil || w.Body.String() != "whole" {
		t.Error(w.Body, err)
	}
	<-stopped
}

func TestHeaderThatIsTooLargeIsRefusedHere(t *testing.T) {
	c := newCell(t)
	c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/long-answer" {
			w.Header().Set("X-Long", strings.Repeat("x", mux.MaxHeadBytes))
		}
		return nil
	}))
	here := c.start(alpha)
	r := request("GET", "/", nil)
	r.Header.Set("X-Long", strings.Repeat("x", mux.MaxHeadBytes))
	if err := here.ServeDrop(httptest.NewRecorder(), r, dropID, beta); problem.KindOf(err) != problem.Invalid {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	if err := here.ServeDrop(w, request("GET", "/long-answer", nil), dropID, beta); err == nil && w.Code == 200 {
		t.Error("the answer arrived")
	}
	if err := here.ServeDrop(httptest.NewRecorder(), request("GET", "/", nil), dropID, beta); err != nil {
		t.Error("the connection did not survive:", err)
	}
}

// TestUploadThatNobodyWantsEnds: the visitor is silent in the middle of it.
func TestUploadThatNobodyWantsEnds(t *testing.T) {
	c := newCell(t)
	c.start(beta, serving(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return nil
	}))
	here := c.start(alpha)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := here.ServeDrop(w, r, dropID, beta); err != nil {
			t.Error(err)
		}
	}))
	defer front.Close()
	visitor, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer visitor.Close()
	fmt.Fprintf(visitor, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nand then nothing")
	answer, err := io.ReadAll(visitor)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
		t.Error(string(answer), err)
	}
}

// relay is a line that can be cut.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	all      sync.WaitGroup
}

func newRelay(t testing.TB, to string) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener}
	r.all.Go(func() {
		for {
			a, err := listener.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, a, b)
			r.mu.Unlock()
			r.all.Go(func() { _, _ = io.Copy(a, b); a.Close() })
			r.all.Go(func() { _, _ = io.Copy(b, a); b.Close() })
		}
	})
	t.Cleanup(func() { r.cut(); r.all.Wait() })
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

// cut ends it.
func (r *relay) cut() {
	r.listener.Close()
	r.reset()
}

// reset ends what goes through it now.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.Close()
	}
}
