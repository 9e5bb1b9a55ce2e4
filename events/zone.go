package events

// ZoneRole says what a zone is to the platform.
type ZoneRole string

// The roles of a zone.
const (
	// ZonePlatform is the domain of the platform's web names.
	ZonePlatform ZoneRole = "platform"
	// ZoneInternal holds the names of services and hosts; it answers only to
	// configured networks.
	ZoneInternal ZoneRole = "internal"
	// ZoneCustom is any other zone that an operator added.
	ZoneCustom ZoneRole = "custom"
)

// ZoneKeyRole says what a key of a zone signs (RFC 6781 §3.1).
type ZoneKeyRole string

// The roles of a key.
const (
	KeySigning    ZoneKeyRole = "ksk" // the DNSKEY set; the parent's DS names it
	ZoneSigning   ZoneKeyRole = "zsk" // everything else
	CommonSigning ZoneKeyRole = "csk" // both
)

// ZoneKeyState is where a key stands in its life.
type ZoneKeyState string

// The states of a key, in order.
const (
	KeyPublished ZoneKeyState = "published" // in the DNSKEY set, signs nothing yet
	KeyActive    ZoneKeyState = "active"    // signs
	KeyRetired   ZoneKeyState = "retired"   // in the DNSKEY set, signs no longer
)
