// Package drop decides about one DROP: an isolated PHP runtime that serves one
// environment on one host.
//
//	          Request             Place
//	(nothing) ──────▶ Unplaced ──────────▶ Placed ⟲ Report
//	                     ▲ │                 │ │
//	                     └─┼──── Displace ───┘ │
//	                       └─RequestRetirement─┴▶ Retiring ──Retire──▶ Retired
//
// RequestMove leaves a placed DROP where it is: another one is to take its
// place, and then it is retired. A placed DROP is asleep or awake, and its host has prepared a generation of
// its spec or failed to; both are facts of that host alone, and forgotten
// when the DROP leaves it. Commands enter through Decide; Evolve gives the
// state after an event. Both are pure.
//
// Invariants:
//
//  1. A DROP has at most one host.
//  2. A fact is taken only from the host that holds the DROP; from any other
//     it is a Conflict. A fact that is stale or repeated changes nothing.
//  3. The generation that is ready or failed never falls while the DROP stays
//     on its host.
//  4. DropAwoke follows only a DROP asleep; DropSlept and DropCrashed follow
//     only one awake; DropStartFailed follows only one asleep.
//  5. A retiring DROP is never placed; it retires once, and nothing follows.
package drop
