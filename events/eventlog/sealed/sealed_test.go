package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/memory"
	"pantheon/events/eventlog/sealed"
	"pantheon/events/problem"
)

const (
	blog   events.SiteID    = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	shop   events.SiteID    = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f20"
	person events.AccountID = "c1f0a7de-6d0b-4c1e-8f4e-2f9f0d9a0002"
	drop   events.DropID    = "0123456789abcdef0123456789abcdef"
	code   events.BindingID = "fedcba9876543210fedcba9876543210"
	host   events.HostID    = "00000000000000000000000000000001"
)

// memoryKeys is a Keys in memory.
type memoryKeys struct {
	mu        sync.Mutex
	made      map[events.Owner]string
	destroyed map[events.Owner]bool
	broken    error
}

func newKeys() *memoryKeys {
	return &memoryKeys{made: map[events.Owner]string{}, destroyed: map[events.Owner]bool{}}
}

func (k *memoryKeys) Key(owner events.Owner, create bool) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, known := k.made[owner]
	switch {
	case k.broken != nil:
		return "", k.broken
	case k.destroyed[owner], !known && !create:
		return "", problem.New(problem.NotFound, "no key")
	case !known:
		key = fmt.Sprintf("a key of 32 bytes at least, of %v", owner)
		k.made[owner] = key
	}
	return key, nil
}

func (k *memoryKeys) Destroy(owner events.Owner) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.made, owner)
	k.destroyed[owner] = true
	return nil
}

// cell is a log with what seals it.
type cell struct {
	raw  *memory.Log
	keys *memoryKeys
	box  *sealed.Box
	log  *sealed.Log
	tips map[events.StreamID]events.Tip
}

func newCell() *cell {
	c := &cell{raw: memory.New(), keys: newKeys(), tips: map[events.StreamID]events.Tip{}}
	c.box = sealed.NewBox(c.keys)
	c.log = sealed.NewLog(c.raw, c.box)
	return c
}

func (c *cell) append(t *testing.T, stream events.StreamID, happened ...events.Event) events.Commit {
	t.Helper()
	commit := events.Commit{Stream: stream, Events: happened, Meta: events.Meta{
		Command: "c", Principal: "account/" + string(person), Gateway: "api", Address: "192.0.2.7:51515",
		Time: time.Date(2026, 11, 28, 19, 45, 0, 0, time.UTC),
	}}
	tip, err := c.log.Append(t.Context(), c.tips[stream], commit)
	if err != nil {
		t.Fatal(err)
	}
	c.tips[stream] = tip
	return commit
}

func read(t *testing.T, log sealed.Inner, stream events.StreamID) []events.Commit {
	t.Helper()
	var commits []events.Commit
	for envelope, err := range log.Stream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, envelope.Commit)
	}
	return commits
}

// wire gives the bytes of the whole log and checks every chain on the way: each
// commit encodes to what its hash says, without a key.
func (c *cell) wire(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	tips := map[events.StreamID]events.Tip{}
	for envelope, err := range c.raw.All(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		wire, hash, err := events.Encode(envelope.Commit, tips[envelope.Stream])
		if err != nil || hash != envelope.Hash {
			t.Fatalf("position %d: hash %s, the log says %s (%v)", envelope.Position, hash, envelope.Hash, err)
		}
		tips[envelope.Stream] = envelope.Tip()
		all.Write(wire)
	}
	return all.String()
}

var source = events.CodeSource{Location: "https://example.org/secret.git", Branch: "brunch"}

