package dnssec

import (
	"time"

	"pantheon/projections/zone"
)

// Window gives the number of the window that a time falls in for a zone. Zones
// change windows at different times of the week.
func Window(apex []byte, at time.Time) int64 {
	return windowAt(phase(apex), at.Unix())
}

// Window is the package's Window for a zone.
func (*Signer) Window(z *zone.Zone, at time.Time) int64 { return Window(z.Apex(), at) }

func windowAt(phase, unix int64) int64 {
	length := int64(windowLength / time.Second)
	window := (unix + phase) / length
	if (unix+phase)%length < 0 {
		window--
	}
	return window
}

func phase(apex []byte) int64 {
	return int64(fnv1a(apex)) % int64(windowLength/time.Second)
}

// period gives when the signatures of a window begin and end to be valid, in
// the serial arithmetic of RFC 4034 §3.1.5.
func period(apex, owner []byte, covered uint16, window int64) (inception, expiration uint32) {
	start := window*int64(windowLength/time.Second) - phase(apex)
	jitter := int64(fnv1a(owner)^uint32(covered)) % int64(expirationJitter/time.Second)
	return uint32(start - int64(inceptionOffset/time.Second)), uint32(start + int64(validity/time.Second) + jitter)
}

// fnv1a is the FNV-1a hash: the same in every process.
func fnv1a(text []byte) uint32 {
	hash := uint32(2166136261)
	for _, octet := range text {
		hash = (hash ^ uint32(octet)) * 16777619
	}
	return hash
}
