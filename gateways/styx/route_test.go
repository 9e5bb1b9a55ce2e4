package styx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/styx"
	"pantheon/projections/routing"
)

func TestHostNames(t *testing.T) {
	g := start(t)
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(200, "hello"))
	for host, want := range map[string]string{
		site:                        "200",
		site + ":8080":              "200",
		strings.ToUpper(site):       "200",
		site + ".":                  "200",
		site + ".:80":               "200",
		site + ":":                  "200",
		"unknown.example":           "404 Unknown Site",
		"[::1]:8080":                "404 Unknown Site",
		"127.0.0.1":                 "404 Unknown Site",
		site + "..":                 "400 Bad Request",
		site + ":http":              "400 Bad Request",
		site + ":123456":            "400 Bad Request",
		"a:b:c":                     "400 Bad Request",
		"[::1":                      "400 Bad Request",
		"[::1]x":                    "400 Bad Request",
		".":                         "400 Bad Request",
		"a..b":                      "400 Bad Request",
		strings.Repeat("a", 300):    "400 Bad Request",
		"dev-hello%2epantheon.host": "400 Bad Request",
	} {
		text := g.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		status, _, _ := strings.Cut(strings.TrimPrefix(text, "HTTP/1.1 "), " ")
		if want == "200" && status != "200" || want != "200" && !strings.Contains(text, "<title>"+want+"</title>") {
			t.Errorf("Host %q: want %s, got\n%s", host, want, text)
		}
	}
}

func TestPagesOfStates(t *testing.T) {
	g := start(t)
	g.routes.set("new.example", &routing.Route{State: routing.NotInitialized})
	g.routes.set("old.example", &routing.Route{State: routing.Deleting})
	g.routes.set("lost.example", serving())
	g.routes.set("nil.example", nil)
	for host, title := range map[string]string{
		"new.example": "561 No Site Detected", "old.example": "503 Target in Maintenance",
		"lost.example": "502 Routing Failure", "nil.example": "404 Unknown Site",
	} {
		g.expectPage(g.do("GET", "http://"+host+"/", nil), title)
	}
	if a := g.do("HEAD", "http://new.example/", nil); a.StatusCode != 561 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
	}
}

// What the last DROP says chooses the page.
func TestPagesOfRefusals(t *testing.T) {
	for kind, title := range map[problem.Kind]string{
		problem.Busy:        "504 Target Not Responding",
		problem.Conflict:    "503 Target in Maintenance",
		problem.Unavailable: "502 Routing Failure",
		problem.NotFound:    "502 Routing Failure",
		problem.Internal:    "502 Routing Failure",
	} {
		g := start(t)
		for i := 1; i <= 2; i++ {
			g.agent.set(drop(i), refuses(problem.New(kind, "cannot serve")))
		}
		g.expectPage(g.get(), title)
		if g.agent.times(drop(1)) != 1 || g.agent.times(drop(2)) != 1 {
			t.Errorf("%v: not every DROP was asked once", kind)
		}
		g.end()
	}
}

// A full queue is no failed connection: the DROP stays healthy.
func TestBusyDropStaysHealthy(t *testing.T) {
	g := start(t)
	g.agent.set(drop(1), refuses(problem.New(problem.Busy, "the queue is full")))
	g.agent.set(drop(2), refuses(problem.New(problem.Unavailable, "connection refused")))
	g.get()
	if n := g.metric("failures_remembered"); n != 1 {
		t.Errorf("%v failures are remembered, want 1", n)
	}
}

