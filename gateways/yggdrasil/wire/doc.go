// Package wire reads DNS queries and writes DNS messages (RFC 1035 §4), for a
// server that must not allocate on the way.
//
// Things enter through [Query.Parse], which takes a packet as it came from the
// network and says what is wrong with it; they leave through [Builder], which
// writes one message into a buffer of the caller. Both are values that are used
// again for the next message; neither may be used by two goroutines at once.
//
// # Guaranteed
//
//   - No packet makes Parse panic, read outside it, or loop: compression
//     pointers of a query are never followed.
//   - A message never grows over its limit, and is valid at every moment: a
//     record that does not fit leaves no trace.
//   - Names are compressed where RFC 1035 and RFC 3597 §4 allow it: owners, and
//     the rdata of the types of RFC 1035.
package wire
