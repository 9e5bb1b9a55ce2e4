package remote

import "time"

// Bounds and times.
const (
	// cacheTime is how long attributes and names are believed: PHP asks for the
	// same ones many times a page, and NFS believes them for three times as long.
	cacheTime = time.Second
	// settleTime is longer than the steps of a file system's clock, a tick of the
	// kernel.
	settleTime = 100 * time.Millisecond
	// youngTime is how long a node stands for whatever its name has: as long as the
	// kernel may use it without looking the name up again.
	youngTime = cacheTime
	// connectWait is how long an operation waits for a connection: an agent that
	// starts anew, or a mesh that connects again, takes a second or two, and after
	// three a lost host's DROPs are served elsewhere. connectTimeout is how long
	// the making of one may take.
	connectWait    = 3 * time.Second
	connectTimeout = 5 * time.Second
	// retryFirst doubles up to retrySoon while operations wait for a connection,
	// and then up to retryLast, when operations in between fail at once.
	retryFirst = 50 * time.Millisecond
	retrySoon  = 200 * time.Millisecond
	retryLast  = 2 * time.Second
	// silentTimeout of a connection that is asked something: long enough for the
	// fsync of a disk that is busy. A lost machine is found by the mesh, sooner.
	silentTimeout = 15 * time.Second
	// idleTimeout of a connection that nobody uses: it costs the other side a
	// dozen goroutines, and the next operation makes another.
	idleTimeout = time.Minute
	// maxMounts of a machine: each has two or three threads here that wait for the
	// kernel, and some 150 KB at either end.
	maxMounts = 1024
	// maxRestoring mounts are made anew at once.
	maxRestoring = 8
	// maxInFlight operations of a mount; more wait for their turn.
	maxInFlight = 64
	// maxHandles are open files and folders of a connection: a DROP's workers
	// have a few each. Beyond, opening fails with ENFILE.
	maxHandles = 1024
	// maxFolderEntries of a folder that is listed: the original calls a folder of
	// so many broken.
	maxFolderEntries = 100_000
	// maxListedEntries are kept by all open folders of a mount together, some
	// 250 bytes each, and maxListings are being read at once.
	maxListedEntries = 2 * maxFolderEntries
	maxListings      = 2
	// MaxWriteBytes of one read or write: what the kernel sends at once. A packet
	// of the library holds twice as much.
	MaxWriteBytes = 128 << 10
	// maxNameBytes of a path: PATH_MAX.
	maxNameBytes = 4096
	// readBufferBytes of a connection.
	readBufferBytes = 64 << 10
	// maxCreateRaces is how often a file that others make and remove meanwhile is
	// tried to be opened or made.
	maxCreateRaces = 8
)
