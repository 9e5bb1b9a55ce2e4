package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
	"pantheon/runtime/sandbox"
	"pantheon/runtime/service/mariadb"
)

// What a machine does that was removed from its cell: it ends what it runs, and
// says why.
//
// One that is in touch with the log reads it there. The others are turned away
// by the log without a word, so a machine without a lease, and each that starts,
// asks the control machines that it knows.

// errRemoved is in every error that says so.
var errRemoved = errors.New("this machine was removed from the cell")

func removedError(what string) error {
	return problem.Wrap(problem.Conflict, errRemoved, "%s", what).
		WithHint("a machine that shall come back joins anew, with an empty data folder")
}

// checkMembership asks the other control machines. One that cannot be asked now
// says nothing.
func (p *platform) checkMembership(ctx context.Context, what string) error {
	request, err := identity.NewRequest()
	if err != nil {
		return err
	}
	settings := p.cell.known()
	others := slices.DeleteFunc(slices.Clone(settings.Control), func(endpoint string) bool { return endpoint == settings.Endpoint })
	if len(others) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, membershipTimeout)
	defer cancel()
	_, err = mesh.Rejoin(ctx, p.cell.node, others, request.CSR)
	if problem.KindOf(err) == problem.Denied {
		return removedError(what)
	}
	return nil
}

const (
	// membershipTimeout is for an exchange over a slow line.
	membershipTimeout = 3 * time.Second
	// membershipPause is between two questions of a machine without a lease.
	membershipPause = 5 * time.Second
)

// whileMember calls open, and gives it up when another machine says meanwhile
// that this one was removed.
func (p *platform) whileMember(ctx context.Context, open func(context.Context) (cellLog, error)) (cellLog, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	checked := make(chan error, 1)
	go func() {
		err := p.checkMembership(ctx, "cannot start")
		if err != nil {
			cancel(err)
		}
		checked <- err
	}()
	log, err := open(ctx)
	if err == nil {
		return log, nil
	}
	cancel(err)
	if removed := <-checked; errors.Is(removed, errRemoved) {
		return nil, removed
	}
	return nil, err
}

// watchMembership ends the platform of a machine that was removed while it could
// not hear of it.
func (p *platform) watchMembership(ctx context.Context) error {
	ticker := time.NewTicker(membershipPause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, held := p.cell.keeper.Held(); held {
			continue
		}
		if err := p.checkMembership(ctx, "cannot go on"); err != nil {
			return err
		}
	}
}

// noteRemoval ends the platform of a machine that was taken out of the cell.
func (p *platform) noteRemoval(ctx context.Context) error {
	return p.eachChange(ctx, controlPause, func(state inventory.State) error {
		if state.Removed(p.host.ID) {
			return removedError("cannot go on")
		}
		return nil
	})
}

// stopRemains ends what an earlier start has left running, where it is clear that
// nobody will take it over.
func (p *platform) stopRemains() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopAllTimeout)
	defer cancel()
	machine, err := sandbox.Open(sandbox.Options{Parent: "pantheon/" + string(p.host.ID), Bare: p.options.bare})
	if err != nil {
		return err
	}
	return errors.Join(
		machine.Sweep(func(string) bool { return false }),
		mariadb.New(mariadb.Options{Dir: p.path("services", "mariadb"), Log: p.options.logger}).Stop(ctx),
		machine.Close(),
	)
}
