// Package http1 is a server for HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112) with
// one goroutine for each connection and, in the normal case, none and no timer
// for each request. It serves an http.Handler with the requests and the
// http.ResponseWriter that net/http's server would give it; what else comes
// over a connection, HTTP/2 above all, it hands over.
//
// Things enter through [Server.Serve] and [Server.ServeTLS] (connections). A
// connection goes from idle to busy with the first byte of a request and back
// with the last byte of its response; a shut-down closes idle ones only. What
// was read from a connection lies in its one buffer: the head is parsed there,
// the body is read through it, and what follows is the next request.
//
// # Guaranteed
//
//   - A message whose end two parsers could see at different places is refused
//     and its connection closed: see parse.go and body.go. Nothing is repaired.
//   - Every buffer, line and count has a bound: see limits.go.
//   - Head and body leave in one write wherever the body is at hand. A body that
//     is whole by the end of the handler and fits the buffer has a
//     Content-Length; any other one comes in chunks.
//   - A response that is not as long as it said, or whose handler panicked, is
//     seen to break off.
//   - The context of a request is cancelled when its visitor leaves: at once if
//     the request is older than 2 × [LeavePeriod], and else at that age, because
//     only then somebody starts to listen. A visitor who leaves while the handler
//     has not read the body to its end is noticed by reading it, or by writing.
//     Requests that arrive meanwhile (pipelined) are kept.
//
// # Asked of the handler
//
// The header maps of request and response, their values, and the
// ResponseWriter belong to the connection, which uses them again: a handler
// must not touch them after it has returned. Strings taken from them, the
// *http.Request itself, its URL and its context stay valid.
package http1
