package jetstream

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// guestRights are those of whoever's certificate begins with "guest".
func guestRights(state tls.ConnectionState) (Rights, bool) {
	name := state.PeerCertificates[0].Subject.CommonName
	if !strings.HasPrefix(name, "guest") {
		return Rights{}, true
	}
	return Rights{
		Guest:   name,
		Ask:     []string{infoSubject, getSubject, "ask." + name + ".*", "answer." + name + ".*", "$KV.notes." + name, "$JS.API.STREAM.INFO.KV_notes"},
		AskMany: []string{directSubject, directSubject + ".>", "$JS.API.DIRECT.GET.KV_notes.>"},
		Hear:    []string{committedPrefix + ">", "question." + name},
	}, true
}

// guestsOf lets two guests in by different members.
func (c *cell) guests(t *testing.T) (guests [2]*Client) {
	t.Helper()
	for i := range guests {
		name := []string{"guest-a", "guest-b"}[i]
		client, err := Dial(t.Context(), DialOptions{Addresses: c.clients[i : i+1], TLS: c.ca.config(t, name), Name: name, Guest: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		guests[i] = client
	}
	return guests
}

// TestGuestsOfACluster: a guest reads the log by whichever member it came in,
// asks and is asked by who came in elsewhere; another guest hears nothing of it.
func TestGuestsOfACluster(t *testing.T) {
	dir, want := standalone(t, 20)
	c := newCell(t)
	c.admit, c.faults = guestRights, &faults{}
	c.startAll()
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	guests, own := c.guests(t), c.of(2)
	for i, guest := range guests {
		sameLog(t, []string{"guest-a", "guest-b"}[i], eventlogtest.Collect(t, guest.All(t.Context(), 0)), want)
	}
	followed := make(chan events.Position)
	go func() {
		defer close(followed)
		for envelope, err := range guests[0].Tail(t.Context(), events.Position(len(want))) {
			if err == nil {
				followed <- envelope.Position
			}
			return
		}
	}()
	tip := want[len(want)-1].Tip()
	next := eventlogtest.Append(t, own, tip, eventlogtest.Commit(want[len(want)-1].Stream, "more"))
	if got := <-followed; got != next.Position {
		t.Errorf("the guest heard of %d, appended was %d", got, next.Position)
	}
	if _, err := guests[0].Append(t.Context(), next, eventlogtest.Commit(want[len(want)-1].Stream, "a guest's")); problem.KindOf(err) != problem.Denied {
		t.Errorf("a guest's append: %v", err)
	}
	t.Run("asks", func(t *testing.T) { checkGuestAsks(t, guests, own) })
	t.Run("is asked", func(t *testing.T) { checkGuestIsAsked(t, guests, own) })
	t.Run("has its key alone", func(t *testing.T) { checkGuestsKeys(t, guests, own) })
	for _, fault := range c.faults.all() { // as when members do not understand one another
		t.Errorf("a member says: %s", fault)
	}
}

// faults collects what members' servers do not understand.
type faults struct {
	mu    sync.Mutex
	texts []string
}

func (f *faults) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (f *faults) Handle(_ context.Context, record slog.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(record.Message, "Parse") || strings.Contains(record.Message, "import") {
		f.texts = append(f.texts, record.Message)
	}
	return nil
}

func (f *faults) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f *faults) WithGroup(string) slog.Handler      { return f }

func (f *faults) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.texts
}

func checkGuestAsks(t *testing.T, guests [2]*Client, own *Client) {
	t.Helper()
	subscription, err := own.Conn().Subscribe("ask.*.here", func(message *nats.Msg) { _ = message.Respond([]byte("to " + message.Subject)) })
	if err != nil {
		t.Fatal(err)
	}
	defer subscription.Unsubscribe()
	arrives(t, own)
	for i, guest := range guests {
		subject := []string{"ask.guest-a.here", "ask.guest-b.here"}[i]
		// Another member may not have heard of who listens yet.
		answer, err := guest.Conn().Request(subject, nil, time.Minute)
		for begun := time.Now(); errors.Is(err, nats.ErrNoResponders) && time.Since(begun) < time.Minute; {
			answer, err = guest.Conn().Request(subject, nil, time.Minute)
		}
		if err != nil || string(answer.Data) != "to "+subject {
			t.Errorf("%s: %v, %v", subject, answer, err)
		}
	}
	if _, err := guests[0].Conn().Request("ask.guest-a.nobody", nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody is there: %v", err)
	}
}

func checkGuestIsAsked(t *testing.T, guests [2]*Client, own *Client) {
	t.Helper()
	if _, err := guests[0].Conn().Subscribe("question.guest-a", func(message *nats.Msg) { _ = message.Respond(message.Data) }); err != nil {
		t.Fatal(err)
	}
	arrives(t, guests[0])
	answers, err := own.Conn().SubscribeSync("answer.guest-a.1")
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if err := own.Conn().PublishRequest("question.guest-a", "answer.guest-a.1", []byte("is it you?")); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.NextMsg(time.Minute)
		if errors.Is(err, nats.ErrNoResponders) {
			continue // as above
		}
		if err != nil || string(answer.Data) != "is it you?" {
			t.Errorf("the answer is %v, %v", answer, err)
		}
		return
	}
	t.Error("the guest was not found")
}

// checkGuestsKeys: by its own subject, and by none where an answer goes, does a
// guest get at another one's key.
func checkGuestsKeys(t *testing.T, guests [2]*Client, own *Client) {
	t.Helper()
	_, err := own.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "notes", Storage: jetstream.MemoryStorage})
	for begun := time.Now(); err != nil && time.Since(begun) < time.Minute; { // the members are elected one after the other
		_, err = own.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "notes", Storage: jetstream.MemoryStorage})
	}
	if err != nil {
		t.Fatal(err)
	}
	var notes [2]jetstream.KeyValue
	for i, guest := range guests {
		if notes[i], err = guest.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "notes"}); err != nil {
			t.Fatal(err)
		}
		if _, err := notes[i].PutString(t.Context(), []string{"guest-a", "guest-b"}[i], "mine"); err != nil {
			t.Fatal(err)
		}
	}
	for _, asked := range []string{infoSubject, getSubject, directSubject, "$KV.notes.guest-a", "ask.guest-a.nobody", "answer.guest-a.2"} {
		for _, target := range []string{"$KV.notes.guest-b", "events.test.x", "answer.guest-b.1"} {
			if err := guests[0].Conn().PublishRequest(asked, target, []byte(`{"seq":1}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	head, err := own.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notes[0].PutString(t.Context(), "guest-a", "still mine"); err != nil {
		t.Fatal(err)
	}
	if entry, err := notes[1].Get(t.Context(), "guest-b"); err != nil || string(entry.Value()) != "mine" {
		t.Errorf("the other guest's key holds %v, %v", entry, err)
	}
	if head != 21 {
		t.Errorf("the log ends at %d", head)
	}
}

// arrives waits until a client's server has taken what it said.
func arrives(t *testing.T, client *Client) {
	t.Helper()
	if err := client.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
}
