package keys

import "time"

const (
	// keyBytes is the length of a site's key: the block of HMAC-SHA256's output,
	// more would add nothing.
	keyBytes = 32
	// DerivedBytes is the length of every derived secret: 32 bytes in base64
	// without padding.
	DerivedBytes = 43
	// maxCreateAttempts bounds making a key against other processes that do the
	// same; the second look always finds the winner's key or a tombstone.
	maxCreateAttempts = 4
	// borrowedFor is how long a borrowed key may outlive the one it was borrowed
	// from, on a host that did not hear of a site's forgetting.
	borrowedFor = 10 * time.Minute
	// maxBorrowed keys are in memory: more than a host has sites awake.
	maxBorrowed = 10_000
	// fetchTimeout bounds the asking for a key: a request waits for it.
	fetchTimeout = 5 * time.Second
	// askTimeout bounds a question to the cell's vault: the election of its leader
	// takes one to two seconds, and who waits for a key holds up others.
	askTimeout = 3 * time.Second
	// awayFor is how long a vault that did not answer is not asked again.
	awayFor = 3 * time.Second
	// renewEvery is how often the ring begins to watch the vault anew, from where
	// it was: a watch that has died in silence is noticed by then.
	renewEvery = time.Minute
	// pauseAfterError lies between two attempts to watch the vault.
	pauseAfterError = time.Second
	// batchKeys of the vault are written at once by a machine that has them not yet,
	// by installers side by side, which made 0.7 ms a key of 2.1 on a disk
	// (BenchmarkReconcile).
	batchKeys  = 512
	installers = 32
)
