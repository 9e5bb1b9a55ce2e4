// Package agent makes one machine be what its host's stream says.
//
// # Where things enter, where state changes
//
// What shall be enters as commits of the host's own stream (Follow), folded
// into desired: DROPs and bindings with their specs, and an operator's orders.
// What is lies on disk, in a marker for each DROP and binding, and in the
// processes that run. For each object whose two sides differ a reconciliation
// runs, one at a time for an object and a bounded number at once; it does what
// is missing, writes the marker, and reports the fact. Each step may be
// repeated; nothing is ever done because it was not done before.
//
// Requests enter through ServeDrop. A DROP's entry is looked up without a
// lock that a reconciliation holds; waking happens inside the request that
// needs it, and only PHP needs it: static files are served while the DROP
// sleeps.
//
// # What is guaranteed
//
//   - Nothing is done that is not in the stream. Facts go out through Report
//     after the deed; the agent writes no event.
//   - A restarted agent adopts what runs. DROPs and services are not its
//     children in any sense that matters, and the restart reaches no visitor.
//   - Dismissed things are not served from the moment the commit is folded;
//     their processes and data go afterwards, a dismissed binding is reported
//     retired after its data is gone.
//   - On a machine of a cell (Options.Lease) a DROP whose database and files are
//     both elsewhere is served only while the host's lease is held and the
//     host's stream has been folded up to a head read in that term (fence.go).
//     It is asked when a request comes, after it has been held, and last before
//     PHP gets it; tunnels to databases of other hosts are cut with the lease.
//   - What is elsewhere is reached through ports: databases, releases, files
//     (Remote, Mounts), keys. A DROP that needs what cannot be had says where it
//     is, and is not served from something empty.
//   - The revision folded and carried out is on disk; an order (sleep, wake)
//     above it is carried out after a restart, one at or below it is not
//     carried out again.
package agent
