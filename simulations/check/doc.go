// Package check watches a simulated cell and says when a promise is broken. It
// only reads: it keeps its own books from the log's commits, apart from the
// actors, policies and views that it judges.
//
// Commits enter through Ledger.Commit in log order, what visitors and machines
// did through Served, Routed and Awake; a broken promise goes to the function
// given to NewLedger. Refold folds the whole log anew and gives hashes to
// compare with those of live views; Names folds the zone beside the routing
// table and compares them; History keeps appends and asks porcupine
// whether they can have happened one after the other.
//
// The rules, by the name a violation carries, are in [Rules].
package check
