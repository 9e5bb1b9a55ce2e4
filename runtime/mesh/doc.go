// Package mesh is how the machines of a cell reach one another: one
// multiplexed connection for each pair of hosts, TLS 1.3 with the cell's
// certificates on both sides (package identity), streams by package mux.
//
// Things enter in three places. Mesh.ServeDrop and the other methods named after
// verbs ask another host; connections that arrive at Options.Listener ask this
// one, through the ports in options.go; Join and Rejoin are for a machine that is
// not a member (yet). State changes in one place, the table of peers: which
// connections each has, when it may be dialed again, and how it did so far.
//
// ALPN pantheon-mesh/1 carries streams, whose head begins with a verb:
//
//	verb       head and data                       answer                    the peer has the role
//	serve      DROP, request; its body             response; its body        entry
//	ping       DROP                                when it would serve       entry, host, control
//	socket     binding, DROP, placement; bytes     bytes                     host
//	key        site                                the site's key            host, control
//	renew      certificate request                 certificate               any
//	binding    DROP, its certificate request       certificate               host
//	names      what it has of the name servers'    those that are new        dns
//	           keys
//	files      environment, DROP, placement;       bytes                     host
//	           bytes
//
// ALPN pantheon-api/1 carries HTTP for the API of a control machine, one
// connection of its own each; who asks is for the API to find out.
//
// ALPN pantheon-join/1 carries one question and its answer: a token is redeemed,
// or a certificate that has ended is renewed.
//
// # One connection
//
// Who needs a peer dials it; a connection that the peer made is as good. Two
// that were made at the same moment are one soon: the one that the smaller host
// id dialed stays, as soon as it has shown to be alive. A lost connection is
// dialed again at once and then ever more slowly; meanwhile, requests are
// refused without waiting, so that a router goes on to another DROP.
//
// # Guaranteed
//
//   - A request is sent once; one by GET or HEAD, without a body, once more where
//     the connection was lost before its response began. ServeDrop gives an error before anything was
//     written only if no agent has begun the request: nothing was sent, or the
//     other side refused it; kind and hint are those of the other side. If the
//     connection was lost after the request went out, the answer is a 502,
//     by which a router repeats what may be repeated.
//   - A response that breaks off is an error, never an end.
//   - Bodies stream in both directions within mux.WindowBytes; a visitor's
//     leaving ends the context of the request at the DROP's host, as soon as
//     package abort says.
//   - A peer is who its certificate says, of this cell, not removed, and may ask
//     what the table above says; a removed host is cut off.
//   - What a peer may cost is bounded (limits.go, mux/limits.go). A silent one
//     is given up within a second.
//
// Not here: which DROP a request goes to and which DROPs have failed lately
// (the router), who may have which socket, files or key (the ports decide).
package mesh
