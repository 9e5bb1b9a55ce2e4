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
	// maxNewerTold bounds the kinds of events of newer versions that are told of.
	maxNewerTold = 100
	// saveTimeout bounds the last snapshot when the runner ends.
	saveTimeout = time.Minute
	// maxRecordBytes bounds one record of a snapshot. The largest is that of a
	// host with what it has admitted: 100,000 DROPs and three bindings each at
	// 45 bytes.
	maxRecordBytes = 64 << 20
	// keptEveryCommits lie between two kept states of a history: a question
	// folds at most that many, until states are thinned. Each takes 5 µs to
	// read and 3 µs to fold.
	keptEveryCommits = 2048
	// maxKeptStates of one history: with a million commits none is thinned.
	maxKeptStates = 640
	// maxKeptRecords is about 200 MiB: a record that differs costs 500 bytes,
	// its share of the maps' nodes included.
	maxKeptRecords = 400_000
	// pastEveryCommits lie between two states that are saved for later starts, and
	// maxPast of a view are: the first question after a start then reads one, and
	// folds at most an eighth of the log.
	pastEveryCommits = 100_000
	maxPast          = 16
	// keptAnswers is the number of newest answers that are kept: a list is
	// read page by page, and a comparison needs two.
	keptAnswers = 8
	// offersQueued is what the live fold may offer while a history is busy.
	offersQueued = 4
	// maxShortFolds of one history run at once; others wait.
	maxShortFolds = 2
	// longFold: more than that many times the distance of kept states is a long
	// fold, of which one runs at a time: what it keeps on its way serves those
	// that wait for it.
	longFold = 16
)
