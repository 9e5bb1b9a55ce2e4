package projections

import "time"

const (
	// publishCommits is the number of commits that are folded in place before
	// the state is shown, during replay: about 15 ms of it.
	publishCommits = 4096
	// snapshotCommits lie between two snapshots of a view: what a restart after
	// a crash replays is at most that, under half a second. Saving the largest
	// view takes a few seconds in the background.
	snapshotCommits = 100_000
	// saveTimeout bounds the last snapshot when the runner ends.
	saveTimeout = time.Minute
	// maxRecordBytes bounds one record of a snapshot. The largest is that of a
	// host with what it has admitted: 100,000 DROPs and three bindings each at
	// 45 bytes.
	maxRecordBytes = 64 << 20
)