func TestRetries(t *testing.T) {
	const ok = "from two"
	refused := problem.New(problem.Unavailable, "connection refused")
	for _, c := range []struct {
		name, method, body string
		first              serve
		status             int
	}{
		{"refused GET", "GET", "", refuses(refused), 200},
		{"refused POST, body unread", "POST", "body", refuses(refused), 200},
		{"refused POST, body read", "POST", "body", func(_ http.ResponseWriter, r *http.Request) error {
			_, _ = io.Copy(io.Discard, r.Body)
			return refused
		}, 502},
		{"refused POST, body read and repeatable", "POST", "body", func(_ http.ResponseWriter, r *http.Request) error {
			text, _ := io.ReadAll(r.Body)
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(text))), nil }
			return refused
		}, 200},
		{"GET 560", "GET", "", says(560, "elsewhere"), 200},
		{"GET 502", "GET", "", says(502, "crashed"), 200},
		{"HEAD 502", "HEAD", "", says(502, ""), 200},
		{"GET 560 with a large body", "GET", "", says(560, strings.Repeat("x", 3<<20)), 200},
		{"GET 560 copied from a reader", "GET", "", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(560)
			_, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 3<<20)))
			return err
		}, 200},
		{"GET 500", "GET", "", says(500, "crashed"), 500},
		{"GET 503", "GET", "", says(503, "crashed"), 503},
		{"POST 560", "POST", "body", says(560, "elsewhere"), 560},
		{"PUT 502", "PUT", "body", says(502, "crashed"), 502},
		{"PATCH 502", "PATCH", "body", says(502, "crashed"), 502},
		{"DELETE 560", "DELETE", "", says(560, "elsewhere"), 560},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t)
			g.routes.set(site, serving(drop(1)))
			// The first DROP is asked first: the second is known as unhealthy.
			g.agent.set(drop(2), says(500, ""))
			g.routes.set("warm.example", serving(drop(2)))
			g.do("GET", "http://warm.example/", nil)
			g.agent.set(drop(2), func(w http.ResponseWriter, r *http.Request) error {
				if w.Header().Get("X-First") != "" {
					t.Error("a header of the first attempt is still there")
				}
				text, _ := io.ReadAll(r.Body)
				if string(text) != c.body {
					t.Errorf("the second DROP got the body %q, want %q", text, c.body)
				}
				return says(200, ok)(w, r)
			})
			g.agent.set(drop(1), func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("X-First", "1")
				return c.first(w, r)
			})
			g.routes.set(site, serving(drop(1), drop(2)))
			a := g.do(c.method, "http://"+site+"/", strings.NewReader(c.body))
			if a.StatusCode != c.status {
				t.Fatalf("status %d, want %d", a.StatusCode, c.status)
			}
			if c.status == 200 && (c.method != "HEAD" && a.body != ok || a.Header.Get("X-First") != "") {
				t.Errorf("answer %q, header %v", a.body, a.Header)
			}
			g.expectRouter(a.Header)
		})
	}
}

// With one DROP there is nowhere else to go: its answer is delivered.
func TestLastAnswerIsDelivered(t *testing.T) {
	g := start(t)
	g.agent.set(drop(1), says(560, "not installed"))
	g.agent.set(drop(2), says(560, "not installed"))
	a := g.get()
	if a.StatusCode != 560 || a.body != "not installed" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	if n := g.agent.times(drop(1)) + g.agent.times(drop(2)); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

func TestUnhealthyDropIsAvoided(t *testing.T) {
	g := start(t)
	g.agent.set(drop(2), says(200, "well"))
	for g.agent.times(drop(1)) == 0 { // until it was chosen, and refused
		g.get()
	}
	for range 50 {
		if a := g.get(); a.body != "well" {
			t.Fatalf("%d %q", a.StatusCode, a.body)
		}
	}
	if n := g.agent.times(drop(1)); n != 1 {
		t.Errorf("the DROP that refused was asked %d times", n)
	}
	if g.metric("retries_total", "refusal") != 1 {
		t.Error("the retry was not counted")
	}
}

func TestAnswerThatBreaksOff(t *testing.T) {
	for name, do := range map[string]serve{
		"error": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			return errors.New("PHP hung up")
		},
		"panic": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic("bug")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t)
			g.agent.set(drop(1), do)
			g.agent.set(drop(2), do)
			response, err := g.client().Get("http://" + site + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if text, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(text) != "half" {
				t.Errorf("read %q, %v; want half and an unexpected end", text, err)
			}
			until(t, "the broken answer is counted", func() bool { return g.metric("requests_total", "broken", "2xx") == 1 })
		})
	}
}

func TestPanicBeforeAnswer(t *testing.T) {
	g := start(t)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(http.ResponseWriter, *http.Request) error { panic("bug") })
	}
	g.expectPage(g.get(), "500 Internal Server Error")
	if g.metric("panics_total") != 1 {
		t.Error("the panic was not counted")
	}
}

func TestEmptyAnswer(t *testing.T) {
	g := start(t)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), refuses(nil))
	}
	a := g.get()
	if a.StatusCode != 200 || a.body != "" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	g.expectRouter(a.Header)
}

// The route changes while requests run: none fails.
func TestRouteChangesUnderLoad(t *testing.T) {
	g := start(t)
	gone := problem.New(problem.NotFound, "the DROP is not on this host")
	g.agent.set(drop(0), says(200, "hello"))
	g.routes.set(site, serving(drop(0)))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		client := g.client()
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := client.Get("http://" + site + "/")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				text, _ := io.ReadAll(response.Body)
				response.Body.Close()
				if string(text) != "hello" {
					t.Errorf("%d %s", response.StatusCode, text)
					return
				}
			}
		})
	}
	for i := 1; i <= 200; i++ { // the new DROP serves before the route says so; the old is gone right after
		g.agent.set(drop(i), says(200, "hello"))
		g.routes.set(site, serving(drop(i)))
		g.agent.set(drop(i-1), refuses(gone))
	}
	close(stop)
	wg.Wait()
}

