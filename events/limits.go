package events

// Bounds of the wire. A commit that breaks one is refused before it reaches
// the log, so every reader can rely on them.
const (
	// MaxCommitEvents bounds the events of one decision. Creating a site needs
	// four; the largest decision known is a host that gives up everything it
	// holds, which is split by its decider.
	MaxCommitEvents = 64
	// MaxCommitBytes bounds one commit on the wire, well under the 1 MiB that
	// NATS allows a message by default.
	MaxCommitBytes = 256 << 10
	// MaxIDBytes bounds the text of any identifier; the longest real one is a
	// name of the host space: "host:" and a DNS name of 253 bytes.
	MaxIDBytes = 320
	// MaxNameBytes bounds a site's machine name. The platform's host name is
	// <env>-<site>, a DNS label of 63 bytes (RFC 1035 §2.3.4), and environment
	// names take up to MaxEnvironmentNameBytes and the dash of it.
	MaxNameBytes = 51
	// MaxEnvironmentNameBytes is the original platform's bound for branch
	// environments.
	MaxEnvironmentNameBytes = 11
	// MaxCommandIDBytes bounds the id that makes a command happen once: a
	// UUID, or one that a policy derives from a stream, a position and a word.
	MaxCommandIDBytes = 512
	// MaxReasonBytes bounds every free text that reports a failure.
	MaxReasonBytes = 2 << 10
)
