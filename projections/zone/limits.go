package zone

const (
	// maxNameBytes of a name in wire form, maxLabelBytes of one label, and the
	// labels that fit (RFC 1035 §2.3.4).
	maxNameBytes  = 255
	maxLabelBytes = 63
	maxLabels     = 127
	// maxKeyBytes bounds a key: every byte of a label may take two.
	maxKeyBytes = 2 * maxNameBytes
	// maxJournalSteps and maxJournalRecords bound the journal of one zone:
	// about 2 MiB. A secondary that asks every refresh interval (15 minutes)
	// is served step by step as long as a zone changes less than once a second.
	maxJournalSteps   = 1_000
	maxJournalRecords = 20_000
	// minJournalRecords are kept even of a small zone; above that a journal
	// longer than the zone is of no use, since the whole zone is then the
	// shorter answer.
	minJournalRecords = 256
	// batchRecords of a saved view are taken apart together: 1 MiB.
	batchRecords = 4096
	// minSortedNodes are sorted in one piece: some milliseconds.
	minSortedNodes = 10_000
)

// What a zone says where neither its settings nor those of the platform's zone
// do, in seconds.
const (
	// defaultTTL of names that come and go with sites.
	defaultTTL = 300
	// defaultInternalTTL of names that follow a placement: a moved database is
	// found half a minute later at most.
	defaultInternalTTL = 30
	// delegationTTL of NS and SOA records, which change with a person's doing.
	delegationTTL = 3600
	// defaultNegativeTTL: a new site's name that somebody asked for too early
	// is found a minute later (RFC 2308 §5 advises one to three hours for zones
	// that hardly change).
	defaultNegativeTTL         = 60
	defaultInternalNegativeTTL = 10
	// Timers of secondaries after RFC 1912 §2.2, the refresh short because a
	// NOTIFY may be lost.
	defaultRefresh = 900
	defaultRetry   = 300
	defaultExpire  = 14 * 24 * 3600
	// challengeTTL: a proof is asked for once.
	challengeTTL = 10
)
