// Package name decides about one unique name: who holds it.
//
//	          Claim
//	Free ───────────────▶ Held by one stream
//	  ◀───────────────
//	   Release by it
//
// One name is one actor, so uniqueness over the cell needs nobody who knows
// all names. Commands enter through Decide; Evolve gives the state after an
// event. Both are pure.
//
// Invariants:
//
//  1. A name has at most one holder.
//  2. Only its holder gives it back; a release by anybody else changes
//     nothing, since what it asks for is so already.
package name
