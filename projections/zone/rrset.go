package zone

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"pantheon/events"
)

// miekg/dns is used as what turns presentation form into wire form and back:
// no sockets, no clock.

func compareType(s *RRset, rrtype uint16) int { return cmp.Compare(s.Type, rrtype) }

// setOf finds a type in a list sorted by type.
func setOf(sets []*RRset, rrtype uint16) *RRset {
	for _, set := range sets {
		if set.Type == rrtype {
			return set
		}
	}
	return nil
}

// withSet gives a copy of the list with the set in its place, in which it
// replaces one of the same type; an empty set removes it.
func withSet(sets []*RRset, set *RRset) []*RRset {
	i, found := slices.BinarySearchFunc(sets, set.Type, compareType)
	switch {
	case len(set.Data) == 0 && !found:
		return sets
	case len(set.Data) == 0 && len(sets) == 1:
		return nil
	case len(set.Data) == 0:
		return slices.Delete(slices.Clone(sets), i, i+1)
	case found:
		sets = slices.Clone(sets)
		sets[i] = set
		return sets
	}
	grown := make([]*RRset, 0, len(sets)+1)
	return append(append(append(grown, sets[:i]...), set), sets[i:]...)
}

// newSet makes a set of rdata in any order.
func newSet(rrtype uint16, ttl int64, data ...[]byte) *RRset {
	slices.SortFunc(data, bytes.Compare)
	return &RRset{Type: rrtype, TTL: uint32(ttl), Data: slices.CompactFunc(data, bytes.Equal)}
}

// with gives the set with one more record, whose TTL becomes the set's.
func (s *RRset) with(rrtype uint16, ttl int64, data []byte) *RRset {
	if s == nil {
		return newSet(rrtype, ttl, data)
	}
	return newSet(rrtype, ttl, append(slices.Clone(s.Data), data)...)
}

// without gives the set without one record.
func (s *RRset) without(data []byte) *RRset {
	kept := slices.DeleteFunc(slices.Clone(s.Data), func(d []byte) bool { return bytes.Equal(d, data) })
	return &RRset{Type: s.Type, TTL: s.TTL, Data: kept}
}

func sameSet(a, b *RRset) bool {
	return a == b || a.Type == b.Type && a.TTL == b.TTL && slices.EqualFunc(a.Data, b.Data, bytes.Equal)
}

func sameSets(a, b []*RRset) bool { return slices.EqualFunc(a, b, sameSet) }

func isAddress(rrtype uint16) bool { return rrtype == dns.TypeA || rrtype == dns.TypeAAAA }

// compose decides what is answered at a name that both the platform and an
// operator say something about; the package comment has the rules.
func compose(role events.ZoneRole, apex bool, base, own, proofs []*RRset) []*RRset {
	if len(own) == 0 && len(proofs) == 0 {
		return base
	}
	if len(base) == 0 && len(proofs) == 0 && (len(own) == 1 || setOf(own, dns.TypeCNAME) == nil) {
		return own // shared with what it is made of
	}
	var sets []*RRset
	for _, set := range base {
		if !overruled(role, set.Type, own) {
			sets = withSet(sets, set)
		}
	}
	platform := len(sets) > 0
	for _, set := range own {
		alias := set.Type == dns.TypeCNAME
		switch {
		case setOf(sets, set.Type) != nil, alias && (apex || platform), set.Type == dns.TypeDS && apex:
		case set.Type == dns.TypeNS && platform && !apex:
		default:
			sets = withSet(sets, set)
		}
	}
	if setOf(sets, dns.TypeCNAME) != nil {
		return []*RRset{setOf(sets, dns.TypeCNAME)}
	}
	for _, set := range proofs {
		if old := setOf(sets, dns.TypeTXT); old != nil {
			set = newSet(dns.TypeTXT, int64(min(old.TTL, set.TTL)), append(slices.Clone(old.Data), set.Data...)...)
		}
		sets = withSet(sets, set)
	}
	return sets
}

// overruled says whether an operator's records take the place of the
// platform's set.
func overruled(role events.ZoneRole, rrtype uint16, own []*RRset) bool {
	switch {
	case len(own) == 0, rrtype == dns.TypeSOA:
		return false
	case rrtype == dns.TypeNS, rrtype == dns.TypeCAA:
		return setOf(own, rrtype) != nil
	case role != events.ZoneCustom:
		return false
	}
	return slices.ContainsFunc(own, func(set *RRset) bool {
		return isAddress(set.Type) || set.Type == dns.TypeCNAME || set.Type == dns.TypeNS
	})
}

