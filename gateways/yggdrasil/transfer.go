package yggdrasil

import (
	"iter"
	"net/netip"
	"time"

	"pantheon/gateways/yggdrasil/tsig"
	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// record is one of those that a transfer is made of.
type record struct {
	owner []byte
	set   *zone.RRset // type and TTL
	data  []byte
}

// transfer is an answer of many messages.
type transfer struct {
	records iter.Seq[record]
	serial  uint32
	whole   bool // AXFR, or an IXFR that is answered as one
	session *tsig.Session
	header  wire.Header
	query   *wire.Query
}

// beginTransfer answers AXFR (RFC 5936) and IXFR (RFC 1995). Over TCP it leaves
// the transfer to be sent; over UDP the answer is one message.
func (r *responder) beginTransfer() []byte {
	q := r.query
	if q.Type == wire.TypeAXFR && !r.tcp { // RFC 5936 §4.2
		return r.refuse(formatError)
	}
	if q.Type == wire.TypeIXFR && !q.HasSerial {
		return r.refuse(formatError)
	}
	r.zones = r.server.options.Source.Zones()
	z := r.zones.Zone(q.Name())
	if z == nil {
		return r.refuse(refusal{wire.NotAuth, refusedForeign.extended, refusedForeign.text, true})
	}
	r.zone = z
	if !r.maySecond(z) {
		return r.refuse(refusedTransfer)
	}
	r.header.AA = true
	if q.Type == wire.TypeIXFR && (!newer(z.Serial(), q.Serial)) {
		return r.onlySOA() // RFC 1995 §2: up to date
	}
	signer := r.server.options.Signer
	t := &transfer{serial: z.Serial(), session: r.session, query: q, whole: true, records: whole(contentOf(z, signer, r.now))}
	if q.Type == wire.TypeIXFR {
		if records, known := r.changed(z, q.Serial); known {
			t.records, t.whole = records, false
		}
	}
	t.header = r.header
	if r.tcp {
		r.transfer = t
		return nil
	}
	return r.overUDP(t)
}

// overUDP answers IXFR in one packet if it fits; else the SOA alone makes the
// client come over TCP (RFC 1995 §2).
func (r *responder) overUDP(t *transfer) []byte {
	if !t.whole {
		mark, fits := r.builder.Mark(), true
		for record := range t.records {
			if fits = r.builder.Record(wire.Answer, record.owner, record.set.Type, record.set.TTL, record.data); !fits {
				break
			}
		}
		if fits {
			return r.finish(wire.NoError)
		}
		r.builder.Rollback(mark)
	}
	return r.onlySOA()
}

func (r *responder) onlySOA() []byte {
	soa := soaOf(r.zone, r.zone.Serial())
	r.truncated = !r.builder.Record(wire.Answer, soa.owner, soa.set.Type, soa.set.TTL, soa.data)
	return r.finish(wire.NoError)
}

// newer compares serials (RFC 1982 §3.2).
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// maySecond says whether the client may have the zone: it is one of its
// secondaries, and has signed with the key that the zone names for it.
func (r *responder) maySecond(z *zone.Zone) bool {
	for _, s := range z.Secondaries() {
		if address, ok := addressOf(s.Address); ok && address.Addr() == r.client {
			if s.TSIGKey == "" && r.key == "" || s.TSIGKey != "" && keyName(s.TSIGKey) == r.key {
				return true
			}
		}
	}
	return false
}

// dnsPort is where secondaries listen.
const dnsPort = 53

// addressOf reads a secondary's address, whose port may be left out.
func addressOf(text string) (netip.AddrPort, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(address.Unmap(), dnsPort), true
	}
	address, err := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), err == nil
}

// keyName gives a TSIG key's name the form of the Keyring.
func keyName(name string) string {
	wired, ok := wire.ParseName(name)
	if !ok {
		return ""
	}
	return string(wire.AppendName(nil, wired))
}

func isSigned(z *zone.Zone, signer Signer) bool {
	if signer == nil {
		return false
	}
	dnskey, _, _ := signer.Keys(z)
	return dnskey != nil
}

