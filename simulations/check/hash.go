package check

import (
	"math/bits"

	"pantheon/events"
)

// commandKey is a hash of a command of a stream; equal ones of different commands
// are as likely as a bit error.
func commandKey(stream events.StreamID, id events.CommandID) uint64 {
	h := uint64(len(id))
	for _, text := range [...]string{string(stream.Kind), stream.ID, string(id)} {
		for ; len(text) >= 8; text = text[8:] {
			h = mix(h, uint64(text[0])|uint64(text[1])<<8|uint64(text[2])<<16|uint64(text[3])<<24|
				uint64(text[4])<<32|uint64(text[5])<<40|uint64(text[6])<<48|uint64(text[7])<<56)
		}
		rest := uint64(len(text)) << 56
		for i := range len(text) {
			rest |= uint64(text[i]) << (8 * i)
		}
		h = mix(h, rest)
	}
	return h
}

// mix is one step of a 64-bit hash: that of wyhash, two halves of a product.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return high ^ low
}

// hash of two texts, for samples.
func hash(a, b string) uint64 {
	h := uint64(14695981039346656037)
	for _, text := range [...]string{a, "\x00", b} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 1099511628211
		}
	}
	return h
}
