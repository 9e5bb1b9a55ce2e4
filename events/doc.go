// Package events is the vocabulary of the platform: what has happened, and
// nothing else. It imports no other package of the project, and every other
// package may import it.
//
// # What an event is
//
// An event is a fact in the past tense, in the words of the domain
// (DropAdmitted, never UpdateDrop). It carries everything a reader needs to
// act on it without asking anybody. A commit is the one to MaxCommitEvents
// events of one decision of one actor, written atomically together with who
// decided, through which gateway, because of what, and the hash of the commit
// before it in the same stream.
//
// Facts (DropAwoke: a machine reports what it saw) and intentions
// (DropAdmitted: somebody decided what shall be) are different types, and no
// type is both.
//
// # Places
//
// A Revision counts the commits of one stream, from 1. A Position is a place
// in the cell's log, from 1. They are different types, so the compiler keeps
// them apart. A Tip is the end of one stream: its revision, position and hash;
// it is the fence that an append is checked against.
//
// # Promise
//
// What was written stays readable: a line of the codec table is never
// changed, a golden file under testdata/wire is never edited. A changed event
// gets a new version and an upcaster from the old one. A reader that meets an
// event it does not know (written by a newer version of the platform) gets an
// Unknown and skips it; a decider refuses to decide on a stream that holds one.
//
// # Secrets and personal data
//
// No event holds a secret of the platform. Credentials which it mints are
// derived from a key of the site, which lives outside the log, and a
// generation number, which is in it (see runtime/keys): the log does not even
// hold ciphertext, and destroying the key forgets them all.
//
// What people have typed, and what may say something about them or hold a
// secret of theirs, is listed in one table (personal.go) and stands sealed in
// the log, under a key of its site or account (eventlog/sealed). Readers keep
// the sealed form, which is a text like any other, and open it only to show it
// or to act on it. A new text of an event has to be in that table, or in the
// list of clear texts with its reason, which a test checks.
package events
