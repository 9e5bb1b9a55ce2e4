// Package mux carries many streams over one connection between two machines
// that trust one another's identity and nothing else.
//
// It is shaped for requests: a stream begins with a head, a message of bounded
// size, that travels in one record with the first bytes of data and the end, so
// that a small request is one write and so is its answer. Data has a window for
// each stream. There is no handshake and there are no options; what either
// side may expect of the other is in limits.go.
//
// Things enter through [Session.Open] and, from the other side, through
// Config.Handle. State changes in two places: the session's table of streams,
// and each stream's two halves, under the locks of the same names. One
// goroutine reads and never waits for anything but the connection; whoever
// sends writes the connection itself if nobody else does, and another goroutine
// takes over as soon as there are several.
// Where streams come one after the other, who is woken by the reader is woken so
// that no other thread is (see bell).
//
//	frame: kind 1 byte │ length 3 bytes │ stream 4 bytes │ payload
//	kind:  open │ head │ data │ reset │ window │ ping │ pong │ away,   flags: end, flush
//
//	Open ──open(head) data… end──▶ Handle ──head… data… end──▶ ReadHead, Take
//	   └────────── reset ──────────▶ Context ends    ◀── reset ── error, kind and hint kept
//
// # Guaranteed
//
//   - Open gives an error only if nothing was sent: the request may be sent
//     elsewhere. After that, a stream that fails by a reset was refused by the
//     other side; one that fails with ErrLost may have been begun.
//   - A peer costs at most MaxStreams windows of memory and as many
//     goroutines, whatever it sends, and a write that it does not take ends the
//     session.
//   - A peer that says nothing for SilentTicks ticks is lost. Only ticks of
//     this process count: its own pause is nobody's silence. Every byte
//     received is a sign of life, so a full line is no dead one.
//   - After Run has returned no goroutine of the session is left.
//
// # Why its own
//
// Measured side by side over the same TLS on loopback, a question of 300 bytes
// and an answer of 10 KB: hashicorp/yamux with kept streams takes 1.5 to 2.5
// times as long, HTTP/2 of net/http 3 times (one request after the other). yamux
// writes a frame's header and body apart, hands every frame to another
// goroutine, cannot reset a stream, and takes a line full of data for a dead
// one.
package mux
