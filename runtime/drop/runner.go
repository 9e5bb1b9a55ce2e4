package drop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/machine"
	"pantheon/runtime/sandbox"
)

// Runner is one DROP. It is safe for concurrent use.
type Runner struct {
	host  *Host
	paths Paths // without places

	prepare sync.Mutex // one preparation or removal at a time

	mu       sync.Mutex
	state    State
	prepared prepared // state.Generation
	process  *sandbox.Process
	wait     *startWait    // of the start under way or to come; nil where nobody waits
	drained  chan struct{} // closed when no request is with php-fpm; nil where nobody waits
	commands int           // that run now
	removed  bool

	// In the host's heap, guarded by its lock.
	checkTime time.Time
	place     int
}

// prepared is one generation.
type prepared struct {
	spec   events.DropSpec
	places Places
}

// startWait lets requests wait for one start.
type startWait struct {
	done chan struct{}
	err  error // set before done is closed
}

// State gives the state as it is now.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// CodeDir is the release that the prepared generation runs; empty where none is
// prepared.
func (r *Runner) CodeDir() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prepared.places.Code
}

// Paths gives the DROP's places.
func (r *Runner) Paths() Paths { return r.paths }

// Stats gives what php-fpm and its workers use now; zero where none runs.
func (r *Runner) Stats() (sandbox.Stats, error) {
	if p := r.running(); p != nil {
		return p.Stats()
	}
	return sandbox.Stats{}, nil
}

// running gives the process; nil where there is none.
func (r *Runner) running() *sandbox.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// input lets something happen and carries out what follows.
func (r *Runner) input(in Input) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step(in)
}

// step is input with the lock held; it gives the answer to a WakeRequested,
// which is the caller's to carry out.
func (r *Runner) step(in Input) (answer Effect) {
	var effects []Effect
	r.state, effects = machine.Step(r.state, in, r.host.Now())
	if r.drained != nil && r.state.Serving == 0 {
		close(r.drained)
		r.drained = nil
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Start:
			go r.start(r.prepared)
		case Stop:
			go r.stop(r.process)
		case CheckIdle:
			r.host.checkAt(r, e.At)
		case Report:
			r.host.Report(r.paths.Drop, e.Fact)
		case Dismiss:
			r.settle(problem.New(problem.Unavailable, "cannot start DROP %s: %s", r.paths.Drop, e.Reason))
		case Admit, Hold, Refuse:
			answer = e
		}
	}
	return answer
}

// waiting gives what requests wait for; the lock is held.
func (r *Runner) waiting() *startWait {
	if r.wait == nil {
		r.wait = &startWait{done: make(chan struct{})}
	}
	return r.wait
}

// settle lets all that wait go on, or fail; the lock is held.
func (r *Runner) settle(err error) {
	if r.wait != nil {
		r.wait.err = err
		close(r.wait.done)
		r.wait = nil
	}
}

// Wake gives the DROP's php-fpm to the caller, who calls done when it needs it
// no longer: until then the DROP does not sleep for want of requests. It
// starts php-fpm where it must; an error says why there is none.
func (r *Runner) Wake(ctx context.Context, trigger string) (done func(), err error) {
	r.mu.Lock()
	if r.removed {
		r.mu.Unlock()
		return nil, r.gone()
	}
	answer := r.step(WakeRequested{Trigger: trigger})
	var wait *startWait
	if _, held := answer.(Hold); held {
		wait = r.waiting()
	}
	r.mu.Unlock()
	switch answer := answer.(type) {
	case Admit:
		return r.doneOnce(), nil
	case Hold:
		return r.held(ctx, wait)
	case Refuse:
		return nil, problem.New(problem.Unavailable, "cannot wake DROP %s: %s", r.paths.Drop, answer.Reason).
			WithHint("it is tried again in %s", answer.RetryAfter.Round(time.Second))
	default:
		return nil, problem.New(problem.Internal, "internal error: a wake was not answered")
	}
}

func (r *Runner) gone() error {
	return problem.New(problem.NotFound, "DROP %s is no longer here", r.paths.Drop)
}

// held waits for a start; where php-fpm is stopping, for the one after it.
func (r *Runner) held(ctx context.Context, wait *startWait) (func(), error) {
	select {
	case <-ctx.Done():
		return nil, r.abandon(ctx, wait)
	case <-wait.done:
	}
	if wait.err != nil {
		return nil, wait.err
	}
	return r.doneOnce(), nil
}

// abandon gives up waiting; a start that was just done has let the request
// through already.
func (r *Runner) abandon(ctx context.Context, wait *startWait) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-wait.done:
		if wait.err == nil {
			r.step(RequestDone{})
		}
	default:
		r.step(WaitAbandoned{})
	}
	return problem.Wrap(problem.Unavailable, context.Cause(ctx), "cannot wait for DROP %s to start", r.paths.Drop)
}

func (r *Runner) doneOnce() func() {
	var once sync.Once
	return func() { once.Do(func() { r.input(RequestDone{}) }) }
}

