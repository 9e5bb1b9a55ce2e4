package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/events/problem"
)

func TestKeptConnectionsNeverExceedWorkers(t *testing.T) {
	f := startFake(t, says(hello, true))
	p := poolFor(t, f, Options{Workers: 3})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			r, err := p.Do(t.Context(), get())
			if err != nil {
				t.Error(err)
				return
			}
			if body, err := all(r); body != "hello" || err != nil {
				t.Errorf("%q %v", body, err)
			}
		})
	}
	wg.Wait()
	if most := f.most.Load(); most > 3 {
		t.Errorf("%d connections for 3 workers", most)
	}
	if f.requests.Load() != 40 {
		t.Errorf("%d requests", f.requests.Load())
	}
}

func TestFaults(t *testing.T) {
	const short = 50 * time.Millisecond
	silent := func(s string) func(net.Conn, int) bool {
		return func(c net.Conn, _ int) bool { io.WriteString(c, s); io.Copy(io.Discard, c); return false }
	}
	for name, test := range map[string]struct {
		script func(net.Conn, int) bool
		want   error
		body   string // what arrived before
	}{
		"hangs up at once":          {says("", false), ErrHungUp, ""},
		"hangs up in the header":    {says(record(typeStdout, "Content-Ty"), false), ErrHungUp, ""},
		"hangs up in the body":      {says(record(typeStdout, head+"hel"), false), ErrHungUp, "hel"},
		"hangs up in a record":      {says(record(typeStdout, head+"hel")[:38], false), ErrHungUp, "he"},
		"version":                   {says("\x02"+hello[1:], false), ErrMalformed, ""},
		"foreign request":           {says(hello[:3]+"\x07"+hello[4:], false), ErrMalformed, ""},
		"record type":               {says(record(9, "x"), false), ErrMalformed, ""},
		"unknown management record": {says(record(11, "12345678"), false), ErrMalformed, ""},
		"short END_REQUEST":         {says(record(typeStdout, head)+record(typeEnd, "123"), false), ErrMalformed, ""},
		"END_REQUEST first":         {says(endOf(statusComplete), false), ErrMalformed, ""},
		"unknown protocol status":   {says(record(typeStdout, head)+endOf(9), false), ErrMalformed, ""},
		"overloaded":                {says(endOf(statusOverloaded), false), ErrOverloaded, ""},
		"no field":                  {says(record(typeStdout, "what is this\r\n\r\n"), false), ErrMalformed, ""},
		"folded field":              {says(record(typeStdout, "A: b\r\n c\r\n\r\n"), false), ErrMalformed, ""},
		"control character":         {says(record(typeStdout, "A: b\x00c\r\n\r\n"), false), ErrMalformed, ""},
		"bare carriage return":      {says(record(typeStdout, "A: b\rC: d\r\n\r\n"), false), ErrMalformed, ""},
		"interim status":            {says(record(typeStdout, "Status: 103 Early Hints\r\n\r\n"), false), ErrMalformed, ""},
		"status":                    {says(record(typeStdout, "Status: fine\r\n\r\n"), false), ErrMalformed, ""},
		"header too big":            {says(strings.Repeat(record(typeStdout, "A: "+strings.Repeat("b", 9000)+"\r\n"), 9), false), ErrHeaderTooBig, ""},
		"header without end":        {says(strings.Repeat(record(typeStdout, strings.Repeat("b", 60000)), 2), false), ErrHeaderTooBig, ""},
		"too many fields":           {says(record(typeStdout, strings.Repeat("A: b\r\n", MaxHeaderLines+1)+"\r\n"), false), ErrHeaderTooBig, ""},
		"no first byte":             {silent(""), ErrFirstByte, ""},
		"pause in the header":       {silent(record(typeStdout, "A: b\r\n")), ErrTimeout, ""},
		"pause in the body":         {silent(record(typeStdout, head+"hel")), ErrTimeout, "hel"},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, test.script)
			timeouts := Timeouts{FirstByte: time.Minute, BetweenBytes: time.Minute} // whoever is only slow is waited for
			switch test.want {
			case ErrFirstByte:
				timeouts.FirstByte = short
			case ErrTimeout:
				timeouts.BetweenBytes = short
			}
			p := poolFor(t, f, Options{Workers: 1, Timeouts: timeouts})
			var body string
			r, err := p.Do(t.Context(), post("x"))
			if err == nil {
				body, err = all(r)
			}
			if !errors.Is(err, test.want) || body != test.body {
				t.Fatalf("%q, %v; want %q, %v", body, err, test.body, test.want)
			}
			eventually(t, "the connection is dropped", func() bool { return f.connections.Load() == 0 })
			if p.active != 0 || len(p.open) != 0 {
				t.Error("a slot or a connection is lost")
			}
		})
	}
}

