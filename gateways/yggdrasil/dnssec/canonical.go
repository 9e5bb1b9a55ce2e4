package dnssec

import (
	"bytes"
	"slices"

	"github.com/miekg/dns"
)

// names says where in the rdata of a type names stand that are signed in lower
// case (RFC 4034 §6.2 with RFC 6840 §5.1; types without names are not in it).
type names struct {
	skip    int // octets before the first
	strings int // then as many character strings
	tail    int // octets after the last
}

func namesIn(rrtype uint16) (names, bool) {
	switch rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeDNAME, dns.TypeMB, dns.TypeMD, dns.TypeMF, dns.TypeMG, dns.TypeMR,
		dns.TypeMINFO, dns.TypeRP:
		return names{}, true
	case dns.TypeSOA:
		return names{tail: 20}, true
	case dns.TypeMX, dns.TypeAFSDB, dns.TypeRT, dns.TypeKX, dns.TypePX:
		return names{skip: 2}, true
	case dns.TypeSRV:
		return names{skip: 6}, true
	case dns.TypeNAPTR:
		return names{skip: 4, strings: 3}, true
	}
	return names{}, false
}

// canonicalData gives the rdata of an RRset as it is signed: names in lower
// case, sorted, each once (RFC 4034 §6.3). Mostly it is as it is already.
func canonicalData(rrtype uint16, data [][]byte) [][]byte {
	canonical := data
	if in, has := namesIn(rrtype); has {
		for i, rdata := range data {
			lower := lowerNames(rdata, in)
			if lower == nil {
				continue
			}
			if &canonical[0] == &data[0] {
				canonical = slices.Clone(data)
			}
			canonical[i] = lower
		}
	}
	rises := true
	for i := 1; i < len(canonical) && rises; i++ {
		rises = bytes.Compare(canonical[i-1], canonical[i]) < 0
	}
	if rises {
		return canonical
	}
	return slices.CompactFunc(slices.SortedFunc(slices.Values(canonical), bytes.Compare), bytes.Equal)
}

// lowerNames gives a copy whose names are in lower case; nil where they are.
// A name's length octets are below 64, and so below the letters.
func lowerNames(rdata []byte, in names) []byte {
	from, to := in.skip, len(rdata)-in.tail
	for range in.strings {
		if from < to {
			from += 1 + int(rdata[from])
		}
	}
	var lower []byte
	for i := from; i < to; i++ {
		if c := rdata[i]; 'A' <= c && c <= 'Z' {
			if lower == nil {
				lower = bytes.Clone(rdata)
			}
			lower[i] = c + 'a' - 'A'
		}
	}
	return lower
}

// labels counts as RFC 4034 §3.1.3 does: neither the root nor a leading
// asterisk.
func labels(owner []byte) (n uint8) {
	if len(owner) >= 2 && owner[0] == 1 && owner[1] == '*' {
		owner = owner[2:]
	}
	for len(owner) > 0 && owner[0] > 0 && int(owner[0]) < len(owner) {
		owner = owner[1+owner[0]:]
		n++
	}
	return n
}