// fill writes the life of a site, with a personal text in each kind of stream,
// and gives what was written.
func (c *cell) fill(t *testing.T, site events.SiteID) map[events.StreamID][]events.Commit {
	t.Helper()
	written := map[events.StreamID][]events.Commit{}
	spec := events.BindingSpec{Kind: events.CodeServer, Site: site, Source: source}
	env := events.EnvironmentOf(site, "dev")
	workflow := events.WorkflowID("9d3c6d0e-51f6-4a1b-9a53-07c2b1a4a001")
	for _, step := range []struct {
		stream events.StreamID
		events []events.Event
	}{
		{person.Stream(), []events.Event{events.AccountRegistered{Account: person, Kind: events.AccountUser, Name: "Ada Lovelace", Email: "ada@example.org"}}},
		{workflow.Stream(), []events.Event{events.WorkflowStarted{Workflow: workflow, Site: site, Steps: []events.WorkflowStep{"a"}, Create: &events.CreateSite{Name: "blog", Label: "Ada's diary", Source: source}}}},
		{site.Stream(), []events.Event{events.SiteCreated{Site: site, Name: "blog", Label: "Ada's diary", Source: source}}},
		{env.Stream(), []events.Event{events.CodeDeployed{Environment: env, Message: "a message of Ada"}}},
		{code.Stream(), []events.Event{events.BindingRequested{Binding: code, Spec: spec}}},
		{code.Stream(), []events.Event{events.BindingFailed{Binding: code, Host: host, Reason: "cannot clone secret.git"}}},
		{drop.Stream(), []events.Event{events.DropRequested{Drop: drop, Environment: env}}},
		{drop.Stream(), []events.Event{events.DropCrashed{Drop: drop, Host: host, Reason: "Ada's plugin said ouch"}}},
		{workflow.Stream(), []events.Event{events.WorkflowStepFailed{Workflow: workflow, Undo: []events.WorkflowStep{"a"}, Reason: "cannot clone secret.git"}, events.WorkflowFailed{Workflow: workflow, Reason: "cannot clone secret.git"}}},
	} {
		written[step.stream] = append(written[step.stream], c.append(t, step.stream, step.events...))
	}
	return written
}

var secrets = []string{"Ada", "ada@", "secret.git", "brunch", "192.0.2.7", "ouch"}

func TestTheLogHoldsNoPersonalText(t *testing.T) {
	c := newCell()
	written := c.fill(t, blog)
	wire := c.wire(t)
	for _, secret := range secrets {
		if strings.Contains(wire, secret) {
			t.Errorf("%q stands in the log", secret)
		}
	}
	for stream, commits := range written {
		if got := read(t, c.log, stream); !reflect.DeepEqual(got, commits) {
			t.Errorf("%s is read as\n%#v\nand was written as\n%#v", stream, got, commits)
		}
	}
}

// Sealing is a function of keys and commits: an append whose acknowledgement
// was lost is found again, and the same history has the same hashes.
func TestSealingIsDeterministic(t *testing.T) {
	one, two := newCell(), newCell()
	one.fill(t, blog)
	two.fill(t, blog)
	if one.wire(t) != two.wire(t) {
		t.Fatal("the same commits under the same keys gave two logs")
	}
}

func TestForget(t *testing.T) {
	c := newCell()
	c.fill(t, blog)
	other := shop.Stream()
	c.append(t, other, events.SiteCreated{Site: shop, Name: "shop", Label: "Other"})
	before := c.wire(t)
	for range 2 { // idempotent
		if err := c.box.Forget(events.Owner{Site: blog}); err != nil {
			t.Fatal(err)
		}
	}
	if c.wire(t) != before {
		t.Fatal("forgetting has changed the log")
	}
	commit := read(t, c.log, blog.Stream())[0]
	want := events.SiteCreated{Site: blog, Name: "blog", Label: events.Forgotten, Source: events.CodeSource{Location: events.Forgotten, Branch: events.Forgotten}}
	if commit.Events[0] != want || commit.Meta.Address != events.Forgotten {
		t.Errorf("after forgetting: %+v from %s", commit.Events[0], commit.Meta.Address)
	}
	if got := read(t, c.log, drop.Stream())[1].Events[0].(events.DropCrashed).Reason; got != events.Forgotten {
		t.Errorf("a reason in the stream of a DROP: %q", got)
	}
	if got := read(t, c.log, other)[0]; got.Events[0].(events.SiteCreated).Label != "Other" || got.Meta.Address != "192.0.2.7:51515" {
		t.Errorf("another site: %+v", got)
	}
	if got := read(t, c.log, person.Stream())[0].Events[0].(events.AccountRegistered).Name; got != "Ada Lovelace" {
		t.Errorf("the account: %q", got)
	}
	// What comes late is forgotten at once.
	c.append(t, drop.Stream(), events.DropCrashed{Drop: drop, Host: host, Reason: "late words of Ada"})
	if strings.Contains(c.wire(t), "late words") {
		t.Error("a late text stands in the log in clear")
	}
	if got := read(t, c.log, drop.Stream())[2].Events[0].(events.DropCrashed).Reason; got != events.Forgotten {
		t.Errorf("a late text: %q", got)
	}
}

