package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/fastcgi"
	"pantheon/runtime/web"
)

// entry is one DROP of this host. While the DROP has not been used since the
// agent's start it is all there is of it.
type entry struct {
	id        events.DropID
	spec      atomic.Pointer[events.DropSpec]
	dismissed atomic.Bool
	adopted   bool         // its process was taken over; set before the agent is ready
	certifyAt atomic.Int64 // when its certificate is due, in Unix seconds; zero until somebody looked

	live atomic.Pointer[live]

	mu     sync.Mutex // one preparation or removal at a time
	runner atomic.Pointer[drop.Runner]
}

// live is what serves one generation.
type live struct {
	generation int
	tree       string // of the code
	server     *web.Server
	installed  atomic.Bool  // the database has tables: asked no more
	emptyUntil atomic.Int64 // it had none: asked again at this Unix time in nanoseconds
	uses       atomic.Int64 // requests that have it
}

func newEntry(id events.DropID, spec events.DropSpec) *entry {
	e := &entry{id: id}
	e.spec.Store(&spec)
	return e
}

// newDismissedEntry stands for a folder whose DROP nobody wants.
func newDismissedEntry(id events.DropID) *entry {
	e := newEntry(id, events.DropSpec{})
	e.dismissed.Store(true)
	return e
}

// runnerOf gives the DROP's runner, made at the first need; the entry's lock is
// held.
func (a *Agent) runnerOf(e *entry) *drop.Runner {
	if e.runner.Load() == nil {
		e.runner.Store(a.host.Runner(e.id, a.folder(e.id)))
	}
	return e.runner.Load()
}

// takeOverDrop adopts a process that an earlier agent left, and queues what
// differs from the stream. A sleeping DROP whose folder is right costs the
// reading of its marker.
func (a *Agent) takeOverDrop(ctx context.Context, e *entry) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	marker, marked, err := a.markers.drop(e.id)
	if err != nil {
		a.logger.Warn("a DROP is prepared again", "drop", e.id, "reason", err)
		marked = false
	}
	if _, err := os.Stat(filepath.Join(a.folder(e.id), "run", "identity.json")); err == nil {
		if e.adopted, err = a.runnerOf(e).Adopt(ctx); err != nil {
			a.logger.Warn("cannot take a DROP's process over", "drop", e.id, "error", err)
		}
		a.noteTakenOver(e)
	}
	current := marked && marker.Reported && marker.Generation == e.spec.Load().Generation
	if e.dismissed.Load() || !current {
		a.queue.add(dropKey(e.id))
	}
	return nil
}

// noteTakenOver says what became of a process that an earlier agent had
// running, whose last facts may have been lost with it.
func (a *Agent) noteTakenOver(e *entry) {
	if !e.adopted {
		a.note(e.id, events.DropCrashed{Drop: e.id, Host: a.options.Host, Reason: "its process was gone when the agent started"})
		return
	}
	a.budget.adopt(e.id, e.spec.Load().Settings.MemoryMiB)
	a.note(e.id, events.DropAwoke{Drop: e.id, Host: a.options.Host, Trigger: "restart"})
}

// reconcileDrop brings one DROP to what the stream says.
func (a *Agent) reconcileDrop(ctx context.Context, id events.DropID) error {
	e := a.entry(id)
	if e == nil {
		return nil
	}
	running := ctx
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if e.dismissed.Load() {
		return a.removeDrop(ctx, e)
	}
	current, err := a.prepare(ctx, e)
	if err != nil {
		return err
	}
	a.certifyFirst(ctx, e)
	fact := events.DropReady{Drop: id, Host: a.options.Host, Generation: current.generation}
	if err := a.settled(ctx, id.Stream(), fact); err != nil {
		return err
	}
	if err := a.markers.setDrop(id, dropMarker{Generation: current.generation, Reported: true}); err != nil {
		return err
	}
	a.warmSoon(running, e)
	return nil
}

