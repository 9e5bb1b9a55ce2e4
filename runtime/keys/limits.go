package keys

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
)
