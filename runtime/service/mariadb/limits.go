package mariadb

import "time"

const (
	// initialiseTimeout bounds making the data folder; measured about 1 s on an
	// idle laptop disk.
	initialiseTimeout = 60 * time.Second
	// startTimeout bounds a start up to the first answer. A clean start takes
	// about 0.3 s; recovery after a crash with 128 MiB of buffers takes longer.
	startTimeout = 30 * time.Second
	// pollInterval is how often a starting server is asked whether it answers.
	pollInterval = 5 * time.Millisecond
	// pingTimeout bounds one such question.
	pingTimeout = 2 * time.Second
	// stopGrace is how long a server may take to write its buffers before it is
	// killed; killing loses nothing, it makes the next start slower.
	stopGrace = 30 * time.Second
	// statementTimeout bounds each of our own statements. Dropping a schema of
	// a thousand tables is the slowest.
	statementTimeout = 60 * time.Second
	// maxAdminConnections bounds our own pool.
	maxAdminConnections = 8
	// adminIdleTime closes our idle connections, well under wait_timeout.
	adminIdleTime = 60 * time.Second
	// maxUserConnections bounds each tenant: 16 workers of each of the largest
	// environment's DROPs on a laptop, and a few command-line clients.
	maxUserConnections = 40
	// maxConnections bounds the server: fifty tenants at their own bound at once.
	// Memory is taken by connections that are used, about 256 KiB each when idle,
	// not by the bound. It needs descriptors: the server lowers it where the hard
	// limit of open files (10,000 are needed) is less, which start looks at.
	maxConnections = 2000
	// tenantStatementTime ends a tenant's statement. It is more than a web
	// request has (120 s), so only what nobody waits for any more ends. Command
	// lines that need longer set max_statement_time themselves, as mariadb-dump
	// does: it is against oversight, not against intent.
	tenantStatementTime = 300 * time.Second
	// maxSocketPathBytes is sun_path of unix(7) without its final zero.
	maxSocketPathBytes = 107
	// restartBackoffMin and restartBackoffMax bound Run's pause between starts
	// that fail.
	restartBackoffMin = 200 * time.Millisecond
	restartBackoffMax = 30 * time.Second
	// logTailBytes is how much of the server's log a start failure looks at for
	// its reason.
	logTailBytes = 16 << 10
)
