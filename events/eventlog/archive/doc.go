// Package archive is a whole cell in one file: every commit of a log as the
// bytes it stands there with, at its position.
//
// Write makes an archive of what an eventlog.EntryReader gives, while the log
// goes on; Reader gives the entries back, checked; Import puts them into an
// empty log through an eventlog.Restorer. Nothing is kept here.
//
// # Format
//
// An archive is one or more parts, one after the other:
//
//	part     "pantheon archive 1\n", then frames
//	frame    kind 1, packed length 4, plain length 4, checksum 16, then that
//	         many packed bytes (RFC 8878, zstd); little endian
//
// The checksum is SHA-256, cut, of the checksum of the frame before it in its
// part (zeros for the first), the nine bytes before it and the packed bytes:
// a frame that was changed, left out, repeated or moved is noticed at once.
// The kinds of frame, in the order they stand in:
//
//	'h'  once, JSON: the position that the part begins after, and the hash of the
//	     commit there (0 and none at the beginning of a log); signed tree heads
//	     of the log and the public key they are said to be signed with
//	'c'  any number, the next 1 to 4096 commits: their number (uvarint); for
//	     each the first 8 bytes of its hash; for each how far its position lies
//	     above the one before in the frame (uvarint; the first above 0); for each
//	     its length (uvarint); then the bytes of all
//	't'  once, JSON: the number of commits of the part, and its last position
//
// Each part but the first begins where the one before ended. Only the last
// part needs a 't': an export that was interrupted goes on with another part,
// behind the last whole frame (Scan). So files of several
// exports can simply be put together.
//
// # Guarantees
//
// A Reader gives an entry
// only if its frame's checksum is right, its bytes have the hash they were
// written with, its position is above the one before, and it follows the
// commit before it in its stream. Whoever changes an archive and knows this
// format can mend all of that for the newest commit of a stream: the signed
// tree heads, checked with a key that is not in the file, cannot be mended
// (package projections/audit).
//
// An archive holds what the log holds, and no keys: secrets are not in it, and
// what was sealed for a site can be read only with that site's key.
package archive
