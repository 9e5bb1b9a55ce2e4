package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"pantheon/projections"
	"pantheon/projections/clock"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
	"pantheon/projections/zone"
)

// clockView is the name under which the times of positions are saved.
const clockView = "clock"

// past is what reads of the past are answered from: the histories of the
// views, and the view that knows which position a time is.
type past struct {
	inventory *projections.History[inventory.State]
	routing   *projections.History[routing.State]
	zones     *projections.History[*zone.State]
	clock     *projections.View[clock.State]
	runs      []func(context.Context) error
}

// remember adds a view and its history.
func remember[S projections.State[S]](p *platform, projection projections.Projection[S]) (*projections.View[S], *projections.History[S]) {
	view := projections.Add(p.runner, projection)
	history := projections.NewHistory(view, projection, projections.HistoryOptions{Log: p.log, Past: projections.Files{Dir: p.path("views", "past")}})
	p.past.runs = append(p.past.runs, history.Run)
	return view, history
}

// run keeps states of the views as they pass, until ctx ends.
func (p *past) run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range p.runs {
		all.Go(func() error { return run(ctx) })
	}
	return all.Wait()
}
