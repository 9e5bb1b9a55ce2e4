package wire

import (
	"bytes"
	"encoding/binary"
)

// Section of a message.
type Section uint8

// The sections that records go to.
const (
	Answer Section = iota
	Authority
	Additional
	sections
)

// Builder writes one message.
type Builder struct {
	buffer []byte
	limit  int
	counts [sections]uint16
	// name is the question's in lower case: what the buffer has from octet 12
	// on, up to case.
	name      []byte
	questions uint16

	short bool // a record had no room

	generation uint16
	slots      [compressionSlots]slot
	used       int
	seeded     bool // the question's name is in the slots
}

// slot remembers where a name begins in the message.
type slot struct {
	hash       uint32
	offset     uint16
	generation uint16
}

// Mark is a state of a message to go back to.
type Mark struct {
	length int
	counts [sections]uint16
}

// Begin starts a message in buffer, whose content is lost, that may have limit
// octets at most. The question section is copied from the query. The buffer is
// not moved if its capacity is limit + SlackBytes.
func (b *Builder) Begin(buffer []byte, limit int, q *Query) {
	b.start(buffer, limit)
	b.buffer = append(b.buffer, q.Question...)
	b.name = q.name[:q.nameLength]
	b.questions = 0
	if len(q.Question) > 0 {
		b.questions = 1
	}
}

// BeginQuestion starts a message with a question of our own.
func (b *Builder) BeginQuestion(buffer []byte, limit int, name []byte, rrtype, class uint16) {
	b.start(buffer, limit)
	b.buffer = append(b.buffer, name...)
	b.buffer = binary.BigEndian.AppendUint16(b.buffer, rrtype)
	b.buffer = binary.BigEndian.AppendUint16(b.buffer, class)
	b.name = name
	b.questions = 1
}

// BeginNext starts a further message of a transfer, which repeats no question
// (RFC 5936 §2.2.1).
func (b *Builder) BeginNext(buffer []byte, limit int) {
	b.start(buffer, limit)
	b.name, b.questions = nil, 0
}

func (b *Builder) start(buffer []byte, limit int) {
	b.buffer = append(buffer[:0], zeroHeader[:]...)
	b.limit = limit
	b.counts = [sections]uint16{}
	b.used, b.seeded, b.short = 0, false, false
	b.generation++
	if b.generation == 0 { // slots of 65,536 messages ago would look new
		b.slots = [compressionSlots]slot{}
		b.generation = 1
	}
}

var zeroHeader [HeaderBytes]byte

// Len gives the octets written so far.
func (b *Builder) Len() int { return len(b.buffer) }

// Reserve takes octets from the limit, for what is written with Append at the
// end; a negative number gives them back.
func (b *Builder) Reserve(octets int) { b.limit -= octets }

// Room says how many octets are left.
func (b *Builder) Room() int { return b.limit - len(b.buffer) }

// Count gives the number of records of a section.
func (b *Builder) Count(section Section) int { return int(b.counts[section]) }

// Mark remembers the state of the message.
func (b *Builder) Mark() Mark { return Mark{len(b.buffer), b.counts} }

// Rollback takes away what was written after a mark.
func (b *Builder) Rollback(m Mark) {
	b.buffer, b.counts = b.buffer[:m.length], m.counts
	for i := range b.slots {
		if s := &b.slots[i]; s.generation == b.generation && int(s.offset) >= m.length {
			s.hash, s.offset = 0, 0 // stays occupied, so that probing goes on
		}
	}
}

// Body gives the records written behind the question and their number in each
// section; complete says that none was left out for want of room, and that each
// number fits an octet. It belongs to the Builder.
func (b *Builder) Body() (body []byte, counts [3]uint8, complete bool) {
	complete = !b.short
	for i, n := range b.counts {
		counts[i] = uint8(n)
		complete = complete && n <= 0xff
	}
	return b.buffer[HeaderBytes+b.questionBytes():], counts, complete
}

func (b *Builder) questionBytes() int {
	if b.questions == 0 {
		return 0
	}
	return len(b.name) + 4 // type and class
}

// Restore writes what Body gave of a message with the same question, in any
// case, if there is room; no further records may follow but OPT.
func (b *Builder) Restore(body []byte, counts [3]uint8) bool {
	if len(b.buffer)+len(body) > b.limit {
		return false
	}
	b.buffer = append(b.buffer, body...)
	for i, n := range counts {
		b.counts[i] = uint16(n)
	}
	return true
}

