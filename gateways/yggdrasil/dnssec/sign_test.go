package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// at is the time of every test here.
var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// rfc6605 is the key of RFC 6605 §6.1.
var rfc6605 = struct {
	private, public, digest string
	tag                     uint16
}{
	"GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=",
	"GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
	"b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17",
	55648,
}

func decode(t testing.TB, text string) []byte {
	t.Helper()
	octets, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func rfc6605Key(t testing.TB) (signingKey, zone.Key) {
	t.Helper()
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), decode(t, rfc6605.private))
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{rfc6605.tag, private}, zone.Key{
		Tag: rfc6605.tag, Flags: 257, Algorithm: keyring.Algorithm, Role: events.CommonSigning, State: events.KeyActive,
		Public: decode(t, rfc6605.public),
	}
}

func wire(t testing.TB, name string) []byte {
	t.Helper()
	var buffer [256]byte
	n, err := dns.PackDomainName(name, buffer[:], 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

func TestRFC6605Example(t *testing.T) {
	_, key := rfc6605Key(t)
	rdata := keyring.DNSKEY(257, key.Public)
	if tag := keyring.Tag(rdata); tag != rfc6605.tag {
		t.Errorf("key tag %d", tag)
	}
	ds := DS(wire(t, "example.net."), key)
	if got := hex.EncodeToString(ds[4:]); got != rfc6605.digest || !bytes.Equal(ds[:4], []byte{0xd9, 0x60, 13, 2}) {
		t.Errorf("DS %x", ds)
	}
}

// set packs records of one name and type, as the fold has them.
func set(t testing.TB, lines ...string) (owner []byte, s *zone.RRset, records []dns.RR) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 4096)
		end, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		_, head, err := dns.UnpackDomainName(buffer, 0)
		if err != nil {
			t.Fatal(err)
		}
		owner = buffer[:head]
		if s == nil {
			s = &zone.RRset{Type: rr.Header().Rrtype, TTL: rr.Header().Ttl}
		}
		s.Data = append(s.Data, buffer[head+10:end])
		records = append(records, rr)
	}
	return owner, s, records
}

// verify has another implementation check a signature.
func verify(t testing.TB, apex string, key zone.Key, owner string, rdata []byte, records []dns.RR) *dns.RRSIG {
	t.Helper()
	message := append(wire(t, owner), 0, byte(dns.TypeRRSIG), 0, 1, 0, 0, 0, 0, byte(len(rdata)>>8), byte(len(rdata)))
	rr, _, err := dns.UnpackRR(append(message, rdata...), 0)
	if err != nil {
		t.Fatal(err)
	}
	rrsig := rr.(*dns.RRSIG)
	dnskey := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET},
		Flags: key.Flags, Protocol: 3, Algorithm: key.Algorithm, PublicKey: base64.StdEncoding.EncodeToString(key.Public),
	}
	if err := rrsig.Verify(dnskey, records); err != nil {
		t.Errorf("%s: %v", records[0], err)
	}
	return rrsig
}

