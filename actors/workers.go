package actors

import "sync"

// workers does jobs in at most max goroutines, which live only while there is
// something to do. Its queue holds at most one job for each resident actor,
// because an entity waits for one append or load at a time.
type workers struct {
	max int

	mu      sync.Mutex
	queue   []func()
	running int
	ended   sync.WaitGroup
}

func newWorkers(max int) *workers { return &workers{max: max} }

// do has the job done soon, and never waits.
func (w *workers) do(job func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, job)
	if w.running < w.max {
		w.running++
		w.ended.Go(w.work)
	}
}

func (w *workers) work() {
	for job := w.next(); job != nil; job = w.next() {
		job()
	}
}

// next takes a job; nil ends the worker.
func (w *workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.queue = nil
		w.running--
		return nil
	}
	job := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return job
}

// close waits for all jobs; none may come after it.
func (w *workers) close() { w.ended.Wait() }
