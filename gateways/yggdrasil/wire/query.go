package wire

import "encoding/binary"

// Fault is what is wrong with a packet.
type Fault uint8

// The faults.
const (
	Sound          Fault = iota
	Silent               // no query: an answer could begin a loop
	Malformed            // FORMERR
	UnknownOpcode        // NOTIMP
	UnknownVersion       // BADVERS
)

// Query is one parsed query. Its slices point into the packet.
type Query struct {
	ID     uint16
	Opcode uint8
	RD     bool
	// Question is the question section as it came, to be copied into the
	// response; empty where it cannot be understood.
	Question []byte
	Type     uint16
	Class    uint16

	EDNS      bool
	Version   uint8
	DO        bool
	UDPSize   uint16 // what the client takes; at least MaxUDPBytes
	Cookie    []byte // the option's data; nil for none
	NSID      bool
	Keepalive bool // edns-tcp-keepalive

	// Serial is that of the SOA in the authority section (IXFR, RFC 1995 §3).
	Serial    uint32
	HasSerial bool
	// TSIG is the record at the end, in full; nil for none. TSIGOffset is where
	// it begins.
	TSIG       []byte
	TSIGOffset int

	name       [MaxNameBytes]byte
	nameLength int
}

// Name is the question's name in lower case, uncompressed. It belongs to the
// query.
func (q *Query) Name() []byte { return q.name[:q.nameLength] }

// Parse reads a packet. Fields that come after the fault are zero.
func (q *Query) Parse(packet []byte) Fault {
	q.reset()
	if len(packet) < HeaderBytes || packet[2]&0x80 != 0 {
		return Silent
	}
	q.ID = binary.BigEndian.Uint16(packet)
	q.Opcode = packet[2] >> 3 & 0xf
	q.RD = packet[2]&1 != 0
	if q.Opcode != OpcodeQuery && q.Opcode != OpcodeNotify && q.Opcode != OpcodeUpdate {
		return UnknownOpcode
	}
	questions := binary.BigEndian.Uint16(packet[4:])
	answers := binary.BigEndian.Uint16(packet[6:])
	authority := binary.BigEndian.Uint16(packet[8:])
	additional := binary.BigEndian.Uint16(packet[10:])
	at := HeaderBytes
	switch {
	case questions > 1: // RFC 9619
		return Malformed
	case questions == 1:
		if at = q.question(packet); at == 0 {
			return Malformed
		}
	}
	if q.Opcode != OpcodeQuery {
		return Sound // refused, whatever follows
	}
	if answers != 0 || authority > 1 || additional > maxAdditional {
		return Malformed
	}
	fault := q.records(packet, at, int(authority), int(additional))
	if fault == Sound && questions == 0 && q.Cookie == nil { // RFC 7873 §5.4
		return Malformed
	}
	return fault
}

func (q *Query) reset() {
	q.ID, q.Opcode, q.RD = 0, 0, false
	q.Question, q.Type, q.Class = nil, 0, 0
	q.EDNS, q.Version, q.DO, q.UDPSize = false, 0, false, MaxUDPBytes
	q.Cookie, q.NSID, q.Keepalive = nil, false, false
	q.Serial, q.HasSerial = 0, false
	q.TSIG, q.TSIGOffset = nil, 0
	q.nameLength = 0
}

// question gives the offset behind the question, 0 if it is not valid. The
// name may not be compressed: there is nothing before it to point to.
func (q *Query) question(packet []byte) int {
	at := HeaderBytes
	for {
		if at >= len(packet) {
			return 0
		}
		length := int(packet[at])
		next := at + 1 + length
		if length > 63 || next > len(packet) || next-HeaderBytes > MaxNameBytes {
			return 0
		}
		at = next
		if length == 0 {
			break
		}
	}
	if at+4 > len(packet) {
		return 0
	}
	q.nameLength = CopyLower(q.name[:], packet[HeaderBytes:at])
	q.Type = binary.BigEndian.Uint16(packet[at:])
	q.Class = binary.BigEndian.Uint16(packet[at+2:])
	q.Question = packet[HeaderBytes : at+4]
	return at + 4
}

