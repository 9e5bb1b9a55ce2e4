package keys

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/vaulttest"
)

// machine is a control machine: its folder, its way to the vault, and its ring
// while it is on.
type machine struct {
	dir  string
	link *vaulttest.Link
	ca   []byte
	ring *Ring

	mu        sync.Mutex
	destroyed []events.Owner
}

// fataler is what testing.T and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newMachines(t testing.TB, dir string) (machines [3]*machine) {
	t.Helper()
	memory, ca := &vault.Memory{}, vaulttest.CAKey(t)
	for i := range machines {
		machines[i] = &machine{dir: filepath.Join(dir, fmt.Sprint("keys-", i)), link: &vaulttest.Link{Bucket: memory}, ca: ca}
		machines[i].on(t)
	}
	return machines
}

// founded gives three machines of a cell that has nothing yet.
func founded(t testing.TB, dir string) [3]*machine {
	t.Helper()
	machines := newMachines(t, dir)
	if err := machines[0].ring.shared.vault.Found(context.Background()); err != nil {
		t.Fatal(err)
	}
	return machines
}

func (m *machine) on(t fataler) {
	t.Helper()
	store, err := vault.New(vault.Options{Bucket: m.link, CAKey: m.ca, Cell: vaulttest.Cell})
	if err == nil {
		m.ring, err = OpenShared(m.dir, SharedOptions{Vault: store, Destroyed: func(owner events.Owner) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.destroyed = append(m.destroyed, owner)
		}})
	}
	if err != nil {
		t.Fatalf("cannot open: %v", err)
	}
}

// cut takes the vault away, and the waiting for it.
func (m *machine) cut() {
	m.link.Cut()
	m.ring.shared.away = m.ring.shared.now().Add(time.Hour)
}

func (m *machine) heal() {
	m.link.Heal()
	m.ring.shared.away = time.Time{}
}

func (m *machine) reconcile(t fataler) {
	t.Helper()
	if err := m.ring.Reconcile(context.Background()); err != nil {
		t.Fatalf("cannot reconcile: %v", err)
	}
}

// files gives the names in a machine's folders with their contents.
func (m *machine) files(t fataler) map[string]string {
	t.Helper()
	all := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(m.dir, "*", "*"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		all[strings.TrimPrefix(path, m.dir)] = string(content)
	}
	return all
}

func derived(t fataler, key Key, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("no key: %v", err)
	}
	return key.Derive("p", "i", 1)
}

func TestOneKeyForTheCell(t *testing.T) {
	machines := founded(t, t.TempDir())
	var group sync.WaitGroup
	got := make([]string, 24)
	for i := range got {
		group.Go(func() {
			key, err := machines[i%3].ring.Site(blog)
			if err == nil {
				got[i] = key.Derive("p", "i", 1)
			}
		})
	}
	group.Wait()
	if slices.Sort(got); got[0] == "" || got[0] != got[len(got)-1] {
		t.Fatal("callers got different keys, or none")
	}
	// With the vault away, what is in the folder works, and nothing else.
	person := events.AccountID(blog)
	for _, m := range machines {
		m.cut()
		key, err := m.ring.Site(blog)
		if derived(t, key, err) != got[0] {
			t.Error("another key without the vault")
		}
		if _, err := m.ring.Account(person); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
			t.Errorf("a new key without the vault: %v", err)
		}
		if _, err := m.ring.FindAccount(person); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("a key that another machine may have: %v", err)
		}
		if err := m.ring.Destroy(blog); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
			t.Errorf("destroying without the vault: %v", err)
		}
		if len(m.files(t)) != 1 {
			t.Errorf("files: %d", len(m.files(t)))
		}
		m.heal()
	}
	// A key of a moment ago is found everywhere.
	key, err := machines[1].ring.Account(person)
	want := derived(t, key, err)
	key, err = machines[2].ring.FindAccount(person)
	if derived(t, key, err) != want {
		t.Error("another account's key")
	}
	if _, err := machines[2].ring.FindSite(events.SiteID(strings.Replace(string(blog), "0", "1", 1))); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a key that nobody has: %v", err)
	}
}

