package zone

import (
	"io"
	"iter"

	"pantheon/events"
)

// Zone is one zone as of a position. It is immutable and shared.
type Zone struct {
	apex   string
	role   events.ZoneRole
	serial uint32
	keys   []Key
}

// Match is what a zone has at a name.
type Match struct {
	// Node is the name itself; it may be an empty non-terminal (Node.Empty).
	// Nil where the name does not exist.
	Node *Node
	// Cut is the delegation point at or above the name: it owns NS records and
	// is not the apex. Nil for none.
	Cut *Node
	// Wildcard is "*.<closest encloser>", where Node is nil and it exists.
	Wildcard *Node
	// Encloser is the offset in the name at which the closest encloser begins;
	// 0 where the name exists.
	Encloser int
}

// Node is one name that exists. It is immutable and shared.
type Node struct {
	name string
	sets []*RRset
}

// RRset is all records of one name and type, class IN. It is immutable and
// shared.
type RRset struct {
	Type uint16
	TTL  uint32 // seconds
	// Data is the rdata of each record in wire form, no name in it compressed,
	// in canonical order (RFC 4034 §6.3).
	Data [][]byte
}

// Record is one record of a Change.
type Record struct {
	Name []byte
	Type uint16
	TTL  uint32 // seconds
	Data []byte
}

// Change leads from one serial of a zone to the next. The SOA records, which
// change with every serial, are not in it.
type Change struct {
	From, To       uint32
	Removed, Added []Record
}

// Key is one DNSSEC key of a zone, its public half.
type Key struct {
	Tag       uint16 // RFC 4034 appendix B
	Flags     uint16 // 257 for a KSK or CSK, 256 for a ZSK
	Algorithm uint8
	Role      events.ZoneKeyRole
	State     events.ZoneKeyState
	Public    []byte // as in a DNSKEY's rdata
}

// Secondary is another server that may transfer the zone.
type Secondary struct {
	Address string // IP address, and a port where it is not 53
	TSIGKey string // name of the TSIG key; empty for none
	Notify  bool
}

// Apex gives the zone's name.
func (z *Zone) Apex() []byte { return wireBytes(z.apex) }

// Serial is the SOA's.
func (z *Zone) Serial() uint32 { return z.serial }

// Role says what the zone is to the platform.
func (z *Zone) Role() events.ZoneRole { return z.role }

// Internal says that the zone answers only to configured networks.
func (z *Zone) Internal() bool { return z.role == events.ZoneInternal }

// Lookup finds a name, which is at or below the apex. It allocates nothing.
func (z *Zone) Lookup(name []byte) Match { return Match{} }

// Before gives the last name that owns an NSEC record at or before the name in
// canonical order. A name that exists and is authoritative gives itself.
func (z *Zone) Before(name []byte) *Node { return nil }

// After gives the NSEC-owning name that follows a node, the apex after the
// last one.
func (z *Zone) After(n *Node) *Node { return nil }

// Nodes gives every name that has records in canonical order (RFC 4034 §6.1).
func (z *Zone) Nodes() iter.Seq[*Node] { return func(func(*Node) bool) {} }

// Changes gives the steps from a serial to the newest one; false where the
// journal does not reach that far back.
func (z *Zone) Changes(from uint32) (steps iter.Seq[Change], ok bool) { return nil, false }

// Text writes the zone as a master file (RFC 1035 §5) in canonical order.
func (z *Zone) Text(w io.Writer) error { return nil }

// Keys gives the DNSSEC keys in the order of their introduction.
func (z *Zone) Keys() []Key { return z.keys }

// Secondaries gives the servers that may transfer the zone, sorted by address.
func (z *Zone) Secondaries() []Secondary { return nil }

// Name gives the owner name; it must not be changed. An empty non-terminal
// gives none: who looked it up has it.
func (n *Node) Name() []byte { return wireBytes(n.name) }

// Empty says that the node is an empty non-terminal.
func (n *Node) Empty() bool { return len(n.sets) == 0 }

// RRset gives the node's records of a type; nil for none.
func (n *Node) RRset(rrtype uint16) *RRset {
	for _, set := range n.sets {
		if set.Type == rrtype {
			return set
		}
	}
	return nil
}

// RRsets gives all records, sorted by type.
func (n *Node) RRsets() []*RRset { return n.sets }
