package zone

import (
	"iter"
	"time"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// Zone is one zone as of a position. It is immutable and shared.
type Zone struct {
	apex     string
	role     events.ZoneRole
	settings events.ZoneSettings // its own
	chosen   events.ZoneSettings // those of them that people have chosen
	// effective settings have every value.
	effective events.ZoneSettings

	serial   uint32
	position events.Position // of the commit that changed it last
	changed  time.Time       // when its decider wrote that

	names pmap.Map[string, *Node] // by name
	order pmap.Sorted[*Node]      // by key
	cuts  pmap.Map[string, *Node] // the names that own NS records, less the apex
	// below counts, for each name with names right below it that exist, how many
	// there are, less the apex: an empty non-terminal is here and has no records.
	below pmap.Map[string, int]
	stars int   // names with a label "*"
	top   *Node // the apex

	keys        []Key       // in the order of their introduction
	secondaries []Secondary // sorted by address
	challenges  []Challenge // sorted by name and value
	unsigned    bool        // an operator wants it so

	records        int // that are in the zone
	journal        pmap.Sorted[*Change]
	journalRecords int

	edit *pmap.Edit // whose holder may change this value in place
}

// Match is what a zone has at a name.
type Match struct {
	// Node is the name itself; it may be an empty non-terminal (Node.Empty).
	// Nil where the name does not exist.
	Node *Node
	// Cut is the highest delegation point at or above the name: it owns NS
	// records and is not the apex. Nil for none. Where there is one, the answer
	// is a referral to it, unless the name is the cut itself and the question
	// for its DS; Node is glue at most, and Wildcard and Encloser are not set.
	Cut *Node
	// Wildcard is "*.<closest encloser>", where Node is nil and it exists
	// (RFC 4592 §3.3.1); it may be an empty non-terminal too.
	Wildcard *Node
	// Encloser is the offset in the name at which the closest encloser begins;
	// 0 where the name exists.
	Encloser int
}

// Node is one name that exists. It is immutable and shared.
type Node struct {
	name   string
	sets   []*RRset // what is answered
	source *source  // nil where all of sets is the platform's
}

// source is what a node with an operator's records is made of.
type source struct {
	base   []*RRset // of the platform
	own    []*RRset // of the operator
	proofs []*RRset // TXT records of challenges
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
// change with every serial, are not in it (see Zone.SOA). A set that changed
// its TTL is removed and added as a whole.
type Change struct {
	From, To       uint32
	FromAt, At     time.Time // when the commits that they come from were decided
	Removed, Added []Record  // in canonical order of their names
}

// Key is one DNSSEC key of a zone, its public half.
type Key struct {
	ID        events.ZoneKeyID
	Tag       uint16 // RFC 4034 appendix B
	Flags     uint16 // 257 for a KSK or CSK, 256 for a ZSK
	Algorithm uint8
	Role      events.ZoneKeyRole
	State     events.ZoneKeyState
	Public    []byte // as in a DNSKEY's rdata
	// When it went from state to state; zero for what has not happened.
	Introduced, Activated, Retired time.Time
}

// Secondary is another server that may transfer the zone.
type Secondary struct {
	Address string // IP address, and a port where that is not 53
	TSIGKey string // name of the TSIG key; empty for none
	Notify  bool
}

// Challenge is a proof of control that is published (RFC 8555 §8.4).
type Challenge struct {
	Name    string // text
	Value   string
	Expires time.Time
}

// empty stands for every empty non-terminal.
var empty = &Node{}

// Apex gives the zone's name; it must not be changed.
func (z *Zone) Apex() []byte { return wireBytes(z.apex) }

// Name gives the zone's name as text.
func (z *Zone) Name() events.ZoneName { return events.ZoneName(textName(z.apex)) }

// Serial is the SOA's.
func (z *Zone) Serial() uint32 { return z.serial }

// Position is that of the commit that changed the zone last.
func (z *Zone) Position() events.Position { return z.position }

// Changed is when the commit at Position was decided.
func (z *Zone) Changed() time.Time { return z.changed }

// Role says what the zone is to the platform.
func (z *Zone) Role() events.ZoneRole { return z.role }

// Internal says that the zone answers only to configured networks.
func (z *Zone) Internal() bool { return z.role == events.ZoneInternal }

// Settings gives what is said in the zone by itself, every default filled in.
func (z *Zone) Settings() events.ZoneSettings { return z.effective }

// Own gives the zone's own settings, and those of them that were chosen by
// people: a start of the platform leaves them alone.
func (z *Zone) Own() (settings, chosen events.ZoneSettings) { return z.settings, z.chosen }

// Unsigned says that an operator wants the zone without DNSSEC. It is signed
// until its keys are gone.
func (z *Zone) Unsigned() bool { return z.unsigned }

// Len gives the number of names that have records.
func (z *Zone) Len() int { return z.names.Len() }

// Records gives the number of records, the SOA among them.
func (z *Zone) Records() int { return z.records + 1 }

// Keys gives the DNSSEC keys in the order of their introduction.
func (z *Zone) Keys() []Key { return z.keys }

// Secondaries gives the servers that may transfer the zone, sorted by address.
func (z *Zone) Secondaries() []Secondary { return z.secondaries }

// Challenges gives the proofs that are published, sorted by name and value.
func (z *Zone) Challenges() []Challenge { return z.challenges }

// Lookup finds a name, which is at or below the apex and in lower case. It
// allocates nothing.
func (z *Zone) Lookup(name []byte) Match {
	node, exists := z.names.Get(wireString(name))
	match := Match{Node: node, Cut: z.cutAt(name)}
	if exists || match.Cut != nil {
		return match
	}
	if z.encloses(name) {
		match.Node = empty
		return match
	}
	for at := 0; len(name)-at > len(z.apex); {
		at += 1 + int(name[at])
		match.Encloser = at
		if above := name[at:]; len(above) > len(z.apex) && (z.encloses(above) || len(z.names.At(wireString(above)).answered()) > 0) {
			break
		}
	}
	match.Wildcard = z.wildcardBelow(name[match.Encloser:])
	return match
}

// encloses says whether there are names below a name that is not the apex.
func (z *Zone) encloses(name []byte) bool {
	return z.below.Len() > 0 && z.below.At(wireString(name)) > 0
}

// wildcardBelow gives the wildcard of a name; nil where it does not exist.
func (z *Zone) wildcardBelow(name []byte) *Node {
	if z.stars == 0 {
		return nil
	}
	var wildcard [maxNameBytes + 2]byte
	wildcard[0], wildcard[1] = 1, '*'
	n := 2 + copy(wildcard[2:], name)
	if node, exists := z.names.Get(wireString(wildcard[:n])); exists {
		return node
	}
	if z.encloses(wildcard[:n]) {
		return empty
	}
	return nil
}

// At gives the name that has records; nil for every other one. It asks for no
// cuts and no empty non-terminals, and costs a fraction of Lookup.
func (z *Zone) At(name []byte) *Node { return z.names.At(wireString(name)) }

// Top gives the apex.
func (z *Zone) Top() *Node { return z.top }

// cutAt gives the highest delegation point at or above a name; below it the
// others mean nothing.
func (z *Zone) cutAt(name []byte) *Node {
	if z.cuts.Len() == 0 {
		return nil
	}
	var highest *Node
	for i := 0; i < len(name)-len(z.apex); i += 1 + int(name[i]) {
		if cut, found := z.cuts.Get(wireString(name[i:])); found {
			highest = cut
		}
	}
	return highest
}

// Before gives the last name that owns an NSEC record at or before the name in
// canonical order: names that have records, the apex and delegation points
// among them, but nothing below a cut. A name that owns one gives itself.
func (z *Zone) Before(name []byte) *Node {
	var buffer [maxKeyBytes]byte
	key := appendKey(buffer[:0], name[:len(name)-len(z.apex)])
	_, node, _ := z.order.Floor(wireString(key)) // at least the apex
	if cut := z.cutAt(wireBytes(node.name)); cut != nil {
		return cut
	}
	return node
}

// After gives the NSEC-owning name that follows a node, the apex after the
// last one.
func (z *Zone) After(n *Node) *Node {
	var buffer [maxKeyBytes + 1]byte
	key := appendKey(buffer[:0], wireBytes(n.name)[:len(n.name)-len(z.apex)])
	if _, isCut := z.cuts.Get(n.name); isCut {
		key[len(key)-1] = 1 // beyond all that begins with the cut's key
	} else {
		key = append(key, 0)
	}
	if _, next, found := z.order.Ceil(wireString(key)); found {
		return next
	}
	return z.top
}

// Nodes gives every name that has records in canonical order (RFC 4034 §6.1),
// glue among them.
func (z *Zone) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for _, node := range z.order.From("") {
			if !yield(node) {
				return
			}
		}
	}
}

