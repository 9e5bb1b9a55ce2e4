package zone

import (
	"bufio"
	"io"
	"iter"

	"github.com/miekg/dns"
)

// Changes gives the steps from a serial to the newest one, none where that is
// it; false where the journal does not reach that far back.
func (z *Zone) Changes(from uint32) (steps iter.Seq[Change], ok bool) {
	if from == z.serial {
		return func(func(Change) bool) {}, true
	}
	for key, change := range z.journal.From("") {
		if change.From == from {
			return func(yield func(Change) bool) {
				for _, change := range z.journal.From(key) {
					if !yield(*change) {
						return
					}
				}
			}, true
		}
	}
	return nil, false
}

// Text writes the zone as a master file (RFC 1035 §5): the SOA first, then all
// in canonical order of names, then of types. Records of DNSSEC are not in it.
func (z *Zone) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	if err := writeSet(out, z.apex, z.names.At(z.apex).RRset(dns.TypeSOA)); err != nil {
		return err
	}
	for node := range z.Nodes() {
		for _, set := range node.sets {
			if set.Type == dns.TypeSOA {
				continue
			}
			if err := writeSet(out, node.name, set); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

func writeSet(out *bufio.Writer, name string, set *RRset) error {
	for _, data := range set.Data {
		rr, err := RR(wireBytes(name), set.Type, set.TTL, data)
		if err != nil {
			return err
		}
		if _, err := out.WriteString(rr.String() + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// RR gives a record in the form of miekg/dns.
func RR(name []byte, rrtype uint16, ttl uint32, data []byte) (dns.RR, error) {
	owner, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return nil, err
	}
	header := dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl, Rdlength: uint16(len(data))}
	rr, _, err := dns.UnpackRRWithHeader(header, data, 0)
	return rr, err
}
