package keeper

import "time"

const (
	// DefaultInterval is how old a commit gets before a head covers it.
	DefaultInterval = time.Minute
	// maxHeads are kept of one log, and half as many after thinning: 300 bytes
	// each, and a signature to check at every start, 0.1 ms each.
	maxHeads = 2048
	// recentHeads are never thinned out: a day of one a minute, nearly.
	recentHeads = 1024
	// maxHeadLineBytes bounds one line of the file of heads.
	maxHeadLineBytes = 8 << 10
	// maxKeyBytes bounds a key file; a key has 100 bytes.
	maxKeyBytes = 1 << 10
	// tilesUnderWay are hashed at once or wait: 10 KiB each.
	tilesUnderWay = 64
	// leafBuffer leaves are read from the file, or written to it, at once.
	leafBuffer = 4096
	// hashCommits are hashed by one goroutine in a go, and at most hashBytes of
	// them; hashersUnderWay are at work or done and not yet taken.
	hashCommits     = 512
	hashBytes       = 512 << 10
	hashersUnderWay = 16
)
