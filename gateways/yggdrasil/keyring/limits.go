package keyring

const (
	// maxTSIGKeys bounds the TSIG keys, all of which are in memory: one for
	// each secondary of a hundred zones with ten each.
	maxTSIGKeys = 1000
	// maxKeyFileBytes bounds a key file; ours have less than 300 bytes.
	maxKeyFileBytes = 16 << 10
	// maxTagAttempts bounds the search for a key whose tag the zone does not
	// have yet: with 4 of 65,536 taken one attempt is almost always enough.
	maxTagAttempts = 100
	// secretBytes is the length of a new TSIG secret: that of the output of
	// HMAC-SHA256, as RFC 8945 §8 recommends at least. The longer hashes get as
	// much as they give.
	secretBytes = 32
)
