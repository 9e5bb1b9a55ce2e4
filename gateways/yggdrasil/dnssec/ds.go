package dnssec

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/miekg/dns"

	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// DS gives the rdata of the DS record that the parent shall have for a key
// (RFC 4034 §5.1), its digest SHA-256 (RFC 4509).
func DS(apex []byte, key zone.Key) []byte {
	digest := sha256.Sum256(append(append([]byte(nil), apex...), keyring.DNSKEY(key.Flags, key.Public)...))
	rdata := binary.BigEndian.AppendUint16(nil, key.Tag)
	rdata = append(rdata, key.Algorithm, dns.SHA256)
	return append(rdata, digest[:]...)
}
