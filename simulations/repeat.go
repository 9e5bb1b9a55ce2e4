package simulations

import (
	"context"
	"fmt"

	"pantheon/events/problem"
)

// repeated runs the first slice of a run twice, unseen, and gives the hash that
// the trace has after it. Two hashes are a bug of this package: what it found
// could not be found again.
func repeated(ctx context.Context, o Options) (string, error) {
	o.Trace, o.Progress = nil, nil
	first, err := slice(ctx, o)
	if err != nil {
		return "", err
	}
	second, err := slice(ctx, o)
	if err != nil {
		return "", err
	}
	if first != second {
		return "", problem.New(problem.Internal, "the same options gave two runs: trace %s and trace %s after %d steps", first, second, repeatedSteps)
	}
	return first, nil
}

// slice runs the beginning of a run.
func slice(ctx context.Context, o Options) (string, error) {
	w := newWorld(o)
	w.begin()
	for w.steps < repeatedSteps && w.violation == nil && w.step(o.Duration) {
		if w.steps%4096 == 0 && ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return fmt.Sprintf("%016x", w.trace.hash), nil
}