// An address in a site's stream is gone with the account too.
func TestForgetAccount(t *testing.T) {
	c := newCell()
	c.fill(t, blog)
	if err := c.box.Forget(events.Owner{Account: person}); err != nil {
		t.Fatal(err)
	}
	registered := read(t, c.log, person.Stream())[0].Events[0].(events.AccountRegistered)
	if registered.Name != events.Forgotten || registered.Email != events.Forgotten {
		t.Errorf("the account: %+v", registered)
	}
	created := read(t, c.log, blog.Stream())[0]
	if created.Meta.Address != events.Forgotten || created.Events[0].(events.SiteCreated).Label != "Ada's diary" {
		t.Errorf("its site: %+v", created)
	}
}

// A host's stream passes sealed texts on and seals clear ones.
func TestStreamsOfHosts(t *testing.T) {
	c := newCell()
	c.fill(t, blog)
	requested := read(t, c.raw, code.Stream())[0].Events[0].(events.BindingRequested)
	admitted := events.BindingAdmitted{Host: host, Binding: code, Spec: requested.Spec}
	c.append(t, host.Stream(), admitted)
	clear := admitted
	clear.Spec.Source = source
	c.append(t, host.Stream(), clear)
	for i, commit := range read(t, c.log, host.Stream()) {
		if commit.Events[0] != events.Event(admitted) {
			t.Errorf("commit %d: %+v, want %+v", i, commit.Events[0], admitted)
		}
	}
	if got := c.box.Open(requested.Spec.Source.Location); got != source.Location {
		t.Errorf("what a host opens: %q", got)
	}
}

func TestClearTextsOfOldCommits(t *testing.T) {
	c := newCell()
	old := events.Commit{Stream: blog.Stream(), Meta: events.Meta{Principal: "account/" + string(person), Address: "192.0.2.1:1"}, Events: []events.Event{events.SiteCreated{Site: blog, Label: "old"}}}
	if _, err := c.raw.Append(t.Context(), events.Tip{}, old); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c.log, blog.Stream())[0]; !reflect.DeepEqual(got, old) {
		t.Errorf("%+v, want %+v", got, old)
	}
	if len(c.keys.made) != 0 {
		t.Errorf("reading has made keys: %v", c.keys.made)
	}
}

func TestAddressesOfMachinesStayClear(t *testing.T) {
	c := newCell()
	commit := events.Commit{Stream: host.Stream(), Meta: events.Meta{Principal: host.Stream().String(), Address: "192.0.2.1:1"}, Events: []events.Event{events.HostRegistered{Host: host, Name: "h"}}}
	if _, err := c.log.Append(t.Context(), events.Tip{}, commit); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c.raw, host.Stream())[0]; !reflect.DeepEqual(got, commit) {
		t.Errorf("%+v, want %+v", got, commit)
	}
}

