package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
	"pantheon/runtime/durable"
	"pantheon/runtime/require"
	"pantheon/runtime/service"
)

// viewTarget is where a server sees its folder when its user may not enter the
// folders above it (a home folder of mode 0700, say), or when its path has a
// space. Every Linux has /mnt.
const viewTarget = "/mnt"

// start makes the server run; the caller holds the turn. It takes whichever
// comes first: the answer of a server that runs or is being started by another
// process, or the lock, which proves that there is none.
func (s *Server) start(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout+initialiseTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		lock, err := tryLock(s.paths.lock())
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot lock the data of MariaDB")
		}
		if lock != nil {
			defer lock.Close()
			return s.startLocked(ctx, lock)
		}
		if process := s.answering(ctx); process != nil {
			s.log.Info("MariaDB adopted", "pid", process.Identity().PID)
			return s.publish(process)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return problem.Wrap(problem.Unavailable, ctx.Err(), "cannot use MariaDB: a server holds %s and does not answer", s.paths.lock()).
				WithHint("look at %s", s.paths.logFile())
		}
	}
}

// answering gives the process behind the socket if it answers.
func (s *Server) answering(ctx context.Context) *service.Process {
	pid, err := socketPeer(s.paths.socket())
	if err != nil || s.ping(ctx) != nil {
		return nil
	}
	id, err := service.IdentityOf(pid)
	if err != nil {
		return nil
	}
	process, err := service.Adopt(id)
	if err != nil {
		return nil
	}
	if recorded, err := service.LoadIdentity(s.paths.identity()); err != nil || recorded != id {
		if err := id.Save(s.paths.identity()); err != nil {
			s.log.Warn("cannot record the process of MariaDB", "error", err)
		}
	}
	return process
}

// startLocked starts the server. The process inherits the lock, so it is held
// until the server ends, whatever becomes of us.
func (s *Server) startLocked(ctx context.Context, lock *os.File) error {
	began := time.Now()
	account, err := chooseAccount(s.paths.base)
	if err != nil {
		return err
	}
	if err := s.makeFolders(account); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folders of MariaDB")
	}
	if err := s.initialise(ctx, account, lock); err != nil {
		return err
	}
	seen := account.layout(s.paths)
	if err := writeFile(s.paths.config(), configuration(seen)); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the configuration of MariaDB")
	}
	if err := writeFile(s.paths.initSQL(), initStatements); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the configuration of MariaDB")
	}
	_ = os.Remove(s.paths.socket()) // of a server that was killed: nobody holds the lock
	process, err := service.Spawn(ctx, service.Spec{
		Path:    require.Find("mariadbd"),
		Args:    []string{"--defaults-file=" + seen.config()},
		Env:     environment,
		User:    account.user,
		View:    account.view,
		LogPath: s.paths.logFile(),
		Keep:    []*os.File{lock},
	})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot start MariaDB")
	}
	if err := process.Identity().Save(s.paths.identity()); err != nil {
		_ = process.Kill()
		return problem.Wrap(problem.Unavailable, err, "cannot record the process of MariaDB")
	}
	if err := s.awaitAnswer(ctx, process); err != nil {
		return err
	}
	s.log.Info("MariaDB started", "pid", process.Identity().PID, "duration", time.Since(began))
	if err := s.publish(process); err != nil {
		return err
	}
	s.checkConnections(ctx)
	return nil
}

// checkConnections says where the server had to lower its bound on
// connections, which it does in silence.
func (s *Server) checkConnections(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	db := s.running()
	if db == nil {
		return
	}
	var connections, files int
	if err := db.QueryRowContext(ctx, "SELECT @@max_connections, @@open_files_limit").Scan(&connections, &files); err != nil {
		s.log.Info("cannot ask MariaDB for its bounds", "error", err)
		return
	}
	if connections < maxConnections {
		s.log.Warn("MariaDB takes fewer connections than it should: the hard limit of open files (ulimit -Hn) is too low",
			"connections", connections, "wanted", maxConnections, "open_files", files)
	}
}

// environment is all that the server's processes get.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent"}

// awaitAnswer waits until the started server answers. A server that is not
// ready in time is ended: a half-started one would hold the lock for ever.
func (s *Server) awaitAnswer(ctx context.Context, process *service.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for s.ping(ctx) != nil {
		select {
		case <-ticker.C:
		case <-process.Done():
			return s.startFailure(process.Ended())
		case <-ctx.Done():
			_ = process.Kill()
			return s.startFailure("it did not answer in time")
		}
	}
	return nil
}

var errorLine = regexp.MustCompile(`(?m)\[ERROR\] .*$`)

// startFailure adds the server's own first words about why.
func (s *Server) startFailure(how string) error {
	reason := how
	if line := errorLine.Find(tail(s.paths.logFile(), logTailBytes)); line != nil {
		reason = fmt.Sprintf("%s: %.300s", how, line)
	}
	return problem.New(problem.Unavailable, "cannot start MariaDB: %s", reason).
		WithHint("look at %s", s.paths.logFile())
}

func tail(path string, limit int64) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > limit {
		_, _ = file.Seek(-limit, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(file, limit))
	return text
}

// prepare checks what no retry mends, before anything is made.
func (s *Server) prepare() error {
	for _, requirement := range s.requirements() {
		if requirement.Missing() {
			return problem.New(problem.Unavailable, "cannot start MariaDB: %s is not installed", requirement.Name).
				WithHint("%s", requirement.Install)
		}
	}
	if !filepath.IsAbs(s.paths.base) {
		return problem.New(problem.Invalid, "cannot start MariaDB: its folder %s is not an absolute path", s.paths.base)
	}
	if n := len(s.paths.socket()); n > maxSocketPathBytes {
		return problem.New(problem.Invalid, "cannot start MariaDB: the path of its socket has %d bytes and may have %d: %s", n, maxSocketPathBytes, s.paths.socket()).
			WithHint("use a data folder with a shorter path")
	}
	if err := os.MkdirAll(s.paths.base, 0o711); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folder of MariaDB")
	}
	return nil
}