// warmSoon fills the opcode cache of a new release beside everything else, one
// DROP at a time: a cold cache costs the first pages a part of a second.
func (a *Agent) warmSoon(ctx context.Context, e *entry) {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	a.warming.Go(func() {
		defer cancel()
		select {
		case a.warmTurn <- struct{}{}:
			defer func() { <-a.warmTurn }()
		case <-ctx.Done():
			return
		}
		if runner := e.runner.Load(); runner != nil {
			if err := runner.Warm(ctx); err != nil && !e.dismissed.Load() {
				a.logger.Info("cannot warm an opcode cache", "drop", e.id, "error", err)
			}
		}
	})
}

// prepare brings the DROP's folder, and what serves it, to the newest spec.
// Requests go on to the generation before until the new one is there.
func (a *Agent) prepare(ctx context.Context, e *entry) (*live, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dismissed.Load() {
		return nil, notHere(e.id)
	}
	spec := *e.spec.Load()
	if current := e.live.Load(); current != nil && current.generation == spec.Generation {
		return current, nil
	}
	next, err := a.serving(ctx, e, spec)
	if err != nil {
		return nil, err
	}
	if old := e.live.Swap(next); old != nil {
		a.setRetiring(old, true)
		go func() {
			a.retire(e.id, old)
			a.setRetiring(old, false)
			a.collect(context.WithoutCancel(ctx), spec.Environment.Site())
		}()
	}
	return next, nil
}

// serving makes what serves a generation; the entry's lock is held.
func (a *Agent) serving(ctx context.Context, e *entry, spec events.DropSpec) (*live, error) {
	places, err := a.places(ctx, &spec)
	if err != nil {
		a.note(e.id, events.DropPrepareFailed{Drop: e.id, Host: a.options.Host, Generation: spec.Generation,
			Reason: events.Reason(err.Error()), RetryAfterSeconds: int64(a.nextDelay(dropKey(e.id)) / time.Second)})
		return nil, err
	}
	runner := a.runnerOf(e)
	if runner.State().Generation != spec.Generation {
		if err := runner.Prepare(ctx, spec, places); err != nil {
			return nil, err
		}
	}
	return a.serve(e, runner, spec, places)
}

// nextDelay is the delay that follows if this attempt fails.
func (a *Agent) nextDelay(k key) time.Duration {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return min(retryFirst<<min(a.failures[k], 10), retryLast)
}

// codeFor gives the tree that a spec names: shared and read-only, or in SFTP
// mode the environment's own. The files folder is where a tree links to without
// a sandbox.
func (a *Agent) codeFor(ctx context.Context, spec events.DropSpec, files string) (string, error) {
	if a.options.Machine.Isolated() {
		files = "/files"
	}
	fileMount := spec.Settings.FileMount
	if fileMount == "" {
		fileMount = spec.Framework.FileMount()
	}
	at := code.MountOf(spec.Settings.WebDocroot, fileMount, files)
	if spec.Settings.Connection == events.ConnectionSFTP {
		return a.worktree(ctx, &spec, at)
	}
	return a.release(ctx, &spec, at)
}

func (a *Agent) serve(e *entry, runner *drop.Runner, spec events.DropSpec, places drop.Places) (*live, error) {
	layout, _, err := runner.Layout()
	if err != nil {
		return nil, err
	}
	spool, err := spoolDir(a.folder(e.id))
	if err != nil {
		return nil, err
	}
	next := &live{generation: spec.Generation, tree: places.Code}
	next.server, err = web.New(web.Options{
		Spec: spec, CodeDir: places.Code, FilesDir: places.Files, SpoolDir: spool,
		ScriptRoot: layout.Code, Socket: runner.Paths().Socket(), Endpoint: string(a.options.Host),
		Wake:          func(ctx context.Context) (func(), error) { return a.wake(ctx, e.id, runner, &spec) },
		Check:         func() error { return a.mayServe(&spec) },
		DatabaseState: func(ctx context.Context) string { return a.databaseState(ctx, next, &spec) },
		Stderr:        func(line string) { a.logger.Debug("php", "drop", e.id, "line", line) },
	})
	return next, err
}

