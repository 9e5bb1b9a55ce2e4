package events

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Event is one fact. The set of types is closed: each is listed in the codec
// table, and Unknown stands for those this version does not know.
//
//sumtype:decl
type Event interface{ isEvent() }

// Unknown is an event written by a newer version of the platform. Readers
// skip it; deciders refuse to decide on a stream that holds one.
type Unknown struct {
	Name    string
	Version uint16
	Payload []byte
}

func (Unknown) isEvent() {}

// Revision counts the commits of one stream, from 1; 0 is the empty stream.
type Revision uint64

// Position is a place in the cell's log, from 1, without a duplicate and in
// one order for all readers; 0 is before the first commit. Positions may have
// gaps.
type Position uint64

// Hash is SHA-256 over a commit's wire form; the zero value stands before the
// first commit of a stream.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash is the inverse of String.
func ParseHash(text string) (Hash, error) {
	var h Hash
	if n, err := hex.Decode(h[:], []byte(text)); err != nil || n != len(h) || len(text) != 2*len(h) {
		return Hash{}, fmt.Errorf("hash %.80q is no SHA-256", text)
	}
	return h, nil
}

// Tip is the end of one stream as somebody saw it. An append names the tip it
// was decided on and is refused when the stream has moved on.
type Tip struct {
	Revision Revision
	Position Position
	Hash     Hash
}

// Meta says who decided, through what, because of what.
type Meta struct {
	// Command makes the decision happen once; see CommandID.
	Command CommandID `json:"command"`
	// Principal is "account/<id>", "host/<id>" or "policy/<name>".
	Principal string `json:"principal"`
	// Gateway is where the command came in: api, cli, ssh, agent, policy.
	Gateway string `json:"gateway,omitzero"`
	// Address is the peer's network address where there is one.
	Address string `json:"address,omitzero"`
	// Cause is the position of the commit that led to this one; 0 where a
	// person did.
	Cause Position `json:"cause,omitzero"`
	// Time is the decider's wall clock in UTC. It informs people; nothing is
	// ordered by it.
	Time time.Time `json:"time"`
}

// Commit is one decision before it is in the log.
type Commit struct {
	Stream StreamID
	Meta   Meta
	Events []Event
}

// Envelope is one commit as read from the log.
type Envelope struct {
	Commit
	// Revision and Position say where it stands.
	Revision Revision
	Position Position
	// Previous is the hash of the commit before it in its stream, Hash its own.
	Previous Hash
	Hash     Hash
}

// Tip gives the stream's end as of this commit.
func (e Envelope) Tip() Tip { return Tip{e.Revision, e.Position, e.Hash} }

// Receipt tells a writer where its commit went.
type Receipt struct {
	Stream StreamID
	Tip    Tip
	Events []Event
	// Repeated is set when the command had been carried out before; Events are
	// then empty.
	Repeated bool
}
