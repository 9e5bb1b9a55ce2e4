package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/keys"
)

// fakeLease is held or not as the test says.
type fakeLease struct {
	mu      sync.Mutex
	term    uint64
	held    bool
	changed chan struct{}
}

func newFakeLease() *fakeLease { return &fakeLease{changed: make(chan struct{})} }

func (l *fakeLease) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLease) begin() { l.change(func() { l.term, l.held = l.term+1, true }) }
func (l *fakeLease) lapse() { l.change(func() { l.held = false }) }

func (l *fakeLease) state() (uint64, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.held, l.changed
}

func (l *fakeLease) Held() (uint64, bool) {
	term, held, _ := l.state()
	return term, held
}

func (l *fakeLease) Next(ctx context.Context, after uint64) (uint64, error) {
	for {
		term, held, changed := l.state()
		if held && term > after {
			return term, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (l *fakeLease) Over(ctx context.Context, term uint64) error {
	for {
		current, held, changed := l.state()
		if !held || current != term {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestFenceOpensWhenTheHostHasCaughtUp, in each term anew.
func TestFenceOpensWhenTheHostHasCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease, folded := newFakeLease(), newProgress()
		var head atomic.Int64
		var cuts atomic.Int64
		var broken atomic.Bool
		broken.Store(true)
		f := newFence(lease, func(context.Context) (events.Revision, error) {
			if broken.Load() {
				return 0, errors.New("no leader")
			}
			return events.Revision(head.Load()), nil
		}, folded, func() { cuts.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.run(ctx) }()
		check := func(when string, open bool) {
			t.Helper()
			synctest.Wait()
			if err := f.check(); (err == nil) != open {
				t.Errorf("%s: %v", when, err)
			}
		}
		check("before the first lease", false)
		lease.begin()
		check("while nobody tells the head", false)
		broken.Store(false)
		head.Store(7)
		<-time.After(headRetry)
		check("while the fold is behind", false)
		folded.set(6)
		check("one commit behind", false)
		folded.set(7)
		check("caught up", true)
		lease.lapse()
		if f.check() == nil { // at once, whoever has run meanwhile
			t.Error("open in the moment after the lapse")
		}
		check("lapsed", false)
		if cuts.Load() != 1 {
			t.Errorf("connections were cut %d times", cuts.Load())
		}
		head.Store(8) // somebody took something from it meanwhile
		lease.begin()
		if f.check() == nil {
			t.Error("open in the moment after the renewal, before anything was read")
		}
		check("renewed", false)
		lease.lapse() // again, while it was catching up
		check("lapsed while it caught up", false)
		folded.set(8)
		check("caught up without a lease", false)
		lease.begin()
		check("with a lease again", true)
		f.note(events.HostLost{})
		check("its own stream says that it is lost", false)
		f.note(events.HostReturned{})
		check("and that it is back", true)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestMachineAloneHasNoFence(t *testing.T) {
	f := newFence(nil, nil, newProgress(), nil)
	f.note(events.HostLost{})
	if err := errors.Join(f.check(), f.run(t.Context())); err != nil {
		t.Error(err)
	}
}

const otherHost = events.HostID("00000000000000000000000000000002")

// TestWhatIsFenced: what this host holds the data of goes on.
func TestWhatIsFenced(t *testing.T) {
	a := testAgent(t, t.TempDir(), newFakeStream(), newReported().report)
	lease := newFakeLease()
	a.fence = newFence(lease, nil, a.folded, nil)
	on := func(db, files events.HostID) *events.DropSpec {
		return &events.DropSpec{Services: []events.BoundService{
			{Kind: events.CodeServer, Host: testHost}, {Kind: events.DBServer, Host: db}, {Kind: events.FileServer, Host: files}}}
	}
	for _, c := range []struct {
		name string
		spec *events.DropSpec
		goes bool
	}{
		{"all here", on(testHost, testHost), true},
		{"the database here", on(testHost, otherHost), true},
		{"the files here", on(otherHost, testHost), true},
		{"nothing but the code here", on(otherHost, otherHost), false},
		{"no data at all", &events.DropSpec{}, false},
	} {
		if err := a.mayServe(c.spec); (err == nil) != c.goes || err != nil && problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// neighbour is how one agent of a test reaches another in the same process.
type neighbour struct {
	*Agent
	published atomic.Int64
	busy      atomic.Int64 // questions that are refused first
}

func (n *neighbour) Socket(ctx context.Context, host events.HostID, _ events.BindingID) (net.Conn, error) {
	if host != n.options.Host {
		return nil, problem.New(problem.NotFound, "host %s is not here", host)
	}
	return drop.Dial(ctx, n.options.Database.Socket())
}

func (n *neighbour) Publish(ctx context.Context, _ events.HostID, site events.SiteID, commit string) error {
	n.published.Add(1)
	if n.busy.Add(-1) >= 0 {
		return problem.New(problem.Busy, "too many questions")
	}
	return n.Agent.Publish(ctx, site, commit)
}

func (n *neighbour) Mount(_ context.Context, _ events.HostID, environment events.EnvironmentID) (string, error) {
	return n.options.Files.Path(environment), nil
}

// watchedKeys tell the test when php-fpm is being started.
type watchedKeys struct {
	Keys
	onUse atomic.Pointer[func()]
}

func (k *watchedKeys) Site(id events.SiteID) (keys.Key, error) {
	if hook := k.onUse.Load(); hook != nil {
		(*hook)()
	}
	return k.Keys.Site(id)
}

const countingPage = `<?php
$m = new mysqli(getenv('DB_HOST'), getenv('DB_USER'), getenv('DB_PASSWORD'), getenv('DB_NAME'));
$m->query('CREATE TABLE IF NOT EXISTS visits (n INT)');
$m->query('INSERT INTO visits VALUES (1)');
echo $m->query('SELECT COUNT(*) FROM visits')->fetch_row()[0];`

// pair is a host with a site's code, database and files, and one with its DROP.
type pair struct {
	origin *neighbour
	other  *Agent
	stream *fakeStream // of the other
	facts  *reported   // of the other
	lease  *fakeLease
	head   atomic.Int64
	keys   *watchedKeys
	spec   events.DropSpec
	id     events.DropID
	dir    string
}

func newPair(t *testing.T, change func(*Options)) *pair {
	t.Helper()
	if _, err := drop.FindPHP("8.2"); err != nil {
		t.Skipf("needs PHP: %v", err)
	}
	if _, err := os.Stat("/usr/sbin/mariadbd"); err != nil {
		t.Skip("needs MariaDB: apt-get install -y mariadb-server")
	}
	dir, err := os.MkdirTemp("", "p") // a unix socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &pair{dir: dir, stream: newFakeStream(), facts: newReported(), lease: newFakeLease(), id: events.DropID(strings.Repeat("d", 32))}
	releases := &code.MemoryReleases{}
	withReleases := func(a *Agent, name string) Options {
		o := a.options
		if o.Code, err = code.Open(code.Options{Dir: filepath.Join(dir, name, "code"), Releases: releases}); err != nil {
			t.Fatal(err)
		}
		return o
	}
	originStream, originFacts := newFakeStream(), newReported()
	p.origin = &neighbour{Agent: New(withReleases(testAgent(t, dir+"/a", originStream, originFacts.report), "a"))}
	t.Cleanup(func() {
		if err := p.origin.options.Database.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p.provide(t, originStream, originFacts, dir)

	o := withReleases(testAgent(t, dir+"/b", p.stream, p.facts.report), "b")
	o.Host = otherHost
	ring, err := keys.Open(dir + "/b/ring")
	if err != nil {
		t.Fatal(err)
	}
	p.keys = &watchedKeys{Keys: keys.NewBorrower(ring, func(_ context.Context, site events.SiteID) (keys.Key, error) {
		return p.origin.options.Keys.Site(site)
	})}
	o.Keys, o.Remote, o.Mounts, o.Lease = p.keys, p.origin, p.origin, p.lease
	o.Head = func(context.Context) (events.Revision, error) { return events.Revision(p.head.Load()), nil }
	if change != nil {
		change(&o)
	}
	p.other = New(o)
	t.Cleanup(run(t, p.other))
	t.Cleanup(func() {
		if err := p.other.SleepAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p.stream.append(events.DropAdmitted{Host: otherHost, Drop: p.id, Spec: p.spec})
	return p
}

// provide has the first host import the code, and make database and files.
func (p *pair) provide(t *testing.T, stream *fakeStream, facts *reported, dir string) {
	t.Helper()
	source := dir + "/source"
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source+"/index.php", []byte(countingPage), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, p.origin.Agent))
	environment := events.EnvironmentOf(siteOf(0), "dev")
	admitted := func(n int, spec events.BindingSpec) {
		spec.Site = siteOf(0)
		stream.append(events.BindingAdmitted{Host: testHost, Binding: bindingID(n), Spec: spec})
	}
	admitted(0, events.BindingSpec{Kind: events.CodeServer, Source: events.CodeSource{Location: source}})
	admitted(1, events.BindingSpec{Kind: events.DBServer, Environment: environment, Credential: firstCredential})
	admitted(2, events.BindingSpec{Kind: events.FileServer, Environment: environment, UID: uint32(os.Getuid()), Framework: events.PHP})
	facts.wait(t, "BindingProvisioned", 3)
	p.spec = sleepingSpec(0)
	p.spec.Framework = events.PHP
	facts.mu.Lock()
	defer facts.mu.Unlock()
	for _, fact := range facts.facts {
		if provisioned, is := fact.(events.BindingProvisioned); is && provisioned.Code != nil {
			p.spec.Commit = provisioned.Code.Commit
		}
	}
}

func (p *pair) get(t *testing.T) (string, error) {
	t.Helper()
	w := httptest.NewRecorder()
	err := p.other.ServeDrop(w, httptest.NewRequest(http.MethodGet, "http://dev.example/", nil), p.id)
	if err != nil && w.Body.Len() > 0 {
		t.Errorf("refused with %v after %q was written", err, w.Body)
	}
	return w.Body.String(), err
}

func (p *pair) want(t *testing.T, page string) {
	t.Helper()
	if got, err := p.get(t); err != nil || got != page {
		t.Errorf("the page is %q, want %q: %v", got, page, err)
	}
}

func (p *pair) refused(t *testing.T, why string) {
	t.Helper()
	if got, err := p.get(t); problem.KindOf(err) != problem.Unavailable || !errors.Is(err, errFenced) {
		t.Errorf("%s: served %q: %v", why, got, err)
	}
}

// opened waits until the fence has opened in the lease's present term.
func (p *pair) opened(t *testing.T) {
	t.Helper()
	for p.other.fence.check() != nil {
		select {
		case <-time.After(headRetry):
		case <-t.Context().Done():
			t.Fatal("the fence did not open")
		}
	}
}

// TestDropFarFromItsDatabase is served with the code, the key, the database and
// the files of another host; it is not while the host's lease has lapsed, nor
// after that before the host has caught up with its stream.
func TestDropFarFromItsDatabase(t *testing.T) {
	p := newPair(t, nil)
	p.facts.wait(t, "DropReady", 1)
	if n := p.origin.published.Load(); n != 1 {
		t.Errorf("the release was asked for %d times", n)
	}
	p.refused(t, "without a lease")
	p.lease.begin()
	p.opened(t)
	db, _ := service(&p.spec, events.DBServer)
	if empty, err := p.other.databaseEmpty(t.Context(), &p.spec, db); err != nil || !empty {
		t.Errorf("the new database is empty: %v, %v", empty, err)
	}
	p.want(t, "1")
	if empty, err := p.other.databaseEmpty(t.Context(), &p.spec, db); err != nil || empty {
		t.Errorf("the used database is empty: %v, %v", empty, err)
	}
	p.want(t, "2")

	p.lease.lapse()
	p.refused(t, "lapsed")
	if err := p.other.Ping(t.Context(), p.id); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a ping while it has lapsed: %v", err)
	}
	p.head.Store(2)
	p.lease.begin()
	p.refused(t, "not caught up")
	p.stream.append(events.HostAddressesChanged{Host: otherHost})
	p.opened(t)
	p.want(t, "3")

	// A request that waits for php-fpm while the lease lapses is refused too.
	if err := p.other.SleepAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.facts.wait(t, "DropSlept", 1)
	lapse := p.lease.lapse
	p.keys.onUse.Store(&lapse)
	p.refused(t, "held while it lapsed")
	p.keys.onUse.Store(nil)
	p.lease.begin()
	p.opened(t)
	p.want(t, "4")

	// What was fetched for the DROP goes with it.
	tree, err := filepath.Glob(filepath.Join(p.dir, "b/code", string(siteOf(0)), "releases", p.spec.Commit+"-????????"))
	if err != nil || len(tree) != 1 {
		t.Fatalf("releases: %v, %v", tree, err)
	}
	p.other.collect(t.Context(), siteOf(0))
	if _, err := os.Stat(tree[0]); err != nil {
		t.Errorf("a release in use was collected: %v", err)
	}
	p.stream.append(events.DropDismissed{Host: otherHost, Drop: p.id})
	for p.other.entry(p.id) != nil {
		<-time.After(time.Millisecond)
	}
	p.other.collect(t.Context(), siteOf(0))
	if _, err := os.Stat(tree[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unused release was not collected: %v", err)
	}
}

// TestLapseCutsTheWayToTheDatabase: what PHP began before can write no more.
func TestLapseCutsTheWayToTheDatabase(t *testing.T) {
	p := newPair(t, nil)
	p.facts.wait(t, "DropReady", 1)
	p.lease.begin()
	p.opened(t)
	p.want(t, "1")
	conn, err := drop.Dial(t.Context(), p.other.tunnels.socket(bindingID(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 5)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		t.Fatalf("the server does not greet: %v", err)
	}
	p.lease.lapse()
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("the connection ended with %v", err)
	}
	again, err := drop.Dial(t.Context(), p.other.tunnels.socket(bindingID(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n, _ := again.Read(greeting); n > 0 {
		t.Error("a new connection reaches the database")
	}
	if err := p.other.SleepAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.facts.wait(t, "DropSlept", 1)
	if asleep, err := drop.Dial(t.Context(), p.other.tunnels.socket(bindingID(1))); err == nil {
		asleep.Close()
		t.Error("the tunnel of a sleeping DROP listens")
	}
}

// TestRefusalsAreHonest: a DROP whose data cannot be reached from here says
// where it is.
func TestRefusalsAreHonest(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		without      func(*Options)
	}{
		{"files", "the files of this environment are on host " + string(testHost), func(o *Options) { o.Mounts = nil }},
		{"database", "the database of this environment is on host " + string(testHost), func(o *Options) { o.Remote = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testAgent(t, t.TempDir(), newFakeStream(), nil).options
			p := &pair{stream: newFakeStream(), facts: newReported(), id: events.DropID(strings.Repeat("d", 32)), spec: sleepingSpec(0)}
			o.Host, o.Stream, o.Report = otherHost, p.stream, p.facts.report
			o.Remote, o.Mounts = &neighbour{}, fixedMount(t.TempDir())
			c.without(&o)
			defer run(t, New(o))()
			p.stream.append(events.DropAdmitted{Host: otherHost, Drop: p.id, Spec: p.spec})
			p.facts.wait(t, "DropPrepareFailed", 1)
			if failed := p.facts.facts[0].(events.DropPrepareFailed); !strings.Contains(failed.Reason, c.reason) {
				t.Errorf("the reason is %q", failed.Reason)
			}
		})
	}
}

type fixedMount string

func (m fixedMount) Mount(context.Context, events.HostID, events.EnvironmentID) (string, error) {
	return string(m), nil
}

// gatedMounts fail while they are closed.
type gatedMounts struct {
	Mounts
	closed atomic.Bool
}

func (m *gatedMounts) Mount(ctx context.Context, host events.HostID, environment events.EnvironmentID) (string, error) {
	if m.closed.Load() {
		return "", errors.New("the machine is away")
	}
	return m.Mounts.Mount(ctx, host, environment)
}

// A DROP that was ready, and could not be made ready for a visitor after a
// restart, stayed failed for people.
func TestFailureForAVisitorIsTakenBack(t *testing.T) {
	gate := &gatedMounts{}
	p := newPair(t, func(o *Options) { gate.Mounts, o.Mounts = o.Mounts, gate })
	p.facts.wait(t, "DropReady", 1)
	p.lease.begin()
	p.opened(t)
	gate.closed.Store(true)
	p.other.entry(p.id).live.Store(nil) // as after a restart
	if _, err := p.other.use(t.Context(), p.id); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a DROP without its files: %v", err)
	}
	p.facts.wait(t, "DropPrepareFailed", 1)
	gate.closed.Store(false)
	p.facts.wait(t, "DropReady", 2)
	p.want(t, "1")
}

// TestBusyOriginIsAskedAgain: a DROP failed because the host of its code was
// publishing others at that moment.
func TestBusyOriginIsAskedAgain(t *testing.T) {
	p := newPair(t, func(o *Options) { o.Remote.(*neighbour).busy.Store(3) })
	p.facts.wait(t, "DropReady", 1)
	p.facts.mu.Lock()
	defer p.facts.mu.Unlock()
	for _, fact := range p.facts.facts {
		if failed, is := fact.(events.DropPrepareFailed); is {
			t.Errorf("it failed: %s", failed.Reason)
		}
	}
	if n := p.origin.published.Load(); n != 4 {
		t.Errorf("asked %d times", n)
	}
}
