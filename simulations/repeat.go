package simulations

import (
	"context"
	"fmt"

	"pantheon/events/problem"
)

// mark notes the hash of the trace after the first steps. Where they were run
// before, the hash has to be the same: two are a bug of this package, because
// what it found could not be found again.
func (w *World) mark() {
	if w.marked == "" {
		w.marked = fmt.Sprintf("%016x", w.trace.hash)
		w.over = w.options.beginning || w.options.expect != "" && w.options.expect != w.marked
	}
}

// repeated runs the first steps of a run, unseen, and gives the hash that the
// trace has after them.
func repeated(ctx context.Context, o Options) (string, error) {
	o.Trace, o.Progress, o.beginning = nil, nil, true
	w, _, err := simulate(ctx, o)
	if err != nil {
		return "", err
	}
	return w.marked, nil
}

// differs says that the first steps were others the second time.
func (w *World) differs() error {
	if w.options.expect == "" || w.options.expect == w.marked {
		return nil
	}
	return problem.New(problem.Internal, "the same options gave two runs: trace %s and trace %s after %d steps", w.options.expect, w.marked, repeatedSteps)
}
