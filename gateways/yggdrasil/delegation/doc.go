// Package delegation compares what a zone should look like from outside with
// what resolvers and the parent's servers say: delegation, glue, DS records,
// the answers of its name servers, and whether it validates.
//
// Check is where things enter; nothing is kept. It asks a resolver for what the
// world sees, and the parent's own servers for the delegation, which a resolver
// does not show. What it finds is a list of Findings: each says what was
// expected and seen, and what to do. DS is the part that the keeper of keys
// needs.
//
// What cannot be asked is a finding of its own and never taken for a fault of
// the zone.
package delegation
