package agent

import "time"

// Bounds of the agent.
const (
	// maxFactsQueued wait for the log; at 1,000 wakes a second these are four
	// seconds of an election.
	maxFactsQueued = 4096
	// maxReconciling objects at once: a machine's disks and cores gain nothing
	// from more git and MariaDB work side by side.
	maxReconciling = 8
	// maxStopping DROPs end at once: stopping is waiting for pages, and each may
	// take its whole grace.
	maxStopping = 256
	// retryFirst doubles up to retryLast while something goes on failing.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
	// retryEarly is the first delay for a fact that came too early; a policy's
	// reaction takes a millisecond or two.
	retryEarly = 5 * time.Millisecond
	// flushTimeout bounds the last report of a fact at the end.
	flushTimeout = 2 * time.Second
	// headRetry is how soon the head of the host's stream is asked for again: the
	// host serves less than it could meanwhile.
	headRetry = 100 * time.Millisecond
	// maxTunnelConnections to one database of another host, as many as a large
	// DROP has workers, several times over.
	maxTunnelConnections = 256
	// tunnelDialTimeout is less than PHP's own, which then gives an error page.
	tunnelDialTimeout = 5 * time.Second
	// tunnelRedial is between two attempts within it.
	tunnelRedial = 50 * time.Millisecond
	// provisionTimeout bounds the import of code, by far the longest deed.
	provisionTimeout = 15 * time.Minute
	// emptyFor is how long an empty database is believed to be empty: shorter
	// than an installer needs from its first table to its last answer. Asking for
	// each request costs four fifths of the throughput of a site without tables.
	emptyFor = 250 * time.Millisecond
	// prepareTimeout bounds the preparation of a DROP: check-out and warming.
	prepareTimeout = 5 * time.Minute
	// dialRetries of a request whose php-fpm refuses connections, the first
	// after dialRetryFirst, each after twice as long as the one before: 0.6 s in
	// all for a crash to be noticed, which takes milliseconds.
	dialRetries    = 7
	dialRetryFirst = 5 * time.Millisecond
	// crashPause is what the kernel may take, under load, to end the workers
	// after their master.
	crashPause = 20 * time.Millisecond
	// publishRetry is how soon a host that is busy is asked again to publish a
	// release, for publishPatience at most: that takes a part of a second each.
	publishRetry    = 100 * time.Millisecond
	publishPatience = 10 * time.Second
	// certificatePause is between two looks at which certificates are due, and so
	// how soon one that could not be had is asked for again.
	certificatePause = time.Minute
	// certificateTimeout bounds the signature by another machine.
	certificateTimeout = 2 * time.Second
)
