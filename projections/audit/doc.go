// Package audit folds the log into a Merkle tree, so that whoever holds one
// signed head of the tree can be shown that a commit is in the log, and that
// the log has only grown since.
//
// # The tree
//
// The tree and its proofs are those of RFC 6962 §2.1, as golang.org/x/mod's
// tlog computes them. A leaf is 40 bytes: the commit's position, big endian,
// and the SHA-256 of its bytes as they stand in the log. Leaves are numbered
// from 0 without gaps, positions may have gaps: a leaf's index says how many
// commits stand before it, and its position is in the leaf. Whoever has the
// bytes of a commit and its position can compute the leaf; what the events in
// it mean, whether they are sealed, and whether this version knows them, makes
// no difference.
//
// Commits enter through State.Apply, or many at once through Add and AddTile.
// A State holds the right edge of the tree and the hash of every complete tile
// of TileLeaves leaves, an eighth of a byte for each commit; the leaves
// themselves are kept beside it (package keeper), and can be made again from
// the log. This fold is not one of the views of projections.Runner: it is
// folded from the log itself at every start, because that is what proves that
// the log is still the one that was signed.
//
// # Heads
//
// A Head is the size and root of the tree at one moment, with the position of
// the last commit. It is signed as a note (golang.org/x/mod/sumdb/note,
// Ed25519), its text is that of a checkpoint of c2sp.org/tlog-checkpoint with
// two lines more:
//
//	<name of the key>
//	<size>
//	<root, base64>
//	position <position of the last commit>
//	time <RFC 3339, UTC>
//
// # Guarantees
//
// State is a value: no Apply changes what another State shows. Proof.Check and
// Consistency.Check need nothing but the proof and the public key.
package audit