// addressSets makes the A and AAAA sets of addresses.
func addressSets(texts []string, ttl int64) []*RRset {
	var a, aaaa [][]byte
	for _, text := range texts {
		address, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		if address = address.Unmap(); address.Is4() {
			a = append(a, address.AsSlice())
		} else {
			aaaa = append(aaaa, address.AsSlice())
		}
	}
	var sets []*RRset
	if a != nil {
		sets = append(sets, newSet(dns.TypeA, ttl, a...))
	}
	if aaaa != nil {
		sets = append(sets, newSet(dns.TypeAAAA, ttl, aaaa...))
	}
	return sets
}

// joined gives the union of address sets.
func joined(a, b []*RRset) []*RRset {
	for _, set := range b {
		if old := setOf(a, set.Type); old != nil {
			set = newSet(set.Type, int64(set.TTL), append(slices.Clone(old.Data), set.Data...)...)
		}
		a = withSet(a, set)
	}
	return a
}

// rdata gives a record's type and its rdata in wire form; false for what is no
// record, which the decider keeps out of the log.
func rdata(r events.ZoneRecord) (uint16, []byte, bool) {
	rrtype, known := dns.StringToType[r.Type]
	switch {
	case !known, strings.ContainsAny(r.Data, "\n\r"):
		return 0, nil, false
	case isAddress(rrtype):
		address, err := netip.ParseAddr(r.Data)
		return rrtype, address.AsSlice(), err == nil && address.Is4() == (rrtype == dns.TypeA)
	case rrtype == dns.TypeTXT && plainText(r.Data):
		text := r.Data[1 : len(r.Data)-1]
		return rrtype, append([]byte{byte(len(text))}, text...), true
	}
	rr, err := dns.NewRR(". 0 IN " + r.Type + " " + r.Data)
	if err != nil || rr == nil || rr.Header().Rrtype != rrtype {
		return 0, nil, false
	}
	packed := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, packed, 0, nil, false)
	if err != nil || end < rrHeaderBytes {
		return 0, nil, false
	}
	return rrtype, bytes.Clone(packed[rrHeaderBytes:end]), true
}

// rrHeaderBytes is the size of a record before its rdata with the root as its
// owner: name, type, class, TTL, length.
const rrHeaderBytes = 1 + 2 + 2 + 4 + 2

// plainText: one quoted string without escapes.
func plainText(data string) bool {
	return len(data) >= 2 && len(data) <= 257 && data[0] == '"' && data[len(data)-1] == '"' && !strings.ContainsAny(data[1:len(data)-1], "\"\\")
}

// txt gives the rdata of a TXT record of one string.
func txt(value string) []byte {
	value = value[:min(len(value), 255)]
	return append([]byte{byte(len(value))}, value...)
}

// srv gives the rdata of an SRV record (RFC 2782).
func srv(port int, target string) []byte {
	data := make([]byte, 0, 6+len(target))
	data = binary.BigEndian.AppendUint16(data, 0)
	data = binary.BigEndian.AppendUint16(data, 0)
	data = binary.BigEndian.AppendUint16(data, uint16(port))
	return append(data, target...)
}

// SOA gives the rdata of the zone's SOA record as it is, or was, with a serial.
func (z *Zone) SOA(serial uint32) []byte {
	e := z.effective
	primary, ok := wireName(e.Primary)
	if !ok {
		primary = "\x00"
	}
	data := append([]byte(primary), mailbox(e.Hostmaster)...)
	for _, number := range []int64{int64(serial), e.RefreshSeconds, e.RetrySeconds, e.ExpireSeconds, e.NegativeTTLSeconds} {
		data = binary.BigEndian.AppendUint32(data, uint32(number))
	}
	return data
}

// mailbox gives the name that stands for a mail address: what is before the @
// is one label (RFC 1035 §8).
func mailbox(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	name, ok := wireName(domain)
	if !ok || local == "" || len(local) > maxLabelBytes {
		return "\x00"
	}
	return child(local, name)
}