// wake has the services that PHP will want up, and php-fpm.
// What was held meanwhile may be another host's by now.
func (a *Agent) wake(ctx context.Context, id events.DropID, runner *drop.Runner, spec *events.DropSpec) (func(), error) {
	if err := a.ensureDatabase(ctx, spec); err != nil {
		return nil, err
	}
	done, err := runner.Wake(ctx, "http")
	if err != nil {
		return nil, err
	}
	e := a.entry(id)
	switch {
	case e == nil || e.dismissed.Load():
		err = notHere(id)
	default:
		if err = a.mayServe(spec); err == nil {
			err = a.openTunnel(id, spec)
		}
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// databaseState is what PANTHEON_DATABASE_STATE says. An empty database is not
// asked again for a moment; one that has a table not until the next generation.
func (a *Agent) databaseState(ctx context.Context, l *live, spec *events.DropSpec) string {
	db, has := service(spec, events.DBServer)
	if !has {
		return ""
	}
	if !l.installed.Load() {
		if time.Now().UnixNano() < l.emptyUntil.Load() {
			return "empty"
		}
		empty, err := a.databaseEmpty(ctx, spec, db)
		if err == nil && empty {
			l.emptyUntil.Store(time.Now().Add(emptyFor).UnixNano())
			return "empty"
		}
		l.installed.Store(err == nil)
	}
	return "ok"
}

// retire ends what served an older generation, after its requests.
func (a *Agent) retire(id events.DropID, old *live) {
	if err := old.server.Close(); err != nil {
		a.logger.Warn("requests to an older generation were cut", "drop", id, "error", err)
	}
}

// rest gives up what the web server of a DROP holds, so that php-fpm can stop.
func (a *Agent) rest(id events.DropID) {
	if e := a.entry(id); e != nil {
		if current := e.live.Load(); current != nil {
			current.server.Rest()
		}
	}
}

// removeDrop ends a dismissed DROP and deletes its folder.
func (a *Agent) removeDrop(ctx context.Context, e *entry) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.live.Swap(nil); old != nil {
		a.retire(e.id, old)
	}
	if err := a.runnerOf(e).Remove(ctx); err != nil {
		return err
	}
	e.runner.Store(nil)
	a.tunnels.close(e.id)
	if site := e.spec.Load().Environment.Site(); a.removeEntry(e) {
		a.collect(ctx, site)
		return nil
	}
	a.queue.add(dropKey(e.id)) // it was admitted again meanwhile
	return nil
}

// use gives what serves the DROP now. After a restart of the agent that is
// made here, from a folder that is prepared already.
func (a *Agent) use(ctx context.Context, id events.DropID) (*live, error) {
	e := a.entry(id)
	if e == nil || e.dismissed.Load() {
		return nil, notHere(id)
	}
	if err := a.mayServe(e.spec.Load()); err != nil {
		return nil, err
	}
	if current := e.live.Load(); current != nil {
		return current, nil
	}
	// One visitor who leaves must not spoil it for the others, nor be
	// recorded as a failure of the DROP.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), prepareTimeout)
	defer cancel()
	current, err := a.prepare(ctx, e)
	if err != nil {
		a.queue.addAfter(dropKey(id), retryFirst) // it was told that it failed; that it is ready shall be, too
		return nil, problem.Wrap(problem.Conflict, err, "cannot serve DROP %s yet", id)
	}
	return current, nil
}

// ServeDrop answers a request from a DROP of this host. An error means that
// nothing was written and that PHP has not begun it.
func (a *Agent) ServeDrop(w http.ResponseWriter, r *http.Request, id events.DropID) error {
	current, err := a.use(r.Context(), id)
	if err != nil {
		return err
	}
	for refused := 0; ; {
		if err = current.serve(w, r); err == nil {
			return nil
		}
		switch {
		case errors.Is(err, fastcgi.ErrClosed):
			// The request came while its generation ended. What serves the
			// next one may have been forgotten meanwhile: php-fpm has to stop
			// before it starts anew.
			next, failed := a.use(r.Context(), id)
			if failed != nil {
				return failed
			}
			if next != current {
				current = next
				continue
			}
		case errors.Is(err, fastcgi.ErrDial) && refused < dialRetries && pause(r.Context(), dialRetryFirst<<refused):
			refused++ // php-fpm has crashed: once that is noticed, it is started again
			continue
		case errors.Is(err, fastcgi.ErrHungUp) && refused == 0 && safe(r) && a.crashed(r.Context(), id):
			refused++ // not the page's own doing: nobody listens any more
			continue
		}
		break
	}
	if r.Context().Err() == nil {
		a.logger.Info("a DROP did not answer a request", "drop", id, "error", err)
	}
	return answerFailure(w, r, err)
}

// safe says that a request may be sent twice (RFC 9110 §9.2.1).
func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// crashed tells a php-fpm that is gone from a page that killed its worker: then
// the master listens on.
func (a *Agent) crashed(ctx context.Context, id events.DropID) bool {
	e := a.entry(id)
	if e == nil || e.runner.Load() == nil || !pause(ctx, crashPause) {
		return false
	}
	conn, err := e.runner.Load().Dial(ctx)
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}

// pause waits, and says whether the time has come before the end of ctx.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *live) serve(w http.ResponseWriter, r *http.Request) error {
	l.uses.Add(1)
	defer l.uses.Add(-1)
	return l.server.Serve(w, r)
}