func TestTotalTimeEndsADrip(t *testing.T) {
	f := startFake(t, func(c net.Conn, _ int) bool {
		io.WriteString(c, record(typeStdout, head))
		for {
			if _, err := io.WriteString(c, record(typeStdout, "")); err != nil {
				return false
			}
		}
	})
	p := poolFor(t, f, Options{Timeouts: Timeouts{Total: 100 * time.Millisecond}})
	r, err := p.Do(t.Context(), get())
	if err == nil {
		_, err = all(r)
	}
	if !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
}

func TestHeaderInSinglePieces(t *testing.T) {
	text := "Status: 404 Not Found\r\nX-A: 1\r\nx-a: 2\r\n\r\nbody"
	f := startFake(t, func(c net.Conn, _ int) bool {
		for i := range text {
			io.WriteString(c, string(appendHeader(nil, typeStdout, 1, 3))+text[i:i+1]+"...")
			io.WriteString(c, record(typeStderr, "e"))
		}
		io.WriteString(c, endOf(statusComplete))
		return true
	})
	var lines []string
	p := poolFor(t, f, Options{Stderr: func(line string) { lines = append(lines, line) }})
	r, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 404 || fmt.Sprint(r.Header) != "map[X-A:[1 2]]" {
		t.Errorf("%d %v", r.Status, r.Header)
	}
	if body, err := all(r); body != "body" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	if len(lines) != 1 || lines[0] != strings.Repeat("e", len(text)) {
		t.Errorf("%q", lines)
	}
}

func TestStderrIsBounded(t *testing.T) {
	flood := strings.Repeat(record(typeStderr, strings.Repeat("x", 10_000)+"\n"), 100)
	f := startFake(t, says(flood+hello, true))
	taken, longest := 0, 0
	p := poolFor(t, f, Options{Stderr: func(line string) { taken += len(line); longest = max(longest, len(line)) }})
	r, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	all(r)
	if taken == 0 || taken > MaxStderrBytes || longest > MaxStderrLineBytes {
		t.Errorf("%d bytes, longest %d", taken, longest)
	}
}

func TestStaleConnectionIsReplaced(t *testing.T) {
	f := startFake(t, func(c net.Conn, n int) bool { io.WriteString(c, hello); return n > 1 })
	p := poolFor(t, f, Options{Workers: 1})
	for range 3 { // the first connection is closed behind its response
		r, err := p.Do(t.Context(), post("x"))
		if err != nil {
			t.Fatal(err)
		}
		all(r)
		if f.requests.Load() == 1 {
			eventually(t, "the worker is gone", func() bool { return f.connections.Load() == 0 })
		}
	}
	if f.requests.Load() != 3 {
		t.Errorf("%d requests", f.requests.Load())
	}
}

// A worker that dies with a request it has taken: only what is safe is sent
// again, and only once.
func TestRepeatsOnlyWhatIsSafe(t *testing.T) {
	for _, test := range []struct {
		request *Request
		tries   int64
	}{{get(), 3}, {post("x"), 2}} {
		f := startFake(t, func(c net.Conn, n int) bool {
			if n == 1 {
				io.WriteString(c, hello)
			}
			return n == 1
		})
		p := poolFor(t, f, Options{Workers: 1})
		r, err := p.Do(t.Context(), test.request)
		if err != nil {
			t.Fatal(err)
		}
		all(r)
		if _, err = p.Do(t.Context(), test.request); !errors.Is(err, ErrHungUp) || Unsent(err) {
			t.Error(err)
		}
		if f.requests.Load() != test.tries {
			t.Errorf("%d tries, want %d", f.requests.Load(), test.tries)
		}
	}
}

// holding is an application that answers when told.
func holding(t *testing.T) (*fakeApplication, chan struct{}) {
	release := make(chan struct{})
	return startFake(t, func(c net.Conn, _ int) bool {
		select {
		case <-release:
			io.WriteString(c, hello)
			return true
		case <-t.Context().Done():
			return false
		}
	}), release
}