func TestThousandConcurrentRequests(t *testing.T) {
	g := start(t)
	const n = 1000
	var arrived sync.WaitGroup
	arrived.Add(n)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			arrived.Done()
			arrived.Wait() // all are inside at once
			return says(200, r.URL.Path)(w, r)
		})
	}
	client := g.client()
	var wg sync.WaitGroup
	ids := make(chan string, n)
	for i := range n {
		wg.Go(func() {
			response, err := client.Get(fmt.Sprintf("http://%s/%d", site, i))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if text, _ := io.ReadAll(response.Body); string(text) != fmt.Sprintf("/%d", i) {
				t.Errorf("request %d got %q", i, text)
			}
			ids <- response.Header.Get("X-Styx-Req-Id")
		})
	}
	wg.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		if seen[id] {
			t.Fatalf("request id %s was given twice", id)
		}
		seen[id] = true
	}
	if one, two := g.agent.times(drop(1)), g.agent.times(drop(2)); min(one, two) < n/3 {
		t.Errorf("the load is uneven: %d and %d", one, two)
	}
}

func TestHealthCheck(t *testing.T) {
	g := start(t)
	woken := make(chan events.DropID, 10)
	g.agent.pings[drop(2)] = func(context.Context) error { woken <- drop(2); return nil }
	url := "http://" + site + "/pantheon_healthcheck"
	a := g.do("GET", url, nil)
	if a.StatusCode != 200 || a.body != "OK\n" || a.Header.Get("Cache-Control") != "max-age=0" {
		t.Errorf("%d %q %v", a.StatusCode, a.body, a.Header)
	}
	g.expectRouter(a.Header)
	if <-woken != drop(2) {
		t.Error("the DROP was not woken")
	}
	if a := g.do("HEAD", url, nil); a.StatusCode != 200 || a.body != "" || a.ContentLength != 3 {
		t.Errorf("HEAD: %d %q %d", a.StatusCode, a.body, a.ContentLength)
	}
	g.expectPage(g.do("GET", "http://unknown.example/pantheon_healthcheck", nil), "404 Unknown Site")
	delete(g.agent.pings, drop(2))
	g.expectPage(g.do("GET", url, nil), "502 Routing Failure")
	if g.metric("wakes_total", "ok") != 2 || g.metric("wakes_total", "failed") != 1 {
		t.Error("the pings were not counted")
	}
}

// echoHeaders answers with what the application would see.
func echoHeaders(w http.ResponseWriter, r *http.Request) error {
	fmt.Fprintf(w, "remote=%s\nhost=%s\nuri=%s\n", r.RemoteAddr, r.Host, r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(w, "%s=%s\n", strings.ToLower(name), v)
		}
	}
	return nil
}

