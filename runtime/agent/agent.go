package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/agent/desired"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/files"
	"pantheon/runtime/keys"
	"pantheon/runtime/sandbox"
	"pantheon/runtime/service/mariadb"
)

// HostStream is the host's own stream.
type HostStream interface {
	// Read gives the commits with revisions above after, up to the end.
	Read(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error]
	// Follow is Read without an end: it waits for more until ctx ends.
	Follow(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error]
}

// Keys gives the keys of sites; a keys.Ring does on a machine that is alone, a
// keys.Borrower where others have them.
type Keys interface {
	Site(events.SiteID) (keys.Key, error)
}

// Options of an Agent. All fields but Logger, PHP and Open are required, and on
// a machine that is alone those of the cell are nil.
type Options struct {
	Host events.HostID
	// Dir is the host's folder, <data>/hosts/<id>, absolute.
	Dir string
	// MemoryMiB is what the host offers: what awake DROPs use together stays
	// below it.
	MemoryMiB int

	Stream HostStream
	Report Report

	Machine  *sandbox.Machine
	Code     *code.Store
	Files    *files.Store
	Database *mariadb.Server
	Keys     Keys
	// Open gives a sealed text of a spec in clear, any other as it is. nil opens
	// nothing.
	Open func(text string) string
	// PHP finds an installed version; drop.FindPHP where nil.
	PHP    func(version string) (drop.PHP, error)
	Logger *slog.Logger

	// Lease is this host's among the machines of the cell: while it has lapsed,
	// DROPs whose data is elsewhere are not served. Head goes with it.
	Lease Lease
	Head  Head
	// Remote reaches the other hosts; nil refuses DROPs whose database is there.
	Remote Remote
	// Mounts shows files of other hosts; nil refuses DROPs that need some.
	Mounts Mounts
	// Certifier signs the certificates of DROPs; nil where they have none.
	Certifier Certifier
}

// Agent keeps one machine as its host's stream says. Run it once.
type Agent struct {
	options  Options
	logger   *slog.Logger
	markers  markers
	reporter *reporter
	queue    *queue
	budget   *budget
	host     *drop.Host
	folded   *progress
	fence    *fence
	tunnels  *tunnels
	ready    chan struct{}
	warming  sync.WaitGroup
	warmTurn chan struct{}

	collecting sync.Mutex // read what is used, then remove the rest: one at a time

	mu      sync.RWMutex // guards desired, entries, failures and retiring
	desired desired.State
	entries map[events.DropID]*entry
	// failures counts attempts of an object that failed in a row.
	failures map[key]int
	retiring map[*live]bool // older generations that have requests
}

// New makes an Agent; it has no side effect.
func New(options Options) *Agent {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Open == nil {
		options.Open = func(text string) string { return text }
	}
	if options.PHP == nil {
		options.PHP = drop.FindPHP
	}
	a := &Agent{
		options:  options,
		logger:   options.Logger,
		markers:  markers{options.Dir},
		queue:    newQueue(),
		folded:   newProgress(),
		tunnels:  newTunnels(filepath.Join(options.Dir, "db"), options.Remote, options.Logger),
		ready:    make(chan struct{}),
		warmTurn: make(chan struct{}, 1),
		desired:  desired.New(),
		entries:  map[events.DropID]*entry{},
		failures: map[key]int{},
		retiring: map[*live]bool{},
	}
	a.fence = newFence(options.Lease, options.Head, a.folded, a.tunnels.cut)
	boot := fmt.Sprintf("%x", time.Now().UnixNano())
	a.reporter = newReporter(options.Report, options.Host, boot, options.Logger)
	a.budget = newBudget(a.availableKiB, a.longestIdle)
	a.host = drop.NewHost(drop.Options{
		Machine: options.Machine, Host: options.Host, Secrets: a.secrets, Report: a.note,
		Now: time.Now, PHP: options.PHP, Log: options.Logger,
		Reserve: a.budget.reserve, Release: a.budget.release, Stopping: a.rest,
	})
	return a
}

