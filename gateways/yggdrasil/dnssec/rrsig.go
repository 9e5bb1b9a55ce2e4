package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// signingKey is one private key with the tag that validators find it by.
type signingKey struct {
	tag     uint16
	private *ecdsa.PrivateKey
}

// coordinateBytes is the length of either half of a signature (RFC 6605 §4).
const coordinateBytes = 32

// rrsig gives the rdata of the signature of an RRset (RFC 4034 §3.1).
func (k signingKey) rrsig(apex, owner []byte, set *zone.RRset, window int64) ([]byte, error) {
	inception, expiration := period(apex, owner, set.Type, window)
	rdata := make([]byte, 0, 18+len(apex)+2*coordinateBytes)
	rdata = binary.BigEndian.AppendUint16(rdata, set.Type)
	rdata = append(rdata, keyring.Algorithm, labels(owner))
	rdata = binary.BigEndian.AppendUint32(rdata, set.TTL)
	rdata = binary.BigEndian.AppendUint32(rdata, expiration)
	rdata = binary.BigEndian.AppendUint32(rdata, inception)
	rdata = binary.BigEndian.AppendUint16(rdata, k.tag)
	rdata = append(rdata, apex...)
	digest := digest(rdata, owner, set)
	signature, err := k.private.Sign(nil, digest[:], crypto.SHA256) // nil: the nonce is that of RFC 6979
	if err != nil {
		return nil, err
	}
	return appendSignature(rdata, signature)
}

// digest hashes what is signed (RFC 4034 §3.1.8.1).
func digest(head, owner []byte, set *zone.RRset) [sha256.Size]byte {
	signed := append(make([]byte, 0, 1024), head...)
	for _, rdata := range canonicalData(set.Type, set.Data) {
		signed = append(signed, owner...)
		signed = binary.BigEndian.AppendUint16(signed, set.Type)
		signed = binary.BigEndian.AppendUint16(signed, dns.ClassINET)
		signed = binary.BigEndian.AppendUint32(signed, set.TTL)
		signed = binary.BigEndian.AppendUint16(signed, uint16(len(rdata)))
		signed = append(signed, rdata...)
	}
	return sha256.Sum256(signed)
}

// appendSignature turns ASN.1 into the two fixed-length numbers of RFC 6605.
func appendSignature(rdata, encoded []byte) ([]byte, error) {
	var inner cryptobyte.String
	var r, s []byte
	outer := cryptobyte.String(encoded)
	if !outer.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) ||
		len(r) > coordinateBytes || len(s) > coordinateBytes {
		return nil, errors.New("cannot read a signature of our own")
	}
	var fixed [2 * coordinateBytes]byte
	copy(fixed[coordinateBytes-len(r):], r)
	copy(fixed[2*coordinateBytes-len(s):], s)
	return append(rdata, fixed[:]...), nil
}
