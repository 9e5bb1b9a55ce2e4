package api

import "time"

// Bounds of the gateway. None is configurable: each is far above what its
// clients need and far below what the machine minds.
const (
	// maxNamedHolders bounds the ids that a message lists.
	maxNamedHolders = 5
	// maxNamedHosts bounds the hosts whose reasons stand in the record of a DROP
	// that none takes; placement explain lists all.
	maxNamedHosts = 5
	// maxExplainedDrops bounds the DROPs of one answer whose placement the policies
	// are asked about: each ranks every host, and the policies wait meanwhile.
	maxExplainedDrops = 32
	// explainTimeout is what one question may take: the policies answer between two
	// plans.
	explainTimeout = time.Second
	// maxBodyBytes bounds a request's body. The largest real one, a TLS
	// certificate with its chain and key, is under 64 KiB.
	maxBodyBytes = 1 << 20
	// maxHeaderBytes bounds a request's header; Terminus sends up to 4 KiB of
	// command line and as much of environment.
	maxHeaderBytes = 32 << 10
	// maxConnections bounds the connections of one listener.
	maxConnections = 1024
	// maxFollowers bounds the event streams open at once: each costs a reader
	// of the log.
	maxFollowers = 64
	// followerBufferCommits bounds what waits for one follower between the log
	// and its socket.
	followerBufferCommits = 64
	// followerWriteTimeout is how long a follower may take to accept one
	// commit before it is dropped; it can resume with Last-Event-ID.
	followerWriteTimeout = 10 * time.Second
	// maxExports bounds the exports of the log at once: each packs on all cores.
	maxExports = 2
	// exportWriteTimeout is how long a client may take to accept one frame of an
	// export, up to 1 MiB; it can go on from there later.
	exportWriteTimeout = time.Minute
	// followerHeartbeat keeps proxies and clients from taking silence for a
	// dead connection; most give up after 30 s or more.
	followerHeartbeat = 15 * time.Second

	// headerTimeout, bodyTimeout and idleTimeout are for slow clients.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	// answerTimeout bounds a whole answer other than an event stream. It is
	// more than viewTimeout and a full scan of maxScannedCommits.
	answerTimeout = time.Minute
	// viewTimeout bounds the wait for the inventory to reach a write. The write
	// is durable by then: a view that is late delays the answer, no more.
	viewTimeout = 5 * time.Second
	// shutdownTimeout is what requests under way get when the server stops.
	shutdownTimeout = 5 * time.Second

	// defaultPageItems and maxPageItems bound a list. 100 is what Terminus asks
	// for and takes for a full page.
	defaultPageItems = 100
	maxPageItems     = 1000
	// maxScannedCommits bounds the commits one request for events looks at; at
	// the measured 250,000 commits a second this is under a second. The answer
	// says where to go on.
	maxScannedCommits = 200_000
	// maxCauses bounds a chain of causes. The longest known, a step of a
	// workflow back to its start, has about twenty.
	maxCauses = 500
	// maxDiffObjects bounds one comparison: more than anybody reads, a few MB.
	maxDiffObjects = 10_000

	// challengeLifetime of a proof whose client does not say: an authority has
	// asked for it within minutes (RFC 8555 §7.5.1).
	challengeLifetime = time.Hour

	// defaultHostTokenLifetime of a token by which a machine joins: it is made
	// when the machine is there. maxHostTokenLifetime bounds for how long one that
	// was left lying somewhere lets anybody in.
	defaultHostTokenLifetime = time.Hour
	maxHostTokenLifetime     = 7 * 24 * time.Hour

	// maxIdempotencyKeyBytes leaves room for the account's id before the key in
	// a command id of 128 bytes.
	maxIdempotencyKeyBytes = 64
	// sessionLifetime is that of the original's sessions.
	sessionLifetime = 28 * 24 * time.Hour

	// failuresPerMinute is how many failed logins one address may make; a
	// person with a wrong token needs a handful, guessing 256 bits needs more.
	failuresPerMinute = 10
	// maxFailingAddresses bounds the memory of failed logins; when it is full
	// the one that failed longest ago is forgotten.
	maxFailingAddresses = 4096
	// maxPendingSites bounds the sites that Terminus has named and not yet
	// given an upstream; pendingLifetime is how long it has for that.
	maxPendingSites = 256
	pendingLifetime = 10 * time.Minute
)
