package mariadb

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/require"
	"pantheon/runtime/service"
)

const (
	blog events.BindingID = "aaaaaaaaaaaaaaaa0000000000000001"
	shop events.BindingID = "bbbbbbbbbbbbbbbb0000000000000002"
)

// keeperFolder makes this test binary the keeper of a server in that folder:
// it makes the server run, says so and waits to be killed.
const keeperFolder = "PANTHEON_TEST_MARIADB_KEEPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(keeperFolder); dir != "" {
		server := New(Options{Dir: dir})
		fmt.Println(server.Ensure(context.Background()))
		select {}
	}
	os.Exit(m.Run())
}

func needMariaDB(t testing.TB) {
	t.Helper()
	for _, requirement := range Requirements() {
		if requirement.Missing() {
			t.Skipf("%s is missing: %s", requirement.Name, requirement.Install)
		}
	}
}

// folder gives a short path: a socket's path may have 107 bytes.
func folder(t testing.TB) string {
	t.Helper()
	needMariaDB(t)
	dir, err := os.MkdirTemp("", "mdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "mariadb")
}

func newServer(t testing.TB, dir string) *Server {
	t.Helper()
	server := New(Options{Dir: dir})
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// ensured gives a server that runs.
func ensured(t testing.TB) *Server {
	t.Helper()
	server := newServer(t, folder(t))
	if err := server.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server
}

func tenant(t *testing.T, server *Server, binding events.BindingID, password string) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.Net, config.Addr = "unix", server.Socket()
	config.User, config.Passwd, config.DBName = Name(binding), password, Name(binding)
	config.AllowAllFiles = true // a tenant's client does what the tenant likes
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func must(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestConcurrentFirstUseStartsOneServer(t *testing.T) {
	dir := folder(t)
	one, two := newServer(t, dir), newServer(t, dir) // two, as two processes would have
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if err := []*Server{one, two}[i%2].Ensure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if one.Process().Identity() != two.Process().Identity() {
		t.Fatalf("two servers: %v and %v", one.Process().Identity(), two.Process().Identity())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data.new-*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestProvisionAndDropAreIdempotent(t *testing.T) {
	server := ensured(t)
	ctx := t.Context()
	if _, err := server.State(ctx, blog); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("State before Provision: %v, want NotFound", err)
	}
	for range 2 {
		if err := server.Provision(ctx, blog, "first"); err != nil {
			t.Fatal(err)
		}
	}
	db := tenant(t, server, blog, "first")
	if empty, err := server.State(ctx, blog); err != nil || !empty {
		t.Fatalf("State of a new database: %v, %v", empty, err)
	}
	must(t, db, "CREATE TABLE t (x TEXT)", "INSERT INTO t VALUES ('🐘')")
	if empty, err := server.State(ctx, blog); err != nil || empty {
		t.Fatalf("State of a used database: %v, %v", empty, err)
	}
	if err := server.Provision(ctx, blog, "second"); err != nil {
		t.Fatal(err)
	}
	if got := column(t, tenant(t, server, blog, "second"), "SELECT x FROM t"); len(got) != 1 || got[0] != "🐘" {
		t.Fatalf("content after a new password: %q", got)
	}
	if err := tenant(t, server, blog, "first").PingContext(ctx); err == nil {
		t.Fatal("the old password still works")
	}
	for range 2 { // the first while connections are open
		if err := server.Drop(ctx, blog); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PingContext(ctx); err == nil {
		t.Fatal("a dropped tenant still gets in")
	}
	if _, err := server.State(ctx, blog); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("State after Drop: %v, want NotFound", err)
	}
}

// twoTenants gives a server and the connection of the first of two tenants
// that each have a table.
func twoTenants(t *testing.T) (*Server, *sql.DB) {
	t.Helper()
	server := ensured(t)
	for _, binding := range []events.BindingID{blog, shop} {
		if err := server.Provision(t.Context(), binding, "pw-"+string(binding)); err != nil {
			t.Fatal(err)
		}
		must(t, tenant(t, server, binding, "pw-"+string(binding)), "CREATE TABLE secrets (x TEXT)", "INSERT INTO secrets VALUES ('mine')")
	}
	return server, tenant(t, server, blog, "pw-"+string(blog))
}

func TestTenantsMayDoNothingToEachOther(t *testing.T) {
	server, db := twoTenants(t)
	other := Name(shop)
	outside := filepath.Join(server.paths.outbox(), "x")
	for _, statement := range []string{
		"SELECT * FROM " + other + ".secrets",
		"USE " + other,
		"SHOW TABLES FROM " + other,
		"DROP DATABASE " + other,
		"CREATE DATABASE pantheon_new",
		"CREATE DATABASE `pantheonX" + other[9:] + "`", // what an unescaped _ would allow
		"SELECT * FROM mysql.user",
		"SELECT * FROM mysql.global_priv",
		"SHOW GRANTS FOR '" + other + "'@'localhost'",
		"SELECT 1 INTO OUTFILE '" + outside + "'",
		"SELECT 1 INTO DUMPFILE '/tmp/pantheon-dump'",
		"LOAD DATA INFILE '/etc/passwd' INTO TABLE secrets",
		"LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE secrets",
		"CREATE USER intruder@localhost",
		"GRANT ALL ON " + Name(blog) + ".* TO '" + other + "'@'localhost'",
		"SET GLOBAL max_connections = 1",
		"SET GLOBAL general_log = ON",
		"INSTALL SONAME 'ha_archive'",
		"SHOW ENGINE INNODB STATUS",
		"FLUSH TABLES WITH READ LOCK",
		"SHUTDOWN",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		var answer *mysql.MySQLError
		if !errors.As(err, &answer) {
			t.Errorf("%s: %v, want the server's refusal", statement, err)
		}
	}
	// KILL USER of somebody else succeeds in words and ends nobody.
	victim, err := tenant(t, server, shop, "pw-"+string(shop)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	_, _ = db.ExecContext(t.Context(), "KILL HARD USER '"+other+"'@'localhost'")
	if err := victim.PingContext(t.Context()); err != nil {
		t.Errorf("one tenant ended another's connection: %v", err)
	}
	if text := column(t, db, "SELECT COALESCE(LOAD_FILE('/etc/passwd'), 'nothing')"); text[0] != "nothing" {
		t.Error("LOAD_FILE reads files")
	}
}

// TestBusyTenantsLeaveRoom: 13 tenants at their own bound of 40 once held all
// of the server's 500 connections, and nobody else's site had a database.
func TestBusyTenantsLeaveRoom(t *testing.T) {
	server := ensured(t)
	bound := column(t, server.running(), "SELECT @@max_connections")[0]
	if bound != strconv.Itoa(maxConnections) {
		t.Errorf("max_connections is %s, want %d: is the hard limit of open files less than 10000?", bound, maxConnections)
	}
	for i := range 14 {
		binding := events.BindingID(fmt.Sprintf("%016x0000000000000001", i+1))
		if err := server.Provision(t.Context(), binding, "pw"); err != nil {
			t.Fatal(err)
		}
		db := tenant(t, server, binding, "pw")
		for n := range maxUserConnections {
			if _, err := db.Conn(t.Context()); err != nil { // closed with db
				t.Fatalf("tenant %d, connection %d: %v", i, n, err)
			}
		}
		if _, err := db.Conn(t.Context()); err == nil {
			t.Errorf("tenant %d has more than %d connections", i, maxUserConnections)
		}
	}
	if err := server.Provision(t.Context(), shop, "pw"); err != nil {
		t.Fatal(err)
	}
	if got := column(t, tenant(t, server, shop, "pw"), "SELECT @@max_statement_time"); got[0] != "300" {
		t.Errorf("a tenant's statements may take %s s, want 300", got[0])
	}
}

func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	_, db := twoTenants(t)
	other := Name(shop)
	for _, query := range []string{
		"SHOW DATABASES",
		"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
		"SELECT TABLE_SCHEMA FROM information_schema.TABLES",
		"SELECT TABLE_SCHEMA FROM information_schema.COLUMNS",
		"SELECT GRANTEE FROM information_schema.USER_PRIVILEGES",
		"SELECT USER FROM information_schema.PROCESSLIST",
	} {
		for _, value := range column(t, db, query) {
			if strings.Contains(value, other) || value == "mysql" {
				t.Errorf("%s shows %s", query, value)
			}
		}
	}
	if got := column(t, db, "SHOW DATABASES"); len(got) != 2 {
		t.Errorf("SHOW DATABASES: %q, want its own and information_schema", got)
	}
}

func TestNobodyElseGetsIn(t *testing.T) {
	server := ensured(t)
	if err := server.Provision(t.Context(), blog, "right"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ user, password string }{
		{"", ""}, {"root", "x"}, {"mysql", ""}, {"mariadb.sys", ""}, {Name(blog), ""}, {Name(blog), "wrong"}, {Name(shop), "right"},
	} {
		if row.user == "root" && os.Geteuid() == 0 {
			continue // the kernel says that we are root: no password is asked
		}
		config := mysql.NewConfig()
		config.Net, config.Addr, config.User, config.Passwd = "unix", server.Socket(), row.user, row.password
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		if err := db.PingContext(t.Context()); err == nil {
			t.Errorf("user %q gets in with password %q", row.user, row.password)
		}
		db.Close()
	}
	if os.Geteuid() != 0 {
		return
	}
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("the command-line client is missing: apt-get install -y mariadb-client")
	}
	// A tenant's process of another uid is not the administrator, nor is the
	// server's own user.
	if err := os.Chmod(filepath.Dir(server.paths.base), 0o711); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []uint32{1 << 20, server.uid(t)} {
		for _, name := range []string{"root", "mysql"} {
			client := exec.Command("mariadb", "--no-defaults", "-S", server.Socket(), "-u", name, "-e", "SELECT 1")
			client.SysProcAttr = credential(uid)
			client.Dir = "/"
			if out, err := client.CombinedOutput(); err == nil || !strings.Contains(string(out), "denied") {
				t.Errorf("uid %d as %s: %v: %s", uid, name, err, out)
			}
		}
	}
}

func TestConnectionsOfATenantAreBounded(t *testing.T) {
	server := ensured(t)
	if err := server.Provision(t.Context(), blog, "pw"); err != nil {
		t.Fatal(err)
	}
	db := tenant(t, server, blog, "pw")
	for i := range maxUserConnections + 1 {
		connection, err := db.Conn(t.Context())
		if err == nil {
			t.Cleanup(func() { connection.Close() })
		}
		if refused := err != nil; refused != (i == maxUserConnections) {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if empty, err := server.State(t.Context(), blog); err != nil || !empty {
		t.Errorf("the administrator beside a greedy tenant: %v, %v", empty, err)
	}
}

func TestCrashedServerComesBackWithItsNextUse(t *testing.T) {
	server := ensured(t)
	if err := server.Provision(t.Context(), blog, "pw"); err != nil {
		t.Fatal(err)
	}
	must(t, tenant(t, server, blog, "pw"), "CREATE TABLE t (x INT)", "INSERT INTO t VALUES (42)")
	before := server.Process()
	if err := before.Kill(); err != nil {
		t.Fatal(err)
	}
	if empty, err := server.State(t.Context(), blog); err != nil || empty {
		t.Fatalf("State after kill -9: %v, %v", empty, err)
	}
	if server.Process().Identity() == before.Identity() {
		t.Fatal("it is the same process")
	}
	if got := column(t, tenant(t, server, blog, "pw"), "SELECT x FROM t"); len(got) != 1 || got[0] != "42" {
		t.Fatalf("what was committed before kill -9: %q", got)
	}
}

func TestRunBringsACrashedServerBack(t *testing.T) {
	server := ensured(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	before := server.Process()
	if err := before.Kill(); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for deadline := time.After(startTimeout); server.running() == nil || server.Process() == before; {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("it does not come back")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if server.running() == nil {
		t.Fatal("the end of Run ended the server")
	}
}

func TestServerOutlivesItsKeeper(t *testing.T) {
	dir := folder(t)
	server := newServer(t, dir) // stops what the keeper leaves
	keeper := exec.Command(os.Args[0])
	keeper.Env = append(os.Environ(), keeperFolder+"="+dir)
	out, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "<nil>\n" {
		t.Fatalf("keeper: %q, %v", line, err)
	}
	_ = keeper.Process.Kill()
	_ = keeper.Wait()
	id, err := service.LoadIdentity(server.paths.identity())
	if err != nil || !id.Alive() {
		t.Fatalf("the server after its keeper's kill -9: %v, %v", id, err)
	}
	if err := server.Provision(t.Context(), blog, "pw"); err != nil {
		t.Fatal(err)
	}
	if server.Process().Identity() != id {
		t.Fatal("another server was started")
	}

	// The same without the record, as if the keeper was killed before it wrote.
	if err := os.Remove(server.paths.identity()); err != nil {
		t.Fatal(err)
	}
	third := New(Options{Dir: dir})
	if err := third.Ensure(t.Context()); err != nil || third.Process().Identity() != id {
		t.Fatalf("adoption without a record: %v", err)
	}
}

func TestKeeperKilledWhileItMakesTheData(t *testing.T) {
	dir := folder(t)
	server := newServer(t, dir)
	keeper := exec.Command(os.Args[0])
	keeper.Env = append(os.Environ(), keeperFolder+"="+dir)
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for deadline := time.After(startTimeout); ; {
		if found, _ := filepath.Glob(filepath.Join(dir, "data.new-*", "*")); len(found) > 0 {
			break
		}
		select {
		case <-ticker.C:
			continue
		case <-deadline:
			t.Fatal("the keeper makes no data")
		}
	}
	_ = keeper.Process.Kill()
	_ = keeper.Wait()
	if err := server.Provision(t.Context(), blog, "pw"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data.new-*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// Data under a home folder of mode 0700 is served all the same, by the
// server's own user; and so is a folder whose path has a space, which made
// mariadb-install-db fail without a word.
func TestFolderBehindAClosedDoor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user for the server needs root; run as root")
	}
	for name, mode := range map[string]os.FileMode{"closed": 0o700, "open": 0o711, "open with space": 0o711} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			if strings.Contains(name, "space") {
				dir = filepath.Join(filepath.Dir(dir), "maria db")
			}
			if err := os.Chmod(filepath.Dir(dir), mode); err != nil {
				t.Fatal(err)
			}
			server := newServer(t, dir)
			if err := server.Provision(t.Context(), blog, "pw"); err != nil {
				t.Fatal(err)
			}
			if uid := server.uid(t); uid == 0 {
				t.Error("the server runs as root")
			}
			must(t, tenant(t, server, blog, "pw"), "CREATE TABLE t (x INT)")
		})
	}
}

func TestStartFailureSaysWhy(t *testing.T) {
	dir := folder(t)
	server := newServer(t, dir)
	if err := server.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.paths.data(), "ibdata1"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := server.Ensure(t.Context())
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "ERROR") || !strings.Contains(problem.HintOf(err), "mariadb.log") {
		t.Fatalf("start on broken data: %v (%s)", err, problem.HintOf(err))
	}
}

func TestRefusals(t *testing.T) {
	needMariaDB(t)
	long := New(Options{Dir: "/tmp/" + strings.Repeat("x", maxSocketPathBytes)})
	if err := long.Ensure(t.Context()); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a socket path that is too long: %v, want Invalid", err)
	}
	relative := New(Options{Dir: "data/mariadb"})
	if err := relative.Ensure(t.Context()); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a relative folder: %v, want Invalid", err)
	}
	server := New(Options{Dir: filepath.Join(t.TempDir(), "m")})
	for _, binding := range []events.BindingID{"", "x'; DROP DATABASE mysql; --", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if err := server.Provision(t.Context(), binding, "pw"); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Provision(%q): %v, want Invalid", binding, err)
		}
		if err := server.Drop(t.Context(), binding); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Drop(%q): %v, want Invalid", binding, err)
		}
	}
	if err := server.Provision(t.Context(), blog, ""); problem.KindOf(err) != problem.Invalid {
		t.Errorf("Provision without a password: %v, want Invalid", err)
	}
}

