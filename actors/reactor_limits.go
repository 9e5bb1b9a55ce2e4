package actors

import "time"

// Bounds of the Reactor.
const (
	// maxIntentsInFlight commands of policies run at once; they share the log's
	// appends with everybody else's.
	maxIntentsInFlight = 32
	// maxIntentsQueued wait for a place; a lost host of 10,000 DROPs asks for
	// as many at once, and what does not fit is planned again when half of them
	// are done.
	maxIntentsQueued = 4096
	// reactorBuffer of envelopes lets the reader of the log run ahead of the
	// fold.
	reactorBuffer = 256
	// retryFirst doubles up to retryLast while an intent goes on failing.
	retryFirst = 100 * time.Millisecond
	retryLast  = 10 * time.Second
	// maxFruitless times a workflow's command may change nothing although the
	// step is not done: ten tries with back-off are about forty seconds.
	maxFruitless = 10
	// retryResolution is how often delays are looked at, at most.
	retryResolution = 50 * time.Millisecond
	// rebalanceCalm is how long hosts have to be as they are before DROPs are moved
	// for the sake of balance: a machine that restarts, or comes and goes, moves
	// nothing.
	rebalanceCalm = time.Minute
	// rebalanceEvery so long at most one DROP of the cell is moved. A machine that
	// joins and is to get a hundred has them in a quarter of an hour.
	rebalanceEvery = 10 * time.Second
	// snapshotEvery commits the fold is saved: replaying as many takes about a
	// second.
	snapshotEvery = 100_000
)
