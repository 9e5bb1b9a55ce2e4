package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
)

const (
	travelHost    events.HostID    = "00000000000000000000000000000001"
	travelDrop    events.DropID    = "0a000000000000000000000000000001"
	travelBinding events.BindingID = "0b000000000000000000000000000001"
)

// everyTraveller is one command of each line of the table, and of each fact.
func everyTraveller() []Request {
	meta := events.Meta{Command: "agent:x:1", Principal: travelHost.Stream().String(), Gateway: "agent", Cause: 7, Time: time.Unix(1_800_000_000, 5).UTC()}
	all := []Request{
		{meta, travelHost.Stream(), host.Register{Host: travelHost, Name: "web-1", Zone: "a", MemoryMiB: 64, Cores: 2, Isolated: true, Version: "v"}},
		{meta, travelHost.Stream(), host.ReportAddresses{Addresses: []string{"10.0.0.1", "fe80::1"}}},
		{meta, travelHost.Stream(), host.ReportEndpoint{Endpoint: "10.0.0.1:7600"}},
		{meta, travelHost.Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleHost, events.RoleEntry}}},
	}
	for _, fact := range []events.Event{
		events.DropReady{Drop: travelDrop, Host: travelHost, Generation: 3}, events.DropPrepareFailed{Drop: travelDrop, Host: travelHost, Generation: 3, Reason: "because \"é\"\n"},
		events.DropAwoke{Drop: travelDrop, Host: travelHost, Trigger: "http"}, events.DropSlept{Drop: travelDrop, Host: travelHost, Trigger: "idle"},
		events.DropCrashed{Drop: travelDrop, Host: travelHost, Reason: "signal"}, events.DropStartFailed{Drop: travelDrop, Host: travelHost, Attempt: 2},
	} {
		all = append(all, Request{meta, travelDrop.Stream(), drop.Report{Host: travelHost, Fact: fact}})
	}
	for _, fact := range []events.Event{
		events.BindingProvisioned{Binding: travelBinding, Host: travelHost}, events.BindingFailed{Binding: travelBinding, Host: travelHost, Reason: "r", Final: true},
		events.BindingRetired{Binding: travelBinding, Host: travelHost},
	} {
		all = append(all, Request{meta, travelBinding.Stream(), binding.Report{Host: travelHost, Fact: fact}})
	}
	return append(all, Request{meta, travelHost.Stream(), host.ReportSoftware{Protocol: 2, PHP: []string{"8.2"}}})
}

func TestTravellersArriveAsTheyLeft(t *testing.T) {
	seen := map[string]bool{}
	for _, request := range everyTraveller() {
		text, err := EncodeRequest(request)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeRequest(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(back, request) {
			t.Errorf("%#v became %#v", request, back)
		}
		seen[reflect.TypeOf(request.Command).String()] = true
	}
	for _, row := range travellers {
		if !seen[row.command.String()] || row.name != row.command.String() {
			t.Errorf("%s is not tried, or not its type's name", row.name)
		}
	}
}

func TestWhatDoesNotTravel(t *testing.T) {
	for _, command := range []any{host.Remove{}, host.WriteOff{}, host.ReportLost{}, host.AdmitDrop{}, drop.Place{Host: travelHost}, drop.Retire{}, binding.Lose{}, 7} {
		if _, err := EncodeRequest(Request{To: travelHost.Stream(), Command: command}); problem.KindOf(err) != problem.Unsupported {
			t.Errorf("%T: %v", command, err)
		}
	}
	long := Request{To: travelHost.Stream(), Command: host.Register{Name: strings.Repeat("x", MaxRequestBytes)}}
	if _, err := EncodeRequest(long); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a long one: %v", err)
	}
	good, err := EncodeRequest(everyTraveller()[4])
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		t.Helper()
		if !bytes.Contains(good, []byte(from)) {
			t.Fatalf("%s has no %s", good, from)
		}
		return strings.Replace(string(good), from, to, 1)
	}
	for text, want := range map[string]problem.Kind{
		"":                                     problem.Invalid,
		"{}":                                   problem.Invalid,
		string(good[:len(good)-1]):             problem.Invalid,
		string(good) + "{}":                    problem.Invalid,
		change(`"meta":{`, `"meta":{"x":1,`):   problem.Invalid,
		change(`"to":`, `"too":1,"to":`):       problem.Invalid,
		change(`"host":`, `"hosts":1,"host":`): problem.Invalid,
		change(`"generation":`, `"generations":1,"generation":`): problem.Invalid,
		change(`DropReady`, `DropDeparted`):                      problem.Invalid,
		change(`drop.Report`, `binding.Report`):                  problem.Invalid,
		change(`drop.Report`, `drop.Place`):                      problem.Denied,
		change(`"drop/`, `"drip/`):                               problem.Invalid,
		strings.Repeat(" ", MaxRequestBytes) + string(good):      problem.Invalid,
	} {
		if request, err := DecodeRequest([]byte(text)); problem.KindOf(err) != want || err == nil {
			t.Errorf("%.200s: %+v, %v", text, request, err)
		}
	}
}