// Sleep ends php-fpm, after the requests under way, and returns when it has
// gone. A DROP that is not awake is left as it is.
func (r *Runner) Sleep(ctx context.Context, trigger string) error {
	r.mu.Lock()
	r.step(SleepOrdered{Trigger: trigger})
	if r.state.Phase == Starting {
		wait := r.waiting()
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wait.done:
		}
		r.mu.Lock()
	}
	process := r.process
	r.mu.Unlock()
	if process == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-process.Done():
		return nil
	}
}

// Prepare makes everything that the spec needs; the next start uses it. Where
// php-fpm runs with an older generation it is ended, after the requests under
// way. The release and the files are there already.
func (r *Runner) Prepare(ctx context.Context, spec events.DropSpec, places Places) error {
	r.prepare.Lock()
	defer r.prepare.Unlock()
	r.mu.Lock()
	if r.removed {
		r.mu.Unlock()
		return r.gone()
	}
	r.step(PrepareBegan{})
	r.mu.Unlock()
	next := prepared{spec, places}
	err := ctx.Err()
	if err == nil {
		err = r.provide(next)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.step(PrepareFailed{Generation: spec.Generation, Reason: reason(err)})
		return fmt.Errorf("cannot prepare DROP %s: %w", r.paths.Drop, err)
	}
	r.prepared = next
	r.step(Prepared{Generation: spec.Generation, IdleAfter: time.Duration(spec.Settings.IdleAfterSeconds) * time.Second})
	return nil
}

// start is the effect Start.
func (r *Runner) start(p prepared) {
	process, err := r.launchReserved(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.step(StartFailed{Reason: reason(err)})
		r.settle(problem.Wrap(problem.Unavailable, err, "cannot start DROP %s", r.paths.Drop))
		return
	}
	r.process = process
	r.settle(nil)
	r.step(Started{})
	go r.watch(process)
}

// launchReserved is launch within the machine's memory for awake DROPs.
func (r *Runner) launchReserved(p prepared) (*sandbox.Process, error) {
	if err := r.reserve(p.spec); err != nil {
		return nil, err
	}
	process, err := r.launch(p)
	if err != nil {
		r.release()
	}
	return process, err
}

func (r *Runner) reserve(spec events.DropSpec) error {
	if r.host.Reserve == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	memory := spec.Settings.MemoryMiB
	if memory <= 0 {
		memory = DefaultMemoryMiB
	}
	return r.host.Reserve(ctx, r.paths.Drop, memory)
}

func (r *Runner) release() {
	if r.host.Release != nil {
		r.host.Release(r.paths.Drop)
	}
}

// watch waits for the end of the process.
func (r *Runner) watch(process *sandbox.Process) {
	exit, err := process.Wait()
	if err != nil {
		r.host.Log.Error("cannot clean up after php-fpm", "drop", r.paths.Drop, "error", err)
	}
	r.host.forget(r)
	r.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == process {
		r.process = nil
	}
	os.Remove(r.identityPath())
	why := exit.String()
	if tail := r.startLog(); tail != "" && (!exit.Known || exit.Code != 0) {
		why += ": " + tail
	}
	r.step(Exited{Reason: why})
}

// stop is the effect Stop. php-fpm cuts off what it has not accepted when it is
// told to end, and nobody can tell that from a crash: so it is told when the
// requests that were let through have ended. Whoever comes meanwhile is held.
func (r *Runner) stop(process *sandbox.Process) {
	if process == nil {
		return
	}
	grace := time.NewTimer(StopGrace)
	defer grace.Stop()
	select {
	case <-r.unused():
	case <-process.Done():
	case <-grace.C:
	}
	if r.host.Stopping != nil {
		r.host.Stopping(r.paths.Drop)
	}
	if err := endGracefully(process); err != nil {
		r.host.Log.Error("cannot stop php-fpm", "drop", r.paths.Drop, "error", err)
	}
}

// unused gives a channel that is closed when no request is with php-fpm.
func (r *Runner) unused() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	drained := make(chan struct{})
	if r.state.Serving == 0 {
		close(drained)
	} else {
		r.drained = drained
	}
	return drained
}

// Remove ends php-fpm at once and deletes the DROP's folder.
func (r *Runner) Remove(ctx context.Context) error {
	r.prepare.Lock()
	defer r.prepare.Unlock()
	r.mu.Lock()
	r.removed = true
	r.mu.Unlock()
	for r.busy() {
		if err := r.Sleep(ctx, "shutdown"); err != nil {
			return err
		}
	}
	r.host.forget(r)
	if err := os.RemoveAll(r.paths.Dir); err != nil {
		return fmt.Errorf("cannot remove DROP %s: %w", r.paths.Drop, err)
	}
	return nil
}

// busy says whether there is a process, or one is about to be: a request that
// was held while php-fpm stopped starts it once more.
func (r *Runner) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process != nil || r.state.Phase == Starting || r.state.Phase == Stopping
}

// reason gives the words of an error for an event, with its hint.
func reason(err error) string {
	text := err.Error()
	if hint := problem.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		text += fmt.Sprintf(" (no answer within %s)", StartTimeout)
	}
	text = strings.ToValidUTF8(text, "?")
	if len(text) > MaxReasonBytes {
		text = strings.ToValidUTF8(text[:MaxReasonBytes], "")
	}
	return text
}