// A cell that grows: nobody makes keys before the first machine has put in its
// own, tombstones with them.
func TestGrown(t *testing.T) {
	dir := t.TempDir()
	alone, err := Open(filepath.Join(dir, "keys-0"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := alone.Site(blog)
	want := derived(t, key, err)
	person := events.AccountID(blog)
	if err := alone.DestroyAccount(person); err != nil {
		t.Fatal(err)
	}
	machines := newMachines(t, dir)
	first, second := machines[0], machines[1]
	if _, err := second.ring.Site(blog); problem.KindOf(err) != problem.Unavailable || !strings.Contains(problem.HintOf(err), "grow") {
		t.Fatalf("a key before the vault was founded: %v", err)
	}
	for range 2 {
		if err := first.ring.Contribute(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.ring.shared.vault.Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.ring.shared.reached(true)
	key, err = second.ring.Site(blog)
	if derived(t, key, err) != want {
		t.Error("another key than the cell had")
	}
	machines[2].reconcile(t)
	if got := machines[2].files(t); len(got) != 2 || got["/sites/"+string(blog)] != first.files(t)["/sites/"+string(blog)] {
		t.Errorf("the third machine has %d files", len(got))
	}
	if _, err := second.ring.Account(person); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a key that was destroyed before: %v", err)
	}
}

// Two different keys of one id are nothing to guess about.
func TestTwoKeys(t *testing.T) {
	dir := t.TempDir()
	machines := founded(t, dir)
	key, err := machines[1].ring.Site(blog)
	want := derived(t, key, err)
	alone, err := Open(machines[0].dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err = alone.Site(blog)
	own := derived(t, key, err)
	if own == want {
		t.Fatal("two rings made the same key")
	}
	other := events.AccountID(blog)
	_, _ = machines[1].ring.Account(other)
	err = machines[0].ring.Reconcile(t.Context())
	if problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" || !strings.Contains(err.Error(), string(blog)) {
		t.Errorf("two keys: %v", err)
	}
	key, err = machines[0].ring.Site(blog)
	if derived(t, key, err) != own {
		t.Error("a key was replaced")
	}
	if _, has := machines[0].files(t)["/accounts/"+string(blog)]; !has {
		t.Error("the other keys were not taken")
	}
}

// running runs a ring until the function it gives is called.
func running(t *testing.T, m *machine) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.ring.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("Run has ended with %v", err)
		}
	}
}

// Keys and tombstones reach the machines that run; one that was cut off, or off,
// gets them later.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		machines := founded(t, dir)
		person := events.AccountID(blog)
		for _, m := range machines[:2] {
			defer running(t, m)()
		}
		_, _ = machines[2].ring.Site(blog)
		_, _ = machines[2].ring.Account(person)
		synctest.Wait()
		for i, m := range machines {
			if len(m.files(t)) != 2 {
				t.Errorf("machine %d has %d files", i, len(m.files(t)))
			}
		}
		time.Sleep(3 * renewEvery)
		if err := machines[0].ring.Destroy(blog); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantGone(t, machines[1], "/sites/"+string(blog))
		if fmt.Sprint(machines[1].destroyed) != fmt.Sprint([]events.Owner{{Site: blog}}) || len(machines[0].destroyed) != 0 {
			t.Errorf("told: %v and %v", machines[1].destroyed, machines[0].destroyed)
		}
		machines[1].link.Cut()
		if err := machines[0].ring.DestroyAccount(person); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * pauseAfterError)
		if _, err := machines[1].ring.FindAccount(person); err != nil {
			t.Errorf("a machine that is cut off: %v", err)
		}
		machines[1].link.Heal()
		time.Sleep(2 * pauseAfterError)
		wantGone(t, machines[1], "/accounts/"+string(blog))

		machines[2].on(t) // it was off
		machines[2].reconcile(t)
		wantGone(t, machines[2], "/sites/"+string(blog))
		wantGone(t, machines[2], "/accounts/"+string(blog))
		if len(machines[2].destroyed) != 2 {
			t.Errorf("told: %v", machines[2].destroyed)
		}
	})
}

