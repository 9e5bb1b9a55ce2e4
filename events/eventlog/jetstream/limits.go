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
	// firstCommits of a longer reading are decoded by the reader itself too: 0.3 ms.
	firstCommits = 64
	// maxServerMemoryBytes bounds memory streams of the server; there are none
	// today, leases may become one.
	maxServerMemoryBytes = 64 << 20
	// maxServerStoreBytes turns off the server's own bound on disk space, which
	// would be three quarters of what is free when it starts.
	maxServerStoreBytes = 1 << 50
)

// Of clients and clusters.
const (
	// firstPatience is the time each of the first steadyAttempts of a request gets:
	// as long as an election and a bit. Each further one gets twice as much. An
	// answer takes milliseconds, and a leader that hangs gives none.
	firstPatience  = 500 * time.Millisecond
	steadyAttempts = 5
	// clientPatience is how long a client tries one append or question: more than
	// two elections. A minority refuses after it.
	clientPatience = 6 * time.Second
	// retryPause lies between two attempts, and between two at connecting.
	retryPause = 50 * time.Millisecond
	// dialTimeout bounds Dial whose context has no earlier end: an election and
	// a start of the servers.
	dialTimeout = 30 * time.Second
	// connectTimeout bounds one attempt to connect to one server.
	connectTimeout = 2 * time.Second
	// handshakeTimeout bounds a TLS handshake on a server's side.
	handshakeTimeout = 5 * time.Second
	// resizeTimeout bounds each step of spreading the log over more machines, or
	// fewer: copying it is one.
	resizeTimeout = 5 * time.Minute
	// maxConnections that are looked at by TurnAway: a cell has a thousand
	// machines, each with a connection or two.
	maxConnections = 65_536
	// clientPing and routePing find a machine that is gone without a word: it is
	// given up after two that were not answered.
	clientPing = time.Second
	routePing  = time.Second
	// maxRouteRetries of the implicit routes of the server; those that are
	// configured are tried for ever.
	maxRouteRetries = 10
	// heartbeat of a leader; a member that hears none for minElection up to
	// maxElection stands for election. On an idle machine the next leader is there
	// within two seconds; a busy one that is late elects in vain, which costs
	// time and nothing else.
	heartbeat   = 200 * time.Millisecond
	minElection = 800 * time.Millisecond
	maxElection = 1600 * time.Millisecond
	// lostQuorum is how long a leader leads without hearing from a majority,
	// looked at every lostQuorumCheck.
	lostQuorum      = 2 * time.Second
	lostQuorumCheck = 500 * time.Millisecond
	// MaxMembers is the most replicas that the server knows of.
	MaxMembers = 5
	// copyAttempts without a step forward end the copying of a log.
	copyAttempts = 5
	// fetchCommits and fetchBytes bound one answer of a server to a reader, and
	// fetchAhead how many of them are read ahead.
	fetchCommits = 512
	fetchBytes   = 512 << 10
	fetchAhead   = 2
	// walkCommits are read back one by one from the end of a stream before it is
	// read from its beginning instead.
	walkCommits = 128
	// feedCommits and feedBytes bound the newest commits that a client keeps for
	// its tails, and what the connection keeps for the feed.
	feedCommits = 4096
	feedBytes   = 8 << 20
	// followNews are kept for a reader of one stream; what comes above is read from
	// the stream.
	followNews = 64
	// pollEvery is how often a tail asks for the head by itself: what is published
	// of a commit gets lost when the leader dies in that moment.
	pollEvery = time.Second
	// followPollEvery is the same for one stream; a thousand hosts make 200
	// questions a second.
	followPollEvery = 5 * time.Second
)
