package mariadb

import (
	"fmt"
	"path/filepath"
	"strings"
)

// layout is every path of one server. base is the folder as the server sees
// it, which differs from ours where the server runs in a view.
type layout struct{ base string }

func (l layout) data() string     { return filepath.Join(l.base, "data") }
func (l layout) run() string      { return filepath.Join(l.base, "run") }
func (l layout) socket() string   { return filepath.Join(l.base, "run", "mysqld.sock") }
func (l layout) tmp() string      { return filepath.Join(l.base, "tmp") }
func (l layout) outbox() string   { return filepath.Join(l.base, "outbox") }
func (l layout) logFile() string  { return filepath.Join(l.base, "log", "mariadb.log") }
func (l layout) config() string   { return filepath.Join(l.base, "my.cnf") }
func (l layout) initSQL() string  { return filepath.Join(l.base, "init.sql") }
func (l layout) lock() string     { return filepath.Join(l.base, "lock") }
func (l layout) identity() string { return filepath.Join(l.base, "process.json") }

// configuration is the whole of my.cnf. Time-outs and lengths are those of the
// original platform; sizes are for many small sites on one laptop.
func configuration(l layout) string {
	settings := []string{
		"datadir = " + l.data(),
		"socket = " + l.socket(),
		"tmpdir = " + l.tmp(),
		"init-file = " + l.initSQL(),
		"skip-networking",
		"skip-name-resolve",
		"skip-log-bin",
		"skip-symbolic-links",
		"local-infile = OFF",
		"secure-file-priv = " + l.outbox(),
		"event-scheduler = OFF",
		"performance-schema = OFF",
		"log-warnings = 1",
		"default-time-zone = +00:00",
		"character-set-server = utf8mb4",
		"collation-server = utf8mb4_unicode_ci",
		"lc-messages-dir = /usr/share/mysql",
		fmt.Sprintf("max-connections = %d", maxConnections),
		"max-allowed-packet = 64M",
		"wait-timeout = 420",
		"interactive-timeout = 420",
		"net-read-timeout = 90",
		"net-write-timeout = 90",
		"thread-cache-size = 16",
		"table-open-cache = 2000",
		"key-buffer-size = 1M",
		"aria-pagecache-buffer-size = 16M",
		"query-cache-type = OFF",
		"query-cache-size = 0",
		"innodb-buffer-pool-size = 128M",
		"innodb-log-file-size = 48M",
		"innodb-flush-log-at-trx-commit = 1",
		"innodb-file-per-table = ON",
		"innodb-buffer-pool-dump-at-shutdown = OFF",
		"innodb-buffer-pool-load-at-startup = OFF",
		"innodb-temp-data-file-path = ibtmp1:12M:autoextend:max:2G",
	}
	return "# Written by pantheon at each start; changes are lost.\n[mariadbd]\n" + strings.Join(settings, "\n") + "\n"
}

// initStatements run at each start before the server listens. The accounts are
// those that mariadb-install-db makes beside the administrator's; everybody
// else's right to use "test" goes with them.
const initStatements = `DROP USER IF EXISTS ''@'localhost';
DROP USER IF EXISTS ''@'%';
DELETE FROM mysql.db WHERE User = '';
FLUSH PRIVILEGES;
`
