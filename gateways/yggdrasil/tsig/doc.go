// Package tsig signs and verifies DNS messages with shared secrets (RFC 8945).
//
// A signed request enters through [Verify], which gives a [Session]: the one
// answer to it, or the many messages of a transfer, leave through
// [Session.Sign]. [Request] begins a session of our own requests. Secrets are
// given by the caller for each message and stay in no package state.
package tsig
