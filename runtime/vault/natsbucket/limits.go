package natsbucket

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// history is how many values of a key the stream keeps, the most that a
	// key-value bucket may: the newest, and those before until they are erased. One
	// beyond it the server takes out itself, without overwriting it.
	history = jetstream.KeyValueMaxHistory
	// headerBytes is room for the headers of a message.
	headerBytes = 1024
	// maxStale bounds the values that wait for being erased; those beyond it are
	// found by the next Watch from the beginning.
	maxStale = 10_000
	// openTimeout bounds one attempt to find or make the stream, and openPause lies
	// between two.
	openTimeout = 500 * time.Millisecond
	openPause   = 50 * time.Millisecond
	// markTimeout bounds the waiting for the next entry before the mark: the server
	// that is watched catches up with the others meanwhile.
	markTimeout = 30 * time.Second
	// eraseTimeout bounds the erasing of one value: a write waits for it.
	eraseTimeout = time.Second
)
