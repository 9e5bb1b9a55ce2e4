package dnssec

import "time"

const (
	// defaultSignatures bounds the cache: the addresses and NSEC records of
	// 65,000 hot names, at about 450 bytes each.
	defaultSignatures = 1 << 17
	// waysOfSet is the number of places that one owner and type may be cached
	// in; the longest unused gives way.
	waysOfSet = 4
	// maxKeysets bounds the zones whose private keys are in memory, at about
	// 2 KiB each.
	maxKeysets = 1 << 14

	// keySetTTL is the TTL of the DNSKEY, CDS and CDNSKEY sets. An hour keeps a
	// roll-over short; resolvers ask once for all names of a zone.
	keySetTTL = time.Hour

	// windowLength is for how long a signature is given before it is made anew.
	windowLength = 7 * 24 * time.Hour
	// validity is from a window's beginning to the expiration of its
	// signatures: at the window's end 14 days are left, so that a secondary
	// that cannot reach us stays valid until its SOA expires (14 days).
	validity = 21 * 24 * time.Hour
	// expirationJitter spreads the expirations of a window, so that validators
	// do not come for all of them at once.
	expirationJitter = 24 * time.Hour
	// inceptionOffset lets validators' clocks be behind (RFC 6781 §4.4.2).
	inceptionOffset = time.Hour
	// presignBefore a window ends, the signatures of hot names are made for the
	// next one. Less than inceptionOffset: they are valid at once.
	presignBefore = 30 * time.Minute
	// hotFor is how long a signature counts as hot after it was asked for.
	hotFor = 10 * time.Minute
	// sweepPause is between two looks for hot names whose records changed: each
	// goes through the whole cache, which takes some milliseconds when it is full.
	sweepPause = time.Second
	// sweepEvery is the pause where no zone changes; windows and keys pass by
	// the clock.
	sweepEvery = time.Minute
	// keyRetry is the pause before a private key that could not be read is
	// looked for again.
	keyRetry = time.Minute

	// propagation is what a new key set may need to reach all our secondaries.
	propagation = time.Hour
	// removeAfter is how long a key that signs no longer stays published: what
	// it signed is in caches for its TTL at most, and resolvers keep nothing
	// longer than a week (RFC 8767 §4).
	removeAfter = 7 * 24 * time.Hour
	// parentPause is between two looks at the parent's DS records while a key
	// waits for its own to appear there.
	parentPause = 10 * time.Minute
	// keeperPause bounds the time between two looks at all zones.
	keeperPause = time.Minute
	// minDSTTL is what a parent's DS set is taken to live in caches at least: a
	// resolver shows what is left of the TTL, and a day is what most parents give.
	minDSTTL = 24 * time.Hour
	// maxDSTTL bounds what a parent's TTL can make us wait: what is longer is
	// capped by resolvers as well (RFC 8767 §4).
	maxDSTTL = 7 * 24 * time.Hour
)
