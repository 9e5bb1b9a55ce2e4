package jetstream

import (
	"time"

	"pantheon/events"
)

const (
	// appendTimeout bounds one append whose context has no earlier end. A
	// synchronised write takes milliseconds; a disk that needs longer is ill.
	appendTimeout = 10 * time.Second
	// readTimeout bounds a question to the server.
	readTimeout = 10 * time.Second
	// startTimeout bounds the server's start: recovering 1,000,000 subjects
	// takes a few seconds.
	startTimeout = 2 * time.Minute
	// readyPause is how often a starting server is asked.
	readyPause = 50 * time.Millisecond
	// healPause lies between two attempts to start a failed server again.
	healPause = 500 * time.Millisecond
	// checkpointEvery bounds what a lost tail can be without being noticed.
	checkpointEvery = 5 * time.Second
	// defaultReserveBytes is the free space below which appends are refused:
	// room for the server's own files and for what others write meanwhile.
	defaultReserveBytes = 64 << 20
	// restorePending commits are under way to the server while a log is restored:
	// at 500 bytes each, 2 MiB.
	restorePending = 4096
	// spaceCheckCommits lie between two looks at the free space while a log is
	// restored: 1 MiB of usual commits. A disk that fills up between two looks
	// fails the server, which the restoring reports.
	spaceCheckCommits = 2048
	// maxRecordBytes bounds one record of a block file: a commit, its subject
	// and headers.
	maxRecordBytes = events.MaxCommitBytes + 4096
	// chunkBytes is how much of a block file is read at once.
	chunkBytes = 1 << 20
	// recentSlots are kept of the newest tips: 1,024 actors at work, 100 KiB.
	recentSlots = 1024
	// firstChunkBytes is the first read: often only the newest record is wanted.
	firstChunkBytes = 16 << 10
	// batchCommits is how many commits are decoded by one goroutine in a go.
	batchCommits = 256
	// batchBytes is room for most batches; a larger one grows.
	batchBytes = batchCommits * 700
	// decoders work at once while All reads ahead; with batchCommits of up to a
	// few hundred bytes each, they hold a few MiB.
	decoders = 8
	// inlineCommits and fewer are decoded by the reader itself.
	inlineCommits = 512
	// maxServerMemoryBytes bounds memory streams of the server; there are none
	// today, leases may become one.
	maxServerMemoryBytes = 64 << 20
	// maxServerStoreBytes turns off the server's own bound on disk space, which
	// would be three quarters of what is free when it starts.
	maxServerStoreBytes = 1 << 50
)
