// Package site decides about one site: a customer's application.
//
//	          Create            Activate
//	(nothing) ─────▶ Creating ───────────▶ Active
//	                    │                    │
//	                    └── RequestDeletion ─┴─▶ Deleting ──Delete──▶ Deleted
//
//	          Forget                ReportForgotten
//	Deleted ──────────▶ Forgetting ─────────────────▶ Forgotten
//
// Commands enter through Decide, which gives the events of a decision and
// changes nothing; Evolve gives the state after an event. Both are pure.
//
// Invariants:
//
//  1. A site is created at most once; its id is never used again.
//  2. Name, owner, upstream and source never change; label and source are gone
//     from the state of a forgotten site.
//  3. A site is deleted only after its deletion was requested.
//  4. After the deletion was requested nothing but Deleted follows, after that
//     nothing but being forgotten.
//  5. Only a deleted site is forgotten, and only after it was asked for.
//
// A wish that is fulfilled already gives no events and no error, so that every
// command may be sent again; a wish that contradicts the state is a Conflict.
package site