// TestSignaturesVerify: RFC 4034 §3.1.8.1, with names in the rdata in any case
// (§6.2), records in any order (§6.3), wildcards (§3.1.3).
func TestSignaturesVerify(t *testing.T) {
	private, key := rfc6605Key(t)
	apex := wire(t, "example.net.")
	for _, lines := range [][]string{
		{"www.example.net. 300 IN A 192.0.2.9", "www.example.net. 300 IN A 192.0.2.1"},
		{"www.example.net. 300 IN AAAA 2001:db8::1"},
		{"example.net. 3600 IN SOA NS1.Example.NET. Hostmaster.example.net. 7 1 2 3 4"},
		{"example.net. 3600 IN NS Ns2.example.net.", "example.net. 3600 IN NS ns1.EXAMPLE.net."},
		{"example.net. 3600 IN MX 10 Mail.example.net.", "example.net. 3600 IN MX 5 z.example.net."},
		{"_http._tcp.example.net. 60 IN SRV 0 5 8080 Host.example.net."},
		{"example.net. 60 IN NAPTR 100 10 \"S\" \"SIP+D2U\" \"!^.*$!sip:A@B!\" _SIP._udp.example.net."},
		{"example.net. 60 IN TXT \"Keeps Its Case\" \"v=spf1\""},
		{"example.net. 60 IN CAA 0 issue \"Letsencrypt.org\""},
		{"example.net. 60 IN RP Admin.example.net. Txt.example.net."},
		{"a.example.net. 60 IN CNAME B.example.net."},
		{"a.example.net. 60 IN DNAME B.example.net."},
		{"*.example.net. 60 IN A 192.0.2.3"},
		{"*.example.net. 60 IN PTR Q.example.net."},
		{"a.example.net. 60 IN NSEC Host.example.net. A MX RRSIG NSEC TYPE1234"},
		{"a.example.net. 60 IN HTTPS 1 . alpn=h2,h3"},
		{"a.example.net. 60 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"},
		{"a.example.net. 60 IN TYPE65280 \\# 4 41424344"},
	} {
		owner, s, records := set(t, lines...)
		rdata, err := private.rrsig(apex, owner, s, Window(apex, at))
		if err != nil {
			t.Fatal(err)
		}
		rrsig := verify(t, "example.net.", key, records[0].Header().Name, rdata, records)
		if !rrsig.ValidityPeriod(at) || rrsig.OrigTtl != s.TTL || rrsig.SignerName != "example.net." {
			t.Errorf("%s: %s", lines[0], rrsig)
		}
		if again, _ := private.rrsig(apex, owner, s, Window(apex, at)); !bytes.Equal(again, rdata) {
			t.Errorf("%s: another signature the second time", lines[0])
		}
		twice := &zone.RRset{Type: s.Type, TTL: s.TTL, Data: append(slices.Clone(s.Data), s.Data...)}
		if again, _ := private.rrsig(apex, owner, twice, Window(apex, at)); !bytes.Equal(again, rdata) || !bytes.Equal(twice.Data[len(s.Data)], s.Data[0]) {
			t.Errorf("%s: a record that is there twice counts twice, or the set was changed", lines[0])
		}
	}
}

// TestValidity: whenever a signature is given, it is valid from before then
// until 14 days later at least.
func TestValidity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apex := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "apex")
		owner := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "owner")
		now := rapid.Int64Range(1<<30, 1<<32-1-int64((validity+expirationJitter)/time.Second)).Draw(t, "now")
		window := Window(apex, time.Unix(now, 0))
		for _, w := range []int64{window, windowAt(phase(apex), now+int64(presignBefore/time.Second))} {
			inception, expiration := period(apex, owner, 1, w)
			since := time.Duration(now-int64(inception)) * time.Second
			left := time.Duration(int64(expiration)-now) * time.Second
			if since < inceptionOffset-presignBefore || left < 14*24*time.Hour {
				t.Fatalf("at %d: from %d to %d", now, inception, expiration)
			}
		}
	})
}

func TestLabels(t *testing.T) {
	for name, want := range map[string]uint8{".": 0, "net.": 1, "a.b.net.": 3, "*.b.net.": 2, "*.": 0, "a.*.net.": 3, "**.net.": 2} {
		if got := labels(wire(t, name)); got != want {
			t.Errorf("labels of %s: %d, want %d", name, got, want)
		}
	}
}

// FuzzCanonical: rdata that its type's form does not fit must not break us.
func FuzzCanonical(f *testing.F) {
	f.Add(dns.TypeNAPTR, []byte{0, 1, 0, 1, 200, 'A'})
	f.Fuzz(func(t *testing.T, rrtype uint16, rdata []byte) {
		before := bytes.Clone(rdata)
		got := canonicalData(rrtype, [][]byte{rdata})
		if !bytes.Equal(before, rdata) || len(got) != 1 || !bytes.Equal(lower(got[0]), lower(rdata)) {
			t.Fatalf("%d %x became %x", rrtype, before, got)
		}
	})
}

func lower(octets []byte) []byte {
	small := bytes.Clone(octets)
	for i, c := range small {
		if 'A' <= c && c <= 'Z' {
			small[i] = c | 0x20
		}
	}
	return small
}

type noKeys struct{}

func (noKeys) ZoneKey([]byte, uint16) (*ecdsa.PrivateKey, error) { return nil, errors.New("no key") }

// oneKey has the key of RFC 6605 under every tag.
type oneKey struct{ private *ecdsa.PrivateKey }

func (k oneKey) ZoneKey([]byte, uint16) (*ecdsa.PrivateKey, error) { return k.private, nil }

