package eventstoredb

import "time"

const (
	// MaxBatchCommits and maxBatchBytes of one call: the server takes 1 MiB at
	// most, and answers in one round trip however many there are.
	MaxBatchCommits = 256
	maxBatchBytes   = 512 << 10
	// maxQueued appends wait for the writer; further callers wait for room.
	maxQueued = 1024
	// maxConflicts in a row with other machines before an append gives up: each
	// is a commit that somebody else got through.
	maxConflicts = 32
	// pageCommits of one read.
	pageCommits = 1024
	// nearCommits: commits of one stream that are no farther apart are read with
	// what lies between them.
	nearCommits = 32
	// recentCommits are kept decoded for those that follow the log.
	recentCommits = 4096
	// callTimeout of one call to the server, an election of its cluster included.
	callTimeout = 10 * time.Second
	// retryFirst doubles up to retryLast while the server is away.
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
	// maxHops from a node that does not lead to the one that it names: during an
	// election two may name each other.
	maxHops = 3
	// maxMessageBytes from the server: its own bound for an event is 16 MiB.
	maxMessageBytes = 17 << 20
	// maxGap between the positions of two commits that are restored.
	maxGap = 1 << 20
)
