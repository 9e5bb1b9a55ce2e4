package drop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/sandbox"
)

// configure asks for what Configure needs.
func (r *Runner) configure(p prepared) (Config, error) {
	php, err := r.host.PHP(p.spec.Settings.PHPVersion)
	if err != nil {
		return Config{}, err
	}
	secrets, err := r.host.Secrets(r.paths.Drop, p.spec)
	if err != nil {
		return Config{}, err
	}
	paths := r.paths
	paths.Places = p.places
	return Configure(p.spec, paths, secrets, php, r.host.Machine.Isolated())
}

// provide makes folders and files of a generation, and removes the opcode
// caches of other releases.
func (r *Runner) provide(p prepared) error {
	c, err := r.configure(p)
	if err != nil {
		return err
	}
	for _, f := range c.Folders {
		if err := makeFolder(f, int(p.spec.UID)); err != nil {
			return err
		}
	}
	if c.Root.Dir != "" {
		err = sandbox.MakeRoot(c.Root.Dir, c.Root.Binds, c.Files)
	} else {
		err = writeBare(c.Files)
	}
	if err != nil {
		return err
	}
	return r.prune(c)
}

func writeBare(files map[string]string) error {
	for name, text := range files {
		if err := sandbox.MakeFile(name, text); err != nil {
			return err
		}
	}
	return nil
}

