// Package styx is the HTTP routing mesh: it finds the environment that a host
// name belongs to, picks one of its DROPs, hands the request to the agent of
// the host that holds it, and goes on to another DROP where the rules allow.
//
// Things enter through [Server.Serve] (connections) and [Server.ServeHTTP]
// (requests). State changes in three places, none of which a request waits
// for: the memory of failures (an immutable value behind an atomic pointer,
// see package upstream), the count of outstanding requests of each DROP, and
// the list of requests in flight, which one goroutine looks over for those
// that have waited too long. What Styx knows of sites it reads from [Routes],
// a snapshot; it asks nobody. HTTP/1 is package http1's, HTTP/2 net/http's.
//
// # A request's way
//
//	limits → host name → route → choice → Agent.ServeDrop ─┬─ answered ──────▶ log, metrics
//	   │          │         │        ▲                     ├─ refused ───┐
//	   └──────────┴─────────┴─ page  └──── another DROP ◀──┴─ 502, 560 ──┴─ none left ▶ page
//
// # Guaranteed
//
//   - The response of an attempt that may be repeated is held back until its
//     status is known, and only its status: no body is ever buffered. After a
//     status has gone out there is no second attempt.
//   - Bytes of a request's body are given to one attempt only, unless the
//     agent made them repeatable by setting the request's GetBody.
//   - The application sees no forwarding header of a visitor's making. Headers
//     whose name would become another one's in CGI (X_Forwarded_For,
//     X.Forwarded.For) are removed.
//   - The application learns that a visitor has left within a second
//     (http1.LeavePeriod, twice), over HTTP/2 at once.
//   - A response that breaks off is seen to break off: it never ends as if
//     complete.
//   - Every wait has an end: see limits.go.
package styx