// forgetLive drops what served a DROP that has gone to sleep: it is made again
// from the prepared folder at the next use. It weighs more than all the rest of
// a sleeping DROP. One that a request has stays, with its connections.
func (a *Agent) forgetLive(id events.DropID) {
	e := a.entry(id)
	if e == nil {
		return
	}
	if current := e.live.Load(); current != nil && current.uses.Load() == 0 {
		e.live.CompareAndSwap(current, nil)
	}
}

// Ping wakes a DROP and returns when it would serve a request.
func (a *Agent) Ping(ctx context.Context, id events.DropID) error {
	current, err := a.use(ctx, id)
	if err != nil {
		return err
	}
	current.uses.Add(1)
	defer current.uses.Add(-1)
	return current.server.Ping(ctx)
}

// wakeOnce wakes a DROP because an operator wants it.
func (a *Agent) wakeOnce(ctx context.Context, e *entry) error {
	if _, err := a.use(ctx, e.id); err != nil {
		return err
	}
	done, err := e.runner.Load().Wake(ctx, "operator")
	if err == nil {
		done()
	}
	return err
}

// Total gives the number of DROPs of this host.
func (a *Agent) Total() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.entries)
}

// Count gives the number of DROPs whose process stands in a phase; those that
// have not been used since the agent's start are not looked at.
func (a *Agent) Count(phase drop.Phase) int {
	n := 0
	for _, e := range a.allEntries() {
		if runner := e.runner.Load(); runner != nil && runner.State().Phase == phase {
			n++
		}
	}
	return n
}

// FactsDropped gives the number of facts that a full queue has dropped.
func (a *Agent) FactsDropped() uint64 { return a.reporter.dropped.Load() }

// SleepAll puts every DROP to sleep: the end of a platform that nobody will
// start again at once. It is called while Run goes on, so that its facts are
// reported, and when no request comes in any more.
func (a *Agent) SleepAll(ctx context.Context) error {
	var sleeping errgroup.Group
	sleeping.SetLimit(maxStopping)
	for _, e := range a.allEntries() {
		if runner := e.runner.Load(); runner != nil {
			sleeping.Go(func() error { return runner.Sleep(ctx, "shutdown") })
		}
	}
	return sleeping.Wait()
}
