package keyring

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Of a DNSKEY's rdata (RFC 4034 §2.1).
const (
	// Algorithm is ECDSA P-256 with SHA-256 (RFC 6605), the only one here: its
	// signatures are small, and every validator has it.
	Algorithm = 13
	// protocol is always 3 (RFC 4034 §2.1.2).
	protocol = 3
)

// DNSKEY gives the rdata of a key.
func DNSKEY(flags uint16, public []byte) []byte {
	rdata := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(public)), flags)
	return append(append(rdata, protocol, Algorithm), public...)
}

// Tag gives the key tag of a DNSKEY's rdata (RFC 4034 appendix B).
func Tag(rdata []byte) uint16 {
	var sum uint32
	for i, octet := range rdata {
		if i&1 == 0 {
			sum += uint32(octet) << 8
		} else {
			sum += uint32(octet)
		}
	}
	return uint16(sum + sum>>16)
}

// fileName gives the name of a key file as dnssec-keygen chooses it. What is
// not a letter, digit, dash or underscore stands in decimal, as in a master
// file, so that no zone's name leads to another folder.
func fileName(apex []byte, tag uint16) string {
	var name strings.Builder
	name.WriteByte('K')
	for rest := apex; len(rest) > 0 && rest[0] > 0 && int(rest[0]) < len(rest); rest = rest[1+rest[0]:] {
		for _, octet := range rest[1 : 1+rest[0]] {
			if octet == '-' || octet == '_' || '0' <= octet && octet <= '9' || 'a' <= octet && octet <= 'z' {
				name.WriteByte(octet)
			} else {
				fmt.Fprintf(&name, "\\%03d", octet)
			}
		}
		name.WriteByte('.')
	}
	if len(apex) == 1 {
		name.WriteByte('.')
	}
	fmt.Fprintf(&name, "+%03d+%05d.private", Algorithm, tag)
	return name.String()
}
