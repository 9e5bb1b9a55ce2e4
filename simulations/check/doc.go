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
// The rules, by the name a violation carries:
//
//	capacity      no host admits more than it offers (rule (A) of actors/host)
//	placement     a DROP's own stream names one host at a time
//	twice         no DROP or binding is admitted on two hosts once all is settled
//	serving       no DROP is served by a host that gave it up longer than a bound ago
//	routing       no route names a DROP that its host never reported ready, or a
//	              host that was lost longer than a bound ago
//	memory        awake DROPs fit their host (rule (B)), or one is alone
//	ready         an environment with traffic has a ready DROP within a bound,
//	              while nothing fails
//	balance       moves for the sake of balance come to an end, and do not undo each
//	              other
//	once          a command has one commit in its stream, a wish one effect
//	effect        an order is carried out once, a service provided and retired once
//	linearizable  appends to a stream, and what senders are told of where a DROP
//	              is, can have happened one after the other
//	refused       a command that was refused has none
//	zone          the names of the zone agree with the routing table and with the
//	              hosts that hold what they stand for, at every position
//	names         a name is held by a site that is there
package check
