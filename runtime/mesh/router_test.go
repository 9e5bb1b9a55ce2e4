package mesh_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/styx"
	"pantheon/projections/routing"
	"pantheon/runtime/mesh"
)

var _ styx.Agent = (*mesh.Mesh)(nil)

// oneRoute is the only environment, by its DROPs.
type oneRoute []routing.Drop

const otherDrop = events.DropID("d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1")

func (r oneRoute) Lookup(string) (*routing.Route, bool) {
	return &routing.Route{State: routing.Serving, Drops: r}, true
}

// dropAgent serves whichever DROP it is asked for.
type dropAgent func(w http.ResponseWriter, r *http.Request) error

func (f dropAgent) ServeDrop(w http.ResponseWriter, r *http.Request, _ events.DropID, _ events.HostID) error {
	return f(w, r)
}
func (dropAgent) Ping(context.Context, events.DropID, events.HostID) error { return nil }

// TestRouterGoesOnToAnotherMachine: one machine refuses, or cannot be reached;
// no request fails, and the body is whole where it is taken. One machine dies in
// the middle; what may be repeated is, and what may not is answered by a page.
func TestRouterGoesOnToAnotherMachine(t *testing.T) {
	c := newCell(t)
	var taken, begun atomic.Int64
	var dies atomic.Bool
	relay := (*relay)(nil)
	there := c.start(beta, func(o *mesh.Options) {
		o.Agent = dropAgent(func(_ http.ResponseWriter, r *http.Request) error {
			if dies.Load() {
				begun.Add(1)
				relay.cut()
				<-r.Context().Done()
			}
			return problem.New(problem.Busy, "cannot take the request: the queue is full")
		})
	})
	relay = newRelay(t, there.address)
	c.set(beta, relay.address())
	c.start(gamma, func(o *mesh.Options) {
		o.Agent = dropAgent(func(w http.ResponseWriter, r *http.Request) error {
			taken.Add(1)
			body, err := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, "took "+string(body))
			return err
		})
	})
	front := "http://" + startRouter(t, c.start(alpha), oneRoute{{Drop: dropID, Host: beta}, {Drop: otherDrop, Host: gamma}}) + "/"
	post := func() (status int, said string) {
		answer, err := http.Post(front, "text/plain", strings.NewReader("order"))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	for range 20 {
		if status, said := post(); status != http.StatusOK || said != "took order" {
			t.Fatal(status, said)
		}
	}
	if n := taken.Load(); n != 20 {
		t.Errorf("20 requests were taken %d times", n)
	}
	dies.Store(true)
	pages := 0
	for begun.Load() == 0 {
		if status, _ := post(); status == http.StatusBadGateway {
			pages++
		}
	}
	if pages != 1 || begun.Load() != 1 {
		t.Errorf("an order that may have been taken was answered by %d pages, and begun %d times", pages, begun.Load())
	}
	for range 20 { // one machine cannot be reached any more
		if status, said := post(); status != http.StatusOK || said != "took order" {
			t.Fatal(status, said)
		}
	}
}

// startRouter gives a machine the router that asks its mesh in the platform, too.
func startRouter(t testing.TB, m *machine, routes oneRoute) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	router, err := styx.New(styx.Options{Routes: routes, Agent: m, AccessLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- router.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
