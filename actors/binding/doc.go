// Package binding decides about one binding: a service given to an
// environment, or a site's code server.
//
//	          Request             Place           Report provisioned
//	(nothing) ──────▶ Unplaced ─────────▶ Placed ──────────────────▶ Provisioned
//	                     │                  │  ⟲ Report failed           │
//	                     ├─RequestRetirement┴────────────────────────────┘
//	                     ▼
//	                  Retiring ── Retire (never placed) ──▶ Retired
//	                           └─ Report retired (placed) ──▶
//
// Lose, when the host was written off: a placed binding, in any of these states,
// is lost. It stays so until Renew has another one put in its place, or its
// owner leaves; Retire ends it then.
//
// Commands enter through Decide; Evolve gives the state after an event. Both
// are pure.
//
// Invariants:
//
//  1. A binding gets one host for life: its data is there. Losing the host
//     makes the binding unavailable, never moves it. One that is lost for good
//     is never provided again: what takes its place is another binding.
//  2. A fact is taken only from the host that holds the binding; from any
//     other it is a Conflict, but that it has removed what it should not have
//     had, which changes nothing. A repeated fact changes nothing.
//  3. A placed binding is retired only by its host's report that service and
//     data are gone; one that never had a host, or was lost, by Retire.
//  4. It retires once, after its retirement was requested, and nothing follows.
//     A retiring binding may still be placed: a host admitted it while the
//     request was on its way, and its report is what ends it.
package binding
