package jetstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// listening opens a log that other machines may use.
func listening(t testing.TB, dir string, ca *authority) *Log {
	t.Helper()
	log, err := Open(t.Context(), Options{Dir: dir, Listen: &Listen{Address: "127.0.0.1:0", TLS: ca.config(t, "server")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func dialed(t testing.TB, log *Log, ca *authority) *Client {
	t.Helper()
	client, err := Dial(t.Context(), DialOptions{Addresses: []string{log.Address()}, TLS: ca.config(t, "client"), Name: "client"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A client on the network passes what the log itself passes.
func TestClientConformance(t *testing.T) {
	fewerChecks(t)
	ca := newAuthority(t)
	logs := map[eventlog.Log]*Log{}
	eventlogtest.Run(t, eventlogtest.Adapter{
		Open: func(t *testing.T) eventlog.Log {
			log := listening(t, t.TempDir(), ca)
			client := dialed(t, log, ca)
			logs[client] = log
			return client
		},
		Reopen: func(t *testing.T, client eventlog.Log) eventlog.Log {
			log := logs[client]
			if err := errors.Join(client.Close(), log.Close()); err != nil {
				t.Fatal(err)
			}
			again := listening(t, log.dir, ca)
			client = dialed(t, again, ca)
			logs[client] = again
			return client
		},
	})
}

// A log that others write too passes as well.
func TestListeningLogConformance(t *testing.T) {
	fewerChecks(t)
	ca := newAuthority(t)
	eventlogtest.Run(t, eventlogtest.Adapter{Open: func(t *testing.T) eventlog.Log { return listening(t, t.TempDir(), ca) }})
}

// What one of them wrote the other sees at once, and both tails.
func TestLogAndClientAgree(t *testing.T) {
	ca := newAuthority(t)
	log := listening(t, t.TempDir(), ca)
	client := dialed(t, log, ca)
	logs := []eventlog.Log{log, client}
	var tip events.Tip
	for i := range 20 {
		tip = eventlogtest.Append(t, logs[i%2], tip, eventlogtest.Commit(eventlogtest.Stream(1), "x"))
		other := logs[(i+1)%2]
		if head, err := other.Head(t.Context()); err != nil || head != tip.Position {
			t.Fatalf("the head is %d, want %d (%v)", head, tip.Position, err)
		}
		if all := eventlogtest.Collect(t, other.All(t.Context(), tip.Position-1)); len(all) != 1 || all[0].Tip() != tip {
			t.Fatalf("%v is not %v", all, tip)
		}
	}
	for _, log := range logs {
		n := 0
		for envelope, err := range log.Tail(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; envelope.Tip() == tip {
				break
			}
		}
		if n != 20 {
			t.Errorf("%d commits", n)
		}
	}
	for _, other := range logs {
		old := events.Tip{}
		if _, err := other.Append(t.Context(), old, eventlogtest.Commit(eventlogtest.Stream(1), "y")); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("after an old tip: %v", err)
		}
	}
}

// Nobody gets in without a certificate of the cell, and who has one cannot take
// anything away.
func TestStrangersStayOutside(t *testing.T) {
	ca := newAuthority(t)
	log := listening(t, t.TempDir(), ca)
	tip := eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	other := newAuthority(t).config(t, "stranger")
	other.RootCAs = ca.pool
	bare := ca.config(t, "client")
	bare.Certificates = nil
	for name, config := range map[string]*tls.Config{"of another cell": other, "without a certificate": bare} {
		conn, err := nats.Connect("tls://"+log.Address(), nats.Secure(config), nats.Timeout(readTimeout))
		if err == nil {
			if err = conn.FlushTimeout(readTimeout); err == nil {
				t.Errorf("a client %s came in", name)
			}
			conn.Close()
		}
	}
	if conn, err := nats.Connect("nats://"+log.Address(), nats.Timeout(readTimeout)); err == nil {
		conn.Close()
		t.Error("a client without TLS came in")
	}
	client := dialed(t, log, ca)
	for _, forbidden := range []string{
		"$JS.API.STREAM.DELETE.events", "$JS.API.STREAM.UPDATE.events", "$JS.API.STREAM.PURGE.events", "$JS.API.STREAM.MSG.DELETE.events",
	} {
		if _, err := client.conn.Request(forbidden, []byte("{}"), firstPatience/10); err == nil {
			t.Errorf("a client may %s", forbidden)
		}
	}
	if got := eventlogtest.Collect(t, client.All(t.Context(), 0)); len(got) != 1 || got[0].Tip() != tip {
		t.Errorf("the log holds %v", got)
	}
	for _, config := range []*tls.Config{nil, {}, {ClientAuth: tls.RequireAnyClientCert}} {
		_, err := Open(t.Context(), Options{Dir: t.TempDir(), Listen: &Listen{Address: "127.0.0.1:0", TLS: config}})
		if problem.KindOf(err) != problem.Invalid || problem.HintOf(err) == "" {
			t.Errorf("a log listens with %v: %v", config, err)
		}
	}
}

// Who is let in by TLS may still be turned away, or kept from subjects.
func TestAdmit(t *testing.T) {
	ca := newAuthority(t)
	log, err := Open(t.Context(), Options{Dir: t.TempDir(), Listen: &Listen{
		Address: "127.0.0.1:0", TLS: ca.config(t, "server"),
		Admit: func(state tls.ConnectionState) (Rights, bool) {
			return Rights{Guest: "client", Ask: []string{"public.>", "$JS.API.STREAM.INFO.events"}}, state.PeerCertificates[0].Subject.CommonName != "removed"
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	heard := make(chan string, 2)
	if _, err := log.Conn().Subscribe("*.word", func(message *nats.Msg) { heard <- message.Subject }); err != nil {
		t.Fatal(err)
	}
	if err := log.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	client := dialed(t, log, ca)
	for _, subject := range []string{"private.word", "public.word"} {
		if err := client.conn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if first := <-heard; first != "public.word" {
		t.Errorf("heard %s of a client that may not say it", first)
	}
	conn, err := nats.Connect("tls://"+log.Address(), nats.Secure(ca.config(t, "removed")), nats.Timeout(readTimeout))
	if err == nil {
		if err = conn.FlushTimeout(readTimeout); err == nil {
			t.Error("a machine that was removed came in")
		}
		conn.Close()
	}
}

// Who has been let in is turned away when that is no longer right; who has done
// nothing stays.
func TestTurnAway(t *testing.T) {
	ca := newAuthority(t)
	var removed atomic.Bool
	log, err := Open(t.Context(), Options{Dir: t.TempDir(), Listen: &Listen{
		Address: "127.0.0.1:0", TLS: ca.config(t, "server"),
		Admit: func(state tls.ConnectionState) (Rights, bool) {
			return Rights{}, !removed.Load() || state.PeerCertificates[0].Subject.CommonName != "removed"
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	connect := func(name string) (conn *nats.Conn, ended chan struct{}) {
		ended = make(chan struct{})
		conn, err := nats.Connect("tls://"+log.Address(), nats.Secure(ca.config(t, name)), nats.Timeout(readTimeout), nats.NoReconnect(),
			nats.ClosedHandler(func(*nats.Conn) { close(ended) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn, ended
	}
	first, ended := connect("removed")
	second, _ := connect("other")
	if n := log.TurnAway(); n != 0 {
		t.Errorf("%d connections were ended, nobody was removed", n)
	}
	removed.Store(true)
	if n := log.TurnAway(); n != 1 {
		t.Errorf("%d connections were ended, one machine was removed", n)
	}
	<-ended
	if first.IsConnected() || second.FlushTimeout(readTimeout) != nil {
		t.Error("the wrong connection was ended")
	}
	if conn, err := nats.Connect("tls://"+log.Address(), nats.Secure(ca.config(t, "removed")), nats.Timeout(readTimeout), nats.NoReconnect()); err == nil {
		conn.Close()
		t.Error("the removed machine came in again")
	}
	later := time.Now().Add(100 * 365 * 24 * time.Hour)
	if n := log.wire.current.Load().turnAway(later); n != 1 {
		t.Errorf("%d connections were ended, one certificate has ended", n)
	}
	if inside := len(log.wire.current.Load().door.inside); inside > 1 {
		t.Errorf("%d connections are kept in mind", inside)
	}
}

// twoStreams appends to two streams in turn.
type twoStreams struct {
	log  *Log
	tips [2]events.Tip
}

func (w *twoStreams) append(t *testing.T) {
	t.Helper()
	for s := range w.tips {
		text := fmt.Sprint(w.tips[s].Revision)
		w.tips[s] = eventlogtest.Append(t, w.log, w.tips[s], eventlogtest.Commit(eventlogtest.Stream(s), text))
	}
}

type follower interface {
	Follow(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
}

// Who follows a stream gets its commits and no others, from wherever they
// begin, those that come later among them.
func TestFollow(t *testing.T) {
	ca := newAuthority(t)
	w := &twoStreams{log: listening(t, t.TempDir(), ca)}
	const before = 2*walkCommits + 7
	for range before {
		w.append(t)
	}
	for name, log := range map[string]follower{"log": w.log, "client": dialed(t, w.log, ca)} {
		for _, after := range []events.Revision{0, 1, before - walkCommits - 1, before - 3, before - 1} {
			end, revision := w.tips[1].Revision+3, after
			for envelope, err := range log.Follow(t.Context(), eventlogtest.Stream(1), after) {
				if err != nil {
					t.Fatal(err)
				}
				if revision++; envelope.Revision != revision || envelope.Stream != eventlogtest.Stream(1) {
					t.Fatalf("%s: revision %d of %s, want %d", name, envelope.Revision, envelope.Stream, revision)
				}
				if revision == end {
					break
				}
				if revision == w.tips[1].Revision {
					w.append(t)
				}
			}
			if revision != end {
				t.Fatalf("%s: it ended with revision %d, want %d", name, revision, end)
			}
		}
	}
}

// Following goes on through failures of the server.
func TestFollowThroughFailures(t *testing.T) {
	ca := newAuthority(t)
	w := &twoStreams{log: listening(t, t.TempDir(), ca)}
	client := dialed(t, w.log, ca)
	got := make(chan events.Envelope, 16)
	go func() {
		for envelope, err := range client.Follow(t.Context(), eventlogtest.Stream(1), 0) {
			if err == nil {
				got <- envelope
			}
		}
	}()
	for n := range 10 {
		if n%4 == 2 {
			w.log.wire.current.Load().fail(errors.New("a server that dies on purpose"))
			_, _ = w.log.Append(t.Context(), w.tips[0], eventlogtest.Commit(eventlogtest.Stream(0), "wakes the healer"))
			eventually(t, "append after the failure", func() error {
				for envelope, err := range w.log.Stream(t.Context(), eventlogtest.Stream(0), 0) {
					if err != nil {
						return err
					}
					w.tips[0] = envelope.Tip()
				}
				next, err := w.log.Append(t.Context(), w.tips[0], eventlogtest.Commit(eventlogtest.Stream(0), "well"))
				if err == nil {
					w.tips[0] = next
				}
				return err
			})
		}
		w.append(t)
		select {
		case envelope := <-got:
			if envelope.Tip() != w.tips[1] {
				t.Fatalf("got %v, want %v", envelope.Tip(), w.tips[1])
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

// An answer that is lost does not lose the commit, nor write it twice.
func TestLostAnswer(t *testing.T) {
	ca := newAuthority(t)
	log := listening(t, t.TempDir(), ca)
	client := dialed(t, log, ca)
	p := publishing{client: client, id: "mine", subject: subject(eventlogtest.Stream(1))}
	commit := eventlogtest.Commit(eventlogtest.Stream(1), "a")
	var err error
	if p.data, _, err = events.Encode(commit, events.Tip{}); err != nil {
		t.Fatal(err)
	}
	if final, err := p.attempt(t.Context(), readTimeout); !final || err != nil || p.position != 1 {
		t.Fatal(final, err)
	}
	// The answer is forgotten; a second attempt finds the first one's commit.
	p.position = 0
	if final, err := p.attempt(t.Context(), readTimeout); !final || err != nil || p.position != 1 {
		t.Fatalf("position %d, final %v, %v", p.position, final, err)
	}
	// Another append has written the same.
	p.id = "another"
	if final, err := p.attempt(t.Context(), readTimeout); !final || !errors.Is(err, eventlog.ErrConflict) {
		t.Fatal(final, err)
	}
	if got := eventlogtest.Collect(t, log.All(t.Context(), 0)); len(got) != 1 {
		t.Errorf("%d commits", len(got))
	}
}

// A client whose server is gone says so in its bounded time, and works again
// with the server, tails included.
func TestServerGone(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	address := freeAddresses(t, 1)[0]
	serve := func() *Log {
		log, err := Open(t.Context(), Options{Dir: dir, Listen: &Listen{Address: address, TLS: ca.config(t, "server")}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = log.Close() })
		return log
	}
	log := serve()
	client := dialed(t, log, ca)
	seen := make(chan events.Tip, 16)
	go func() {
		for envelope, err := range client.Tail(t.Context(), 0) {
			if err == nil {
				seen <- envelope.Tip()
			}
		}
	}()
	var tip events.Tip
	for round := range 3 {
		tip = eventlogtest.Append(t, client, tip, eventlogtest.Commit(eventlogtest.Stream(1), fmt.Sprint(round)))
		select {
		case got := <-seen:
			if got != tip {
				t.Fatalf("the tail gave %v, want %v", got, tip)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the tail gave nothing")
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			client.patience = time.Second
			_, err := client.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "lost"))
			client.patience = appendTimeout
			if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
				t.Errorf("without a server: %v", err)
			}
			t.Log(err)
		}
		log = serve()
	}
	if got := eventlogtest.Collect(t, client.All(t.Context(), 0)); len(got) != 3 {
		t.Errorf("%d commits", len(got))
	}
}

// A bucket and an object store work over the network.
func TestClientBuckets(t *testing.T) {
	ca := newAuthority(t)
	log := listening(t, t.TempDir(), ca)
	client := dialed(t, log, ca)
	bucket, err := client.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "leases", Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "host.1", []byte("here")); err != nil {
		t.Fatal(err)
	}
	mine, err := log.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "leases", Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := mine.Get(t.Context(), "host.1"); err != nil || string(entry.Value()) != "here" {
		t.Fatal(entry, err)
	}
	store, err := client.ObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "releases"})
	if err != nil {
		t.Fatal(err)
	}
	content := slices.Repeat([]byte("release "), 100_000)
	if _, err := store.PutBytes(t.Context(), "0123", content); err != nil {
		t.Fatal(err)
	}
	theirs, err := log.ObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "releases"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := theirs.GetBytes(t.Context(), "0123"); err != nil || !slices.Equal(got, content) {
		t.Fatal(len(got), err)
	}
	if err := store.Delete(t.Context(), "0123"); err != nil {
		t.Fatal(err)
	}
}
