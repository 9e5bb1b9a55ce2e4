package zone

// Bounds of a zone.
const (
	// MaxRecords of an operator in one zone: twice what the view is designed
	// for.
	MaxRecords = 2_000_000
	// MaxSetRecords of one name and type: what an answer over TCP holds many
	// times (64 KiB), and a list that is copied for each change.
	MaxSetRecords = 200
	// MaxCommandRecords and MaxCommandBytes bound one command, so that its
	// commit keeps under events.MaxCommitBytes, quotes and backslashes doubled
	// and each record removed and added.
	MaxCommandRecords = 500
	MaxCommandBytes   = 48 << 10
	// MaxDataBytes bounds the text of one record's data: a TXT record with a
	// 4096-bit key takes 800.
	MaxDataBytes = 8 << 10
	// MaxTTL is the greatest that counts as one (RFC 2181 §8).
	MaxTTL = 1<<31 - 1
	// DefaultTTL of an operator's record in seconds.
	DefaultTTL = 3600
	// MaxChallenges that are published at once: one a name of a large
	// certificate (100), several certificates at once.
	MaxChallenges = 1000
	// MaxChallengeBytes: a proof is 43 characters (RFC 8555 §8.4); a TXT string
	// has 255.
	MaxChallengeBytes = 255
	// MaxSecondaries is more than any delegation has name servers.
	MaxSecondaries = 64
	// MaxKeys that are not removed: a DNSKEY set of that many is already 2 KiB.
	MaxKeys = 16
	// MaxPublicKeyBytes in base64: RSA with 4096 bits, which no signer here has.
	MaxPublicKeyBytes = 1 << 10
	// MaxListed bounds each list of the settings.
	MaxListed = 64
)