// Without its key a text is not written.
func TestKeysThatCannotBeRead(t *testing.T) {
	c := newCell()
	c.keys.broken = problem.New(problem.Unavailable, "the disk is gone")
	commit := events.Commit{Stream: blog.Stream(), Events: []events.Event{events.SiteCreated{Site: blog, Label: "x"}}}
	if _, err := c.log.Append(t.Context(), events.Tip{}, commit); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("Append: %v, want Unavailable", err)
	}
	if head, err := c.raw.Head(t.Context()); head != 0 || err != nil {
		t.Errorf("something was written: head %d, %v", head, err)
	}
	// The tip of another log: the stream whose beginning would tell the owner is not there.
	c.keys.broken = nil
	commit = events.Commit{Stream: drop.Stream(), Events: []events.Event{events.DropCrashed{Drop: drop, Reason: "x"}}}
	if _, err := c.log.Append(t.Context(), events.Tip{Revision: 3, Position: 9}, commit); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("Append after a tip that is none: %v, want ErrConflict", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.log.Append(ctx, events.Tip{}, commit); err == nil {
		t.Error("Append of a text without an owner was taken")
	}
}

func TestBoxesAreBoundToTheirOwners(t *testing.T) {
	box := sealed.NewBox(newKeys())
	text, err := box.Seal(events.Owner{Site: blog}, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Seal(events.Owner{Site: shop}, "there is a key"); err != nil {
		t.Fatal(err)
	}
	_, inner, _ := events.ParseSealed(text)
	for name, forged := range map[string]string{
		"another owner": events.FormatSealed(events.Owner{Site: shop}, inner),
		"cut":           events.FormatSealed(events.Owner{Site: blog}, inner[:len(inner)-1]),
		"empty":         events.FormatSealed(events.Owner{Site: blog}, nil),
	} {
		if got := box.Open(forged); got != "(unreadable)" {
			t.Errorf("%s opens as %q", name, got)
		}
	}
	// What somebody typed in the form of another owner's text is a text.
	typed, err := box.Seal(events.Owner{Site: shop}, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := box.Open(typed); got != text {
		t.Errorf("a typed sealed text opens as %q", got)
	}
}

func TestEveryTextComesBack(t *testing.T) {
	box := sealed.NewBox(newKeys())
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		owner := rapid.SampledFrom([]events.Owner{{Site: blog}, {Account: person}, {Site: blog, Account: person}}).Draw(t, "owner")
		once, err := box.Seal(owner, text)
		if err != nil {
			t.Fatal(err)
		}
		twice, _ := box.Seal(owner, once)
		if box.Open(once) != text || twice != once || (text != "") != events.IsSealed(once) {
			t.Fatalf("%q was sealed as %q, then %q, and opens as %q", text, once, twice, box.Open(once))
		}
	})
}

// Once Forget has returned nothing opens, whoever was opening meanwhile.
func TestForgetAgainstReaders(t *testing.T) {
	for range 50 {
		box := sealed.NewBox(newKeys())
		text, err := box.Seal(events.Owner{Site: blog}, "hello")
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 20 {
					if got := box.Open(text); got != "hello" && got != events.Forgotten {
						t.Errorf("opens as %q", got)
					}
				}
			})
		}
		if err := box.Forget(events.Owner{Site: blog}); err != nil {
			t.Fatal(err)
		}
		if got := box.Open(text); got != events.Forgotten {
			t.Fatalf("after Forget: %q", got)
		}
		group.Wait()
		if got := box.Open(text); got != events.Forgotten {
			t.Fatalf("after the readers: %q", got)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	box := sealed.NewBox(newKeys())
	for b.Loop() {
		_, _ = box.Seal(events.Owner{Site: blog}, "Ada's diary of a year")
	}
}

func BenchmarkOpen(b *testing.B) {
	box := sealed.NewBox(newKeys())
	text, _ := box.Seal(events.Owner{Site: blog}, "Ada's diary of a year")
	for b.Loop() {
		_ = box.Open(text)
	}
}
