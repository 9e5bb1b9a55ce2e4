// Package projections folds the log into views.
//
// # How an event becomes visible
//
// A Runner reads the log once, from the position of the view that is furthest
// behind, and hands each commit to every view it was given (Add). A view folds
// it with the pure Apply of its state and publishes the new state together with
// its position behind one atomic pointer: a reader (View.Load) never waits for
// a lock, and what it got never changes. View.Wait lets a writer wait until a
// view has reached the position of its commit.
//
// While the log that was there at the start is replayed, states are changed in
// place and published every publishCommits commits; after that each commit is
// published at once.
//
// # What is saved
//
// A view's state and position go into one file, in one write (Store), every
// snapshotCommits commits, after a long replay and when the runner ends, in the
// background: neither readers nor the fold wait for it, because the state that
// is written never changes. A snapshot holds the hash of the commit at its position. One of
// another version, another log or with a wrong checksum is as good as none: the
// view is rebuilt from position 0, and says so.
//
// # The past
//
// A History gives the states of a view at past positions. It keeps states of
// the view in memory, since an old one costs only what differs from its
// neighbours, and folds the few commits from the nearest one on. Some of them it
// saves for later starts, if it is told where (Past). Which position a time is,
// the view in package clock knows.
//
// # What is guaranteed
//
// Each commit is folded exactly once and in order, across restarts. Unknown
// events are skipped by the folds, and their commits count as seen. When the
// log cannot be read any more Run ends with the reason, and so does every Wait.
package projections

import (
	"iter"

	"pantheon/events"
)

// State is what a view's package gives for its fold. The methods are pure and
// leave their receiver as it was, with one exception: a state given by Edit may
// be used up by Apply.
type State[S any] interface {
	// Apply folds one commit.
	Apply(events.Envelope) S
	// Edit gives a state that Apply may change in place, so that of all states
	// made from it only the newest may be used, until Seal.
	Edit() S
	// Seal gives a state that no later Apply changes.
	Seal() S
	// Save gives the state as records, each valid until the next.
	Save() iter.Seq2[[]byte, error]
	// Load fills the receiver, which is empty, from records of Save, each valid
	// until the next.
	Load(iter.Seq2[[]byte, error]) (S, error)
}

// Projection is a named fold.
type Projection[S State[S]] struct {
	// Name is unique among the views of a store and fit for a file name.
	Name string
	// Version of the fold, of what it was given beside the log, and of what it
	// saves: a snapshot of another one is not used.
	Version int
	// Empty is the view of an empty log.
	Empty S
}
