// Package policy holds the reactions across actors: what one actor's event
// asks of another. Placement, roll-out, host loss, and the steps of workflows.
//
// # How it works
//
// State is a fold of the whole log, kept small: for each site its
// environments, DROPs, bindings and running workflows, and for each host what
// it offers. Plan compares, for the sites that changed, what is with what
// shall be, and gives intents: commands that would close the gap. Nothing is
// remembered about intents; as long as the gap is there, Plan gives the intent
// again with the same key, and the key is the command's id, so sending it
// twice has one effect. That makes every reaction level-triggered: a crash
// between an event and its reaction, a lost reply, a refused command or a
// second copy of the policy on another machine all end in the same place.
//
// # Where things enter, where state changes
//
// Envelopes enter through (*State).Apply, in log order, and are the only thing
// that changes what Plan answers, but for refusals: a host that answers Busy
// is passed over for that placement (Refuse) until something changes on any
// host. A State belongs to one goroutine; package actors' Reactor drives it in
// production, the simulator drives it directly.
//
// # Rules, in the order Plan checks them
//
//  1. A workflow's open steps: done ones are completed, others get their
//     command; a step that can never be done (no host has room, a host fails
//     again and again, the site is being deleted) fails and the workflow goes
//     back.
//  2. A site that is being deleted, and an environment likewise, retires its
//     DROPs, and when they are gone its bindings.
//  3. A binding or DROP without a host is placed: admitted by the host's
//     actor first, then recorded in its own stream. The DROPs of an
//     environment are on hosts that have its version of PHP, spread over
//     those, then over zones; then a host that holds a part of the site is
//     preferred, then one with most room; of those with about as much, the DROP's
//     id draws one.
//  4. An environment that has code and its services has as many DROPs as its
//     settings say, not counting those that are to leave their host (it is
//     drained, it lacks the version of PHP, or a move was asked for): they serve
//     until as many are ready elsewhere, and are then retired. Of too many the one
//     goes whose leaving keeps the others spread best, and beside the data; one
//     after the other.
//  5. A DROP whose host knows an older spec than the environment's gets the
//     new one, unless the host lacks the version of PHP: then it serves on as it
//     is, until rule 4 has another one where it is there.
//  6. What a lost host held: DROPs are dismissed there, then displaced, and
//     rule 3 places them elsewhere. Bindings hold data and stay, and so does a
//     DROP whose database or files are on the same host: elsewhere it could not
//     be served, and the host goes on serving it where it is only out of touch
//     with the cell. So a DROP is never served on two hosts.
//  7. What a host admitted after it had been retired, because the wish was on
//     its way, is dismissed.
//  8. A site that is deleted, or whose creation failed, keeps no name and no
//     environment: what came late is given back when no workflow of it runs.
//  9. When a host is written off, its DROPs are displaced and its bindings are
//     lost. Where another binding was asked for in the place of one, it is
//     requested, and placed by rule 3; then the lost one leaves. With the code of
//     a site its releases are gone: an environment of which no host has one gets
//     what was imported anew.
//
// Apart from Plan, because how often is a matter of time, Rebalance is asked:
// where nothing of the above is to be done, no host is lost or being drained and no
// DROP is on its way, one DROP that would be clearly better off elsewhere is moved:
// to fewer of its siblings, to its site's data, or to a quarter more room for each
// thing. A move costs neither spread nor the last DROP beside the data, and goes
// only where there is room. Every one makes something smaller that none makes
// larger, so that they end.
//
// Unlike the actors, this package imports the command types of other actors:
// intents are those commands, and a second set of types with the same fields
// would be one more thing to keep equal.
package policy
