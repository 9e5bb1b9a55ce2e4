// Package account decides about one account: who may do things, with which
// machine tokens, and which upstreams it offers.
//
//	          Register
//	(nothing) ───────▶ Registered ⟲ IssueToken, RevokeToken, AddUpstream, RemoveUpstream,
//	                            Invite, UseInvitation, RevokeInvitation (the operator's)
//
//	           Forget           ReportForgotten
//	Registered ──────▶ Ended ───────────────────▶ Forgotten
//
// Commands enter through Decide; Evolve gives the state after an event. Both
// are pure.
//
// Invariants:
//
//  1. An account is registered at most once.
//  2. A token's record never changes; a revoked token stays revoked, and its
//     id is never used again.
//  3. The names of the upstreams that are offered are unique in the account.
//  4. No more than MaxTokens tokens and MaxUpstreams upstreams are live.
//  5. The log holds the hash of a token, never the token.
//  6. One machine joins by an invitation, in time, with its secret, unless it
//     was revoked before; the log holds the secret's hash.
//  7. An account that has ended has no token and no upstream, and never gets
//     one again. The operator's never ends.
package account
