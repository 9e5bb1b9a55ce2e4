package mariadb

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"

	"pantheon/events"
	"pantheon/events/problem"
)

// bindingPattern is what a binding id is; names below are built from it, so
// nothing else may pass.
var bindingPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Name is the name of a binding's database and of its user, at most 25 bytes
// where MariaDB allows 64 and old clients 32.
func Name(binding events.BindingID) string { return "pantheon_" + string(binding)[:16] }

// Provision makes the binding's database and user, or brings them to what they
// must be: a changed password is set. It is idempotent.
func (s *Server) Provision(ctx context.Context, binding events.BindingID, password string) error {
	if !bindingPattern.MatchString(string(binding)) {
		return problem.New(problem.Invalid, "cannot provide a database: %.40q is no binding id", string(binding))
	}
	if password == "" {
		return problem.New(problem.Invalid, "cannot provide a database: the password is empty")
	}
	name := Name(binding)
	account := "'" + name + "'@'localhost'"
	// In GRANT the name of a schema is a pattern in which _ is any character:
	// unescaped, one tenant's grant would match other names.
	schemaPattern := "`" + strings.ReplaceAll(name, "_", `\_`) + "`"
	authentication := "IDENTIFIED VIA mysql_native_password USING '" + nativeHash(password) + "'"
	return s.execute(ctx, "provide database "+name,
		"CREATE DATABASE IF NOT EXISTS `"+name+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
		"CREATE USER IF NOT EXISTS "+account+" "+authentication,
		fmt.Sprintf("ALTER USER %s %s WITH MAX_USER_CONNECTIONS %d MAX_STATEMENT_TIME %d ACCOUNT UNLOCK",
			account, authentication, maxUserConnections, int(tenantStatementTime.Seconds())),
		"GRANT ALL PRIVILEGES ON "+schemaPattern+".* TO "+account,
	)
}

// Drop removes the binding's database and user with all connections. It is
// idempotent.
func (s *Server) Drop(ctx context.Context, binding events.BindingID) error {
	if !bindingPattern.MatchString(string(binding)) {
		return problem.New(problem.Invalid, "cannot drop a database: %.40q is no binding id", string(binding))
	}
	name := Name(binding)
	account := "'" + name + "'@'localhost'"
	// Locked first and killed second, no connection is left to hold a table.
	return s.execute(ctx, "drop database "+name,
		"ALTER USER IF EXISTS "+account+" ACCOUNT LOCK",
		"KILL HARD USER "+account,
		"DROP DATABASE IF EXISTS `"+name+"`",
		"DROP USER IF EXISTS "+account,
	)
}

// State says whether the binding's database has no table yet. One that does
// not exist gives NotFound.
func (s *Server) State(ctx context.Context, binding events.BindingID) (empty bool, err error) {
	if !bindingPattern.MatchString(string(binding)) {
		return false, problem.New(problem.Invalid, "cannot look at a database: %.40q is no binding id", string(binding))
	}
	db, err := s.pool(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var tables int
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = SCHEMA_NAME)
		FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`, Name(binding)).Scan(&tables)
	if errors.Is(err, sql.ErrNoRows) {
		return false, problem.New(problem.NotFound, "database %s does not exist", Name(binding))
	}
	if err != nil {
		return false, problem.Wrap(problem.Unavailable, err, "cannot look at database %s", Name(binding))
	}
	return tables == 0, nil
}

// StateAsTenant is State asked as the database's own user, over a connection to
// a server that another machine runs.
func StateAsTenant(ctx context.Context, binding events.BindingID, password string, dial func(context.Context) (net.Conn, error)) (empty bool, err error) {
	if !bindingPattern.MatchString(string(binding)) {
		return false, problem.New(problem.Invalid, "cannot look at a database: %.40q is no binding id", string(binding))
	}
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = Name(binding), password, Name(binding)
	config.Net, config.Addr = "unix", string(binding) // the address is only a name here
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	config.ReadTimeout, config.WriteTimeout = statementTimeout, statementTimeout
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return false, problem.Wrap(problem.Internal, err, "internal error: cannot look at database %s", Name(binding))
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var tables bool
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE())`).Scan(&tables)
	if err != nil {
		return false, problem.Wrap(problem.Unavailable, err, "cannot look at database %s", Name(binding))
	}
	return !tables, nil
}

func (s *Server) pool(ctx context.Context) (*sql.DB, error) {
	if err := s.Ensure(ctx); err != nil {
		return nil, err
	}
	if db := s.running(); db != nil {
		return db, nil
	}
	return nil, problem.New(problem.Unavailable, "cannot use MariaDB: it ended right after its start").
		WithHint("look at %s", s.paths.logFile())
}

// errNoSuchUser is what KILL USER answers where nobody is connected.
const errNoSuchUser = 1094 // ER_NO_SUCH_THREAD

func (s *Server) execute(ctx context.Context, what string, statements ...string) error {
	db, err := s.pool(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	for _, statement := range statements {
		_, err := db.ExecContext(ctx, statement)
		var answer *mysql.MySQLError
		if errors.As(err, &answer) && answer.Number == errNoSuchUser {
			continue
		}
		if err != nil {
			return problem.Wrap(problem.Unavailable, withoutStatement(err), "cannot %s", what)
		}
	}
	return nil
}

// withoutStatement keeps the number and not the text of a server's error: the
// text may quote the statement, which holds a password's hash.
func withoutStatement(err error) error {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return fmt.Errorf("MariaDB answers with error %d (%s)", answer.Number, answer.SQLState)
	}
	return err
}

// nativeHash is what mysql_native_password stores: '*' and SHA1(SHA1(password))
// in hexadecimal. Only the hash goes to the server, so no password stands in a
// statement, a log or a process list.
func nativeHash(password string) string {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}