// CopyLower copies a name in lower case and gives its length. A length octet is at most 63 and thus
// no letter.
func CopyLower(to, from []byte) int {
	to = to[:len(from)]
	for i, c := range from {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to[i] = c
	}
	return len(from)
}

// records reads the authority and additional sections.
func (q *Query) records(packet []byte, at, authority, additional int) Fault {
	for i := range authority + additional {
		begin := at
		owner := skipName(packet, at)
		if owner == 0 || owner+10 > len(packet) {
			return Malformed
		}
		rrtype := binary.BigEndian.Uint16(packet[owner:])
		data := owner + 10
		at = data + int(binary.BigEndian.Uint16(packet[owner+8:]))
		if at > len(packet) {
			return Malformed
		}
		valid := true
		switch {
		case i < authority:
			if rrtype == TypeSOA {
				valid = q.soa(packet[:at], data)
			}
		case rrtype == TypeOPT:
			valid = owner == begin+1 && !q.EDNS && q.opt(packet[owner:at])
		case rrtype == TypeTSIG: // RFC 8945 §5.1: the last one
			valid = i == authority+additional-1
			q.TSIG, q.TSIGOffset = packet[begin:at], begin
		}
		if !valid {
			return Malformed
		}
	}
	if at != len(packet) {
		return Malformed
	}
	if q.EDNS && q.Version != 0 {
		return UnknownVersion
	}
	return Sound
}

// opt reads an OPT record behind its name (RFC 6891 §6.1.2).
func (q *Query) opt(record []byte) bool {
	q.EDNS = true
	q.UDPSize = max(MaxUDPBytes, binary.BigEndian.Uint16(record[2:]))
	q.Version = record[5]
	q.DO = record[6]&0x80 != 0
	for options := record[10:]; len(options) > 0; {
		if len(options) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(options)
		length := int(binary.BigEndian.Uint16(options[2:]))
		if len(options) < 4+length {
			return false
		}
		data := options[4 : 4+length]
		options = options[4+length:]
		switch code {
		case OptionNSID:
			q.NSID = true
		case OptionCookie:
			if length != 8 && (length < 16 || length > 40) { // RFC 7873 §5.2.2
				return false
			}
			if q.Cookie == nil { // the first counts
				q.Cookie = data
			}
		case OptionTCP:
			if length != 0 { // RFC 7828 §3.2.1: a client says nothing in it
				return false
			}
			q.Keepalive = true
		}
	}
	return true
}

// soa reads the serial of an SOA's rdata, which ends with the packet.
func (q *Query) soa(packet []byte, at int) bool {
	if at = skipName(packet, at); at == 0 {
		return false
	}
	if at = skipName(packet, at); at == 0 || at+20 != len(packet) {
		return false
	}
	q.Serial, q.HasSerial = binary.BigEndian.Uint32(packet[at:]), true
	return true
}

// skipName gives the offset behind a name, 0 if it is not valid. A pointer ends
// it and is not followed.
func skipName(packet []byte, at int) int {
	begin := at
	for at < len(packet) && at-begin < MaxNameBytes {
		length := int(packet[at])
		switch {
		case length == 0:
			return at + 1
		case length >= 0xc0:
			if at+2 > len(packet) {
				return 0
			}
			return at + 2
		case length > 63:
			return 0
		}
		at += 1 + length
	}
	return 0
}

// LastRecord gives the offset of the last record of a message that ends with it;
// 0 if the message is not valid.
func LastRecord(message []byte) int {
	if len(message) < HeaderBytes {
		return 0
	}
	at := HeaderBytes
	for range binary.BigEndian.Uint16(message[4:]) {
		if at = skipName(message, at); at == 0 {
			return 0
		}
		at += 4
	}
	last := 0
	for i := 6; i < HeaderBytes; i += 2 {
		for range binary.BigEndian.Uint16(message[i:]) {
			last = at
			owner := skipName(message, at)
			if owner == 0 || owner+10 > len(message) {
				return 0
			}
			at = owner + 10 + int(binary.BigEndian.Uint16(message[owner+8:]))
		}
	}
	if at != len(message) {
		return 0
	}
	return last
}