// Name gives the owner name; it must not be changed. An empty non-terminal
// gives none: who looked it up has it.
func (n *Node) Name() []byte { return wireBytes(n.name) }

// Empty says that the node is an empty non-terminal.
func (n *Node) Empty() bool { return len(n.sets) == 0 }

// RRset gives the node's records of a type; nil for none.
func (n *Node) RRset(rrtype uint16) *RRset { return setOf(n.sets, rrtype) }

// RRsets gives all records, sorted by type; they must not be changed.
func (n *Node) RRsets() []*RRset { return n.sets }

// Own gives the records of the node that an operator added, whether or not
// they are answered.
func (n *Node) Own() []*RRset {
	if n.source == nil {
		return nil
	}
	return n.source.own
}

// base gives what the platform says at the node.
func (n *Node) base() []*RRset {
	switch {
	case n == nil:
		return nil
	case n.source == nil:
		return n.sets
	}
	return n.source.base
}

func (n *Node) own() []*RRset {
	if n == nil || n.source == nil {
		return nil
	}
	return n.source.own
}

func (n *Node) proofs() []*RRset {
	if n == nil || n.source == nil {
		return nil
	}
	return n.source.proofs
}

func (n *Node) answered() []*RRset {
	if n == nil {
		return nil
	}
	return n.sets
}