// TestKeysetRoles: what each key signs, and what the parent is told, in every
// state of a roll-over (RFC 7344 §4, RFC 6781 §4.1.3).
func TestKeysetRoles(t *testing.T) {
	private, key := rfc6605Key(t)
	apex := wire(t, "example.net.")
	signers := func(k *keyset, rrtype uint16) (tags []uint16) {
		for _, signer := range k.signers(rrtype) {
			tags = append(tags, signer.tag)
		}
		return tags
	}
	for _, c := range []struct {
		first, second       events.ZoneKeyState
		data, keys          []uint16
		published, atParent int
	}{
		{events.KeyActive, events.KeyPublished, []uint16{1}, []uint16{1, 2}, 2, 2},
		{events.KeyRetired, events.KeyActive, []uint16{2}, []uint16{1, 2}, 2, 1},
		{events.KeyRetired, events.KeyPublished, nil, []uint16{1, 2}, 2, 1},
	} {
		first, second := key, key
		first.Tag, first.State = 1, c.first
		second.Tag, second.State = 2, c.second
		k := newKeyset(apex, []zone.Key{first, second}, false, 60, oneKey{private.private}.ZoneKey)
		if got := signers(k, dns.TypeA); !slices.Equal(got, c.data) {
			t.Errorf("%s and %s: data is signed by %v", c.first, c.second, got)
		}
		for _, rrtype := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY} {
			if got := signers(k, rrtype); !slices.Equal(got, c.keys) {
				t.Errorf("%s and %s: %s is signed by %v", c.first, c.second, dns.TypeToString[rrtype], got)
			}
		}
		if len(k.dnskey.Data) != c.published || len(k.cds.Data) != c.atParent || len(k.cdnskey.Data) != c.atParent {
			t.Errorf("%s and %s: %d DNSKEY, %d CDS, %d CDNSKEY", c.first, c.second, len(k.dnskey.Data), len(k.cds.Data), len(k.cdnskey.Data))
		}
	}

	ksk, zsk := key, key
	ksk.Tag, ksk.Role = 3, events.KeySigning
	zsk.Tag, zsk.Role, zsk.Flags = 4, events.ZoneSigning, 256
	k := newKeyset(apex, []zone.Key{ksk, zsk}, false, 60, oneKey{private.private}.ZoneKey)
	if keys, data := signers(k, dns.TypeDNSKEY), signers(k, dns.TypeSOA); !slices.Equal(keys, []uint16{3}) || !slices.Equal(data, []uint16{4}) {
		t.Errorf("KSK and ZSK: keys by %v, data by %v", keys, data)
	}
	if len(k.cds.Data) != 1 || len(k.dnskey.Data) != 2 {
		t.Errorf("KSK and ZSK: %d CDS, %d DNSKEY", len(k.cds.Data), len(k.dnskey.Data))
	}
	// RFC 8078 §4: CDS 0 0 0 00 and CDNSKEY 0 3 0 AA== have the parent take all DS
	// records away; the zone is signed meanwhile.
	k = newKeyset(apex, []zone.Key{key}, true, 60, oneKey{private.private}.ZoneKey)
	cds := &dns.CDS{DS: *unpacked[*dns.DS](t, dns.TypeDS, k.cds.Data)}
	cdnskey := unpacked[*dns.DNSKEY](t, dns.TypeDNSKEY, k.cdnskey.Data)
	if cds.KeyTag != 0 || cds.Algorithm != 0 || cds.DigestType != 0 || cds.Digest != "00" || cdnskey.Flags != 0 || cdnskey.Protocol != 3 || cdnskey.Algorithm != 0 || cdnskey.PublicKey != "AA==" {
		t.Errorf("to be unsigned: %v, %v", cds, cdnskey)
	}
	if len(k.forData) != 1 || len(k.dnskey.Data) != 1 {
		t.Errorf("to be unsigned: data is signed by %v", signers(k, dns.TypeA))
	}
	if k := newKeyset(apex, []zone.Key{key}, false, 60, noKeys{}.ZoneKey); k.missing == nil || len(k.forData) != 0 {
		t.Errorf("without its private half: %v", k.missing)
	}
}

// unpacked reads the only rdata of a set.
func unpacked[R dns.RR](t *testing.T, rrtype uint16, data [][]byte) R {
	t.Helper()
	if len(data) != 1 {
		t.Fatalf("%d records", len(data))
	}
	message := append([]byte{0, byte(rrtype >> 8), byte(rrtype), 0, 1, 0, 0, 0, 60, 0, byte(len(data[0]))}, data[0]...)
	rr, _, err := dns.UnpackRR(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	return rr.(R)
}

func BenchmarkSignature(b *testing.B) {
	private, _ := rfc6605Key(b)
	apex := wire(b, "example.net.")
	owner, s, _ := set(b, "www.example.net. 300 IN A 192.0.2.9", "www.example.net. 300 IN A 192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := private.rrsig(apex, owner, s, 1); err != nil {
			b.Fatal(err)
		}
	}
}
