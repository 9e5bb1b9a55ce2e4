package wire

// Bounds of a message.
const (
	// MaxNameBytes is the longest name (RFC 1035 §2.3.4), its root octet included.
	MaxNameBytes = 255
	// MaxLabels of a name: 127 of one octet each, and the root.
	MaxLabels = 128
	// MaxUDPBytes is what a client without EDNS takes (RFC 1035 §2.3.4), and the
	// least that one with EDNS does (RFC 6891 §6.2.3).
	MaxUDPBytes = 512
	// MaxMessageBytes is what the length of TCP's framing can say.
	MaxMessageBytes = 65535

	// SlackBytes is what a Builder may write over its limit before it takes the
	// record back: two names of an SOA, its owner and numbers, and as much for
	// what compression could have saved.
	SlackBytes = 2 << 10

	// recordBytes is a record without its rdata and with its owner compressed.
	recordBytes = 12
	// maxAdditional bounds a query's additional section: OPT and TSIG, and two
	// that we do not know.
	maxAdditional = 4
	// maxPointer is the last offset that a compression pointer can name.
	maxPointer = 0x3fff
	// compressionSlots of a Builder. A message with more different names is
	// compressed less well: at half of them no more are remembered. 4 KiB.
	compressionSlots = 512
)
