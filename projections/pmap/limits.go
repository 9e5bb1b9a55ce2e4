package pmap

const (
	// bitsPerLevel of the hash choose one of 32 slots: one bit each in the
	// 32-bit sets of a node.
	bitsPerLevel = 5
	// maxDepth levels use up 60 of the 64 bits of a hash; keys whose hashes
	// are equal that far share a plain list. No two keys of a cell are likely
	// to: 2^60 against 10^6 keys.
	maxDepth = 12
	// MaxTogether keys are found by one GetAll: a batch of a server, and three
	// arrays of that size are half a KiB each.
	MaxTogether = 64
	// maxBranch entries, a B-tree node is copied as a whole by a change without
	// an Edit: 64 strings are 1 KiB.
	maxBranch = 64
	// collectedBranch leaves room for later entries.
	collectedBranch = maxBranch * 3 / 4
)