// soaOf gives the SOA record of a serial.
func soaOf(z *zone.Zone, serial uint32) record {
	apex := z.Apex()
	return record{apex, z.Lookup(apex).Node.RRset(wire.TypeSOA), z.SOA(serial)}
}

// whole gives all records of a zone, the SOA first and last (RFC 5936 §2.2).
// Those of DNSSEC are among them.
func whole(c content) iter.Seq[record] {
	return func(yield func(record) bool) {
		soa := soaOf(c.zone, c.zone.Serial())
		if !yield(soa) {
			return
		}
		for node := range c.zone.Nodes() {
			for set, signed := range c.sets(node) {
				if set != soa.set && !yieldSet(node.Name(), set, yield) {
					return
				}
				if !signed {
					continue
				}
				if signatures := c.signatures(node.Name(), set); signatures != nil && !yieldSet(node.Name(), signatures, yield) {
					return
				}
			}
		}
		yield(soa)
	}
}

func yieldSet(owner []byte, set *zone.RRset, yield func(record) bool) bool {
	for _, data := range set.Data {
		if !yield(record{owner, set, data}) {
			return false
		}
	}
	return true
}

// changed gives what leads from an older serial to the newest one; false where
// that takes the whole zone. What the journal has forgotten the log knows: over
// TCP, a transfer waits until the zone of then has been made again.
func (r *responder) changed(z *zone.Zone, from uint32) (iter.Seq[record], bool) {
	signer := r.server.options.Signer
	if !isSigned(z, signer) {
		if steps, known := z.Changes(from); known {
			return incremental(z, steps), true
		}
	}
	former, known := z.Former(from)
	if !known && r.tcp {
		former, known = r.server.former(z, from)
	}
	if !known {
		return nil, false
	}
	return condensed(z, former, signer, from, r.now)
}

// incremental gives the steps of the journal: for each the old SOA and what went,
// the new SOA and what came (RFC 1995 §4).
func incremental(z *zone.Zone, steps iter.Seq[zone.Change]) iter.Seq[record] {
	return func(yield func(record) bool) {
		newest := soaOf(z, z.Serial())
		if !yield(newest) {
			return
		}
		for step := range steps {
			if !yield(soaOf(z, step.From)) || !yieldAll(step.Removed, yield) ||
				!yield(soaOf(z, step.To)) || !yieldAll(step.Added, yield) {
				return
			}
		}
		yield(newest)
	}
}

func yieldAll(records []zone.Record, yield func(record) bool) bool {
	for _, r := range records {
		if !yield(record{r.Name, &zone.RRset{Type: r.Type, TTL: r.TTL}, r.Data}) {
			return false
		}
	}
	return true
}

// send writes the messages of a transfer, each through write.
func (r *responder) send(t *transfer, buffer []byte, write func([]byte) error) error {
	b := &r.builder
	limit := MaxTransferMessageBytes - tsig.MaxBytes
	b.Begin(buffer, limit-r.extraBytes(), t.query)
	for record := range t.records {
		if b.Record(wire.Answer, record.owner, record.set.Type, record.set.TTL, record.data) {
			continue
		}
		if b.Count(wire.Answer) > 0 {
			if err := write(r.seal(t)); err != nil {
				return err
			}
			b.BeginNext(buffer, limit)
		}
		if b.Record(wire.Answer, record.owner, record.set.Type, record.set.TTL, record.data) {
			continue
		}
		// A record as large as this goes alone.
		b.Reserve(MaxTransferMessageBytes - wire.MaxMessageBytes)
		if !b.Record(wire.Answer, record.owner, record.set.Type, record.set.TTL, record.data) {
			return errTooLarge
		}
	}
	return write(r.seal(t))
}

func (r *responder) extraBytes() int {
	if r.query.EDNS {
		return r.extra.Bytes()
	}
	return 0
}

// seal finishes one message; the first one also carries OPT.
func (r *responder) seal(t *transfer) []byte {
	if t.query.EDNS && r.builder.Questions() > 0 {
		r.builder.OPT(wire.NoError, &r.extra)
	}
	message := r.builder.Finish(t.header)
	if t.session != nil {
		message = t.session.Sign(message, uint64(time.Now().Unix()))
	}
	return message
}
