package styx_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/gateways/styx"
	"pantheon/gateways/styx/http1"
)

// pipes is a listener whose connections are pipes in memory, so that time can
// be virtual.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// inVirtualTime runs a test against a router whose clock is virtual. dial
// gives a new connection.
func inVirtualTime(t *testing.T, test func(g *rig, dial func() *visitor), change ...func(*styx.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
		g := newRig(t, change...)
		g.serve(l, nil)
		test(g, func() *visitor {
			ours, theirs := net.Pipe()
			l.conns <- theirs
			t.Cleanup(func() { ours.Close() })
			return &visitor{Conn: ours, reader: bufio.NewReader(ours), t: t, since: time.Now()}
		})
		g.end()
	})
}

// visitor is a client that does what a test wants, byte by byte.
type visitor struct {
	net.Conn
	reader *bufio.Reader
	t      *testing.T
	since  time.Time
}

func (v *visitor) send(format string, args ...any) {
	v.t.Helper()
	if _, err := fmt.Fprintf(v.Conn, format, args...); err != nil {
		v.t.Fatalf("cannot send: %v", err)
	}
}

// expect reads an answer and checks its title and the time it took.
func (v *visitor) expect(title string, after time.Duration) {
	v.t.Helper()
	response, err := http.ReadResponse(v.reader, nil)
	if err != nil {
		v.t.Fatalf("no answer: %v", err)
	}
	body, _ := io.ReadAll(response.Body)
	if !strings.Contains(string(body), title) {
		v.t.Errorf("want %q, got %d %s", title, response.StatusCode, body)
	}
	v.took(after)
}

// took allows for the precision of the watch: a second, begun and ended.
func (v *visitor) took(want time.Duration) {
	v.t.Helper()
	if got := time.Since(v.since); got < want || got > want+2*time.Second+100*time.Millisecond {
		v.t.Errorf("it took %v, want %v", got, want)
	}
}

// expectEnd waits until the router closes the connection.
func (v *visitor) expectEnd(after time.Duration) {
	v.t.Helper()
	_, _ = io.Copy(io.Discard, v.reader)
	v.took(after)
}

const get = "GET / HTTP/1.1\r\nHost: " + site + "\r\n\r\n"

// hangs waits for the end of the request's context.
func hangs(w http.ResponseWriter, r *http.Request) error {
	<-r.Context().Done()
	return context.Cause(r.Context())
}

func TestFirstByteTimeout(t *testing.T) {
	for name, do := range map[string]serve{
		"agent gives up": hangs,
		"agent answers too late": func(w http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return says(502, "PHP hung up")(w, r)
		},
		"agent uses a derived context": func(w http.ResponseWriter, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		},
		"agent tries to take the connection": func(w http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			_, _, err := w.(http.Hijacker).Hijack()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(g *rig, dial func() *visitor) {
				g.agent.set(drop(1), do)
				g.agent.set(drop(2), do)
				v := dial()
				v.send(get)
				v.expect("503 First Byte Timeout", styx.DefaultFirstByte)
				if n := g.agent.times(drop(1)) + g.agent.times(drop(2)); n != 1 {
					t.Errorf("%d attempts: a request that may be running was repeated", n)
				}
			})
		})
	}
}

// Three attempts of 50 s each: the third one's time is cut at 120 s.
func TestChainTimeout(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		g.routes.set(site, serving(drop(1), drop(2), drop(3)))
		for i := 1; i <= 3; i++ {
			g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
				select {
				case <-time.After(50 * time.Second):
					return says(560, "elsewhere")(w, r)
				case <-r.Context().Done():
					return r.Context().Err()
				}
			})
		}
		v := dial()
		v.send(get)
		v.expect("504 Gateway Timeout", styx.DefaultChain)
	})
}

func TestSilenceWithinAnAnswer(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return r.Context().Err()
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send(get)
		response, err := http.ReadResponse(v.reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(response.Body); err == nil || string(text) != "half" {
			t.Errorf("%q %v", text, err)
		}
		v.took(styx.DefaultBetweenBytes)
	})
}

// An answer and an upload that take long but never pause for long.
func TestSlowButSteady(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			for range 20 {
				fmt.Fprintf(w, "%d ", len(body))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(50 * time.Second) // virtual
			}
			return r.Context().Err()
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n", site)
		for range 10 {
			time.Sleep(50 * time.Second) // virtual
			v.send("x")
		}
		v.expect(strings.Repeat("10 ", 20), 30*50*time.Second)
	})
}

func TestSlowVisitors(t *testing.T) {
	post := "POST / HTTP/1.1\r\nHost: " + site + "\r\nContent-Length: 10\r\n\r\nabc"
	for _, c := range []struct {
		name, send, want string
		after            time.Duration
	}{
		{"nothing", "", "", styx.DefaultReadHeader},
		{"half a head", "GET / HTTP/1.1\r\nHost: dev-hello.pantheon.localhost\r\n", "", styx.DefaultReadHeader},
		{"half a body", post, "408 Request Timeout", styx.DefaultBetweenBytes},
		{"no body, unknown site", strings.Replace(post, site, "unknown.example", 1), "404 Unknown Site", styx.DefaultBetweenBytes},
		{"idle after an answer", get, "hello", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, func(g *rig, dial func() *visitor) {
				do := func(w http.ResponseWriter, r *http.Request) error {
					if _, err := io.ReadAll(r.Body); err != nil {
						return err
					}
					return says(200, "hello")(w, r)
				}
				g.agent.set(drop(1), do)
				g.agent.set(drop(2), do)
				v := dial()
				v.send("%s", c.send)
				if c.want == "" {
					v.expectEnd(c.after)
					return
				}
				v.expect(c.want, c.after)
				if c.after == 0 {
					v.expectEnd(styx.DefaultIdle)
				} else {
					v.expectEnd(c.after)
				}
			})
		})
	}
}

