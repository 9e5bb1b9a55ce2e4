package audit

const (
	// maxHeadBytes bounds a signed head: one with a name of 100 bytes has 300; a
	// witness' further signature takes 150 bytes each.
	maxHeadBytes = 4 << 10
	// maxPathHashes bounds a proof: one hash for each level of a tree of 2^62
	// leaves, two for a proof of consistency.
	maxPathHashes = 128
	// maxProofBytes bounds a proof in any form, a JSON indented.
	maxProofBytes = 16 << 10
)
