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
)
