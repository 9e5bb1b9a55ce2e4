package main

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/runtime/files/remote"
	"pantheon/runtime/mesh"
)

// sweepMounts ends what an earlier process has left mounted: it may hold the
// lock of the data folder until then.
func (p *platform) sweepMounts(context.Context) error {
	p.mounts = remote.New(remote.Options{Dir: p.path("mounts"), Dial: p.dialFiles, Allowed: p.mayReachFiles, Logger: p.options.logger})
	if _, err := os.Stat(p.path("mounts")); err != nil {
		return nil //nolint:nilerr // there is nothing to sweep
	}
	return p.mounts.Sweep()
}

// dialFiles connects to the files of an environment on another host.
func (p *platform) dialFiles(ctx context.Context, host events.HostID, environment events.EnvironmentID) (io.ReadWriteCloser, error) {
	var drop events.DropID
	if err := p.agrees(ctx, func(state inventory.State) (holds bool) {
		drop, holds = state.Admitted(p.host.ID, environment)
		return holds
	}, problem.New(problem.Denied, "this host holds no DROP of %s", environment)); err != nil {
		return nil, err
	}
	return p.cell.mesh.Files(ctx, host, mesh.FilesRequest{Environment: environment, Drop: drop})
}

// mayReachFiles refuses while this host may have lost what it holds.
func (p *platform) mayReachFiles(events.HostID, events.EnvironmentID) error {
	if _, held := p.cell.keeper.Held(); !held {
		return problem.New(problem.Unavailable, "this host has lost touch with its cell")
	}
	return nil
}

// volumes opens the files of this host to the hosts of their DROPs.
type volumes struct{ *platform }

func (v volumes) Volume(ctx context.Context, from events.HostID, request mesh.FilesRequest) (func(context.Context, io.ReadWriteCloser) error, error) {
	if err := v.agrees(ctx, func(state inventory.State) bool { return v.mayUseFiles(state, from, request.Environment) },
		problem.New(problem.Denied, "host %s holds no DROP of %s", from, request.Environment)); err != nil {
		return nil, err
	}
	environment, known := v.inventory.Snapshot().Environment(request.Environment)
	if !known {
		return nil, problem.New(problem.NotFound, "cannot find environment %s", request.Environment)
	}
	volume := remote.Volume{Path: v.machine.files.Path(request.Environment), UID: environment.UID}
	return func(ctx context.Context, conn io.ReadWriteCloser) error { return remote.Serve(ctx, conn, volume) }, nil
}

// mayUseFiles says whether a host holds a DROP whose files are on this one.
func (p *platform) mayUseFiles(state inventory.State, from events.HostID, environment events.EnvironmentID) bool {
	for _, bound := range state.Bindings(environment) {
		if bound.Kind == events.FileServer && bound.Host == p.host.ID {
			_, holds := state.Admitted(from, environment)
			return holds
		}
	}
	return false
}

// tendMounts cuts mounts when the lease has lapsed, takes those away that no
// DROP needs, and makes those anew that an earlier process has left, until ctx
// ends.
func (p *platform) tendMounts(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return p.mounts.Restore(ctx) })
	all.Go(func() error {
		for term := uint64(0); ; {
			var err error
			if term, err = p.cell.keeper.Next(ctx, term); err != nil {
				return err
			}
			if err := p.cell.keeper.Over(ctx, term); err != nil {
				return err
			}
			p.mounts.Cut()
		}
	})
	all.Go(func() error {
		return p.eachChange(ctx, collectPause, func(state inventory.State) error {
			err := p.mounts.Tidy(func(_ events.HostID, environment events.EnvironmentID) bool {
				_, holds := state.Admitted(p.host.ID, environment)
				return holds
			})
			if err != nil {
				p.options.logger.Warn("cannot take a mount away that is not needed", "error", err)
			}
			return nil
		})
	})
	return all.Wait()
}

// unmountAll takes all mounts away, when no DROP runs that could need one.
func (p *platform) unmountAll() error {
	return p.mounts.Collect(func(events.HostID, events.EnvironmentID) bool { return false })
}

// collectPause is longer than a dismissed DROP takes to end.
const collectPause = 30 * time.Second