// Record writes one record of class IN. It returns false, and writes nothing,
// if there is no room for it.
func (b *Builder) Record(section Section, owner []byte, rrtype uint16, ttl uint32, data []byte) bool {
	if len(b.buffer)+recordBytes+len(data) > b.limit+SlackBytes/2 {
		b.short = true
		return false // whatever compression may save
	}
	begin := b.Mark()
	b.appendName(owner, true)
	b.buffer = append(b.buffer, byte(rrtype>>8), byte(rrtype), 0, byte(ClassIN),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), 0, 0)
	at := len(b.buffer)
	b.appendData(rrtype, data)
	if len(b.buffer) > b.limit || len(b.buffer)-at > 0xffff {
		b.Rollback(begin)
		b.short = true
		return false
	}
	binary.BigEndian.PutUint16(b.buffer[at-2:], uint16(len(b.buffer)-at))
	b.counts[section]++
	return true
}

// appendData writes rdata, and compresses the names of RFC 1035's types.
func (b *Builder) appendData(rrtype uint16, data []byte) {
	switch rrtype {
	case TypeNS, TypeCNAME, TypePTR:
		b.appendName(data, true)
	case TypeMX:
		if len(data) < 3 {
			break
		}
		b.buffer = append(b.buffer, data[:2]...)
		b.appendName(data[2:], true)
	case TypeSOA:
		first := NameBytes(data)
		second := NameBytes(data[first:])
		if first == 0 || second == 0 {
			break
		}
		b.appendName(data[:first], true)
		b.appendName(data[first:first+second], true)
		b.buffer = append(b.buffer, data[first+second:]...)
	default:
		b.buffer = append(b.buffer, data...)
	}
}

// appendName writes a name in as few octets as the message so far allows.
func (b *Builder) appendName(name []byte, compress bool) {
	if bytes.Equal(name, b.name) && len(name) > 1 {
		b.buffer = append(b.buffer, pointerToFirst>>8, pointerToFirst&0xff)
		return
	}
	if len(name) <= 1 || !compress {
		b.buffer = append(b.buffer, name...)
		return
	}
	if !b.seeded {
		b.seeded = true
		b.remember(b.name, HeaderBytes)
	}
	var labels [MaxLabels]label
	count := split(name, &labels)
	for i := range count {
		begin := int(labels[i].begin)
		offset := b.find(labels[i].hash, name[begin:])
		if offset == 0 {
			continue
		}
		at := len(b.buffer)
		b.buffer = append(b.buffer, name[:begin]...)
		b.buffer = append(b.buffer, 0xc0|byte(offset>>8), byte(offset))
		b.insert(labels[:i], at)
		return
	}
	at := len(b.buffer)
	b.buffer = append(b.buffer, name...)
	b.insert(labels[:count], at)
}

// label of a name: where it begins, and the hash of the name from there on.
type label struct {
	hash  uint32
	begin uint8
}

// split gives the labels of a name without the root.
func split(name []byte, labels *[MaxLabels]label) int {
	count := 0
	for at := 0; at < len(name) && name[at] != 0 && count < MaxLabels-1; at += 1 + int(name[at]) {
		labels[count].begin = uint8(at)
		count++
	}
	hash, end := uint32(2166136261), len(name)-1
	for i := count - 1; i >= 0; i-- {
		begin := int(labels[i].begin)
		for _, c := range name[begin:end] {
			hash = (hash ^ uint32(c)) * 16777619 // FNV-1a
		}
		labels[i].hash = hash
		end = begin
	}
	return count
}

func (b *Builder) remember(name []byte, at int) {
	var labels [MaxLabels]label
	b.insert(labels[:split(name, &labels)], at)
}

// insert remembers the names that begin at labels of a name written at an
// offset.
func (b *Builder) insert(labels []label, at int) {
	for _, l := range labels {
		offset := at + int(l.begin)
		if offset > maxPointer || b.used >= compressionSlots/2 {
			return
		}
		i := l.hash % compressionSlots
		for b.slots[i].generation == b.generation {
			i = (i + 1) % compressionSlots
		}
		b.slots[i] = slot{l.hash, uint16(offset), b.generation}
		b.used++
	}
}

// find gives the offset of a name in the message, 0 if it is not there.
func (b *Builder) find(hash uint32, name []byte) int {
	for i := hash % compressionSlots; b.slots[i].generation == b.generation; i = (i + 1) % compressionSlots {
		if s := b.slots[i]; s.hash == hash && s.offset != 0 && b.same(int(s.offset), name) {
			return int(s.offset)
		}
	}
	return 0
}

