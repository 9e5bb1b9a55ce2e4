// Package chain checks that commits follow one another: each names the hash of
// the commit before it in its stream, and counts its revision.
//
// A commit's bytes enter through Read, which looks at no more of the header
// than the chain needs; Checker.Add then takes the links in the order of their
// positions. Read may run on all cores, a Checker belongs to one goroutine.
//
// A chain finds a commit that was changed, removed or put elsewhere as soon as
// a later commit of the same stream is seen. The newest commit of a stream has
// nobody who vouches for it: that is what signed tree heads are for (package
// projections/audit).
package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Key is a stream's name as SHA-256, cut: a million names would be most of the
// memory.
type Key [16]byte

// KeyOf gives the key of a stream's name, "<kind>/<id>".
func KeyOf(name string) Key {
	full := sha256.Sum256([]byte(name))
	return Key(full[:])
}

// Link is what a commit says about its place in its stream, and its hash.
type Link struct {
	Position events.Position
	Stream   Key
	Revision events.Revision
	Previous events.Hash
	Hash     events.Hash
}

// Read gives the link of an entry and the name of its stream, "<kind>/<id>",
// which is part of the entry's bytes.
func Read(entry eventlog.Entry) (Link, []byte, error) {
	link := Link{Position: entry.Position, Hash: sha256.Sum256(entry.Wire)}
	name, fast := link.header(entry.Wire)
	if !fast {
		return ReadWhole(entry)
	}
	full := sha256.Sum256(name)
	link.Stream = Key(full[:])
	return link, name, nil
}

// ReadWhole is Read with a check that every event can be decoded.
func ReadWhole(entry eventlog.Entry) (Link, []byte, error) {
	envelope, err := events.Decode(entry.Wire)
	if err != nil {
		return Link{Position: entry.Position}, nil, err
	}
	name := []byte(envelope.Stream.String())
	full := sha256.Sum256(name)
	return Link{entry.Position, Key(full[:]), envelope.Revision, envelope.Previous, envelope.Hash}, name, nil
}

// StreamOf gives the stream of a name that Read gave, zero for one that is
// none.
func StreamOf(name []byte) events.StreamID {
	stream, err := events.ParseStreamID(string(name))
	if err != nil {
		return events.StreamID{}
	}
	return stream
}

// header reads stream, revision and previous hash from a header exactly as
// Encode writes it; false means that Decode must tell.
func (l *Link) header(message []byte) (name []byte, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte(`{"format":1,"stream":"`))
	if !ok {
		return nil, false
	}
	name, rest, ok = bytes.Cut(rest, []byte(`","revision":`))
	if !ok || bytes.ContainsAny(name, "\"\\\n") {
		return nil, false
	}
	digits, rest, ok := bytes.Cut(rest, []byte(`,"previous":"`))
	if !ok {
		return nil, false
	}
	revision, err := strconv.ParseUint(string(digits), 10, 64)
	text, _, ok := bytes.Cut(rest, []byte{'"'})
	if err != nil || !ok || revision == 0 || (revision == 1) != (len(text) == 0) {
		return nil, false
	}
	if len(text) > 0 {
		if len(text) != 2*len(l.Previous) {
			return nil, false
		}
		if _, err := hex.Decode(l.Previous[:], text); err != nil {
			return nil, false
		}
	}
	l.Revision = events.Revision(revision)
	return name, true
}

// Checker knows the end of every stream.
type Checker struct{ tips map[Key]tip }

// tip is the end of one stream. Half a hash keeps accidents and forgery out as
// well as the whole one would, for the price of half.
type tip struct {
	revision events.Revision
	position events.Position
	hash     [16]byte
}

// NewChecker knows no streams.
func NewChecker() *Checker { return &Checker{tips: map[Key]tip{}} }

// Add takes the next link and gives the position of the commit before it in
// its stream, 0 for the first; an *eventlog.BrokenError, without the stream's
// name, where the link does not follow.
func (c *Checker) Add(link Link) (events.Position, error) {
	before := c.tips[link.Stream]
	switch {
	case link.Revision != before.revision+1:
		return 0, &eventlog.BrokenError{Position: link.Position, Reason: fmt.Sprintf("it has revision %d, its stream stood at %d", link.Revision, before.revision)}
	case [16]byte(link.Previous[:16]) != before.hash:
		return 0, &eventlog.BrokenError{Position: link.Position, Reason: fmt.Sprintf(
			"it does not follow the commit before it in its stream, at position %d: the hash chain is broken, one of the two was changed", before.position)}
	}
	c.tips[link.Stream] = tip{link.Revision, link.Position, [16]byte(link.Hash[:16])}
	return before.position, nil
}
