package cookie

import (
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
)

// Sizes in octets and ages in seconds (RFC 9018 §4.3).
const (
	ClientBytes = 8
	ServerBytes = 16
	// SecretBytes of a secret (RFC 9018 §4.4: SipHash-2-4).
	SecretBytes = 16

	maxAge    = 60 * 60
	renewAge  = 30 * 60
	maxFuture = 5 * 60
	version   = 1
)

// State is what a cookie says of its sender.
type State uint8

// The states.
const (
	None    State = iota // no cookie came
	Client               // a client's cookie only
	Invalid              // a server cookie that is not ours, or too old
	Valid                // the sender has received an answer of ours before
)

// Secret is the key of the hash.
type Secret [SecretBytes]byte

// Jar holds the secrets. The first one makes cookies, all of them are accepted:
// a secret is changed by putting a new one in front (RFC 9018 §5).
type Jar struct{ secrets []Secret }

// NewJar makes a jar from at least one secret.
func NewJar(secrets []Secret) *Jar { return &Jar{secrets: append([]Secret(nil), secrets...)} }

// Check looks at the data of a COOKIE option from an address at a time in Unix
// seconds.
func (j *Jar) Check(data []byte, client netip.Addr, now uint32) State {
	switch {
	case len(data) < ClientBytes:
		return None
	case len(data) == ClientBytes:
		return Client
	case len(data) != ClientBytes+ServerBytes || data[8] != version:
		return Invalid
	}
	// RFC 9018 §4.3: serial number arithmetic (RFC 1982).
	age := int32(now - binary.BigEndian.Uint32(data[12:]))
	if age > maxAge || age < -maxFuture {
		return Invalid
	}
	for i := range j.secrets {
		var want [8]byte
		binary.LittleEndian.PutUint64(want[:], j.hash(&j.secrets[i], data[:16], client))
		if subtle.ConstantTimeCompare(want[:], data[16:24]) == 1 {
			return Valid
		}
	}
	return Invalid
}

// Append appends the option's data for the answer: the client's cookie, and
// ours.
func (j *Jar) Append(to, data []byte, client netip.Addr, now uint32) []byte {
	begin := len(to)
	to = append(to, data[:ClientBytes]...)
	to = append(to, version, 0, 0, 0)
	to = binary.BigEndian.AppendUint32(to, now)
	return binary.LittleEndian.AppendUint64(to, j.hash(&j.secrets[0], to[begin:begin+16], client))
}

// Renew says that a valid cookie is old enough to be replaced (RFC 9018 §4.3);
// until then the same one can be sent back.
func Renew(data []byte, now uint32) bool {
	age := int32(now - binary.BigEndian.Uint32(data[12:]))
	return age > renewAge || age < 0
}

// hash is RFC 9018 §4.4: SipHash-2-4 of client cookie, version, reserved,
// timestamp and the client's address.
func (j *Jar) hash(secret *Secret, head []byte, client netip.Addr) uint64 {
	var message [32]byte
	copy(message[:], head[:16])
	if client.Is4() || client.Is4In6() {
		address := client.As4()
		return sipHash(secret, append(message[:16], address[:]...))
	}
	address := client.As16()
	return sipHash(secret, append(message[:16], address[:]...))
}
