package styx_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pantheon/events"
	"pantheon/gateways/styx"
	"pantheon/projections/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRoutes is a routing view that a test sets by hand.
type fakeRoutes struct {
	table atomic.Pointer[map[string]*routing.Route]
}

func (f *fakeRoutes) Lookup(host string) (*routing.Route, bool) {
	table := f.table.Load()
	if table == nil {
		return nil, false
	}
	r, ok := (*table)[host]
	return r, ok
}

func (f *fakeRoutes) set(host string, r *routing.Route) {
	table := map[string]*routing.Route{}
	if old := f.table.Load(); old != nil {
		maps.Copy(table, *old)
	}
	table[host] = r
	f.table.Store(&table)
}

func drop(i int) events.DropID { return events.DropID(fmt.Sprintf("%032x", i)) }

func serving(drops ...events.DropID) *routing.Route {
	r := &routing.Route{State: routing.Serving}
	for _, d := range drops {
		r.Drops = append(r.Drops, routing.Drop{Drop: d, Host: "h1"})
	}
	return r
}

// serve is what one DROP of a fakeAgent does.
type serve func(w http.ResponseWriter, r *http.Request) error

// fakeAgent stands for the agents of the hosts: each DROP is a function.
type fakeAgent struct {
	mu    sync.Mutex
	drops map[events.DropID]serve
	pings map[events.DropID]func(context.Context) error
	asked map[events.DropID]int
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{drops: map[events.DropID]serve{}, pings: map[events.DropID]func(context.Context) error{}, asked: map[events.DropID]int{}}
}

func (f *fakeAgent) ServeDrop(w http.ResponseWriter, r *http.Request, d events.DropID, _ events.HostID) error {
	f.mu.Lock()
	do := f.drops[d]
	f.asked[d]++
	f.mu.Unlock()
	if do == nil {
		return fmt.Errorf("connection refused")
	}
	return do(w, r)
}

func (f *fakeAgent) Ping(ctx context.Context, d events.DropID, _ events.HostID) error {
	f.mu.Lock()
	do := f.pings[d]
	f.mu.Unlock()
	if do == nil {
		return fmt.Errorf("connection refused")
	}
	return do(ctx)
}

func (f *fakeAgent) set(d events.DropID, do serve) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drops[d] = do
}

func (f *fakeAgent) times(d events.DropID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[d]
}

// says answers with a status and a text.
func says(status int, text string) serve {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		_, err := io.WriteString(w, text)
		return err
	}
}

func refuses(err error) serve {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

// rig is a router that serves, with everything around it.
type rig struct {
	*testing.T
	agent   *fakeAgent
	routes  *fakeRoutes
	server  *styx.Server
	address string
	log     *logBuffer
	stop    context.CancelFunc
	ended   chan error
}

const site = "dev-hello.pantheon.localhost"

// logBuffer collects the access log.
type logBuffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.String()
}

// newRig makes a router with one site and two DROPs, 1 and 2, that serve it.
func newRig(t *testing.T, change ...func(*styx.Options)) *rig {
	t.Helper()
	g := &rig{T: t, agent: newFakeAgent(), routes: &fakeRoutes{}, log: &logBuffer{}}
	g.routes.set(site, serving(drop(1), drop(2)))
	options := styx.Options{Routes: g.routes, Agent: g.agent, Name: "styx-test", AccessLog: g.log}
	for _, c := range change {
		c(&options)
	}
	server, err := styx.New(options)
	if err != nil {
		t.Fatal(err)
	}
	g.server = server
	return g
}

// start serves plain HTTP on a port of the loopback.
func start(t *testing.T, change ...func(*styx.Options)) *rig {
	t.Helper()
	g := newRig(t, change...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.serve(l, nil)
	return g
}

func (g *rig) serve(plain, secure net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	g.stop, g.ended = cancel, make(chan error, 1)
	g.address = plain.Addr().String()
	go func() { g.ended <- g.server.Serve(ctx, plain, secure) }()
	g.Cleanup(g.end)
}

// end stops the router and waits for it. It may be called again.
func (g *rig) end() {
	g.Helper()
	g.stop()
	if err, open := <-g.ended; open {
		close(g.ended)
		if err != nil {
			g.Errorf("the router ended with: %v", err)
		}
	}
}

// client gives a client that goes to the router whatever the URL's host.
func (g *rig) client() *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", g.address)
		},
		MaxIdleConnsPerHost: 100,
		DisableCompression:  true,
	}
	g.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

type answer struct {
	*http.Response
	body string
}

// do sends a request and reads the answer.
func (g *rig) do(method, url string, body io.Reader, headers ...string) answer {
	g.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		g.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := g.client()
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		g.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.Fatalf("%s %s: body: %v", method, url, err)
	}
	return answer{response, string(text)}
}

func (g *rig) get(headers ...string) answer {
	g.Helper()
	return g.do("GET", "http://"+site+"/", nil, headers...)
}

// raw sends bytes over a new connection and gives all that comes back until
// the router closes it; it must.
func (g *rig) raw(text string) string {
	g.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		g.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "connection reset") {
		g.Fatalf("the connection did not end: %v\n%s", err, answer)
	}
	return string(answer)
}

// expectPage checks one of the router's own pages.
func (g *rig) expectPage(a answer, title string) {
	g.Helper()
	if want := title[:3]; fmt.Sprint(a.StatusCode) != want {
		g.Errorf("status %d, want %s", a.StatusCode, want)
	}
	if !strings.Contains(a.body, "<title>"+title+"</title>") || !strings.Contains(a.body, "Pantheon") {
		g.Errorf("the page is not %q:\n%s", title, a.body)
	}
	g.expectRouter(a.Header)
	if id := a.Header.Get("X-Styx-Req-Id"); !strings.Contains(a.body, id) {
		g.Errorf("the page does not show the request id %q", id)
	}
	if !strings.Contains(a.Header.Get("Cache-Control"), "no-cache") {
		g.Errorf("the page may be cached: %q", a.Header.Get("Cache-Control"))
	}
}

func (g *rig) expectRouter(h http.Header) {
	g.Helper()
	if h.Get("X-Pantheon-Styx-Hostname") != "styx-test" || h.Get("X-Styx-Version") != "StyxGo" || h.Get("X-Styx-Req-Id") == "" {
		g.Errorf("the router's headers are missing: %v", h)
	}
}

// metric sums a metric over the series whose labels have all the values.
func (g *rig) metric(name string, values ...string) float64 {
	g.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(g.server.Metrics()); err != nil {
		g.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		g.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != "pantheon_styx_"+name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			for _, want := range values {
				found := false
				for _, label := range m.GetLabel() {
					found = found || label.GetValue() == want
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// until waits for a condition that another goroutine brings about.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		}
	}
}
