// Package eventstoredb keeps the log in an EventStoreDB (KurrentDB) that
// somebody else runs: the second adapter of the port, beside JetStream.
//
// # One stream a cell
//
// All commits of a cell are in one stream of the server, in the order in which
// they happened: a commit at position p is the event with revision p−1, its
// data the commit's bytes. A stream of the server for each actor would let the
// server check the expected revision of the actor's stream, but order and
// positions of the whole would be those of $all, which have gaps of kilobytes
// and hold other people's events; "the platform as of position N", user ids
// and audit proofs count on positions that rise by one.
//
// So the fence is the end of the whole log. A Log knows the tip of every actor's
// stream; Append compares with it, and then appends after the last revision
// that it knows. Where another machine was first the server refuses, the Log
// reads what is new, and decides again whether the actor's tip is still the
// one. Appends that wait go out together, up to MaxBatchCommits of them, in one
// call, which the server writes whole or not at all.
//
// # Where things enter, where state changes
//
// Commits enter through Append and are written by one goroutine (append.go).
// What the server has enters through one subscription (follow.go), from the
// first commit on: each is checked against the end of its actor's stream. State
// changes in one place, Log.advance: the head, the tips, which positions are
// whose, and the newest commits.
//
// # Guaranteed
//
// What the port guarantees, and on top: a server that was given an older backup,
// or whose stream was truncated, deleted or written to by a stranger, is noticed
// at the next start, and while running by the next commit.
//
// An append whose answer was lost may be there or not, as the port says; the
// next one waits until the Log knows.
//
// # Restoring
//
// Which stream is the log says the last event of a small stream, the register;
// an empty register means the first one. Restore fills a stream that is in no
// register, and Finish registers it: that is the moment at which all of it is
// there.
//
// # What is used of the client library (v4.2.0)
//
// Its connection strings and its wire, the generated stubs; not its client:
// that dies for good when it has failed to connect ten times, blocks a second
// caller for ever when it does, does not end a call with its context while it
// connects, panics when it is closed during a call, and never sends the
// requires-leader that it promises. server.go does what is left: it finds the
// leader by what a node says that does not lead.
package eventstoredb