// Run reads the stream to its end, adopts what runs, and then follows the
// stream until ctx ends. What runs goes on running afterwards; see StopAll.
func (a *Agent) Run(ctx context.Context) error {
	saved, err := a.markers.revision()
	if err != nil {
		return err
	}
	last, orders, err := a.replay(ctx, saved)
	if err != nil {
		return err
	}
	if err := a.takeOver(ctx); err != nil {
		return err
	}
	close(a.ready)
	group, ctx := errgroup.WithContext(ctx)
	reports, stopReports := context.WithCancel(context.WithoutCancel(ctx))
	var reporting sync.WaitGroup
	reporting.Go(func() { a.reporter.run(reports) })
	group.Go(func() error { return a.host.Run(ctx) })
	group.Go(func() error { return a.fence.run(ctx) })
	group.Go(func() error { return a.runCertificates(ctx) })
	group.Go(func() error {
		a.queue.run(ctx, maxReconciling, a.reconcile)
		return ctx.Err()
	})
	group.Go(func() error {
		for _, o := range orders {
			a.carryOut(ctx, o)
		}
		a.noteRevision(last)
		return a.follow(ctx, last)
	})
	err = group.Wait()
	a.warming.Wait()
	a.tunnels.closeAll()
	stopReports() // the last facts are those of the reconciliations that ended
	reporting.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Ready returns when requests can be served.
func (a *Agent) Ready(ctx context.Context) error {
	select {
	case <-a.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// replay folds the stream as it was at the start. Orders above the saved
// revision have not been carried out yet; bindings dismissed above it may not
// have been reported. Where the log cannot be reached it waits.
func (a *Agent) replay(ctx context.Context, saved events.Revision) (events.Revision, []desired.Order, error) {
	last := events.Revision(0)
	var orders []desired.Order
	recent := map[events.BindingID]bool{}
	take := func(envelope events.Envelope) {
		last = envelope.Revision
		for _, event := range envelope.Events {
			change := a.apply(event)
			a.reporter.causes.note(change, envelope.Position)
			if envelope.Revision <= saved {
				continue
			}
			if change.Order != nil {
				orders = append(orders, *change.Order)
			}
			recent[change.Binding] = change.Binding != ""
		}
		a.folded.set(envelope.Revision)
	}
	for {
		err := a.read(ctx, last, take)
		if err == nil {
			return last, orders, a.settleDismissed(recent)
		}
		if ctx.Err() != nil || problem.KindOf(err) != problem.Unavailable {
			return 0, nil, fmt.Errorf("cannot read the host's stream: %w", err)
		}
		a.logger.Warn("cannot read the host's stream yet", "error", err)
		pause(ctx, headRetry)
	}
}

// read gives what the stream has after a revision.
func (a *Agent) read(ctx context.Context, after events.Revision, take func(events.Envelope)) error {
	for envelope, err := range a.options.Stream.Read(ctx, after) {
		if err != nil {
			return err
		}
		take(envelope)
	}
	return nil
}

// settleDismissed drops the dismissed bindings that an earlier run has carried
// out: those without a marker whose dismissal is not recent. Recent ones get a
// marker, so that the revision may pass them.
func (a *Agent) settleDismissed(recent map[events.BindingID]bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, spec := range a.desired.Dismissed {
		_, marked, err := a.markers.binding(id)
		switch {
		case err != nil || marked:
		case recent[id]:
			if err := a.markers.setBinding(id, bindingMarker{Spec: spec}); err != nil {
				return err
			}
		default:
			delete(a.desired.Dismissed, id)
		}
	}
	return nil
}

func (a *Agent) apply(event events.Event) desired.Change {
	a.mu.Lock()
	defer a.mu.Unlock()
	change := a.desired.Apply(event)
	a.fence.note(event)
	if change.Drop != "" {
		spec, wanted := a.desired.Drops[change.Drop]
		known := a.entries[change.Drop]
		switch {
		case wanted && known == nil:
			a.entries[change.Drop] = newEntry(change.Drop, spec)
		case wanted:
			known.spec.Store(&spec)
			known.dismissed.Store(false)
		case known != nil:
			known.dismissed.Store(true)
		}
	}
	return change
}

// takeOver compares the stream with the disk: what differs is queued, what
// runs is adopted, and what nobody wants is ended.
func (a *Agent) takeOver(ctx context.Context) error {
	if err := a.options.Files.Sweep(); err != nil {
		return err
	}
	present, err := a.markers.drops()
	if err != nil {
		return err
	}
	for _, id := range present {
		if a.entry(id) == nil {
			a.addEntry(newDismissedEntry(id))
		}
	}
	for _, e := range a.allEntries() {
		if err := a.takeOverDrop(ctx, e); err != nil {
			return err
		}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	for id := range a.desired.Bindings {
		a.queue.add(bindingKey(id))
	}
	for id := range a.desired.Dismissed {
		a.queue.add(bindingKey(id))
	}
	return a.options.Machine.Sweep(a.runs)
}

// runs says whether a sandbox is one of an entry's; the lock is held.
func (a *Agent) runs(sandboxName string) bool {
	e := a.entries[events.DropID(sandboxName)]
	return e != nil && e.adopted
}

// follow carries out what the stream says from here on.
func (a *Agent) follow(ctx context.Context, after events.Revision) error {
	for envelope, err := range a.options.Stream.Follow(ctx, after) {
		if err != nil {
			return fmt.Errorf("cannot follow the host's stream: %w", err)
		}
		for _, event := range envelope.Events {
			change := a.apply(event)
			a.reporter.causes.note(change, envelope.Position)
			a.take(ctx, change)
		}
		a.folded.set(envelope.Revision)
		a.noteRevision(envelope.Revision)
	}
	return ctx.Err()
}

func (a *Agent) noteRevision(revision events.Revision) {
	if err := a.markers.setRevision(revision); err != nil {
		a.logger.Warn("cannot note how far the host's stream has been carried out", "error", err)
	}
}

// take begins what a change asks for. A binding's marker is written before
// the revision, so that a restart in between does not forget the binding.
func (a *Agent) take(ctx context.Context, c desired.Change) {
	switch {
	case c.Drop != "":
		a.queue.add(dropKey(c.Drop))
	case c.Binding != "":
		if spec, wanted, _ := a.desiredBinding(c.Binding); wanted {
			if err := a.markers.setBinding(c.Binding, bindingMarker{Spec: spec}); err != nil {
				a.logger.Warn("cannot mark a binding", "binding", c.Binding, "error", err)
			}
		}
		a.queue.add(bindingKey(c.Binding))
	case c.Order != nil:
		a.carryOut(ctx, *c.Order)
	}
}

// carryOut does what an operator ordered; it does not hold the stream up.
func (a *Agent) carryOut(ctx context.Context, o desired.Order) {
	e := a.entry(o.Drop)
	if e == nil {
		return
	}
	go func() {
		var err error
		if o.Wake {
			err = a.wakeOnce(ctx, e)
		} else if runner := e.runner.Load(); runner != nil {
			err = runner.Sleep(ctx, "operator")
		}
		if err != nil && ctx.Err() == nil {
			a.logger.Warn("cannot carry out an order", "drop", o.Drop, "wake", o.Wake, "error", err)
		}
	}()
}

func dropKey(id events.DropID) key       { return key("drop/" + string(id)) }
func bindingKey(id events.BindingID) key { return key("binding/" + string(id)) }

// reconcile is what a worker of the queue does with a key.
func (a *Agent) reconcile(ctx context.Context, k key) time.Duration {
	kind, id, _ := strings.Cut(string(k), "/")
	var err error
	if kind == "drop" {
		err = a.reconcileDrop(ctx, events.DropID(id))
	} else {
		err = a.reconcileBinding(ctx, events.BindingID(id))
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errEarly) {
		a.logger.Warn("cannot reconcile", "object", string(k), "error", err)
	}
	return a.retryDelay(k, err)
}

// retryDelay doubles with each failure in a row.
func (a *Agent) retryDelay(k key, err error) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		delete(a.failures, k)
		return 0
	}
	first := retryFirst
	if errors.Is(err, errEarly) {
		first = retryEarly
	}
	a.failures[k]++
	return min(first<<min(a.failures[k]-1, 10), retryLast)
}

// errEarly: the fact came before its actor had heard that this host holds it.
// The host's stream, which the agent follows, is ahead of the other's by the
// time that a policy needs.
var errEarly = errors.New("its actor has not heard of the placement yet")

// settled delivers the fact that ends a reconciliation.
func (a *Agent) settled(ctx context.Context, to events.StreamID, fact events.Event) error {
	err := a.reporter.deliver(ctx, to, fact)
	if problem.KindOf(err) == problem.Conflict {
		return fmt.Errorf("%w: %w", errEarly, err)
	}
	return err
}

func (a *Agent) desiredBinding(id events.BindingID) (spec events.BindingSpec, wanted, dismissed bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if spec, wanted = a.desired.Bindings[id]; wanted {
		return spec, true, false
	}
	spec, dismissed = a.desired.Dismissed[id]
	return spec, false, dismissed
}

func (a *Agent) forgetDismissed(id events.BindingID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.desired.Dismissed, id)
	a.reporter.causes.forget(id.Stream())
}

func (a *Agent) entry(id events.DropID) *entry {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.entries[id]
}

func (a *Agent) addEntry(e *entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries[e.id] = e
}

// removeEntry forgets a dismissed DROP; false where it is wanted again.
func (a *Agent) removeEntry(e *entry) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !e.dismissed.Load() {
		return false
	}
	delete(a.entries, e.id)
	a.reporter.causes.forget(e.id.Stream())
	return true
}