func (s *Server) makeFolders(account account) error {
	for _, folder := range []struct {
		path string
		mode fs.FileMode
		own  bool
	}{
		{s.paths.run(), 0o755, true},
		{s.paths.tmp(), 0o700, true},
		{s.paths.outbox(), 0o500, true},
		{filepath.Dir(s.paths.logFile()), 0o700, false},
	} {
		if err := os.MkdirAll(folder.path, folder.mode); err != nil {
			return err
		}
		if folder.own && account.user != nil {
			if err := os.Lchown(folder.path, int(account.user.UID), int(account.user.GID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// initialise makes the data folder if there is none: beside, then by rename.
func (s *Server) initialise(ctx context.Context, account account, lock *os.File) error {
	if _, err := os.Stat(s.paths.data()); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot look for the data of MariaDB")
	}
	leftovers, _ := filepath.Glob(s.paths.data() + ".new-*")
	for _, path := range leftovers {
		_ = os.RemoveAll(path)
	}
	fresh, err := os.MkdirTemp(s.paths.base, "data.new-") // mode 0700
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the data folder of MariaDB")
	}
	defer os.RemoveAll(fresh)
	if account.user != nil {
		if err := os.Lchown(fresh, int(account.user.UID), int(account.user.GID)); err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot make the data folder of MariaDB")
		}
	}
	if err := s.install(ctx, account, lock, filepath.Base(fresh)); err != nil {
		return err
	}
	if err := durable.SyncTree(fresh); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the data of MariaDB durable")
	}
	if err := os.Rename(fresh, s.paths.data()); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot put the data folder of MariaDB in its place")
	}
	return durable.Sync(s.paths.base)
}

func (s *Server) install(ctx context.Context, account account, lock *os.File, folder string) error {
	name, err := administrator()
	if err != nil {
		return err
	}
	seen := account.layout(s.paths)
	process, err := service.Spawn(ctx, service.Spec{
		Path: require.Find("mariadb-install-db"),
		Args: []string{
			"--no-defaults", "--datadir=" + filepath.Join(seen.base, folder), "--skip-test-db", "--skip-name-resolve",
			"--auth-root-authentication-method=socket", "--auth-root-socket-user=" + name,
			"--innodb-log-file-size=48M", "--skip-log-bin", "--tmpdir=" + seen.tmp(),
		},
		Env:     environment,
		User:    account.user,
		View:    account.view,
		LogPath: s.paths.logFile(),
		Keep:    []*os.File{lock},
	})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the data of MariaDB")
	}
	timer := time.NewTimer(initialiseTimeout)
	defer timer.Stop()
	select {
	case <-process.Done():
	case <-timer.C:
		_ = process.KillAll() // a shell script, and the server that it runs
	case <-ctx.Done():
		_ = process.KillAll() // a shell script, and the server that it runs
	}
	if how := process.Ended(); how != "exit status 0" {
		return problem.New(problem.Unavailable, "cannot make the data of MariaDB: %s", how).
			WithHint("look at %s", s.paths.logFile())
	}
	return nil
}

// account is the user a server runs as, and the view it needs.
type account struct {
	user *service.User // nil is our own
	view *service.View // nil where the user can enter the folder as it is
}

func (a account) layout(ours layout) layout {
	if a.view != nil {
		return layout{base: a.view.Target}
	}
	return ours
}

// chooseAccount takes the package's user "mysql" where we may and can.
func chooseAccount(base string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	entry, err := user.Lookup("mysql")
	if err != nil {
		return account{}, problem.Wrap(problem.Unavailable, err, "cannot start MariaDB: its user mysql does not exist, and it does not run as root").
			WithHint("apt-get install -y mariadb-server")
	}
	uid, errUID := strconv.ParseUint(entry.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(entry.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return account{}, problem.Wrap(problem.Internal, err, "cannot read the user mysql")
	}
	chosen := account{user: &service.User{UID: uint32(uid), GID: uint32(gid)}}
	open, err := enterable(base)
	if err != nil {
		return account{}, problem.Wrap(problem.Unavailable, err, "cannot look at the folders above %s", base)
	}
	if !open || !plainPath.MatchString(base) {
		chosen.view = &service.View{Source: base, Target: viewTarget}
	}
	return chosen, nil
}

// plainPath is what mariadb-install-db, a shell script that does not quote, can
// work with. Any other folder is shown to the server elsewhere.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._+@%:,=-]+$`)

// enterable says whether everybody may pass all folders down to base.
func enterable(base string) (bool, error) {
	resolved, err := filepath.EvalSymlinks(base)
	if err != nil {
		return false, err
	}
	for folder := resolved; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return false, err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return false, nil
		}
		if folder == "/" {
			return true, nil
		}
	}
}

// administrator is the name of the user we run as.
func administrator() (string, error) {
	current, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "cannot use MariaDB: user %d has no name, and MariaDB knows its administrator by name", os.Geteuid()).
			WithHint("add the user to /etc/passwd")
	}
	return current.Username, nil
}

// tryLock gives the locked file, or nil where somebody else holds it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	db, err := openPool(s.paths.socket(), "")
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// socketPeer gives the pid of the process that listens on the socket, as the
// kernel recorded it.
func socketPeer(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, err
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(peer.Pid), nil
}

// writeFile replaces a file that the server's user may read.
func writeFile(path, content string) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
