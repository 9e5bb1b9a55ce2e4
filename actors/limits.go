package actors

import (
	"time"

	"pantheon/events"
)

// Bounds of the shell. Each can be changed by the Options field it defaults.
const (
	// DefaultResidentActors keeps the working set of a cell in memory: an idle
	// actor of one commit was measured at 2.5 KB, so these are 40 MB.
	DefaultResidentActors = 16_384
	// DefaultIdleAfter is long enough that the steps of one workflow meet
	// resident actors.
	DefaultIdleAfter = 2 * time.Minute
	// DefaultMailboxCommands is the wait a caller may be asked for: 256 appends
	// at 1 ms are a quarter of a second.
	DefaultMailboxCommands = 256
	// DefaultLogWorkers lets a log that syncs gather appends of many actors.
	DefaultLogWorkers = 64
	// DefaultLogTimeout is how long one append or load may take before its end
	// counts as unclear; a log that syncs to a slow disk needs well under one
	// second.
	DefaultLogTimeout = 15 * time.Second
)

// Bounds of an Entity.
const (
	// RecentCommands of a stream are known by their id. Whoever repeats a
	// command does so within minutes, and no actor takes a thousand commands
	// meanwhile; a thousand ids are about 150 KiB, in the busiest actors only.
	RecentCommands = 1024
	// MaxConflictRetries of one command: each needs a writer elsewhere to have
	// won, which happens only while ownership of an actor moves.
	MaxConflictRetries = 16
	// MaxLoadCommits are folded at a time while a stream is read: about a
	// millisecond in which the actor answers nobody.
	MaxLoadCommits = 512
	// MaxCommandIDBytes bounds a command's id; see events.CommandID.
	MaxCommandIDBytes = 128
)

// evictedAtOnce bounds the idle actors that are stopped while the directory is
// locked.
const evictedAtOnce = 256

// Bounds of commands that travel between machines.
const (
	// MaxRequestBytes bounds one on the wire: what it decides must fit a commit.
	MaxRequestBytes = events.MaxCommitBytes
	// maxAnswerTextBytes bounds an error's text and its hint in an answer.
	maxAnswerTextBytes = 4 << 10
	// maxRemoteCommands of one machine are under way; its agent has one, a start
	// another.
	maxRemoteCommands = 32
	// maxRequestsOfOne machine are taken at once, so that one alone cannot have
	// them all: as many as it may have under way.
	maxRequestsOfOne = maxRemoteCommands
	// maxRequests of all machines are taken at once: a second's worth of a disk
	// that takes a millisecond for a commit.
	maxRequests = 1024
	// remoteAttempt is how long the first machine may take, twice as long in each
	// further round: a commit takes milliseconds, an election one to two seconds,
	// and a command that two machines carry out at once has one effect.
	remoteAttempt = time.Second
	// remoteSilence is how long a machine that gave no answer is asked last: by
	// then it is known as lost, or answers.
	remoteSilence = 5 * time.Second
	// remotePause is between two rounds.
	remotePause = 50 * time.Millisecond
	// remotePatience is that of a local command: DefaultLogTimeout, and a while
	// for the way.
	remotePatience = 20 * time.Second
)
