// Package api is the platform's JSON over HTTP: what the command line, a
// dashboard and an unmodified Terminus speak.
//
// A request enters at Server.ServeHTTP, is matched against THE table of
// routes (routes.go), which names method, path, access rule and handler in one
// line, and is answered by that handler. Who is asking is settled before the
// handler runs (principal.go), and whether they may is settled by the access
// rule (access.go): no handler checks a permission.
//
// Nothing is kept here. Reads are answered from one immutable snapshot of the
// inventory view, the few things that it does not hold (invitations, a machine
// that was removed) from one stream of the log; writes go to an actor through
// Commander, and the answer is sent when the inventory has reached the commit's
// position, so a client that reads after it has written sees its own write. What
// is decided is in the log before anybody hears of it.
//
// # Now and then
//
// A read with ?at= is answered by the same handler from views of the past:
// what takes the call there is in moment.go, which also lists the routes that
// can go.
//
// # Two kinds of client
//
// Terminus takes only 20x and 40x as final answers and retries everything else
// for over a minute, and shows an error's body to its user as it is. So one
// rule, the User-Agent: it begins with "Terminus/", then an error is a JSON
// string and its status is at most 409; else an error is an object of kind,
// message, hint and id, with the status of the problem table (errors.go).
//
// # Once
//
// A command id makes a command happen once. It comes from the Idempotency-Key
// header, else from Terminus' trace id together with the request itself, else
// it is random. Every identifier that a request mints is derived from it
// (ids.go): the same request sent again names the same site, workflow or token
// and has no second effect.
package api