// makeFolder makes a folder or sets right the one that is there.
func makeFolder(f Folder, uid int) error {
	mode := os.FileMode(f.Mode)
	if err := os.Mkdir(f.Path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.MkdirAll(f.Path, mode); err != nil {
			return err
		}
	}
	// Some lie in folders of the environment's user, who may have put a link
	// there: whatever it leads to stays as it is.
	info, err := os.Lstat(f.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return problem.New(problem.Conflict, "cannot use %s: it is no folder", f.Path)
	}
	owner := 0
	if f.Owned {
		owner = uid
	}
	if os.Getuid() != 0 || int(info.Sys().(*syscall.Stat_t).Uid) == owner && info.Mode().Perm() == mode {
		return nil
	}
	d, err := os.OpenFile(f.Path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return errors.Join(d.Chmod(mode), d.Chown(owner, owner))
}

// prune removes what earlier releases have left: opcode caches and rolling
// temporary folders. php-fpm may still run with the one before; a file cache
// that goes away only costs it time.
func (r *Runner) prune(c Config) error {
	keep := map[string]bool{}
	for _, f := range c.Folders {
		keep[f.Path] = true
	}
	old, err := filepath.Glob(r.paths.sub("cache", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range old {
		if !keep[dir] {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// launch starts php-fpm and returns when it has answered.
func (r *Runner) launch(p prepared) (*sandbox.Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	c, err := r.configure(p)
	if err != nil {
		return nil, err
	}
	r.rotateLogs()
	process, err := r.spawn(&c, p.spec)
	if err != nil {
		return nil, err
	}
	if err := r.saveIdentity(process, p.spec); err != nil {
		process.Kill()
		<-process.Done()
		return nil, err
	}
	if err := r.answered(ctx, process); err != nil {
		process.Kill()
		<-process.Done()
		os.Remove(r.identityPath())
		if tail := r.startLog(); tail != "" {
			return nil, fmt.Errorf("%w: %s", err, tail)
		}
		return nil, err
	}
	return process, nil
}

// spawn binds the socket and starts php-fpm on it.
func (r *Runner) spawn(c *Config, spec events.DropSpec) (*sandbox.Process, error) {
	listener, err := listen(r.paths.Socket())
	if err != nil {
		return nil, err
	}
	defer listener.Close() // php-fpm has its own; the file stays
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stderr, err := os.OpenFile(r.startLogPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return r.host.Machine.Start(sandbox.Command{
		Name: string(r.paths.Drop), Path: c.Program, Args: c.Args, Dir: "/",
		Env:   append(c.Env[:len(c.Env):len(c.Env)], "FPM_SOCKETS="+listenName+"=3"),
		Files: []*os.File{null, stderr, stderr, file},
		UID:   spec.UID, GID: spec.UID, Root: c.Root, Limits: c.Limits, Hostname: c.Hostname,
	})
}

// answered waits for the answer to a ping; a process that ends ends the wait.
func (r *Runner) answered(ctx context.Context, process *sandbox.Process) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- ping(ctx, r.paths.Socket()) }()
	select {
	case err := <-result:
		if err == nil {
			return nil
		}
		// A connection that breaks off is the first sign of a process that
		// ends; how it ends says more.
		timer := time.NewTimer(exitGrace)
		defer timer.Stop()
		select {
		case <-process.Done():
		case <-timer.C:
			return fmt.Errorf("php-fpm does not answer: %w", err)
		}
	case <-process.Done():
		cancel()
		<-result
	}
	exit, _ := process.Wait()
	return fmt.Errorf("php-fpm ended at its start with %s", exit)
}

// endGracefully asks php-fpm to end after its requests, and kills it when it
// takes too long.
func endGracefully(process *sandbox.Process) error {
	if err := process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	timer := time.NewTimer(StopGrace)
	defer timer.Stop()
	select {
	case <-process.Done():
		return nil
	case <-timer.C:
	}
	return process.Kill()
}

// startLogPath is where php-fpm writes until it has opened its log.
func (r *Runner) startLogPath() string { return r.paths.sub("run", "start.log") }

// startLog gives the end of that.
func (r *Runner) startLog() string {
	f, err := os.Open(r.startLogPath())
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = MaxReasonBytes / 2
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return strings.Join(strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// rotateLogs sets aside logs that have grown too much. They lie in a folder of
// the environment's user: names are moved, nothing is opened.
func (r *Runner) rotateLogs() {
	for _, name := range []string{"php-error.log", "php-fpm-error.log"} {
		file := r.paths.sub("logs", "php", name)
		if info, err := os.Lstat(file); err == nil && info.Size() > MaxLogBytes {
			_ = os.Rename(file, file+".1") // else with the next start
		}
	}
}

// launched is what Adopt needs to know of a process.
type launched struct {
	Process     sandbox.Identity `json:"process"`
	Generation  int              `json:"generation"`
	IdleSeconds int64            `json:"idle_seconds"`
}

func (r *Runner) identityPath() string { return r.paths.sub("run", "identity.json") }

// saveIdentity writes by rename; that it is lost with the machine's power does
// no harm, the process is as well.
func (r *Runner) saveIdentity(process *sandbox.Process, spec events.DropSpec) error {
	data, err := json.Marshal(launched{process.Identity(), spec.Generation, spec.Settings.IdleAfterSeconds})
	if err != nil {
		return err
	}
	temporary := r.identityPath() + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, r.identityPath())
}

// Adopt takes over php-fpm where an earlier agent has left one awake, and says
// whether there is one. It comes before the first Prepare.
func (r *Runner) Adopt(ctx context.Context) (bool, error) {
	f, err := os.Open(r.identityPath())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var id launched
	if err := json.NewDecoder(io.LimitReader(f, MaxIdentityBytes)).Decode(&id); err != nil {
		return false, nil // half written: the start that wrote it was never reported
	}
	process, err := r.host.Machine.Adopt(id.Process)
	if problem.KindOf(err) == problem.NotFound {
		os.Remove(r.identityPath())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	probe, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	if err := r.answered(probe, process); err != nil {
		process.Kill()
		<-process.Done()
		os.Remove(r.identityPath())
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		return true, nil
	}
	r.process = process
	r.step(Adopted{Generation: id.Generation, IdleAfter: time.Duration(id.IdleSeconds) * time.Second})
	go r.watch(process)
	return true, nil
}

// Warm fills the opcode cache of the prepared release. It takes seconds and may
// run while the DROP serves.
func (r *Runner) Warm(ctx context.Context) error {
	c, spec, err := r.current()
	if err != nil {
		return err
	}
	process, err := r.host.Machine.Start(sandbox.Command{
		Name: r.commandName(), Path: c.Warm[0], Args: c.Warm[1:], Dir: "/", Env: c.CommandEnv,
		UID: spec.UID, GID: spec.UID, Root: c.Root, Limits: c.Limits, Hostname: c.Hostname,
	})
	if err != nil {
		return err
	}
	exit, err := await(ctx, process)
	if err == nil && exit.Known && exit.Code != 0 {
		err = problem.New(problem.Unavailable, "cannot warm the opcode cache of DROP %s: PHP ended with %s", r.paths.Drop, exit)
	}
	return err
}

// await waits for a process; it is killed when ctx is done.
func await(ctx context.Context, process *sandbox.Process) (sandbox.Exit, error) {
	select {
	case <-process.Done():
		return process.Wait()
	case <-ctx.Done():
	}
	err := process.Kill()
	exit, waitErr := process.Wait()
	return exit, errors.Join(context.Cause(ctx), err, waitErr)
}

// current gives the configuration of the prepared generation.
func (r *Runner) current() (Config, events.DropSpec, error) {
	r.mu.Lock()
	p, removed := r.prepared, r.removed
	r.mu.Unlock()
	switch {
	case removed:
		return Config{}, p.spec, r.gone()
	case p.spec.Generation == 0:
		return Config{}, p.spec, problem.New(problem.Unavailable, "DROP %s is not prepared yet", r.paths.Drop)
	}
	c, err := r.configure(p)
	return c, p.spec, err
}

// Layout gives the DROP's folders as PHP sees them, and its document root, for
// the web server.
func (r *Runner) Layout() (layout contract.Layout, docroot string, err error) {
	c, _, err := r.current()
	return c.Layout, c.Docroot, err
}

// Dial connects to the DROP's php-fpm, which is awake.
func (r *Runner) Dial(ctx context.Context) (net.Conn, error) { return Dial(ctx, r.paths.Socket()) }
