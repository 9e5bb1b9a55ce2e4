package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

const (
	hostileID events.HostID = "00000000000000000000000000000bad"
	victimID  events.HostID = "00000000000000000000000000000001"
)

// logOfCell opens the log of a cell as its control machine does, with a secret in
// it, and gives another machine's identity.
func logOfCell(t *testing.T, roles ...events.HostRole) (*jetstream.Log, *identity.Node) {
	t.Helper()
	p, node := cellUnderTest(t, roles...)
	return p.log.(*jetstream.Log), node
}

// cellUnderTest is the control machine of a cell, with actors and the inventory,
// and another machine's identity.
func cellUnderTest(t *testing.T, roles ...events.HostRole) (*platform, *identity.Node) {
	t.Helper()
	dir := t.TempDir()
	authority, err := identity.CreateAuthority(filepath.Join(dir, "ca"), identity.NewCellID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	node := func(name string, id events.HostID, roles []events.HostRole) *identity.Node {
		request, err := identity.NewRequest()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := authority.SignHost(request.CSR, id, roles, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		made, err := identity.InstallNode(filepath.Join(dir, name), request, certificate, authority.Certificate())
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	p := &platform{host: hostIdentity{victimID}, cell: &membership{authority: authority, node: node("control", victimID, everyRole())}}
	p.options.logger = slog.New(slog.DiscardHandler)
	log, err := jetstream.Open(t.Context(), jetstream.Options{Dir: filepath.Join(dir, "log"), Listen: &jetstream.Listen{
		Address: "127.0.0.1:0", TLS: p.cell.node.LogServer(), Admit: p.admitToLog,
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.log = log
	t.Cleanup(func() { _ = log.Close() })
	for _, bucket := range []string{secretsBucket, leaseBucketName} {
		kv, err := log.Bucket(t.Context(), natsjs.KeyValueConfig{Bucket: bucket, Storage: natsjs.MemoryStorage})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.PutString(t.Context(), "it", "is one"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (newReleases(log)).store(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), events.Tip{}, lostCommit()); err != nil {
		t.Fatal(err)
	}
	return p, node("other", hostileID, roles)
}

func lostCommit() events.Commit {
	return events.Commit{Stream: victimID.Stream(), Meta: events.Meta{Command: "test", Principal: "policy/test", Time: time.Now()},
		Events: []events.Event{events.HostLost{Host: victimID, Reason: "a test"}}}
}

// A machine that is no control machine has its certificate and any client it
// likes. What it may not, the server refuses.
func TestHostileHost(t *testing.T) {
	log, node := logOfCell(t, events.RoleHost, events.RoleEntry)
	refused := make(chan error, 1)
	conn, err := nats.Connect("tls://"+log.Address(), nats.Secure(node.Client("")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantRefusal := func(what, subject string) {
		t.Helper()
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), subject) {
				t.Errorf("%s %s: %v", what, subject, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("it may %s %s", what, subject)
		}
	}
	for _, subject := range hostileSubjects() {
		if err := conn.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		wantRefusal("publish to", subject)
	}
	for _, subject := range []string{
		">", "events.>", "cell.member." + string(victimID), "cell.vitals.>", "$KV." + secretsBucket + ".>", "$KV.>", "control.>", "cell.answer.>", "cell.*." + string(hostileID),
		askCodeLog.subject(victimID), "_R_.>", "$SYS.>", "$JS.>",
	} {
		subscription, err := conn.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal("listen to", subject)
		_ = subscription.Unsubscribe()
	}
	if head, err := log.Head(t.Context()); err != nil || head != 1 {
		t.Errorf("the log ends at %d, %v", head, err)
	}
}

// hostileSubjects would destroy the log, read what is secret, have it copied, or
// speak for others.
func hostileSubjects() []string {
	other := string(victimID)
	own := asker{hostileID, []events.HostRole{events.RoleEntry, events.RoleHost}}
	all := []string{
		"events.host." + other, "events.host." + string(hostileID), "events.drop.0a000000000000000000000000000001", "events.account.new", "events.x",
		asker{victimID, own.roles}.subject(other), asker{hostileID, everyRole()}.subject(other), asker{hostileID, nil}.subject(other), "control." + string(hostileID),
		own.subject(other) + ".more", askFetch.from(victimID, other), answerSubject + other + ".1", askPublish.subject(victimID), askCodeLog.subject(victimID),
		askCodeLog.subject(hostileID), "_R_.guessed", "_INBOX.guessed",
		"committed.host." + other, "$KV." + secretsBucket + ".it", "$KV." + leaseBucketName + "." + other, "cell.vitals." + other,
		askMember.subject(victimID), askRestart.subject(victimID), askExplain.subject(victimID), "$SYS.REQ.SERVER.PING", "anything",
		"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.ACCOUNT.PURGE.$G", "$JS.API.META.LEADER.STEPDOWN",
		"$JS.API.STREAM.CREATE.COPY", "$JS.API.CONSUMER.CREATE.events", "$JS.API.CONSUMER.CREATE.events.c", "$JS.API.CONSUMER.DURABLE.CREATE.events.c",
		"$JS.API.CONSUMER.CREATE.OBJ_" + releasesBucket, "$JS.API.DIRECT.GET.KV_" + secretsBucket,
		"$JS.API.DIRECT.GET.KV_" + secretsBucket + ".$KV." + secretsBucket + ".it",
	}
	for _, stream := range []string{"events", "KV_" + secretsBucket, "KV_" + leaseBucketName, "OBJ_" + releasesBucket} {
		for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.DELETE", "PEER.REMOVE", "LEADER.STEPDOWN"} {
			all = append(all, "$JS.API.STREAM."+verb+"."+stream)
		}
	}
	return append(all, "$JS.API.STREAM.INFO.KV_"+secretsBucket, "$JS.API.STREAM.MSG.GET.KV_"+secretsBucket)
}

// The same machine does what it is there for.
func TestGuestOfTheLog(t *testing.T) {
	log, node := logOfCell(t, events.RoleHost)
	guest, err := jetstream.Dial(t.Context(), jetstream.DialOptions{
		Addresses: []string{log.Address()}, TLS: node.Client(""), Name: string(hostileID), Guest: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = guest.Close() }()
	checkGuestReads(t, guest, log)
	checkGuestHasItsLease(t, guest)
	checkGuestPublishes(t, guest, log)
	checkGuestAnswers(t, guest, log)
}

// checkGuestReads: it hears of what is appended, and appends nothing.
func checkGuestReads(t *testing.T, guest *jetstream.Client, log *jetstream.Log) {
	t.Helper()
	var tip events.Tip
	for envelope, err := range guest.Stream(t.Context(), victimID.Stream(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		tip = envelope.Tip()
	}
	if _, err := guest.Append(t.Context(), tip, lostCommit()); problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" {
		t.Errorf("an append: %v", err)
	}
	tailed := make(chan events.Position, 1)
	go func() {
		for envelope, err := range guest.Tail(t.Context(), tip.Position) {
			if err == nil {
				tailed <- envelope.Position
			}
			return
		}
	}()
	next, err := log.Append(t.Context(), tip, lostCommit())
	if err != nil {
		t.Fatal(err)
	}
	if got := <-tailed; got != next.Position {
		t.Errorf("the tail gave %d, appended was %d", got, next.Position)
	}
}

func checkGuestHasItsLease(t *testing.T, guest *jetstream.Client) {
	t.Helper()
	leases, err := guest.Bucket(t.Context(), natsjs.KeyValueConfig{Bucket: leaseBucketName})
	if err != nil {
		t.Fatal(err)
	}
	revision, err := leases.Create(t.Context(), string(hostileID), []byte("mine"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Update(t.Context(), string(hostileID), []byte("still mine"), revision); err != nil {
		t.Error(err)
	}
	if entry, err := leases.Get(t.Context(), "it"); err != nil || string(entry.Value()) != "is one" {
		t.Errorf("another one's lease is %v, %v", entry, err)
	}
}

// checkGuestPublishes: releases, large ones too, and several at once.
func checkGuestPublishes(t *testing.T, guest *jetstream.Client, log *jetstream.Log) {
	t.Helper()
	release := make([]byte, 1_000_000) // several chunks
	for i := range release {
		release[i] = byte(rand.Uint32())
	}
	var publishing errgroup.Group
	mine := newReleases(guest)
	for range 4 { // as sites of one upstream do
		publishing.Go(func() error { return mine.Put(t.Context(), "abc", bytes.NewReader(release)) })
	}
	if err := publishing.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []cellLog{guest, log} {
		reader, err := (newReleases(from)).Get(t.Context(), "abc")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, release) {
			t.Errorf("the release has %d bytes, %v", len(got), err)
		}
	}
}

// checkGuestAnswers what it is asked; who is not there is known at once.
func checkGuestAnswers(t *testing.T, guest *jetstream.Client, log *jetstream.Log) {
	t.Helper()
	asked := make(chan struct{})
	if _, err := guest.Conn().Subscribe(askCodeLog.subject(hostileID), func(message *nats.Msg) {
		_ = message.Respond([]byte("here"))
		close(asked)
	}); err != nil {
		t.Fatal(err)
	}
	if err := guest.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	answer, err := requestOf(t.Context(), log.Conn(), &nats.Msg{Subject: askCodeLog.subject(hostileID), Reply: answerSubject + string(hostileID) + ".1"})
	if err != nil || string(answer.Data) != "here" {
		t.Errorf("the answer is %v, %v", answer, err)
	}
	<-asked
	_, err = requestOf(t.Context(), log.Conn(), &nats.Msg{Subject: askCodeLog.subject(victimID), Reply: answerSubject + string(victimID) + ".1"})
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a machine that is not there: %v", err)
	}
	_, err = guest.Conn().Request(asker{hostileID, []events.HostRole{events.RoleHost}}.subject(string(victimID)), nil, time.Minute)
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a control machine that is not there: %v", err)
	}
}