// One byte of a body now and then holds a connection for MaxBodyTime at most.
func TestDrippingBody(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			return err
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n", site)
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for {
				time.Sleep(30 * time.Second) // virtual
				if _, err := io.WriteString(v.Conn, "x"); err != nil {
					return
				}
			}
		})
		v.expect("408 Request Timeout", styx.MaxBodyTime)
		v.Close()
		dripping.Wait()
	})
}

// A visitor who does not read what he asked for.
func TestVisitorWhoDoesNotRead(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		ended := make(chan error, 1)
		do := func(w http.ResponseWriter, r *http.Request) error {
			_, err := w.Write(make([]byte, 10<<20))
			ended <- err
			return err
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send(get)
		if err := <-ended; err == nil {
			t.Error("10 MB were written to nobody")
		}
		if took := time.Since(v.since); took > styx.DefaultChain+15*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHealthCheckThatDoesNotWake(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		for i := 1; i <= 2; i++ {
			g.agent.pings[drop(i)] = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}
		v := dial()
		v.send("GET /pantheon_healthcheck HTTP/1.1\r\nHost: %s\r\n\r\n", site)
		v.expect("504 Target Not Responding", styx.DefaultFirstByte)
	})
}

// A continuation is asked for on a connection that was idle for longer than a
// write deadline.
func TestContinueAfterIdle(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			return says(200, string(body))(w, r)
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send(get)
		v.expect("", 0)
		time.Sleep(styx.DefaultIdle - time.Second) // virtual
		v.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", site)
		if line, err := v.reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = v.reader.ReadString('\n')
		v.send("abc")
		v.expect("abc", styx.DefaultIdle-time.Second)
	})
}

// The visitor leaves: the application is told soon, and nothing is retried.
func TestVisitorLeaves(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		g.agent.set(drop(1), hangs)
		g.agent.set(drop(2), hangs)
		v := dial()
		v.send(get)
		synctest.Wait()
		v.Close()
		time.Sleep(2 * http1.LeavePeriod) // virtual
		synctest.Wait()
		if g.metric("requests_in_flight") != 0 {
			t.Errorf("after %v %v requests are in flight", time.Since(v.since), g.metric("requests_in_flight"))
		}
		if g.metric("requests_total", "abandoned", "4xx") != 1 || g.metric("failures_remembered") != 0 {
			t.Error("the visitor's leaving is not counted as such")
		}
	})
}

// An upgraded connection has no time-outs; the router's end ends it.
func TestUpgradeOutlivesTimeouts(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			context.AfterFunc(r.Context(), func() { conn.Close() })
			_, err = io.Copy(conn, conn)
			return err
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), do)
		v := dial()
		v.send("GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", site)
		time.Sleep(time.Hour) // virtual
		v.send("ping\n")
		if line, err := v.reader.ReadString('\n'); err != nil || line != "ping\n" {
			t.Fatalf("%q %v", line, err)
		}
		g.stop()
		v.expectEnd(time.Hour + styx.DefaultShutdown)
	})
}

func TestShutdown(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			select {
			case <-time.After(20 * time.Second):
				return says(200, "done")(w, r)
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), hangs)
		g.routes.set("slow.example", serving(drop(2)))
		g.routes.set(site, serving(drop(1)))
		finishes, cut := dial(), dial()
		finishes.send(get)
		cut.send("GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n")
		synctest.Wait()
		g.stop()
		finishes.expect("done", 20*time.Second)
		cut.expectEnd(styx.DefaultShutdown)
	})
}

// drip is a body that gives a byte every 50 s.
type drip int

func (d *drip) Read(p []byte) (int, error) {
	if *d == 0 {
		return 0, io.EOF
	}
	time.Sleep(50 * time.Second) // virtual
	*d--
	p[0] = 'x'
	return 1, nil
}

// The same over HTTP/2, where time-outs belong to streams.
func TestSlowButSteadyOverHTTP2(t *testing.T) {
	inVirtualTime(t, func(g *rig, dial func() *visitor) {
		do := func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			for range 5 {
				fmt.Fprintf(w, "%d ", len(body))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(50 * time.Second) // virtual
			}
			return r.Context().Err()
		}
		g.agent.set(drop(1), do)
		g.agent.set(drop(2), hangs)
		g.routes.set(site, serving(drop(1)))
		g.routes.set("slow.example", serving(drop(2)))
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial().Conn, nil }}
		client := &http.Client{Transport: transport}
		body := drip(10)
		response, err := client.Post("http://"+site+"/", "text/plain", &body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != strings.Repeat("10 ", 5) {
			t.Errorf("%q %v", text, err)
		}
		began := time.Now()
		if response, err = client.Get("http://slow.example/"); err != nil {
			t.Fatal(err)
		}
		text, _ = io.ReadAll(response.Body)
		if took := time.Since(began); !strings.Contains(string(text), "503 First Byte Timeout") || took > styx.DefaultFirstByte+2*time.Second {
			t.Errorf("after %v: %s", took, text)
		}
		transport.CloseIdleConnections()
	})
}
