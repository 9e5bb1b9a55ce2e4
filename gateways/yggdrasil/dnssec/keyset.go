package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"slices"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// keyset is what a zone's keys come to. It is immutable.
type keyset struct {
	apex  []byte
	first *zone.Key // with count, tells one list of keys from another
	count int

	forData, forKeys     []signingKey
	dnskey, cds, cdnskey *zone.RRset
	missing              error // a private key that could not be had; nil for none
	retryUnix            int64 // when to look for it again
}

// of says whether the keyset is that of this list.
func (k *keyset) of(keys []zone.Key) bool {
	return k.first == &keys[0] && k.count == len(keys)
}

// newKeyset compiles a list of keys, which is not empty.
//
// The key-signing keys of every state sign the three sets of keys: the
// published one, so that the parent's DS may change at any time from then on,
// and the retired one, because its DS may still be there. CDS and CDNSKEY name
// what the parent shall have (RFC 7344 §4): what is published and active, or
// that it shall have nothing (RFC 8078 §4).
func newKeyset(apex []byte, keys []zone.Key, unsigned bool, ttl uint32, private func(apex []byte, tag uint16) (*ecdsa.PrivateKey, error)) *keyset {
	k := &keyset{apex: bytes.Clone(apex), first: &keys[0], count: len(keys)}
	k.dnskey, k.cds, k.cdnskey = &zone.RRset{Type: dns.TypeDNSKEY, TTL: ttl}, &zone.RRset{Type: dns.TypeCDS, TTL: ttl}, &zone.RRset{Type: dns.TypeCDNSKEY, TTL: ttl}
	for _, key := range keys {
		rdata := keyring.DNSKEY(key.Flags, key.Public)
		k.dnskey.Data = append(k.dnskey.Data, rdata)
		if key.Role != events.ZoneSigning && key.State != events.KeyRetired && !unsigned {
			k.cds.Data = append(k.cds.Data, DS(apex, key))
			k.cdnskey.Data = append(k.cdnskey.Data, rdata)
		}
		signsKeys := key.Role != events.ZoneSigning
		signsData := key.Role != events.KeySigning && key.State == events.KeyActive
		if !signsKeys && !signsData {
			continue
		}
		half, err := private(apex, key.Tag)
		if err != nil {
			k.missing = err
			continue
		}
		if signsKeys {
			k.forKeys = append(k.forKeys, signingKey{key.Tag, half})
		}
		if signsData {
			k.forData = append(k.forData, signingKey{key.Tag, half})
		}
	}
	if unsigned {
		k.cds.Data, k.cdnskey.Data = [][]byte{{0, 0, 0, 0, 0}}, [][]byte{{0, 0, 3, 0, 0}}
	}
	for _, set := range []*zone.RRset{k.dnskey, k.cds, k.cdnskey} {
		slices.SortFunc(set.Data, bytes.Compare)
	}
	return k
}

// signers gives the keys that sign a type.
func (k *keyset) signers(rrtype uint16) []signingKey {
	switch rrtype {
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return k.forKeys
	}
	return k.forData
}
