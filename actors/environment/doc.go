// Package environment decides about one environment: a running copy of a site.
//
//	          Create              first Deploy
//	(nothing) ─────▶ Uninitialised ──────────▶ Initialised ⟲ Deploy
//	                     │                         │
//	                     └──── RequestDeletion ────┴──▶ Deleting ──Delete──▶ Deleted
//
// Settings and the seed change in both states before Deleting. Commands enter
// through Decide; Evolve gives the state after an event. Both are pure.
//
// Invariants:
//
//  1. An environment is created at most once; id, user id, site name and
//     framework never change, and the user id is at least events.FirstUID.
//  2. Settings in the log are valid as check in settings.go says.
//  3. Deployments count 1, 2, 3 …; seeds likewise, from 1 at creation.
//  4. A release that runs already is deployed again only with Force.
//  5. After the deletion was requested nothing but EnvironmentDeleted follows,
//     and it follows nothing else.
package environment
