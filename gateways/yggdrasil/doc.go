// Package yggdrasil is the authoritative name server: every answer is a fold of
// the log.
//
// Queries enter through [Server.Serve]: over UDP a worker for each socket, which
// takes and answers them in batches (package batch), and reads what a batch needs
// of the memory before it answers the first one (ahead.go); over TCP one goroutine for
// each connection. What is known of names is read from [Source], an immutable
// snapshot; nobody is asked and nothing is waited for, but by a transfer from a
// serial of long ago. State changes in four
// places: the rate limiter's table (package ratelimit), the counters, the list of
// open connections, and the list of secondaries that have yet to hear of a new
// serial, which belongs to one goroutine.
//
// # A query's way
//
//	packet → wire.Query → TSIG, cookie → zone → RFC 1034 §4.3.2 → wire.Builder → rate limit → packet
//	   │           │           │           │                          │
//	 silence    FORMERR     NOTAUTH     REFUSED              truncated: TCP
//
// # Guaranteed
//
//   - No packet makes the server panic, loop, or use more memory: every buffer,
//     table and count has a bound in limits.go. A UDP query allocates nothing
//     unless it is signed with TSIG or asks for records that must be signed anew.
//   - An answer comes from one snapshot: it never mixes two states of a zone.
//   - The question comes back as it was sent, the case of its letters included.
//   - Names of internal zones are told to the configured networks only.
//   - A signed zone proves what it denies with its real neighbours: NXDOMAIN is
//     NXDOMAIN, and an empty non-terminal exists (RFC 4035 §3.1.3, RFC 8020).
//   - Whole zones go only to the secondaries that the zone names, with the TSIG
//     key that it names for them.
package yggdrasil
