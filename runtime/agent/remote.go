package agent

import (
	"context"
	"net"
	"os"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/service/mariadb"
)

// Remote reaches the other hosts of the cell.
type Remote interface {
	// Socket connects to the server of a binding on another host. That host
	// lets it through if this one holds a DROP of the binding's environment.
	Socket(ctx context.Context, host events.HostID, binding events.BindingID) (net.Conn, error)
	// Publish has the host of a site's code publish the release of a commit.
	Publish(ctx context.Context, host events.HostID, site events.SiteID, commit string) error
}

// Mounts gives the folder in which the files that another host has of an
// environment appear here.
type Mounts interface {
	Mount(ctx context.Context, host events.HostID, environment events.EnvironmentID) (string, error)
}

// service gives the service of a kind.
func service(spec *events.DropSpec, kind events.BindingKind) (events.BoundService, bool) {
	for _, s := range spec.Services {
		if s.Kind == kind {
			return s, true
		}
	}
	return events.BoundService{}, false
}

// places gives what a spec's DROP finds on this host, and has what it can of
// it here.
func (a *Agent) places(ctx context.Context, spec *events.DropSpec) (drop.Places, error) {
	files, err := a.filesFor(ctx, spec)
	if err != nil {
		return drop.Places{}, err
	}
	socket, err := a.databaseSocket(spec)
	if err != nil {
		return drop.Places{}, err
	}
	tree, err := a.codeFor(ctx, *spec, files)
	return drop.Places{Code: tree, Files: files, DatabaseSocket: socket}, err
}

// filesFor gives the folder of the environment's files. Without mounts a DROP
// runs only where they are: serving it from an empty folder would lose what its
// visitors upload.
func (a *Agent) filesFor(ctx context.Context, spec *events.DropSpec) (string, error) {
	files, bound := service(spec, events.FileServer)
	switch {
	case !bound || a.here(files):
		return a.options.Files.Path(spec.Environment), nil
	case a.options.Mounts == nil:
		return "", problem.New(problem.Unsupported, "the files of this environment are on host %s, and this host cannot mount them", files.Host).
			WithHint("move the DROP to that host, or wait until it has room for it")
	}
	return a.options.Mounts.Mount(ctx, files.Host, spec.Environment)
}

// databaseSocket gives the socket at which a DROP finds its database: that of
// this host's server, or of a tunnel.
func (a *Agent) databaseSocket(spec *events.DropSpec) (string, error) {
	db, bound := service(spec, events.DBServer)
	switch {
	case !bound || a.here(db):
		return a.options.Database.Socket(), nil
	case a.options.Remote == nil:
		return "", problem.New(problem.Unsupported, "the database of this environment is on host %s, and this host does not reach others", db.Host).
			WithHint("move the DROP to that host")
	}
	return a.tunnels.prepare(db.Binding)
}

// ensureDatabase has the database up, where it is here. What is elsewhere is
// reached by a tunnel, opened when php-fpm runs.
func (a *Agent) ensureDatabase(ctx context.Context, spec *events.DropSpec) error {
	if db, bound := service(spec, events.DBServer); bound && a.here(db) {
		return a.options.Database.Ensure(ctx)
	}
	return nil
}

func (a *Agent) openTunnel(id events.DropID, spec *events.DropSpec) error {
	if db, bound := service(spec, events.DBServer); bound && !a.here(db) && a.options.Remote != nil {
		return a.tunnels.open(id, db, spec.UID, func() error { return a.mayServe(spec) })
	}
	return nil
}

// databaseEmpty says whether the database has no table yet. That of another
// host is asked as its user, which is who may.
func (a *Agent) databaseEmpty(ctx context.Context, spec *events.DropSpec, db events.BoundService) (bool, error) {
	if a.here(db) {
		return a.options.Database.State(ctx, db.Binding)
	}
	if a.options.Remote == nil {
		return false, problem.New(problem.Unavailable, "cannot look at database %s: it is on host %s", db.Binding, db.Host)
	}
	key, err := a.options.Keys.Site(spec.Environment.Site())
	if err != nil {
		return false, err
	}
	password := key.Derive(databasePassword, string(db.Binding), firstCredential)
	return mariadb.StateAsTenant(ctx, db.Binding, password, func(ctx context.Context) (net.Conn, error) {
		return a.options.Remote.Socket(ctx, db.Host, db.Binding)
	})
}

// release gives the read-only tree of a commit, which a host without the
// site's repository fetches. Where nobody has published it yet, the host of the
// code is asked to.
func (a *Agent) release(ctx context.Context, spec *events.DropSpec, at code.Mount) (string, error) {
	site := spec.Environment.Site()
	tree, err := a.options.Code.Release(ctx, site, spec.Commit, at)
	origin, bound := service(spec, events.CodeServer)
	if problem.KindOf(err) != problem.NotFound || !bound || a.here(origin) || a.options.Remote == nil {
		return tree, err
	}
	if err := a.havePublished(ctx, origin.Host, site, spec.Commit); err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "cannot have commit %.12s from host %s", spec.Commit, origin.Host)
	}
	return a.options.Code.Release(ctx, site, spec.Commit, at)
}

// havePublished asks the host of a site's code, which takes a few such questions at
// once: when another one is drained, many come at the same moment.
func (a *Agent) havePublished(ctx context.Context, host events.HostID, site events.SiteID, commit string) error {
	waited, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	for {
		err := a.options.Remote.Publish(ctx, host, site, commit)
		if problem.KindOf(err) != problem.Busy || !pause(waited, publishRetry) {
			return err
		}
	}
}

// worktree gives the writable tree of an environment. There is one, where the
// site's repository is.
func (a *Agent) worktree(ctx context.Context, spec *events.DropSpec, at code.Mount) (string, error) {
	if origin, bound := service(spec, events.CodeServer); bound && !a.here(origin) {
		return "", problem.New(problem.Unsupported, "the code of this environment is being changed on host %s", origin.Host).
			WithHint("move the DROP to that host, or set the environment's connection to git")
	}
	return a.options.Code.Worktree(ctx, spec.Environment.Site(), spec.Environment.Name(), spec.Commit, spec.UID, at)
}

// Publish makes a release of this host's code known to the others; see
// Remote.
func (a *Agent) Publish(ctx context.Context, site events.SiteID, commit string) error {
	return a.options.Code.Publish(ctx, site, commit)
}

// owned gives a folder or socket to an environment's user, where there are
// users.
func owned(path string, uid uint32) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(uid), int(uid))
}
