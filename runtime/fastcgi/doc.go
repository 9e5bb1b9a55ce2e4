// Package fastcgi is the client side of FastCGI 1.0 (the Open Market
// specification of 1996) as far as a web server needs it to speak with
// php-fpm: the responder role, one request a connection at a time, over Unix
// sockets.
//
// # Where things enter
//
// A Pool belongs to one DROP. Pool.Do takes a Request (parameters encoded
// beforehand with Params, a body that can be read again) and returns a
// Response whose status and header are parsed and whose body is handed out
// piece by piece without a copy.
//
// # Where state changes
//
// Only in Pool: how many connections are in use, which ones are kept, who
// waits. A connection that is in use belongs to one Response alone.
//
// # What is guaranteed
//
//   - At no time does a pool hold more connections, in use and kept together,
//     than the DROP has workers: php-fpm pins a worker to each connection, and
//     is urged until it has forked one (urge.go).
//   - A kept connection is checked for having been closed before it is used,
//     unless it was in use just now and the request is safe. If it still fails before anything of the response has arrived, the request
//     is sent once more over a new connection, provided that it is safe (RFC
//     9110 §9.2.1) or that php-fpm cannot have begun it: workers that retire
//     after pm.max_requests cost no request, not even a POST.
//   - Waiting for a worker is bounded in number and in time, first come first
//     served. A context that ends takes its request out of the queue, or closes
//     the connection, which is how php-fpm learns of an abort (it does not read
//     FCGI_ABORT_REQUEST while a script runs); when, is up to package abort.
//   - Whatever the other side sends, memory stays bounded and nothing panics: a
//     record that breaks the specification ends the connection with
//     ErrMalformed.
//
// # What php-fpm must be told
//
// php-fpm counts request_terminate_timeout from the moment it begins to wait
// for the next request on a kept connection. KeepIdle bounds that wait, so a
// request may have KeepIdle less than the configured time.
package fastcgi
