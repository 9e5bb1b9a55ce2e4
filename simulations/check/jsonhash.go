package check

import (
	"encoding/binary"
	"math/bits"
)

// jsonHash hashes JSON as an encoder writes it, without spaces. Members of an
// object count in any order: those of a map have none. It is no defence against
// somebody who looks for two texts of one hash.
func jsonHash(seed uint64, text []byte) uint64 {
	h, _ := valueHash(seed, text)
	return h
}

// valueHash hashes the value that text begins with, and gives what follows it.
func valueHash(seed uint64, text []byte) (hash uint64, rest []byte) {
	if len(text) == 0 {
		return seed, nil
	}
	switch text[0] {
	case '{':
		hash = mix(seed, '{')
		for text = text[1:]; len(text) > 0 && text[0] != '}'; {
			var name, value uint64
			name, text = scalarHash(seed, text)
			value, text = valueHash(name, after(text)) // the colon
			hash += mix(value, name)
			text = afterComma(text)
		}
		return mix(hash, '}'), after(text)
	case '[':
		hash = mix(seed, '[')
		for text = text[1:]; len(text) > 0 && text[0] != ']'; {
			hash, text = valueHash(hash, text)
			text = afterComma(text)
		}
		return mix(hash, ']'), after(text)
	}
	return scalarHash(seed, text)
}

// scalarHash hashes a string, a number, true, false or null.
func scalarHash(seed uint64, text []byte) (hash uint64, rest []byte) {
	end := 0
	if len(text) > 0 && text[0] == '"' {
		for end = 1; end < len(text) && text[end] != '"'; end++ {
			if text[end] == '\\' {
				end++
			}
		}
		end = min(end+1, len(text))
	} else {
		for end < len(text) && text[end] != ',' && text[end] != '}' && text[end] != ']' && text[end] != ':' {
			end++
		}
	}
	hash, rest = seed, text[end:]
	for text = text[:end]; len(text) >= 8; text = text[8:] {
		hash = mix(hash, binary.LittleEndian.Uint64(text))
	}
	tail := uint64(len(text)) << 56
	for i, b := range text {
		tail |= uint64(b) << (8 * i)
	}
	return mix(hash, tail), rest
}

func after(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	return text[1:]
}

func afterComma(text []byte) []byte {
	if len(text) > 0 && text[0] == ',' {
		return text[1:]
	}
	return text
}

// mix is one step of a 64-bit hash: that of wyhash, two halves of a product.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return high ^ low
}