func TestMissingPackageIsNamed(t *testing.T) {
	server := New(Options{Dir: filepath.Join(t.TempDir(), "m")})
	server.requirements = func() []require.Requirement {
		return []require.Requirement{require.Program("no-such-mariadbd", "mariadb-server", "")}
	}
	err := server.Ensure(t.Context())
	if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) != "apt-get install -y mariadb-server" {
		t.Fatalf("%v (%s)", err, problem.HintOf(err))
	}
}

func TestServerHasNoNetwork(t *testing.T) {
	server := ensured(t)
	pid := server.Process().Identity().PID
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Skipf("cannot look at the server's descriptors: %v; run as root", err)
	}
	for _, fd := range fds {
		n := 0
		if _, err := fmt.Sscan(fd.Name(), &n); err != nil {
			t.Fatal(err)
		}
		if domain, ok := socketDomain(pid, n); ok && domain != unix.AF_UNIX {
			t.Errorf("descriptor %d is a socket of domain %d", n, domain)
		}
	}
}

func BenchmarkProvisionAndDrop(b *testing.B) {
	server := ensured(b)
	for b.Loop() {
		if err := server.Provision(b.Context(), blog, "pw"); err != nil {
			b.Fatal(err)
		}
		if err := server.Drop(b.Context(), blog); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProvisionAgain(b *testing.B) {
	server := ensured(b)
	for b.Loop() {
		if err := server.Provision(b.Context(), blog, "pw"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartAndStop(b *testing.B) {
	server := ensured(b)
	for b.Loop() {
		if err := server.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := server.Ensure(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