func TestAnswersArriveAsTheyLeft(t *testing.T) {
	receipt := events.Receipt{
		Stream: travelDrop.Stream(), Tip: events.Tip{Revision: 3, Position: 9, Hash: events.Hash{1, 2}}, Repeated: true,
		Events: []events.Event{events.DropAwoke{Drop: travelDrop, Host: travelHost, Trigger: "http"}},
	}
	if back, err := DecodeAnswer(travelDrop.Stream(), EncodeAnswer(receipt, nil)); err != nil || !reflect.DeepEqual(back, receipt) {
		t.Errorf("%+v, %v", back, err)
	}
	refused := problem.Wrap(problem.Exhausted, errors.New("cause \xff"), "cannot").WithHint("do this")
	_, err := DecodeAnswer(travelDrop.Stream(), EncodeAnswer(receipt, refused))
	if problem.KindOf(err) != problem.Exhausted || problem.HintOf(err) != "do this" || !strings.HasPrefix(err.Error(), "cannot: cause ") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "{}", "null", `{"hash":"00"}`} {
		if _, err := DecodeAnswer(travelDrop.Stream(), []byte(text)); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// remoteWorld has three deciders on one log.
type remoteWorld struct {
	log       *memory.Log
	reception map[events.HostID]*Reception
	deciders  []events.HostID

	mu    sync.Mutex
	asked []events.HostID
	// lost takes requests and gives no answer; after says whether they are
	// carried out all the same.
	lost  map[events.HostID]bool
	after bool
}

func newRemoteWorld(t *testing.T) *remoteWorld {
	w := &remoteWorld{log: memory.New(), reception: map[events.HostID]*Reception{}, lost: map[events.HostID]bool{}}
	for i := range 3 {
		system, err := New(Options{Log: w.log})
		if err != nil {
			t.Fatal(err)
		}
		id := events.HostID(fmt.Sprintf("%032d", 100+i))
		w.deciders = append(w.deciders, id)
		reception := NewReception(system)
		w.reception[id] = reception
		t.Cleanup(func() {
			reception.Wait()
			_ = system.Close()
		})
	}
	return w
}

func (w *remoteWorld) ask(ctx context.Context, decider events.HostID, request []byte) ([]byte, error) {
	w.mu.Lock()
	w.asked = append(w.asked, decider)
	lost, after := w.lost[decider], w.after
	w.mu.Unlock()
	answer := make(chan []byte, 1)
	if !lost || after {
		w.reception[decider].Take(context.Background(), Visit{
			From: travelHost, Text: request, Admit: func(context.Context, *Request) error { return nil }, Respond: func(text []byte) { answer <- text },
		})
	}
	if lost {
		if after {
			<-answer
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case text := <-answer:
		return text, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *remoteWorld) remote() *Remote {
	return NewRemote(RemoteOptions{Deciders: func() []events.HostID { return w.deciders }, Ask: w.ask})
}

func (w *remoteWorld) commits(t *testing.T) int {
	t.Helper()
	head, err := w.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(head)
}

var register = host.Register{Host: travelHost, Name: "web-1", MemoryMiB: 64, Cores: 2, Version: "v"}

// TestRemoteDeciderDies: whoever is asked first is gone, before or after it has
// decided: the next one answers, the command has one effect, and the one after it
// does not ask who was silent.
func TestRemoteDeciderDies(t *testing.T) {
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newRemoteWorld(t)
			w.after, w.lost[w.deciders[0]] = after, true
			remote := w.remote()
			receipt, err := remote.Do(t.Context(), events.Meta{Command: "one", Principal: "host/x"}, travelHost.Stream(), register)
			if err != nil || receipt.Repeated != after || receipt.Tip.Revision != 1 {
				t.Errorf("after %v: %+v, %v", after, receipt, err)
			}
			if _, err := remote.Do(t.Context(), events.Meta{Command: "two", Principal: "host/x"}, travelHost.Stream(), host.ReportEndpoint{Endpoint: "10.0.0.1:1"}); err != nil {
				t.Error(err)
			}
			if want := []events.HostID{w.deciders[0], w.deciders[1], w.deciders[1]}; !slices.Equal(w.asked, want) || w.commits(t) != 2 {
				t.Errorf("after %v: asked %v, %d commits", after, w.asked, w.commits(t))
			}
			if got := remote.Statistics(); got.Retried != 1 || got.UnderWay != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestRemoteNobodyAnswers: it ends, with a kind that says "again".
func TestRemoteNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRemoteWorld(t)
		for _, id := range w.deciders {
			w.lost[id] = true
		}
		began := time.Now()
		_, err := w.remote().Do(t.Context(), events.Meta{Command: "one", Principal: "host/x"}, travelHost.Stream(), register)
		if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" || time.Since(began) != remotePatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		w.deciders = nil
		if _, err := w.remote().Do(t.Context(), events.Meta{Command: "one", Principal: "host/x"}, travelHost.Stream(), register); problem.KindOf(err) != problem.Unavailable {
			t.Error(err)
		}
	})
}

// TestRemoteRefusal: what an actor says is the answer, nobody else is asked.
func TestRemoteRefusal(t *testing.T) {
	w := newRemoteWorld(t)
	_, err := w.remote().Do(t.Context(), events.Meta{Command: "one", Principal: "host/x"}, travelHost.Stream(), host.TakeRoles{})
	if problem.KindOf(err) != problem.NotFound || problem.HintOf(err) != "pantheon host list" || len(w.asked) != 1 {
		t.Errorf("%v, %v", err, w.asked)
	}
}

// TestReceptionIsBounded: one machine has no more under way than its share, and
// another one is answered meanwhile.
func TestReceptionIsBounded(t *testing.T) {
	hold := make(chan struct{})
	reception := NewReception(commanderFunc(func() (events.Receipt, error) { return events.Receipt{}, nil }))
	text, err := EncodeRequest(everyTraveller()[0])
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan []byte, 2*maxRequestsOfOne)
	visit := func(from events.HostID) Visit {
		return Visit{from, text, func(context.Context, *Request) error {
			if from == travelHost {
				<-hold
			}
			return nil
		}, func(answer []byte) { answers <- answer }}
	}
	for range maxRequestsOfOne + 1 {
		reception.Take(t.Context(), visit(travelHost))
	}
	if _, err := DecodeAnswer(travelHost.Stream(), <-answers); problem.KindOf(err) != problem.Busy {
		t.Errorf("one too many: %v", err)
	}
	reception.Take(t.Context(), visit("00000000000000000000000000000002"))
	if _, err := DecodeAnswer(travelHost.Stream(), <-answers); err != nil {
		t.Errorf("another machine: %v", err)
	}
	if got, refused := reception.Statistics(); got != maxRequestsOfOne || refused != 1 {
		t.Errorf("%d are under way, %d were refused", got, refused)
	}
	close(hold)
	reception.Wait()
	for range maxRequestsOfOne {
		if _, err := DecodeAnswer(travelHost.Stream(), <-answers); err != nil {
			t.Error(err)
		}
	}
}

type commanderFunc func() (events.Receipt, error)

func (f commanderFunc) Do(context.Context, events.Meta, events.StreamID, any) (events.Receipt, error) {
	return f()
}
