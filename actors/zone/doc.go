// Package zone decides about one DNS zone of the cell: its settings, the
// records of its operator, the proofs of control that are published in it, the
// servers that may transfer it, and its DNSSEC keys.
//
//	          Add, Configure                       Remove
//	(nothing) ──────────────▶ Present ────────────────────▶ (nothing)
//	                            ⟲ Configure; AddRecords, SetRecords, RemoveRecords;
//	                              PresentChallenge, ClearChallenge;
//	                              AddSecondary, RemoveSecondary;
//	                              Resign, DecideSigning
//
// and each key in it:
//
//	          IntroduceKey          ActivateKey         RetireKey           RemoveKey
//	(nothing) ───────────▶ Published ─────────▶ Active ─────────▶ Retired ─────────▶ Removed
//	                           └───────────────────── RemoveKey ──────────────────────▲
//
// Commands enter through Decide; Evolve gives the state after an event. Both
// are pure. When a key goes on is a matter of TTLs and of what the parent
// publishes: the roll-over's workflow decides that, and this package only that
// no step leaves the zone half signed.
//
// What a zone answers is more than what is here: the platform's own names are
// folded from other streams (see projections/zone for who wins). Names that are
// the platform's by their form are refused here.
//
// Records are taken in presentation form (RFC 1035 §5.1) and kept as
// github.com/miekg/dns writes them, which is used as a parser and nothing else.
//
// Invariants:
//
//  1. Every name of a record or proof is in the zone, and is no name that is the
//     platform's by its form.
//  2. A CNAME has its name to itself, proofs included, and is single (RFC 1034
//     §3.6.2, RFC 2181 §10.1); the apex has none.
//  3. All records of one name and type have one TTL (RFC 2181 §5.2), and no two
//     are equal.
//  4. A name with NS records below the apex holds only these, its DS records and
//     glue; below it only glue is added. DS records stand beside NS records.
//  5. Bounds of limits.go hold.
//  6. A key goes only forward in its life; its id is never used again. A
//     retirement leaves both an active key that signs the DNSKEY set and one that
//     signs the rest, unless the zone is to be unsigned. None is introduced into
//     a zone that shall not be signed.
//  7. Only custom zones are removed.
package zone