// same says that the message has the name at an offset. The question is
// compared in lower case, names of records as they stand.
func (b *Builder) same(offset int, name []byte) bool {
	for {
		source, at := b.buffer, offset
		if in := offset - HeaderBytes; in < len(b.name) {
			source, at = b.name, in
		}
		length := int(source[at])
		if length >= 0xc0 { // our own, so it leads backwards
			offset = (length&0x3f)<<8 | int(source[at+1])
			continue
		}
		if length != int(name[0]) {
			return false
		}
		if length == 0 {
			return true
		}
		if !bytes.Equal(source[at:at+1+length], name[:1+length]) {
			return false
		}
		offset += 1 + length
		name = name[1+length:]
	}
}

// Extra is what OPT says beside its size.
type Extra struct {
	UDPSize   uint16
	DO        bool
	Cookie    []byte // the option's data, 24 octets; nil for none
	NSID      []byte // nil for none
	Timeout   uint16 // of edns-tcp-keepalive, in units of 100 ms; with Keepalive
	Keepalive bool
	// EDE is an extended error (RFC 8914) and its text; with HasEDE.
	EDE     uint16
	EDEText string
	HasEDE  bool
}

// Bytes is what OPT takes.
func (e *Extra) Bytes() int {
	n := optFixedBytes
	if e.Cookie != nil {
		n += 4 + len(e.Cookie)
	}
	if e.NSID != nil {
		n += 4 + len(e.NSID)
	}
	if e.Keepalive {
		n += 6
	}
	if e.HasEDE {
		n += 6 + len(e.EDEText)
	}
	return n
}

// OPT writes the pseudo record (RFC 6891 §6.1.2) whatever the limit, for which
// room was reserved.
func (b *Builder) OPT(rcode Rcode, e *Extra) {
	flags := byte(0)
	if e.DO {
		flags = 0x80
	}
	b.buffer = append(b.buffer, 0, 0, byte(TypeOPT), byte(e.UDPSize>>8), byte(e.UDPSize), byte(rcode>>4), 0, flags, 0, 0, 0)
	at := len(b.buffer)
	if e.Cookie != nil {
		b.option(OptionCookie, e.Cookie)
	}
	if e.NSID != nil {
		b.option(OptionNSID, e.NSID)
	}
	if e.Keepalive {
		b.buffer = append(b.buffer, 0, byte(OptionTCP), 0, 2, byte(e.Timeout>>8), byte(e.Timeout))
	}
	if e.HasEDE {
		n := 2 + len(e.EDEText)
		b.buffer = append(b.buffer, 0, byte(OptionEDE), byte(n>>8), byte(n), byte(e.EDE>>8), byte(e.EDE))
		b.buffer = append(b.buffer, e.EDEText...)
	}
	binary.BigEndian.PutUint16(b.buffer[at-2:], uint16(len(b.buffer)-at))
	b.counts[Additional]++
}

func (b *Builder) option(code uint16, data []byte) {
	b.buffer = append(b.buffer, byte(code>>8), byte(code), byte(len(data)>>8), byte(len(data)))
	b.buffer = append(b.buffer, data...)
}

// Header is the first four octets of a response.
type Header struct {
	ID         uint16
	Opcode     uint8
	QR, AA, TC bool
	RD         bool
	Rcode      Rcode // its lower four bits
}

// Finish writes the header and gives the message, which lies in the buffer
// given to Begin.
func (b *Builder) Finish(h Header) []byte {
	flags := h.Opcode<<3 | bit(h.QR, 0x80) | bit(h.AA, 4) | bit(h.TC, 2) | bit(h.RD, 1)
	p := b.buffer
	binary.BigEndian.PutUint16(p, h.ID)
	p[2], p[3] = flags, byte(h.Rcode&0xf)
	binary.BigEndian.PutUint16(p[4:], b.questions)
	binary.BigEndian.PutUint16(p[6:], b.counts[Answer])
	binary.BigEndian.PutUint16(p[8:], b.counts[Authority])
	binary.BigEndian.PutUint16(p[10:], b.counts[Additional])
	return p
}

func bit(set bool, value byte) byte {
	if set {
		return value
	}
	return 0
}

// ChaosText answers the question with one TXT record of class CH.
func (b *Builder) ChaosText(text string) bool {
	if b.Room() < recordBytes+1+len(text) || len(text) > 255 {
		return false
	}
	n := len(text) + 1
	b.buffer = append(b.buffer, pointerToFirst>>8, pointerToFirst&0xff, 0, byte(TypeTXT), 0, byte(ClassCH),
		0, 0, 0, 0, byte(n>>8), byte(n), byte(len(text)))
	b.buffer = append(b.buffer, text...)
	b.counts[Answer]++
	return true
}

// Questions gives the number of questions.
func (b *Builder) Questions() int { return int(b.questions) }