func TestHeadersToTheApplication(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name         string
		trust        bool
		send         string
		want, refuse []string
	}{
		{"plain", false, "",
			[]string{"x-forwarded-for=127.0.0.1", "x-pantheon-client-ip=127.0.0.1", "x-forwarded-proto=http", "user-agent-https=OFF", "x-styx-req-id=", "remote=127.0.0.1:"},
			[]string{"x-ssl="}},
		{"a visitor's lies", false,
			"X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nUser-Agent-HTTPS: ON\r\nX-SSL: ON\r\nX-Pantheon-Client-IP: 8.8.8.8\r\n" +
				"X_Forwarded_For: 8.8.8.8\r\nX.Forwarded.For: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Real-IP: 8.8.8.8\r\nX-Styx-Req-Id: mine\r\n" +
				"X-Forwarded-Host: evil\r\nProxy: evil\r\nPContext-Service-Level: elite\r\nX-Cookies-Dropped: 1\r\n",
			[]string{"x-forwarded-for=127.0.0.1\n", "x-forwarded-proto=http\n", "user-agent-https=OFF"},
			[]string{"8.8.8.8", "evil", "elite", "mine", "=ON", "x-cookies-dropped"}},
		{"Connection names headers", false,
			"Connection: X-Forwarded-For, X-Pantheon-Client-IP, X-Styx-Req-Id, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n",
			[]string{"x-forwarded-for=127.0.0.1\n", "x-pantheon-client-ip=127.0.0.1", "x-styx-req-id="},
			[]string{"x-secret", "\nconnection=", "keep-alive", "\nte="}},
		{"a proxy's word", true, "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n",
			[]string{"x-forwarded-for=203.0.113.7, 127.0.0.1\n", "x-pantheon-client-ip=203.0.113.7\n", "x-forwarded-proto=https", "user-agent-https=ON", "x-ssl=ON", "remote=203.0.113.7:0", "x-forwarded-host=shop.example"},
			nil},
		{"a lie before the proxies", true, "X-Forwarded-For: 8.8.8.8, 203.0.113.7\r\nX-Forwarded-For: 10.1.1.1\r\n",
			[]string{"x-forwarded-for=203.0.113.7, 10.1.1.1, 127.0.0.1\n", "x-pantheon-client-ip=203.0.113.7\n"},
			[]string{"8.8.8.8"}},
		{"no address in the chain", true, "X-Forwarded-For: 203.0.113.7, unknown\r\n",
			[]string{"x-forwarded-for=127.0.0.1\n"}, []string{"203.0.113.7"}},
		{"IPv6 visitor", true, "X-Forwarded-For: 2001:db8::7\r\n", []string{"x-pantheon-client-ip=2001:db8::7\n", "remote=[2001:db8::7]:0"}, nil},
		{"a chain that is too long", true, "X-Forwarded-For: " + strings.Repeat("10.0.0.1, ", 500) + "10.0.0.2\r\n",
			[]string{"x-pantheon-client-ip=10.0.0.1\n", "10.0.0.2, 127.0.0.1\n"}, nil},
		{"Connection takes a proxy's word", true, "Connection: X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.7\r\n",
			[]string{"x-forwarded-for=203.0.113.7, 127.0.0.1\n"}, nil},
		{"cookies", false, "Cookie: a=" + strings.Repeat("x", 11<<10) + "\r\n", []string{"x-cookies-dropped=1"}, []string{"\ncookie="}},
		{"small cookies", false, "Cookie: a=b\r\n", []string{"cookie=a=b"}, []string{"x-cookies-dropped"}},
		{"h2c upgrade", false, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n", nil, []string{"upgrade=", "http2-settings"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, func(o *styx.Options) {
				if c.trust {
					o.TrustedProxies = proxies
				}
			})
			g.agent.set(drop(1), echoHeaders)
			g.agent.set(drop(2), echoHeaders)
			text := g.raw("GET /a?b HTTP/1.0\r\nHost: " + site + "\r\n" + c.send + "\r\n")
			_, body, _ := strings.Cut(text, "\r\n\r\n")
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("lacks %q:\n%s", want, body)
				}
			}
			for _, refuse := range c.refuse {
				if strings.Contains(body, refuse) {
					t.Errorf("has %q:\n%s", refuse, body)
				}
			}
		})
	}
}

// An application cannot pose as the router, nor speak about the connection.
func TestHeadersFromTheApplication(t *testing.T) {
	g := start(t)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("X-Pantheon-Styx-Hostname", "evil")
			w.Header().Set("X-Styx-Req-Id", "evil")
			w.Header().Set("Transfer-Encoding", "gzip")
			w.Header().Set("Keep-Alive", "timeout=9")
			return says(200, "hello")(w, r)
		})
	}
	a := g.get()
	g.expectRouter(a.Header)
	if a.body != "hello" || a.Header.Get("Keep-Alive") != "" || len(a.TransferEncoding) != 0 || a.Header.Get("X-Styx-Req-Id") == "evil" {
		t.Errorf("%q %v %v", a.body, a.Header, a.TransferEncoding)
	}
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Surrogate-Key", strings.Repeat("k", 70<<10))
			return says(200, "hello")(w, r)
		})
	}
	g.expectPage(g.get(), "503 Header Overflow")
}

func TestListenErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, c := range map[string]struct {
		change func(*styx.Options)
		kind   problem.Kind
	}{
		"port in use": {func(o *styx.Options) { o.HTTPAddress = l.Addr().String() }, problem.Unavailable},
		"no address":  {func(*styx.Options) {}, problem.Invalid},
	} {
		err := newRig(t, c.change).server.Run(t.Context())
		if problem.KindOf(err) != c.kind || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]styx.Options{
		"nothing":        {},
		"no certificate": {Routes: &fakeRoutes{}, Agent: newFakeAgent(), HTTPSAddress: ":443"},
		"negative":       {Routes: &fakeRoutes{}, Agent: newFakeAgent(), FirstByte: -1},
		"bad name":       {Routes: &fakeRoutes{}, Agent: newFakeAgent(), Name: "a\r\nb"},
	} {
		if _, err := styx.New(o); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
