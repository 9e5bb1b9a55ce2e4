// Package sealed keeps personal data and secrets unreadable in the log, so that
// they can be forgotten although nothing is ever taken out of it.
//
// # What enters, what comes out
//
// Log stands between the actors and a log. Append seals the texts that
// events.MapPersonal names, and the network address of a person; Stream opens
// them again, so that deciders see what people have typed. Everybody else reads
// the log itself: views, snapshots, exports and proofs hold the sealed form,
// which is what the hash of a commit covers. Box.Open gives the clear text to
// those who show it or act on it.
//
// Box.Forget destroys an owner's key. From then on every text of the owner
// opens as events.Forgotten, whenever and wherever it was written, and hashes,
// chains and proofs are what they were.
//
// # How a text is sealed
//
// With AES-256-GCM. The key is derived (HKDF, RFC 5869) from that of the site
// or the account, for the address of a person in a site's stream from both, so
// that it is gone with the first of them. The owners are the associated data:
// a box that was moved to another owner does not open. Where a text stands is
// not bound: the chain of hashes already is, and a text moves on with the work
// (from the workflow's stream to the site's and to the host's). The nonce is
// the start of an HMAC over owners and text, under a key of its own, so sealing
// is deterministic: the same command sent again gives the same events. This
// tells, without the key, which texts of one owner are the same, and how long
// they are.
//
// # Streams of hosts
//
// A host's stream holds the sources of the code of many sites, and its actor
// only passes them on. They stay sealed there in both directions, or loading
// the actor would read the key of every site it has.
//
// # What is not sealed
//
// What was written before there were keys, and by logs without this package
// (the simulator's): clear texts pass through all of it unchanged. Identifiers,
// among them the public names of sites, and the ids of commands. The tests of
// package events have the list with the reasons.
package sealed