func (a *Agent) allEntries() []*entry {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := make([]*entry, 0, len(a.entries))
	for _, e := range a.entries {
		all = append(all, e)
	}
	return all
}

// note queues a fact about a DROP. DropReady is delivered by the
// reconciliation itself, which remembers that it was.
func (a *Agent) note(id events.DropID, fact events.Event) {
	switch fact.(type) {
	case events.DropSlept:
		a.forgetLive(id)
		a.tunnels.close(id)
	case events.DropCrashed:
		a.tunnels.close(id)
	}
	if _, ready := fact.(events.DropReady); !ready {
		a.reporter.note(id.Stream(), fact)
	}
}

// The purposes of derived secrets. They are part of every secret: changing one
// changes all of them.
const databasePassword = "db-password"

// secrets derives what the environment's PHP may know.
func (a *Agent) secrets(_ events.DropID, spec events.DropSpec) (contract.Secrets, error) {
	siteKey, err := a.options.Keys.Site(spec.Environment.Site())
	if err != nil {
		return contract.Secrets{}, err
	}
	password := ""
	for _, service := range spec.Services {
		if service.Kind == events.DBServer {
			password = siteKey.Derive(databasePassword, string(service.Binding), firstCredential)
		}
	}
	return contract.Derive(password, func(purpose string) string {
		return siteKey.Derive(purpose, string(spec.Environment), spec.Seed)
	}), nil
}