func TestQueueIsBounded(t *testing.T) {
	f, release := holding(t)
	p := poolFor(t, f, Options{Workers: 1})
	var wg sync.WaitGroup
	for range 1 + MaxQueued {
		wg.Go(func() {
			r, err := p.Do(t.Context(), get())
			if err != nil {
				t.Error(err)
				return
			}
			all(r)
		})
	}
	eventually(t, "the queue is full", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.queue) == MaxQueued
	})
	_, err := p.Do(t.Context(), get())
	if !errors.Is(err, ErrQueueFull) || problem.KindOf(err) != problem.Busy || !Unsent(err) {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	if f.most.Load() != 1 || f.requests.Load() != 1+MaxQueued {
		t.Errorf("%d connections, %d requests", f.most.Load(), f.requests.Load())
	}
}

func TestQueueTimeAndContext(t *testing.T) {
	f, release := holding(t)
	p := poolFor(t, f, Options{Workers: 1, Timeouts: Timeouts{Queue: 20 * time.Millisecond}})
	first := make(chan error, 1)
	go func() {
		r, err := p.Do(t.Context(), get())
		if err == nil {
			_, err = all(r)
		}
		first <- err
	}()
	eventually(t, "the worker is busy", func() bool { return f.requests.Load() == 1 })
	if _, err := p.Do(t.Context(), get()); !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Do(ctx, get()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestVisitorLeaves(t *testing.T) {
	f, _ := holding(t)
	p := poolFor(t, f, Options{Workers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := p.Do(ctx, get()); failed <- err }()
	eventually(t, "the request is with the worker", func() bool { return f.requests.Load() == 1 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if p.active != 0 || len(p.open) != 0 {
		t.Error("the slot is not free")
	}
}

// The application answers without having read the body: the exchange works,
// the connection cannot be used again.
func TestAnswerBeforeBody(t *testing.T) {
	f := startFake(t, func(net.Conn, int) bool { return false })
	listener, err := net.Listen("unix", f.socket+"2")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		c, err := listener.Accept()
		if err == nil {
			io.WriteString(c, hello)
			io.ReadFull(c, make([]byte, headerBytes)) // and no more
		}
	}()
	p := NewPool(Options{Socket: f.socket + "2", Workers: 1})
	defer p.Close()
	r, err := p.Do(t.Context(), post(strings.Repeat("x", 8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := all(r); body != "hello" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	if len(p.kept) != 0 {
		t.Error("the connection was kept")
	}
}

func TestRestFreesTheWorker(t *testing.T) {
	f := startFake(t, says(hello, true))
	p := poolFor(t, f, Options{Workers: 1})
	r, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the response has arrived", func() bool {
		r.conn.in.Peek(r.conn.content)
		_, whole := r.conn.buffered()
		return whole
	})
	if _, whole := r.Rest(nil, 4, 0); whole {
		t.Error("the limit does not hold")
	}
	body, whole := r.Rest([]byte(">"), 5, 0)
	if string(body) != ">hello" || !whole || p.active != 0 || len(p.kept) != 1 {
		t.Errorf("%q %v, %d active, %d kept", body, whole, p.active, len(p.kept))
	}
	r.Close()
}

// A response whose end comes later is whole for the patient; for the others it
// is as if nobody had asked.
func TestRestWaitsForTheEnd(t *testing.T) {
	for patience, want := range map[time.Duration]bool{time.Minute: true, time.Millisecond: false} {
		t.Run(patience.String(), func(t *testing.T) {
			gate := make(chan struct{})
			f := startFake(t, func(c net.Conn, _ int) bool {
				_, _ = io.WriteString(c, record(typeStdout, "A: b\r\n\r\n")+record(typeStdout, "hel"))
				<-gate
				_, err := io.WriteString(c, record(typeStdout, "lo")+endOf(0))
				return err == nil
			})
			open := sync.OnceFunc(func() { close(gate) })
			t.Cleanup(open)
			p := poolFor(t, f, Options{Workers: 1})
			r, err := p.Do(t.Context(), get())
			if err != nil {
				t.Fatal(err)
			}
			if want {
				open()
			}
			body, whole := r.Rest([]byte(">"), 5, patience)
			if whole != want {
				t.Fatalf("%q, whole: %v", body, whole)
			}
			open()
			if !whole {
				rest, err := all(r)
				if err != nil {
					t.Fatal(err)
				}
				body = append(body, rest...)
			}
			if string(body) != ">hello" || p.active != 0 || len(p.kept) != 1 {
				t.Errorf("%q, %d active, %d kept", body, p.active, len(p.kept))
			}
			r.Close()
		})
	}
}

func TestAbortBesideTheReading(t *testing.T) {
	f := startFake(t, says(hello[:len(hello)-20], true))
	p := poolFor(t, f, Options{Workers: 1})
	r, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	go r.Abort()
	if body, err := all(r); err == nil || p.active != 0 || len(p.kept) != 0 {
		t.Errorf("%q %v, %d active, %d kept", body, err, p.active, len(p.kept))
	}
	f = startFake(t, says(hello, true))
	p = poolFor(t, f, Options{Workers: 1})
	for range 2 {
		r, err := p.Do(t.Context(), get())
		if err != nil {
			t.Fatal(err)
		}
		if body, err := all(r); body != "hello" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		r.Abort() // is too late
	}
	if n := f.most.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestReapKeepsTheFresh(t *testing.T) {
	f := startFake(t, says(hello, true))
	p := poolFor(t, f, Options{Workers: 2})
	a, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Do(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	all(a)
	all(b)
	p.mu.Lock()
	p.kept[0].idle = p.kept[0].idle.Add(-KeepIdle)
	p.mu.Unlock()
	p.reap()
	eventually(t, "the old one is closed", func() bool { return f.connections.Load() == 1 })
	p.CloseIdle()
	eventually(t, "all are closed", func() bool { return f.connections.Load() == 0 })
}

func TestDrain(t *testing.T) {
	f, release := holding(t)
	p := poolFor(t, f, Options{Workers: 1})
	done := make(chan error, 1)
	go func() {
		r, err := p.Do(t.Context(), get())
		if err == nil {
			_, err = all(r)
		}
		done <- err
	}()
	eventually(t, "a request runs", func() bool { return f.requests.Load() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(t.Context()) }()
	eventually(t, "the pool drains", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.closed })
	if _, err := p.Do(t.Context(), get()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	close(release)
	if err := errors.Join(<-done, <-drained); err != nil {
		t.Error(err)
	}
}

func TestCloseAborts(t *testing.T) {
	f, _ := holding(t)
	p := poolFor(t, f, Options{Workers: 1})
	done := make(chan error, 2)
	for range 2 {
		go func() { _, err := p.Do(t.Context(), get()); done <- err }()
	}
	eventually(t, "one runs, one waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.queue) == 1 && f.requests.Load() == 1
	})
	p.Close()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("answered by a closed pool")
		}
	}
	eventually(t, "nothing is left", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.active == 0 && len(p.open) == 0 })
}

func TestNobodyListens(t *testing.T) {
	p := NewPool(Options{Socket: t.TempDir() + "/none"})
	if _, err := p.Do(t.Context(), get()); !errors.Is(err, ErrDial) || !Unsent(err) || p.active != 0 {
		t.Error(err)
	}
}

func TestParams(t *testing.T) {
	var p Params
	p.Add("A", "b")
	p.Add("LONG", strings.Repeat("v", 200))
	want := "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00" +
		"\x01\x04\x00\x01\x00\xd5\x00\x00" + "\x01\x01Ab" + "\x04\x80\x00\x00\xc8LONG" + strings.Repeat("v", 200) +
		"\x01\x04\x00\x01\x00\x00\x00\x00"
	for range 2 {
		wire, err := p.wire()
		if err != nil || string(wire) != want {
			t.Fatalf("%q %v", wire, err)
		}
	}
	p.Reset()
	for range 5 {
		p.Add("BIG", strings.Repeat("v", 40_000)) // one a record
	}
	wire, err := p.wire()
	if err != nil || strings.Count(string(wire), "BIG") != 5 || len(wire) != 16+5*(8+1+4+3+40_000)+8 {
		t.Fatal(len(wire), err)
	}
	p.Add("HUGE", strings.Repeat("v", 70_000))
	if _, err := p.wire(); !errors.Is(err, ErrParams) {
		t.Error(err)
	}
	p.Reset()
	if wire, _ := p.wire(); len(wire) != 24 {
		t.Errorf("%q", wire)
	}
}
