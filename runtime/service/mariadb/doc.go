// Package mariadb runs the MariaDB server of a host and gives each database
// binding a database and a user in it.
//
// # Where things enter
//
// New only remembers its options. Ensure makes the server run: it adopts one
// that runs already, or starts one, and initialises the data folder at first
// use. Provision, Drop and State call Ensure themselves, so a server that has
// crashed comes back with its next use; Run, where it is started, brings it
// back at once.
//
// # Where state is
//
// All of it is under one folder, <data>/services/mariadb:
//
//	data/           the server's data folder (mode 0700, the server's user)
//	run/            mysqld.sock; the folder, not the socket, is what a sandbox
//	                mounts at /run/mysqld: a restarted server makes a new socket
//	tmp/, outbox/   temporary tables; the empty place secure-file-priv points to
//	log/mariadb.log
//	my.cnf, init.sql
//	lock            held (flock) by whoever starts the server and then by the
//	                server itself, which inherits the descriptor: a lock that
//	                can be taken proves that no server runs on this data
//	process.json    pid and start time
//
// # What is guaranteed
//
// The server has no network listener; its one door is the socket. Its
// administrator is the platform's own user, recognised by the kernel
// (unix_socket), so there is no administrator's password at all. A tenant's
// user has all rights on its own schema and none elsewhere: no FILE, PROCESS,
// SUPER, GRANT OPTION. Passwords reach the server as hashes only. The first
// start initialises a folder beside data and renames it, so a kill in the
// middle leaves nothing half-made. Concurrent callers, also in several
// processes, start one server. A tenant at its own bound of connections takes
// none from the others: only fifty of them together reach the server's.
//
// # What is not
//
// Names of GET_LOCK are shared by all users of a MariaDB server, and so is its
// buffer pool: a tenant can annoy others there, not read them.
package mariadb