func wantGone(t *testing.T, m *machine, file string) {
	t.Helper()
	all := m.files(t)
	if _, has := all[file]; has {
		t.Errorf("%s is there", file)
	}
	if _, has := all[file+tombstoneSuffix]; !has {
		t.Errorf("%s has no tombstone", file)
	}
}

// A vault that does not answer is not asked by everybody in turn.
func TestAwayIsSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		machines := founded(t, dir)
		m := machines[1]
		m.link.Cut()
		began := time.Now()
		for range 100 {
			if _, err := m.ring.FindSite(blog); problem.KindOf(err) != problem.Unavailable {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > askTimeout {
			t.Errorf("100 questions took %s", took)
		}
		m.link.Heal()
		time.Sleep(awayFor)
		if _, err := m.ring.Site(blog); err != nil {
			t.Error(err)
		}
	})
}

func TestAnotherCell(t *testing.T) {
	machines := founded(t, t.TempDir())
	_, _ = machines[0].ring.Site(blog)
	stranger := machines[1]
	stranger.ca = vaulttest.CAKey(t)
	stranger.on(t)
	for name, err := range map[string]error{
		"Site":      func() error { _, err := stranger.ring.Site(blog); return err }(),
		"FindSite":  func() error { _, err := stranger.ring.FindSite(blog); return err }(),
		"Destroy":   stranger.ring.Destroy(blog),
		"Reconcile": stranger.ring.Reconcile(t.Context()),
	} {
		if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "certificate authority") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files := stranger.files(t); len(files) != 0 {
		t.Errorf("the stranger has %d files", len(files))
	}
}

// world is a random schedule's view of what must be.
type world struct {
	machines  [3]*machine
	reachable [3]bool
	keys      map[events.SiteID]string // what some machine gave
	destroyed map[events.SiteID]bool   // Destroy has returned
}

// TestSchedules: whatever order machines make, destroy, are cut off, stop and
// come back in, one id has one key, a destroyed one is given by no machine that
// reaches the vault and has reconciled, and in the end all folders are the same.
func TestSchedules(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		w := &world{machines: founded(t, dir), reachable: [3]bool{true, true, true}, keys: map[events.SiteID]string{}, destroyed: map[events.SiteID]bool{}}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			w.step(rt)
		}
		for i, m := range w.machines {
			m.heal()
			w.reachable[i] = true
		}
		for range 2 {
			for _, m := range w.machines {
				m.reconcile(rt)
			}
		}
		w.checkEnd(rt)
		_ = os.RemoveAll(dir)
	})
}

func (w *world) step(rt *rapid.T) {
	i := rapid.IntRange(0, 2).Draw(rt, "machine")
	m := w.machines[i]
	site := events.SiteID(fmt.Sprintf("%s%012d", blog[:24], rapid.IntRange(0, 2).Draw(rt, "site")))
	switch rapid.SampledFrom([]string{"site", "site", "find", "destroy", "cut", "heal", "restart", "reconcile"}).Draw(rt, "what") {
	case "site":
		key, err := m.ring.Site(site)
		w.checkKey(rt, site, key, err)
	case "find":
		key, err := m.ring.FindSite(site)
		w.checkKey(rt, site, key, err)
	case "destroy":
		err := m.ring.Destroy(site)
		if (err == nil) != w.reachable[i] {
			rt.Fatalf("destroying on a machine that reaches the vault: %v, gives %v", w.reachable[i], err)
		}
		if err == nil {
			w.destroyed[site] = true
			if _, err := m.ring.Site(site); problem.KindOf(err) != problem.NotFound {
				rt.Fatalf("what this machine has destroyed: %v", err)
			}
		}
	case "cut":
		m.cut()
		w.reachable[i] = false
	case "heal":
		m.heal()
		w.reachable[i] = true
	case "restart":
		m.on(rt)
		if !w.reachable[i] {
			m.cut()
		}
	case "reconcile":
		if w.reachable[i] {
			m.reconcile(rt)
			for gone := range w.destroyed {
				if _, err := m.ring.Site(gone); problem.KindOf(err) != problem.NotFound {
					rt.Fatalf("a destroyed key after reconciling: %v", err)
				}
			}
		}
	}
}