// firstCredential is the generation of every database password; a rotation
// would carry another in the DROP's spec.
const firstCredential = 1

// Secrets gives what the PHP of a DROP on this host may know, for the API's
// variables.
func (a *Agent) Secrets(id events.DropID) (events.DropSpec, contract.Secrets, error) {
	e := a.entry(id)
	if e == nil {
		return events.DropSpec{}, contract.Secrets{}, notHere(id)
	}
	spec := *e.spec.Load()
	secrets, err := a.secrets(id, spec)
	return spec, secrets, err
}

// SecretsOf is Secrets for a DROP of another host, on a machine that has the
// keys of all sites.
func (a *Agent) SecretsOf(id events.DropID, spec events.DropSpec) (contract.Secrets, error) {
	return a.secrets(id, spec)
}

// installedPHP gives the version that a site asks for if this machine has it;
// otherwise none, which leaves the environment's default.
func (a *Agent) installedPHP(version string) string {
	if version == "" {
		return ""
	}
	if _, err := a.options.PHP(version); err != nil {
		a.logger.Warn("a site asks for a PHP version that this machine does not have; it gets the default", "version", version)
		return ""
	}
	return version
}

func errNoSuchService(kind events.BindingKind) error {
	return problem.New(problem.Unsupported, "cannot provide a %s: this version of the agent has no such service", kind)
}

func notHere(id events.DropID) error {
	return problem.New(problem.Unavailable, "DROP %s is not on this host", id)
}

func (a *Agent) folder(id events.DropID) string { return a.markers.dropDir(id) }

func spoolDir(dropDir string) (string, error) {
	dir := filepath.Join(dropDir, "uploads")
	return dir, os.MkdirAll(dir, 0o700)
}
