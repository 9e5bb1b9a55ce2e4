package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"pantheon/events/problem"
	"pantheon/runtime/require"
	"pantheon/runtime/service"
)

// Options say where the server lives.
type Options struct {
	// Dir is the server's folder, absolute: <data>/services/mariadb.
	Dir string
	// Log takes starts, adoptions and crashes; nil is slog's default.
	Log *slog.Logger
}

// Server is the MariaDB server of this host. Its methods may be called
// concurrently.
type Server struct {
	paths layout
	log   *slog.Logger

	// turn is held by the one caller that starts, adopts or stops; a channel,
	// so that waiting for it ends with the waiter's context.
	turn chan struct{}

	// requirements is Requirements; a test names a package that is missing.
	requirements func() []require.Requirement

	mu      sync.Mutex
	process *service.Process // nil before the first Ensure
	db      *sql.DB          // nil likewise; lives as long as the process
}

// New gives a server that is not started.
func New(options Options) *Server {
	logger := options.Log
	if logger == nil {
		logger = slog.Default()
	}
	return &Server{
		paths: layout{base: options.Dir},
		log:   logger.With("service", "mariadb"),
		turn:  make(chan struct{}, 1),

		requirements: Requirements,
	}
}

// SocketDir is the folder to mount into a sandbox at /run/mysqld.
func (s *Server) SocketDir() string { return s.paths.run() }

// Socket is the server's socket; in a sandbox it is /run/mysqld/mysqld.sock.
func (s *Server) Socket() string { return s.paths.socket() }

// Requirements lists what has to be on the machine.
func Requirements() []require.Requirement {
	return []require.Requirement{
		require.Program("mariadbd", "mariadb-server", "it is the database of every environment"),
		require.Program("mariadb-install-db", "mariadb-server", "it makes the database server's data folder"),
	}
}

// Ensure returns when the server answers. Concurrent callers start it once.
func (s *Server) Ensure(ctx context.Context) error {
	if s.running() != nil {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return problem.Wrap(problem.Unavailable, ctx.Err(), "cannot wait for the start of MariaDB")
	}
	if s.running() != nil {
		return nil
	}
	return s.start(ctx)
}

// running gives the pool of a server whose process lives, or nil.
func (s *Server) running() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || !s.process.Running() {
		return nil
	}
	return s.db
}

func (s *Server) publish(process *service.Process) error {
	db, err := openPool(s.paths.socket(), "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.db
	s.process, s.db = process, db
	s.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return nil
}

// Process gives the server's process, nil while none is known.
func (s *Server) Process() *service.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Run keeps the server up until the context ends, which leaves the server
// running: it starts it at once when it has ended by itself.
func (s *Server) Run(ctx context.Context) error {
	backoff := restartBackoffMin
	for ctx.Err() == nil {
		if err := s.Ensure(ctx); err != nil {
			s.log.Error("cannot keep MariaDB running", "error", err, "again_in", backoff)
			pause(ctx, backoff)
			backoff = min(2*backoff, restartBackoffMax)
			continue
		}
		backoff = restartBackoffMin
		process := s.Process()
		select {
		case <-process.Done():
			s.log.Warn("MariaDB has ended by itself", "how", process.Ended())
		case <-ctx.Done():
		}
	}
	return nil
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Stop ends the server gracefully and returns when it has ended. The next
// Ensure starts it again; end Run's context first.
func (s *Server) Stop(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return problem.Wrap(problem.Unavailable, ctx.Err(), "cannot wait for the start of MariaDB")
	}
	if s.running() == nil && !s.adoptRecorded() {
		return nil
	}
	s.mu.Lock()
	process, db := s.process, s.db
	s.process, s.db = nil, nil
	s.mu.Unlock()
	if db != nil {
		_ = db.Close()
	}
	if err := process.Stop(ctx, stopGrace); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot stop MariaDB")
	}
	if err := os.Remove(s.paths.identity()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot forget the process of MariaDB")
	}
	return nil
}

// adoptRecorded takes over the process that the record names, whether or not
// it answers.
func (s *Server) adoptRecorded() bool {
	id, err := service.LoadIdentity(s.paths.identity())
	if err != nil {
		return false
	}
	process, err := service.Adopt(id)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = process
	return true
}

// openPool opens a pool of the administrator's connections. The kernel tells
// the server who we are; there is no password.
func openPool(socket, user string) (*sql.DB, error) {
	if user == "" {
		name, err := administrator()
		if err != nil {
			return nil, err
		}
		user = name
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User = "unix", socket, user
	config.Timeout = pingTimeout
	config.ReadTimeout, config.WriteTimeout = statementTimeout, statementTimeout
	config.InterpolateParams = true
	config.Logger = &mysql.NopLogger{} // what it would say comes back as an error too
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot make a connection to MariaDB")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(maxAdminConnections)
	db.SetConnMaxIdleTime(adminIdleTime)
	return db, nil
}