// checkKey: all that is ever given for an id is one key.
func (w *world) checkKey(rt *rapid.T, site events.SiteID, key Key, err error) {
	switch problem.KindOf(err) {
	case problem.NotFound, problem.Unavailable:
		return
	}
	got := derived(rt, key, err)
	if known, has := w.keys[site]; has && known != got {
		rt.Fatalf("two keys of site %s", site)
	}
	w.keys[site] = got
}

func (w *world) checkEnd(rt *rapid.T) {
	want := w.machines[0].files(rt)
	for i, m := range w.machines {
		if got := m.files(rt); fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("machine %d has %d files, or others than the first, which has %d", i, len(got), len(want))
		}
		for gone := range w.destroyed {
			if _, err := m.ring.Site(gone); problem.KindOf(err) != problem.NotFound {
				rt.Fatalf("a destroyed key in the end: %v", err)
			}
		}
		for site := range w.keys {
			if !w.destroyed[site] {
				key, err := m.ring.Site(site)
				w.checkKey(rt, site, key, err)
			}
		}
	}
	for site := range w.keys {
		if _, has := want["/sites/"+string(site)]; has == w.destroyed[site] {
			rt.Fatalf("site %s: a key %v, destroyed %v", site, has, w.destroyed[site])
		}
	}
}

// TestRunsConcurrently: three machines run, make and destroy the same keys at
// once and are cut off in between; when all is healed, all are the same.
func TestRunsConcurrently(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		machines := founded(t, dir)
		var stops []func()
		for _, m := range machines {
			stops = append(stops, running(t, m))
		}
		var busy sync.WaitGroup
		var mu sync.Mutex
		given, destroyed := map[events.SiteID]map[string]bool{}, map[events.SiteID]bool{}
		for i, m := range machines {
			busy.Go(func() {
				for step := range 40 {
					site := events.SiteID(fmt.Sprintf("%s%012d", blog[:24], (step*7+i)%12))
					switch {
					case step%13 == 3+i:
						m.link.Cut()
					case step%13 == 8+i:
						m.link.Heal()
						time.Sleep(awayFor)
					case step%9 == i:
						if m.ring.Destroy(site) == nil {
							mu.Lock()
							destroyed[site] = true
							mu.Unlock()
						}
					default:
						if key, err := m.ring.Site(site); err == nil {
							mu.Lock()
							if given[site] == nil {
								given[site] = map[string]bool{}
							}
							given[site][key.Derive("p", "i", 1)] = true
							mu.Unlock()
						}
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		busy.Wait()
		for _, m := range machines {
			m.link.Heal()
		}
		time.Sleep(time.Minute)
		for _, stop := range stops {
			stop()
		}
		checkAlike(t, machines, given, destroyed)
	})
}

func checkAlike(t *testing.T, machines [3]*machine, given map[events.SiteID]map[string]bool, destroyed map[events.SiteID]bool) {
	t.Helper()
	want := machines[0].files(t)
	for i, m := range machines {
		if got := m.files(t); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("machine %d has %d files, or others than the first, which has %d", i, len(got), len(want))
		}
	}
	if len(given) < 6 || len(destroyed) == 0 {
		t.Fatalf("%d keys were given and %d destroyed: this tries nothing", len(given), len(destroyed))
	}
	for site, keys := range given {
		if len(keys) != 1 {
			t.Errorf("site %s had %d keys", site, len(keys))
		}
		_, has := want["/sites/"+string(site)]
		if destroyed[site] && has {
			t.Errorf("site %s was destroyed, and has a key", site)
		}
	}
}
