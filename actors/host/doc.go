// Package host decides about one host: a machine that offers capacity. Asking
// it is how a DROP or binding is placed; it admits or refuses.
//
//	          Register              ReportLost
//	(nothing) ───────▶ Present ──────────────▶ Lost
//	                    ⟲  ▲                    │
//	                       └── ReportReturned ──┘
//
// ReportAddresses, ReportEndpoint and TakeRoles, at any time, say where the host
// is, where its mesh is reached and what the machine takes part in. Drain and EndDrain, likewise, say whether it is to
// become empty; Remove ends a host that is, and WriteOff one whose machine is gone
// for good, with what it held.
//
// Present hosts admit; present and lost ones dismiss. Commands enter through
// Decide; Evolve gives the state after an event. Both are pure; DROPs and
// bindings are held in persistent maps, so a state costs what changed.
//
// # The two quantities
//
// An asleep DROP has no process, and 100,000 of them shall fit on a host of
// 24 GiB, so what is asleep and what is awake are counted apart.
//
// Reserved is what everything admitted costs while nothing is awake:
// events.SleepingDropKiB for each DROP, and BindingSpec.ReservationKiB for
// each binding (a cache's or index's own process in full, a share of a common
// server small). The largest DROP is the memory limit of the greediest one
// admitted. The host admits what keeps
//
//	Reserved + largest DROP ≤ memory offered                             (A)
//
// so each DROP can always be awake at least alone. The agent wakes what keeps
//
//	sum of the limits of awake DROPs ≤ memory offered − Reserved         (B)
//
// and puts the longest idle ones to sleep, or lets a request wait, where it
// must. Memory that is promised is there, whatever is asked of the host: by
// (B) awake DROPs can use up their limits all at once, and by (A) none waits
// for ever. 100,000 environments, each with a DROP, a database and files, and
// their sites' code reserve 100,000 × (16 + 3 × 32) KiB = 10.7 GiB of 24.
//
// Invariants:
//
//  1. No admission and no change of a spec breaks (A). Only a host that
//     registers again with less memory can; it then admits nothing until
//     enough is dismissed.
//  2. A lost host admits nothing, nor does one that is drained, or that has no
//     role as a host. What it has it may keep, with a newer spec.
//  3. The generation of an admitted DROP's spec never falls; a generation
//     names one spec.
//  4. What is dismissed was admitted, and is counted no longer.
//  5. A removed host holds nothing, and never anything again.
//  6. A host that is there and was not drained is not written off.
package host
