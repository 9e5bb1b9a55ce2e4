// Package terms is how machines of a cell agree on which of them lives: the
// lease of each host, as the host counts it and as a watcher does. It is pure.
//
// # Where things enter, where state changes
//
// A host's lease is one entry of a bucket that every machine reads and writes
// with the entry's last revision as a condition. A Holder is the host's side,
// a Watch that of the machine that decides who is lost; both are told what the
// bucket answered and say what to do next. An entry goes round like this:
//
//	(nothing) ──host──▶ Asking ──watch──▶ Held ──host──▶ Held ──host──▶ …
//	    │                                  ▲ │
//	    └─watch─▶ Revoked ◀─watch──────────┼─┘
//	                 └──host──▶ Returning ─┘ watch
//
// # What is guaranteed
//
//   - A host holds its lease for Hold from the moment at which it sent the last
//     renewal that was acknowledged, by its own clock. A watch revokes an entry
//     only after it has watched that very revision for LostAfter, by its own
//     clock, and only if nothing has been written over it. So no host is revoked
//     while it says that it holds its lease, whoever paused, whatever was lost or
//     late, however many watches there are, and if the bucket loses everything:
//     the two clocks need only agree in rate, to LostAfter/Hold.
//   - After a revocation a host does not hold its lease before a watch has
//     granted it anew, and a watch grants nothing to a host that the log calls
//     lost.
//   - Only time in which the watch itself could read counts against a host.
//     After its own pause or an outage of the bucket everybody gets a whole
//     lease anew.
//   - A host that is dead is revoked after at most LostAfter of readable time and
//     two rounds.
//   - Each time that a lease lapses, revoked or not, a new term begins: what was
//     done about the one before says nothing about the next.
//
// Not guaranteed: that a watch's report reaches the log before the host has
// been granted a lease by another watch. A watch that pauses between its
// revocation and its report gives the report up (ReportWithin), and others wait
// longer than that (GrantAfter) before they grant; what slips through even so is
// seen by the host, which heeds its own stream.
package terms
