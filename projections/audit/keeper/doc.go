// Package keeper keeps the audit tree of a running cell: the leaves on disk,
// the key, and the heads that were signed with it. It also checks a whole log
// against heads, offline.
//
// # A running cell
//
// Open reads the whole log, byte for byte, and folds it on all cores; where the
// tree has the size of a head that was signed, its root must be that head's. A
// log that is not the one that was signed is refused with an
// *eventlog.BrokenError that names the first position that differs. Who reads
// the whole log anyway, as the log on disk does when it is opened, shows it to
// Begin's See instead, and no second reading is needed. Run then
// follows the log, and signs the tree at every Interval in which it has grown;
// Close signs all there is at the end. Head, Prove and ProveConsistency answer meanwhile.
//
// # Files
//
//	<dir>/leaves   40 bytes for each commit: position and hash. Only a copy: it
//	               is compared with the log at every Open and made again where it
//	               is short, missing or wrong. It says which commit was changed
//	               when the heads say that one was.
//	<dir>/heads    the signed heads, each a JSON string on a line; appended and
//	               synchronised. At most maxHeads are kept: older ones are thinned
//	               out, the newest is never dropped.
//	<key>          the private key, mode 0600, outside the log and this folder
//	<key>.pub      the public key, for those who verify
//
// Whoever can write all of these files and the log can make up another
// history; whoever holds a head that was published before can prove it.
//
// # Offline
//
// Offline checks an archive, or the log of a cell that does not run, against
// heads and a public key.
package keeper
