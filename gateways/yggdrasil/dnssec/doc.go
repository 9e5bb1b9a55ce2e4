// Package dnssec signs the answers of the name server as they are asked for,
// and leads the keys of zones through their life.
//
// # Where things enter, where state changes
//
// The server asks Signer.Sign for the RRSIG set of an RRset, and Signer.Keys
// for the DNSKEY, CDS and CDNSKEY sets of a zone. Which keys a zone has, and
// what state each is in, is in the zone's fold; private keys come from KeyFiles.
// The only state is the cache of signatures. It is never wrong: an entry counts
// for one set of keys, one owner, and exactly the records it was made of.
//
// Keeper makes keys and moves them along: it compares the zones with the clock
// and the parent's DS records, and has what is due recorded (roll.go draws it).
//
// # Keys
//
// A zone has one key that signs everything (CSK; RFC 6781 §3.1), ECDSA P-256
// (RFC 6605). Splitting it into a key-signing and a zone-signing key pays where
// the first can be kept offline; a server that signs online has both in the
// same folder, and would only give larger answers and a second roll-over. Zones
// whose fold has KSK and ZSK are signed by them all the same.
//
// # Signatures are reproducible
//
// Nonces are those of RFC 6979, and inception and expiration depend on the
// window of a week that the time falls in (window.go). So the same RRset is
// given the same signature by every node and after every restart, and what a
// secondary was sent can be named again in an incremental transfer.
//
// # What is guaranteed
//
//   - A signature that is given is valid for 14 days at least, and from an hour
//     before the window it is for.
//   - A hit of the cache allocates nothing and takes no lock. A miss costs one
//     signature, about 30 µs, in the caller; Run makes those of names that were
//     asked for lately before they are asked for again.
//   - The cache holds a fixed number of signatures. Who asks for names that do
//     not exist can not fill it with more than the zone's own NSEC records.
//   - No private key is in an event, an error or a log line.
package dnssec
