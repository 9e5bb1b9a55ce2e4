package styx_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"pantheon/gateways/styx"
)

func TestBodyLimit(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.MaxBodyBytes = 1000 })
	do := func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return says(200, fmt.Sprint(len(body)))(w, r)
	}
	g.agent.set(drop(1), do)
	g.agent.set(drop(2), do)
	url := "http://" + site + "/"
	if a := g.do("POST", url, strings.NewReader(strings.Repeat("x", 1000))); a.body != "1000" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	g.expectPage(g.do("POST", url, strings.NewReader(strings.Repeat("x", 1001))), "413 Content Too Large")
	if n := g.agent.times(drop(1)) + g.agent.times(drop(2)); n != 1 {
		t.Errorf("a body of known excess was handed on")
	}
	chunked := struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1001))}
	g.expectPage(g.do("POST", url, chunked), "413 Content Too Large")
	if g.metric("refused_total", "body") != 2 || g.metric("failures_remembered") != 0 {
		t.Error("the refusals are not counted as such")
	}
}

func TestHeaderLimit(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.MaxHeaderBytes = 2000 })
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(200, "hello"))
	if a := g.get("X-A", strings.Repeat("x", 1000)); a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
	g.expectPage(g.get("X-A", strings.Repeat("x", 2000)), "431 Request Header Fields Too Large")
	g.expectPage(g.do("GET", "http://"+site+"/"+strings.Repeat("x", 2000), nil), "431 Request Header Fields Too Large")
	if text := g.raw("GET / HTTP/1.1\r\nHost: " + site + "\r\nX-A: " + strings.Repeat("x", 20000) + "\r\n\r\n"); !strings.HasPrefix(text, "HTTP/1.1 431 ") {
		t.Errorf("%.100s", text)
	}
}

func TestRequestLimit(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.MaxRequests = 1 })
	inside, leave := make(chan struct{}), make(chan struct{})
	do := func(w http.ResponseWriter, r *http.Request) error {
		close(inside)
		<-leave
		return says(200, "hello")(w, r)
	}
	g.agent.set(drop(1), do)
	g.agent.set(drop(2), do)
	done := make(chan answer)
	go func() { done <- g.get() }()
	<-inside
	g.expectPage(g.get(), "503 Service Unavailable")
	close(leave)
	if a := <-done; a.body != "hello" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	if g.metric("refused_total", "requests") != 1 {
		t.Error("the refusal is not counted")
	}
}

// hello opens a connection and gets one answer over it, without closing.
func (g *rig) hello() (net.Conn, error) {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", site)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func TestConnectionsPerSource(t *testing.T) {
	for name, trusted := range map[string]bool{"counted": false, "trusted proxy": true} {
		t.Run(name, func(t *testing.T) {
			g := start(t, func(o *styx.Options) {
				o.MaxConnectionsPerSource = 2
				if trusted {
					o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
				}
			})
			g.agent.set(drop(1), says(200, "hello"))
			g.agent.set(drop(2), says(200, "hello"))
			var open []net.Conn
			for range 2 {
				conn, err := g.hello()
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, conn)
			}
			conn, err := g.hello()
			if trusted != (err == nil) {
				t.Fatalf("third connection: %v", err)
			}
			if trusted {
				conn.Close()
			} else if g.metric("refused_total", "connections_per_source") != 1 {
				t.Error("the refusal is not counted")
			}
			open[0].Close()
			until(t, "the closed connection is given back", func() bool { return g.metric("connections") == 1 })
			if conn, err := g.hello(); err != nil {
				t.Errorf("after one was closed: %v", err)
			} else {
				conn.Close()
			}
			open[1].Close()
		})
	}
}

// Over the limit newcomers wait and are served when there is room; near it
// connections are not kept.
func TestConnectionLimit(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.MaxConnections = 2 })
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(200, "hello"))
	first, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "two connections are open", func() bool { return g.metric("connections") == 2 })
	served := make(chan error, 1)
	go func() {
		conn, err := g.hello()
		if err == nil {
			conn.Close()
		}
		served <- err
	}()
	fmt.Fprintf(second, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", site)
	text, err := io.ReadAll(second) // ends: the connection is not kept
	if err != nil || !strings.Contains(string(text), "Connection: close") {
		t.Errorf("%s %v", text, err)
	}
	second.Close()
	if err := <-served; err != nil {
		t.Errorf("the one who waited: %v", err)
	}
	first.Close()
}
