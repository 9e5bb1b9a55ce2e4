package yggdrasil

import "time"

// Bounds and time-outs. Those with a field in Options are its defaults.
const (
	// MaxUDPBytes is the largest answer over UDP, and the buffer that we
	// announce: it fits every path's MTU (DNS Flag Day 2020).
	MaxUDPBytes = 1232
	// MaxQueryBytes bounds a query over TCP. One with every option and a TSIG
	// stays below 1,000 octets.
	MaxQueryBytes = 4096
	// MaxChain bounds the CNAME and DNAME records followed for one query; BIND's
	// bound is 16 as well, Knot's 20.
	MaxChain = 16
	// MaxTransferMessageBytes of a zone transfer: up to there every name can be
	// compressed (RFC 1035 §4.1.4: pointers have 14 bits).
	MaxTransferMessageBytes = 16 << 10

	// maxCondensedNames of a transfer that leads from one serial to another in one
	// step: where the zone is signed each takes up to six signatures of 30 µs.
	maxCondensedNames = 20_000
	// maxRemakings of zones of then at once, each as large as all zones in memory
	// at worst, and for how long.
	maxRemakings  = 1
	remakeTimeout = 5 * time.Second

	// DefaultMaxConnections bounds TCP connections. Over it the one that has been
	// idle longest is closed (RFC 7766 §6.2.2 lets a server close idle ones); one
	// that is busy is not.
	DefaultMaxConnections = 1000
	// DefaultMaxConnectionsPerSource bounds those of one IPv4 address or IPv6 /56.
	DefaultMaxConnectionsPerSource = 64
	// DefaultMaxTransfers bounds the zone transfers at once; BIND's default is
	// 10 too. Over it, REFUSED: a secondary tries again.
	DefaultMaxTransfers = 10
	// DefaultIdle is how long a connection may have no query (RFC 7766 §6.2.3:
	// a few seconds), DefaultMessage how long the rest of one may take, and a
	// write.
	DefaultIdle    = 10 * time.Second
	DefaultMessage = 5 * time.Second
	// MaxLife of a connection that is not a transfer's, whatever it asks.
	MaxLife = 10 * time.Minute

	// DefaultResponsesPerSecond bounds equal answers to one network, in a burst
	// DefaultBurst of them. No resolver asks for one name 50 times a second; the
	// errors of a whole network together may come to that.
	DefaultResponsesPerSecond = 50
	DefaultBurst              = 100
	// rateEntries of 8 octets: a flood from that many networks and names at once
	// is limited exactly; a larger one approximately. 512 KiB.
	rateEntries = 1 << 16
	// slip: of the answers over the limit every second one is sent truncated, so
	// that an honest client in a forged one's network comes again over TCP.
	slip = 2

	// maxZonesCounted bounds the zones that have counters of their own; the
	// others are counted together. The figures are for people: they look at the
	// first hundreds, and each has 2 KiB for each worker.
	maxZonesCounted = 256
	// maxDenials of one answer: three for each step of a chain (RFC 4035 §3.1.3),
	// of which the first ones are kept when there are more.
	maxDenials = 3 * (MaxChain + 1)
	// nsecSlots are the NSEC records that a worker remembers, 40 octets each and
	// about 100 for the record; nsecSlotsTCP those of one that answers over TCP.
	nsecSlots    = 4096
	nsecSlotsTCP = 256

	// Answers that a worker remembers, and all of them together: 100,000 names
	// with an entry each are the middle of what a large zone is asked for. Most
	// answers are below 150 octets, with signatures below 700. 32 MiB and 12 MiB
	// a worker, 128 and 48 for all, of which the kernel backs what is used.
	plainEntries     = 1 << 17
	plainEntriesAll  = 1 << 19
	plainEntryBytes  = 256
	signedEntries    = 1 << 14
	signedEntriesAll = 1 << 16
	signedEntryBytes = 768

	// changedNames are the notes of a worker on names that have changed, 4 octets
	// each: where a name changes every millisecond, another one is held to have
	// changed with it after 16 s.
	changedNames = 1 << 14
	// maxChangedNames of one new state are noted, which takes 100 µs; if there are
	// more, all names are held to have changed.
	maxChangedNames = 512

	// logQueueLines that wait for the disk; more are dropped and counted.
	logQueueLines = 4096
	// DefaultQueryLogEvery: one of so many queries is logged.
	DefaultQueryLogEvery = 1000

	// notifyInterval is how often the zones are looked over for new serials; it
	// also gathers the changes of a burst in one NOTIFY.
	notifyInterval = 200 * time.Millisecond
	// notifyTimeout of the first try, doubled with each further one, and
	// notifyTries of them (RFC 1996 §3.6: 60 s and 5; a secondary that missed all
	// of them sees the serial with its next refresh).
	notifyTimeout = 2 * time.Second
	notifyTries   = 5
	// maxNotifying bounds the NOTIFYs on their way at once.
	maxNotifying = 64
	// maxNotifyPending bounds the pairs of zone and secondary that wait.
	maxNotifyPending = 10_000
	// shutdownGrace is how long connections in the middle of an answer may go on.
	shutdownGrace = 5 * time.Second
)
